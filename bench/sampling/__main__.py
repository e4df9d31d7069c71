"""Measure the sampler beside its peers and print Markdown tables.

    python bench/sampling [--quick] [--turns N] [--update docs/performance.md] [PART...]

Parts: cost (CPU time at equal fidelity), budget (error of the default budget), latency (of the target), scaling (1 to 500
processes). bench/README.md says what each one answers and how.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))
sys.path.insert(2, str(Path(__file__).resolve().parents[2]))

import budget_error
import equal_fidelity
import latency
import scaling
from commands import c_loop
from parts import Part, main
from tree import Shape

POOL = Shape(children=16, shared_mib=64, inherited_mib=0, private_mib=48)
LARGE = Shape(children=0, shared_mib=0, inherited_mib=2048, private_mib=0)
CHANGING = Shape(children=16, shared_mib=64, inherited_mib=32, private_mib=48, changing=True)
TINY = Shape(children=2, shared_mib=1, inherited_mib=1, private_mib=1)

PARTS = {
    "cost": Part(
        equal_fidelity.report,
        equal_fidelity.Plan((POOL, LARGE), loop_ticks=30, command_ticks=12, interval_s=1.0, budgeted_ticks=50, turns=3),
        equal_fidelity.Plan((TINY,), loop_ticks=3, command_ticks=1, interval_s=0.2, budgeted_ticks=3, turns=1),
    ),
    "budget": Part(
        budget_error.report,
        budget_error.Plan(CHANGING, seconds=120, interval_s=1.0, reference_hz=5, turns=3),
        budget_error.Plan(TINY._replace(changing=True), seconds=2, interval_s=0.2, reference_hz=10, turns=1),
    ),
    "latency": Part(
        lambda plan, _: latency.report(plan),
        latency.Plan(memory_mib=2048, rate=200, seconds=20, turns=5),
        latency.Plan(memory_mib=16, rate=100, seconds=1, turns=1, interval_s=0.2),
    ),
    "scaling": Part(
        scaling.report,
        scaling.Plan((1, 10, 50, 100, 250, 500), samples=2000, least_ticks=10, budgeted_ticks=50, turns=3),
        scaling.Plan((1, 3), samples=6, least_ticks=2, budgeted_ticks=2, turns=1),
    ),
}


if __name__ == "__main__":
    sys.exit(main("python bench/sampling", __doc__, PARTS, c_loop))
