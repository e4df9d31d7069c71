"""Measure readers of PHP profiles (cachegrind files of Xdebug) beside `wc -l` and print a Markdown table.

    python bench/parsing [--quick] [--turns N] [--sample FILE] [--update docs/performance.md]

Writes its profiles itself, by PHP under Xdebug; --sample reads one of yours in place of the large one. bench/README.md says more.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))

import reading
from parts import Part, main

PARTS = {
    "parsing": Part(
        reading.report,
        reading.Plan(large=20, medium=1, loops=9, turns=5),
        reading.Plan(large=2, medium=1, loops=1, turns=1),
    )
}

if __name__ == "__main__":
    own = argparse.ArgumentParser(add_help=False)
    own.add_argument("--sample", type=Path)
    options, rest = own.parse_known_args()
    sys.argv[1:] = rest
    sys.exit(main("python bench/parsing [--sample FILE]", __doc__, PARTS, partial(reading.programs, options.sample)))
