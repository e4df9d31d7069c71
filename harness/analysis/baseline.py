"""What ``diff(...)`` compares with: the quantities of another run, or of a JSON report of it. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.errors import UsageError
from harness.model.measure import Measure, Unit

_FORMAT = "harness-report/1"
_MOST = 100_000


@dataclass(frozen=True, slots=True)
class Baseline:
    """``name``: for people. ``obstacles``: why this run must not be compared with it, as sentences without a full stop."""

    name: str
    measures: Sequence[Measure]
    obstacles: Sequence[str] = ()


def measures_in(document: object, name: str) -> tuple[Measure, ...]:
    """The quantities in a JSON report. Raises UsageError for anything else, and for a report without them."""
    if not isinstance(document, Mapping) or document.get("format") != _FORMAT:
        raise UsageError(
            f"{name}: is not a JSON report ({_FORMAT})", hint="give a run directory, or a report.json of one"
        )
    rows = document.get("measures")
    if not isinstance(rows, list) or len(rows) > _MOST:
        raise UsageError(
            f"{name}: holds no measures, so nothing can be compared with it",
            hint="it is of an older version: make it again with `harness report RUN --format json`",
        )
    return tuple(_measure(row, f"{name}: measures[{index}]") for index, row in enumerate(rows))


def _measure(row: object, place: str) -> Measure:
    if not isinstance(row, Mapping):
        raise UsageError(f"{place}: is not an object")
    try:
        unit = Unit(str(row.get("unit")))
    except ValueError:
        raise UsageError(f"{place}: unknown unit {row.get('unit')!r}"[:300]) from None
    return Measure(
        metric=_text(row, "metric", place) or "",
        unit=unit,
        value=_number(row, "value", place),
        low=_number(row, "low", place),
        high=_number(row, "high", place),
        endpoint=_text(row, "endpoint", place),
        pool=_text(row, "pool", place),
        blind=_number(row, "blind", place),
        reason=_text(row, "reason", place) or "",
    )


def _number(row: Mapping[str, object], key: str, place: str) -> float | None:
    value = row.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError(f"{place}: {key} is not a number")
    return value


def _text(row: Mapping[str, object], key: str, place: str) -> str | None:
    value = row.get(key)
    if value is not None and not isinstance(value, str):
        raise UsageError(f"{place}: {key} is not text")
    return value
