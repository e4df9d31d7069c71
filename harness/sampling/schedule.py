"""When to sweep: a grid fixed at the start, so that neither a slow sweep nor a late wake-up shifts the ones after it."""

from __future__ import annotations

from typing import NamedTuple


class Due(NamedTuple):
    """How a sweep relates to the grid."""

    late_ns: int  # since the grid point it stands for
    missed: int  # grid points before that one for which there was no sweep


class Grid:
    """Grid points lie at ``start_ns + k * interval_ns``."""

    def __init__(self, start_ns: int, interval_ns: int) -> None:
        self._start_ns = start_ns
        self._interval_ns = interval_ns
        self._next = 0

    @property
    def next_ns(self) -> int:
        """The next grid point to wait for."""
        return self._start_ns + self._next * self._interval_ns

    def take(self, now_ns: int) -> Due | None:
        """None while the next point is ahead, else what a sweep starting now amounts to. It stands for the newest point
        that has passed; older ones are missed for good."""
        behind_ns = now_ns - self.next_ns
        if behind_ns < 0:
            return None
        missed, late_ns = divmod(behind_ns, self._interval_ns)
        self._next += missed + 1
        return Due(late_ns, missed)
