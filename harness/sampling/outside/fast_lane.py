"""Samples taken much more often than sweeps, kept between two sweeps: only changes, and no more than a cap.

Pure: whoever samples says when and what. At 1 kHz most samples of a waiting process repeat the last one and cost no room.
"""

from __future__ import annotations

from array import array
from typing import Dict, Hashable, List, NamedTuple, Sequence, Tuple

CHANGES_CAP = 2000  # of one process in one interval
TOTAL_CAP = 50_000  # of all, 1.6 MB


class Lane(NamedTuple):
    """One process in one interval. A sample that is not here repeated the one before it, or was dropped over the cap."""

    times_ns: "array[int]"  # of each change, since the one before it; the first since the start of the interval
    columns: "Tuple[array[int], ...]"  # the values at these times
    taken: int  # samples, repetitions included
    refused: int  # samples that were not of one moment
    dropped: int  # changes over the cap
    highest: "Tuple[int, Tuple[int, ...]] | None"  # time since the start and values of the highest first value, dropped or not


class _Open:
    __slots__ = ("changes", "dropped", "highest", "last", "refused", "taken")

    def __init__(self) -> None:
        self.last: "Tuple[int, ...] | None" = None
        self.start()

    def start(self) -> None:
        self.changes: List[Tuple[int, Tuple[int, ...]]] = []
        self.taken = self.refused = self.dropped = 0
        self.highest: "Tuple[int, Tuple[int, ...]] | None" = None


class FastLane:
    """Collects from `start` to `take`. Samples are tuples of ``width`` integers below 2^63."""

    def __init__(self, width: int, changes_cap: int = CHANGES_CAP, total_cap: int = TOTAL_CAP) -> None:
        self._width = width
        self._changes_cap = changes_cap
        self._total_cap = total_cap
        self._open: Dict[Hashable, _Open] = {}
        self._total = 0
        self._start_ns = 0

    def start(self, t_ns: int) -> None:
        """The first interval begins; what an earlier one has left is dropped."""
        self._open.clear()
        self._total = 0
        self._start_ns = t_ns

    def add(self, key: Hashable, t_ns: int, sample: "Sequence[int] | None") -> None:
        """``key``: which process; None: it was refused this time."""
        lane = self._open.get(key)
        if lane is None:
            lane = self._open[key] = _Open()
        if sample is None:
            lane.refused += 1
            return
        lane.taken += 1
        values = tuple(sample)
        if lane.highest is None or values[0] > lane.highest[1][0]:
            lane.highest = (t_ns - self._start_ns, values)
        if values == lane.last:
            return
        if len(lane.changes) >= self._changes_cap or self._total >= self._total_cap:
            lane.dropped += 1  # not remembered as the last one: the next interval shows where it has got to
            return
        lane.last = values
        lane.changes.append((t_ns, values))
        self._total += 1

    def forget(self, key: Hashable) -> None:
        """The process has ended; what it has left is in the next `take` no more."""
        lane = self._open.pop(key, None)
        if lane is not None:
            self._total -= len(lane.changes)

    def take(self, t_ns: int) -> Dict[Hashable, Lane]:
        """The interval ends and the next begins. Processes without a sample are not in it."""
        lanes = {key: self._lane(one) for key, one in self._open.items() if one.taken or one.refused}
        for one in self._open.values():
            one.start()
        self._total = 0
        self._start_ns = t_ns
        return lanes

    def _lane(self, one: _Open) -> Lane:
        times = [self._start_ns, *(t for t, _ in one.changes)]
        columns = tuple(array("q", (values[k] for _, values in one.changes)) for k in range(self._width))
        deltas = array("q", (after - before for before, after in zip(times, times[1:])))
        return Lane(deltas, columns, one.taken, one.refused, one.dropped, one.highest)
