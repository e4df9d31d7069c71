"""Floors at which a counter of one worker could not be read: what is judged are the rounds that are complete. Pure.

A reading from outside is refused when it was not of one moment (docs/outside.md). One of them must not cost the counters of the
whole run. Nothing is filled in: where floors are missing, what was gained a round from the floor before to the floor after
counts once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.diagnose.growth import MIN_ROUNDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_MOST = 0.25  # of the rounds


def complete(levels: Floats) -> NDArray[np.int64]:
    """The rounds of (workers, rounds) levels at whose floors all workers were read; NaN is what was not."""
    found: NDArray[np.int64] = np.flatnonzero(np.isfinite(levels).all(axis=0))
    return found


def enough(levels: Floats) -> bool:
    """Whether all rounds are complete, or so many that they can be judged."""
    missing = levels.shape[1] - complete(levels).size
    return bool(missing == 0) or (levels.shape[1] - missing >= MIN_ROUNDS and missing <= _MOST * levels.shape[1])


def without_gaps(levels: Floats) -> Floats:
    """(workers, complete rounds): the last level is as it was read, those before it as far below it as the growth per round that
    was read from one complete floor to the next."""
    at = complete(levels)
    if at.size == levels.shape[1] or at.size == 0:
        return levels
    known = levels[:, at]
    gained = np.diff(known, axis=1) / np.diff(at)
    after = np.cumsum(gained[:, ::-1], axis=1)[:, ::-1]
    return np.concatenate([known[:, -1:] - after, known[:, -1:]], axis=1)
