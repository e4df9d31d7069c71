"""``/proc/PID/oom_score`` and ``oom_score_adj``: how likely the kernel is to kill the process when memory runs out.

``oom_score`` is 0 to 2000: its share of memory and swap in 1/1000, plus the adjustment of -1000 (never) to 1000.
Source: Documentation/filesystems/proc.rst, 3.1 and 3.2.
"""

from __future__ import annotations

from typing import NamedTuple

from ..reading import process_directory, read_file
from .numbers import to_int

_CAP_BYTES = 64


class OomScore(NamedTuple):
    """One reading; None = not understood."""

    score: int | None
    adjustment: int | None  # may be negative


def parse_score(data: bytes) -> int | None:
    """The badness, 0 or more."""
    return to_int(data.strip())


def parse_adjustment(data: bytes) -> int | None:
    """-1000 to 1000, else None."""
    field = data.strip()
    value = to_int(field[1:] if field.startswith(b"-") else field)
    if value is None or value > 1000:
        return None
    return -value if field.startswith(b"-") else value


def read(mount: str, pid: int) -> OomScore:
    """Both, readable by everyone. Raises OSError."""
    directory = process_directory(mount, pid)
    return OomScore(
        score=parse_score(read_file(directory + "/oom_score", _CAP_BYTES)),
        adjustment=parse_adjustment(read_file(directory + "/oom_score_adj", _CAP_BYTES)),
    )
