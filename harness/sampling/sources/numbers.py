"""Numbers as the kernel writes them: ASCII digits, nothing else."""

from __future__ import annotations

from typing import Sequence

_DIGITS = frozenset(b"0123456789")
_LIMIT = (1 << 63) - 1  # what the store and every consumer can hold
_LONGEST = 19  # digits of the limit


def to_int(field: bytes) -> int | None:
    """A non-negative integer up to 2**63 - 1, else None."""
    if not 0 < len(field) <= _LONGEST or not _DIGITS.issuperset(field):
        return None
    value = int(field)
    return value if value <= _LIMIT else None


def scaled(field: bytes, factor: int) -> int | None:
    """``to_int`` times ``factor``, with the same limit."""
    value = to_int(field)
    return value * factor if value is not None and value <= _LIMIT // factor else None


def at(fields: Sequence[bytes], index: int) -> int | None:
    """The integer in a field that may not be there."""
    return to_int(fields[index]) if index < len(fields) else None
