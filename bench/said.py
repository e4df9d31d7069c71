"""What agents say that they took in a request, as a run puts it among its costs."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from pathlib import Path

from harness.model.span import CostRecord
from harness.plugins.records import parse_record


def median_said_us(files: Iterable[Path]) -> float | None:
    """The median of all that these records say; None where no request was timed."""
    records = [parse_record(line) for file in files for line in file.read_bytes().splitlines()]
    costs = [record.cost_ns for record in records if isinstance(record, CostRecord)]
    return statistics.median(costs) / 1000 if costs else None
