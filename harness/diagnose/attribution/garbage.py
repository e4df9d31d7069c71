"""Garbage in cycles that waits for Python's collector when a floor is taken: the largest error of exact counters.

Live bytes hold what is kept and what only waits to be collected. The youngest generation is collected after some hundred net
allocations of containers, whichever request makes them. So an endpoint that keeps containers has the garbage of all others
collected sooner: after blocks that it fills garbage is low, after others it is high, and its own growth seems smaller than it
is (up to a quarter was seen) and that of the others larger. The collector's counters, read in the same sweep, tell how much
waits::

    level = kept + a x (containers since the last collection - those of them that are kept) + b x (collections since the last
            one of the next generation)

What is kept among the containers since the last collection is proportional to the requests to the keeping endpoint since then.
Records of an agent say in which request a collection ran; without them it is interpolated inside a block by the counters.
Source: CPython, Modules/gcmodule.c (3.11).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Values = Mapping[str, int | None]

_GC = "runtime.python.gc."
_COUNTS = (_GC + "count0", _GC + "count1")
_COLLECTIONS = tuple(f"{_GC}collections{generation}" for generation in range(3))
_THRESHOLD = _GC + "threshold0"
_NEEDED = (*_COUNTS, *_COLLECTIONS, _THRESHOLD)
_ENOUGH_COLLECTIONS = 3  # in each life: where hardly any ran, garbage goes on and on as if it were kept


@dataclass(frozen=True, slots=True)
class Garbage:
    """``collector`` (rows, 2): change of the counters of the two youngest generations. ``waiting`` (rows, endpoints): change of
    the number of requests since the last collection."""

    collector: Floats
    waiting: Floats


def garbage_of(
    readings: Sequence[tuple[Values, Values]],
    lives: Sequence[int],
    counts: Floats,
    recorded: Sequence[tuple[Floats, Floats] | None] | None = None,
) -> Garbage | None:
    """``readings``: before and after each row; ``lives``, ``counts`` as in `Observations`. ``recorded``: requests by endpoint
    since the last collection, before and after each row, each (endpoints,), None where the records do not say.

    None where the collector was not read at each of them, or hardly ever ran.
    """
    if not readings or any(side.get(name) is None for pair in readings for side in pair for name in _NEEDED):
        return None
    told = [(_row(before), _row(after)) for before, after in readings]
    collections = sum(_collections(before, after) for before, after in told)
    if collections < _ENOUGH_COLLECTIONS * len(set(lives)):
        return None
    collector = np.array([[after[name] - before[name] for name in _COUNTS] for before, after in told], dtype=np.float64)
    waiting = np.zeros(counts.shape)
    for _, rows in groupby(range(len(told)), key=lambda row: lives[row]):
        since = np.zeros(counts.shape[1])
        for row in rows:
            exact = None if recorded is None else recorded[row]
            if exact is not None:
                since, now = exact
            else:
                now = _since_collection(since, counts[row], *told[row])
            waiting[row] = now - since
            since = now
    return Garbage(collector, waiting)


def _row(values: Values) -> dict[str, int]:
    return {name: values[name] or 0 for name in _NEEDED}


def _collections(before: Mapping[str, int], after: Mapping[str, int]) -> int:
    return sum(after[name] - before[name] for name in _COLLECTIONS)


def _since_collection(since: Floats, answered: Floats, before: Mapping[str, int], after: Mapping[str, int]) -> Floats:
    """Requests since the last collection after a block, given those before it. Of a block in which collections ran, it is the
    part that the counter has reached of all containers made in it."""
    ran = _collections(before, after)
    if ran == 0:
        return since + answered
    count = _COUNTS[0]
    made = after[count] + after[_THRESHOLD] * ran - before[count]
    return answered * min(1.0, after[count] / max(made, after[count], 1))
