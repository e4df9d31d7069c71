"""Steps in a series of round floors: increments that stand out from all the others, and the slope between them. Pure.

A step is an event (a huge request, a deploy, a cache that is built anew), not a slope; growth is judged on what is left. With
eight floors there are seven increments, too few for a change-point search by likelihood (Killick et al. 2012 assume segments of
many points), so a step must be plain: the smallest of the steps is further from the middle of the other increments than three
times their whole range. Of noise that is as rare as is published in ``docs/statistics.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.diagnose.stats import mean_test

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

_RANGES = 3.0
_LEAST_LEFT = 5  # increments between steps: fewer say nothing about a slope
_MOST_SHARE = 3  # at most one increment in three may be a step


@dataclass(frozen=True, slots=True)
class Step:
    """A jump upwards: the increment's index and its size, in the unit of the levels."""

    index: int
    size: float


@dataclass(frozen=True, slots=True)
class Steps:
    """``steps`` in order of time. ``slope``: mean increment inside the segments between them, with its 95 % interval
    (``low``, ``high``); ``between``: these increments themselves."""

    steps: tuple[Step, ...]
    between: Floats
    slope: float
    low: float
    high: float

    @property
    def height(self) -> float:
        """All steps together."""
        return sum(step.size for step in self.steps)


def steps(levels: ArrayLike, least: float = 0.0) -> Steps:
    """The steps of a series of at least three levels, and the slope between them. ``least``: smaller jumps are no steps.

    Raises ValueError for fewer levels. Steps downwards are not taken out: a series that climbs and falls again may be garbage
    that is collected now and then, and what it does between two collections is no slope.
    """
    y = np.asarray(levels, dtype=np.float64)
    if y.size < 3:
        raise ValueError("needs at least three levels")
    increments = np.diff(y)
    chosen = _stand_out(increments, least)
    between = np.delete(increments, chosen)
    test = mean_test(between)
    found = tuple(Step(int(at), float(increments[at])) for at in sorted(chosen))
    return Steps(found, between, test.mean, test.low, test.high)


def straightened(levels: ArrayLike, least: float) -> Floats | None:
    """(workers, rounds) levels with the one step of each worker taken out; None where a worker has more than one or none has any.

    Workers do the same thing at different times: what is one event in each of them is several in their sum."""
    matrix = np.array(levels, dtype=np.float64)
    found = [steps(row, least).steps for row in matrix]
    if max(len(f) for f in found) != 1:
        return None
    for row, one in zip(matrix, found, strict=True):
        for step in one:
            row[step.index + 1 :] -= step.size
    return matrix


def _stand_out(increments: Floats, least: float) -> list[int]:
    """Indexes of the fewest largest increments that stand out from all the others."""
    order = np.argsort(-increments, kind="stable")
    for count in range(1, min(increments.size // _MOST_SHARE, increments.size - _LEAST_LEFT) + 1):
        smallest, rest = float(increments[order[count - 1]]), increments[order[count:]]
        gap = smallest - float(np.median(rest))
        if smallest > least and gap > max(least, _RANGES * float(np.ptp(rest))):
            return [int(at) for at in order[:count]]
    return []
