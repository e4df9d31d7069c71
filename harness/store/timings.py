"""How long something took, many times, in memory that does not grow with how often: three digits of each time are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

_DIGITS = 3


class Timings:
    """A histogram of times in ns."""

    def __init__(self) -> None:
        self._times: Counter[int] = Counter()

    def add(self, time_ns: int) -> None:
        """One more; kept to three digits, so within half a percent."""
        self._times[round(time_ns, min(0, _DIGITS - len(str(time_ns))))] += 1

    @property
    def count(self) -> int:
        """How many there are."""
        return self._times.total()

    def quantile_ns(self, share: float) -> int | None:
        """The least time that at least this share (above 0, at most 1) of all do not exceed; None where there are none."""
        wanted, seen = share * self.count, 0
        for time_ns in sorted(self._times):
            seen += self._times[time_ns]
            if seen >= wanted:
                return time_ns
        return None


def together(parts: Iterable[Timings]) -> Timings:
    """All times of several, as one."""
    whole = Timings()
    for part in parts:
        whole._times += part._times
    return whole
