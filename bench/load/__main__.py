"""Measure what a request costs its sender: our load generator, Locust with our users, Locust alone, wrk; print a Markdown table.

    python bench/load [--quick] [--turns N] [--update docs/performance.md]

Needs nginx, which answers. bench/README.md says more.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[1]))

import sending
from parts import Part, main

PARTS = {
    "load": Part(
        sending.report, sending.Plan(requests=20_000, users=8, turns=5), sending.Plan(requests=400, users=2, turns=1)
    )
}

if __name__ == "__main__":
    sys.exit(main("python bench/load", __doc__, PARTS, sending.server))
