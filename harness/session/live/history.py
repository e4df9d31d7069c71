"""Levels over time in memory that does not grow, however long one looks."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

_MINUTE_NS = 60_000_000_000
_FEWEST_POINTS = 3


@dataclass(frozen=True, slots=True)
class Bin:
    """What was seen within one stretch of time."""

    low: float
    high: float
    last: float


class History:
    """Everything since the first value, in at most ``capacity`` bins of equal width; None where nothing was seen.

    When they are full, neighbours are joined and bins are twice as wide from then on, so the first value never falls out and
    a spike stays visible as the ``high`` or ``low`` of its bin.
    """

    def __init__(self, bin_ns: int, capacity: int = 240) -> None:
        if bin_ns <= 0 or capacity < 2 or capacity % 2:
            raise ValueError("a history needs a bin width above zero and an even number of bins")
        self.bin_ns = bin_ns
        self._capacity = capacity
        self._start_ns: int | None = None
        self._bins: list[Bin | None] = []

    def add(self, t_ns: int, value: float) -> None:
        """Times do not go back; one that does counts as the latest."""
        if self._start_ns is None:
            self._start_ns = t_ns
        while (index := (t_ns - self._start_ns) // self.bin_ns) >= self._capacity:
            self._halve()
        index = max(index, len(self._bins) - 1, 0)
        self._bins += [None] * (index + 1 - len(self._bins))
        before = self._bins[index]
        seen = Bin(value, value, value)
        self._bins[index] = seen if before is None else _joined(before, seen)

    def _halve(self) -> None:
        odd = [None] if len(self._bins) % 2 else []
        bins = [*self._bins, *odd]
        self._bins = [_joined(a, b) for a, b in zip(bins[::2], bins[1::2], strict=True)]
        self.bin_ns *= 2

    @property
    def bins(self) -> tuple[Bin | None, ...]:
        """Oldest first."""
        return tuple(self._bins)

    @property
    def span_ns(self) -> int:
        """The stretch of time that the bins cover."""
        return len(self._bins) * self.bin_ns


def _joined(a: Bin | None, b: Bin | None) -> Bin | None:
    if a is None or b is None:
        return a or b
    return Bin(min(a.low, b.low), max(a.high, b.high), b.last)


class Trend:
    """How fast a level moves: the least-squares slope through its last minutes, one point a step."""

    __slots__ = ("_points", "_step_ns")

    def __init__(self, step_ns: int, points: int) -> None:
        self._step_ns = step_ns
        self._points: deque[tuple[int, float]] = deque(maxlen=points)

    def add(self, t_ns: int, value: float) -> None:
        """Keep the value unless one was kept less than a step ago."""
        if not self._points or t_ns - self._points[-1][0] >= self._step_ns:
            self._points.append((t_ns, value))

    def per_minute(self) -> float | None:
        """Change per minute; None while there are fewer than three points."""
        if len(self._points) < _FEWEST_POINTS:
            return None
        middle_t = sum(t for t, _ in self._points) / len(self._points)
        middle = sum(v for _, v in self._points) / len(self._points)
        spread = sum((t - middle_t) ** 2 for t, _ in self._points)
        return sum((t - middle_t) * (v - middle) for t, v in self._points) / spread * _MINUTE_NS
