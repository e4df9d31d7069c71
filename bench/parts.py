"""The command line of a benchmark that has parts: which of them, how large, how often, and the page their tables go into."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from tables import machine, updated


class Part(NamedTuple):
    """One of the comparisons. ``report`` takes a plan and what the benchmark's context gives; plans have ``turns``."""

    report: Callable[[Any, Any], str]
    full: Any
    quick: Any


def main(
    program: str,
    about: str | None,
    parts: Mapping[str, Part],
    around: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> int:
    """Run the parts that were asked for within ``around()``, and print their tables; the exit code."""
    parser = argparse.ArgumentParser(
        prog=program, description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(parts)}; all when none is named")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it runs, measures nothing")
    parser.add_argument("--turns", type=int, metavar="N", help="how often everybody has a turn")
    parser.add_argument("--update", type=Path, metavar="PAGE", help="also put the tables into this Markdown file")
    options = parser.parse_args()
    unknown = [part for part in options.parts if part not in parts]
    if unknown:
        parser.error(f"no part is called {', '.join(unknown)}; there are {', '.join(parts)}")
    chosen = options.parts or list(parts)
    try:
        if options.update is not None:  # not after three quarters of an hour
            for part in chosen:
                updated(options.update.read_text(), part, "")
        with around() as given:
            for part in chosen:
                plan = parts[part].quick if options.quick else parts[part].full
                plan = plan._replace(turns=options.turns or plan.turns)
                text = f"{machine()}.\n\n{parts[part].report(plan, given)}\n"
                print(f"## {part}\n\n{text}", flush=True)
                if options.update is not None:
                    options.update.write_text(updated(options.update.read_text(), part, text))
    except (OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
