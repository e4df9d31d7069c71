"""Numbers as the kernel writes them: ASCII digits, nothing else."""

from __future__ import annotations

import os
from typing import Sequence

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")  # the kernel's unit of processor time and of start times
LIMIT = (1 << 63) - 1  # what the store and every consumer can hold
_LONGEST = 19  # digits of the limit


def to_int(field: bytes) -> int | None:
    """A non-negative integer up to 2**63 - 1, else None."""
    return bounded(int(field)) if field.isdigit() and len(field) <= _LONGEST else None


def bounded(value: int) -> int | None:
    """The value, or None above the limit."""
    return value if value <= LIMIT else None


def times(value: int | None, factor: int) -> int | None:
    """The product, with the same limit; unknown stays unknown."""
    return None if value is None else bounded(value * factor)


def scaled(field: bytes, factor: int) -> int | None:
    """``to_int`` times ``factor``, with the same limit."""
    return times(to_int(field), factor)


def at(fields: Sequence[bytes], index: int) -> int | None:
    """The integer in a field that may not be there."""
    return to_int(fields[index]) if index < len(fields) else None
