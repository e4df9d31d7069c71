"""Measure the sampler beside its peers and print Markdown tables.

    python bench/sampling [--quick] [--turns N] [--update docs/performance.md] [PART...]

Parts: cost (CPU time at equal fidelity), budget (error of the default budget), latency (of the target), scaling (1 to 500
processes). bench/README.md says what each one answers and how.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))
sys.path.insert(2, str(Path(__file__).resolve().parents[2]))

import budget_error
import equal_fidelity
import latency
import scaling
from commands import c_loop
from tables import machine, updated
from tree import Shape

POOL = Shape(children=16, shared_mib=64, inherited_mib=0, private_mib=48)
LARGE = Shape(children=0, shared_mib=0, inherited_mib=2048, private_mib=0)
CHANGING = Shape(children=16, shared_mib=64, inherited_mib=32, private_mib=48, changing=True)
TINY = Shape(children=2, shared_mib=1, inherited_mib=1, private_mib=1)


class Part(NamedTuple):
    """One of the comparisons."""

    report: Callable[[Any, Path], str]  # (plan, program of the C loop)
    full: Any
    quick: Any


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


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python bench/sampling", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all when none is named")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it runs, measures nothing")
    parser.add_argument("--turns", type=int, metavar="N", help="how often everybody has a turn (full: 3, latency 5)")
    parser.add_argument("--update", type=Path, metavar="PAGE", help="also put the tables into this Markdown file")
    options = parser.parse_args()
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"no part is called {', '.join(unknown)}; there are {', '.join(PARTS)}")
    try:
        if options.update is not None:  # not after three quarters of an hour
            for part in options.parts or PARTS:
                updated(options.update.read_text(), part, "")
        with c_loop() as program:
            for part in options.parts or PARTS:
                plan = PARTS[part].quick if options.quick else PARTS[part].full
                plan = plan._replace(turns=options.turns or plan.turns)
                text = f"{machine()}.\n\n{PARTS[part].report(plan, program)}\n"
                print(f"## {part}\n\n{text}", flush=True)
                if options.update is not None:
                    options.update.write_text(updated(options.update.read_text(), part, text))
    except (OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
