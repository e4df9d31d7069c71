"""Markdown tables, the few statistics in them, and the page they go into."""

from __future__ import annotations

import os
import platform
import re
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned Markdown; the first column is text, the others are numbers."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    rule = ["-" * widths[0], *("-" * (w - 1) + ":" for w in widths[1:])]

    def line(cells: Sequence[str]) -> str:
        padded = [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))]
        return f"| {' | '.join(padded)} |"

    return "\n".join(line(row) for row in [head, rule, *rows])


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median, and lowest and highest where there are several."""
    middle = f"{statistics.median(values):.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def machine() -> str:
    """What it was measured on, in a line."""
    cores = len(os.sched_getaffinity(0))
    kernel = os.uname().release.split("-")[0]
    day = datetime.now(tz=UTC).date().isoformat()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"Linux {kernel}, {platform.machine()}, {cores} cores, {python}, {day}, load {os.getloadavg()[0]:.1f} before"


def updated(page: str, part: str, text: str) -> str:
    """The page with this part's tables replaced. Raises RuntimeError when it has no place for them."""
    begin, end = f"<!-- bench {part} -->", "<!-- end -->"
    new, count = re.subn(
        f"(?<={re.escape(begin)}\n).*?(?={re.escape(end)})", lambda _: f"{text}\n", page, count=1, flags=re.DOTALL
    )
    if not count:
        raise RuntimeError(f"no place for {part}: it goes between {begin} and {end}")
    return new
