"""A series as one line of characters."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from harness.session.live.history import Bin

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII_BLOCKS = "_.:-=+*#"
_LEAST_SPAN = 0.01  # of the largest value: a level that moves by less than this is drawn flat, not as a cliff


def sparkline(bins: Sequence[Bin | None], columns: int, *, blocks: str = BLOCKS, lowest: bool = False) -> str:
    """At most ``columns`` characters, oldest left; a space where nothing was seen. Pure.

    Where several bins share a column it shows their highest value (``lowest``: their lowest), so no spike is lost.
    """
    values = [_value(part, lowest) for part in _columns(bins, columns)]
    known = [value for value in values if value is not None]
    if not known:
        return " " * len(values)
    low, high = min(known), max(known)
    span = max(high - low, _LEAST_SPAN * abs(high)) or 1.0
    steps = len(blocks) - 1
    return "".join(" " if v is None else blocks[min(steps, int((v - low) / span * len(blocks)))] for v in values)


def bounds(bins: Sequence[Bin | None]) -> tuple[float, float] | None:
    """Lowest and highest value; None when nothing was seen."""
    seen = [b for b in bins if b is not None]
    return (min(b.low for b in seen), max(b.high for b in seen)) if seen else None


def _columns(bins: Sequence[Bin | None], columns: int) -> list[Sequence[Bin | None]]:
    count = min(columns, len(bins))
    edges = [i * len(bins) // count for i in range(count + 1)] if count > 0 else [0]
    return [bins[a:b] for a, b in pairwise(edges)]


def _value(part: Sequence[Bin | None], lowest: bool) -> float | None:
    seen = [b for b in part if b is not None]
    if not seen:
        return None
    return min(b.low for b in seen) if lowest else max(b.high for b in seen)
