"""Measure what the Python agent and its tools cost, beside the stock tools, and print Markdown tables.

    python bench/agent [--quick] [--turns N] [--update docs/performance.md] [PART...]

Parts: record (us the agent adds to every request), tools (a profiled request, ours and theirs). bench/README.md says how.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))
sys.path.insert(2, str(Path(__file__).resolve().parents[2]))

import latency
import record
from tables import machine, updated


class Part(NamedTuple):
    """One of the comparisons."""

    report: Callable[[Any], str]
    full: Any
    quick: Any


PARTS = {
    "record": Part(record.report, record.Plan(calls=5000, turns=15), record.Plan(calls=200, turns=2)),
    "tools": Part(latency.report, latency.Plan(requests=15, turns=4), latency.Plan(requests=1, turns=1)),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python bench/agent", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all when none is named")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it runs, measures nothing")
    parser.add_argument("--turns", type=int, metavar="N", help="how often everybody has a turn")
    parser.add_argument("--update", type=Path, metavar="PAGE", help="also put the tables into this Markdown file")
    options = parser.parse_args()
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"no part is called {', '.join(unknown)}; there are {', '.join(PARTS)}")
    try:
        for part in options.parts or PARTS:
            plan = PARTS[part].quick if options.quick else PARTS[part].full
            plan = plan._replace(turns=options.turns or plan.turns)
            text = f"{machine()}.\n\n{PARTS[part].report(plan)}\n"
            print(f"## {part}\n\n{text}", flush=True)
            if options.update is not None:
                options.update.write_text(updated(options.update.read_text(), part, text))
    except (OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
