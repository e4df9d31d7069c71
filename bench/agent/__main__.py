"""Measure what the Python agent and its tools cost, beside the stock tools, and print Markdown tables.

    python bench/agent [--quick] [--turns N] [--update docs/performance.md] [PART...]

Parts: record (us the agent adds to every request), tools (a profiled request, ours and theirs). bench/README.md says how.
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
    "record": Part(
        lambda plan, _: record.report(plan), record.Plan(calls=200, turns=100), record.Plan(calls=200, turns=2)
    ),
    "tools": Part(
        lambda plan, _: latency.report(plan), latency.Plan(requests=15, turns=4), latency.Plan(requests=1, turns=1)
    ),
}


if __name__ == "__main__":
    sys.exit(main("python bench/agent", __doc__, PARTS))
