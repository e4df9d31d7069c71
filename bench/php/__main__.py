"""Measure what recording and profiling cost PHP requests, ours beside the others, and print Markdown tables.

    python bench/php [--quick] [--turns N] [--update docs/performance.md] [PART...]

Parts: php-record (us the agent takes within a request, and what its parts cost), php-requests (latency of pages with the agent,
the access log, Xdebug in each mode, Excimer and tideways_xhprof). bench/README.md says how.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))
sys.path.insert(2, str(Path(__file__).resolve().parents[2]))

import latency
import record
from parts import Part, main

PARTS = {
    "php-record": Part(
        lambda plan, _: record.report(plan), record.Plan(requests=1000, turns=3), record.Plan(requests=30, turns=1)
    ),
    "php-requests": Part(
        lambda plan, _: latency.report(plan), latency.Plan(requests=60, turns=9), latency.Plan(requests=2, turns=1)
    ),
}


if __name__ == "__main__":
    sys.exit(main("python bench/php", __doc__, PARTS))
