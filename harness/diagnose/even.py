"""Where requests come as they please, slices of equal time may hold very unequal work: traffic that ramps up, or dies away.

What grows with requests then bends like the traffic does, and a leak looks like a cache that has filled as soon as traffic falls.
So growth is judged on stretches of about equal work instead, between floors that were taken anyway. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

_UNEVEN = 1.4  # of the most and the fewest requests in a slice
_CHANCE = (
    6.0  # standard deviations of a number of requests that come by chance: what that is different by without a reason
)
_ALIKE = 2.0  # of the most and the fewest requests in a stretch


def uneven(work: Sequence[int]) -> bool:
    """Whether slices with so many requests are too different to be judged as if each were the same work."""
    if not work:
        return False
    most, fewest = max(work), min(work)
    return most > _UNEVEN * fewest and most - fewest > _CHANCE * math.sqrt(sum(work) / len(work))


def falling(work: Sequence[int]) -> bool:
    """Whether the last third of the slices had less than half of the requests of the first."""
    third = max(1, len(work) // 3)
    return 2 * sum(work[-third:]) < sum(work[:third])


def cuts(work: Sequence[int], most: int, least: int) -> list[int] | None:
    """Positions in ``work`` (requests from one floor to the next) after which a stretch ends, so that all have about the same
    work: as many stretches as can be had between ``most`` and ``least``. None where that cannot be had."""
    done = np.cumsum(np.asarray(work, dtype=np.float64))
    if not done.size or done[-1] <= 0:
        return None
    for count in range(min(most, done.size), least - 1, -1):
        goals = done[-1] * np.arange(1, count) / count
        ends = [*(int(np.argmin(np.abs(done - goal))) for goal in goals), done.size - 1]
        if any(later <= earlier for earlier, later in pairwise(ends)):
            continue
        stretches = np.diff([0.0, *done[ends]])
        if stretches.max() <= _ALIKE * stretches.min():
            return ends
    return None
