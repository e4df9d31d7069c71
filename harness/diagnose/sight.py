"""How small a growth of a pool would have shown in this run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.diagnose.account import most_kept
from harness.diagnose.growth import MIN_ROUNDS, Growth
from harness.diagnose.heap import heap_of
from harness.diagnose.pool import PoolView


def as_seen(pool: PoolView, curve: Growth) -> Growth:
    """The curve with the MDL that is true of it: what allocators hold free takes up growth for a while before resident memory
    shows any. Then it is live memory that would have shown it, and no better than that is judged."""
    live, held = heap_of(pool).live, heap_of(pool).held
    if live is None or held is None or not live.judged or len(curve.levels) < MIN_ROUNDS:
        return curve
    hidden = max(0.0, held.levels[0]) / (len(curve.levels) - 1)
    return replace(curve, mdl_per_round=max(curve.mdl_per_round, min(live.mdl_per_round, curve.mdl_per_round + hidden)))


def least_seen(pool: PoolView, curve: Growth) -> float | None:
    """Bytes a round from which on steady growth of ``pool`` is ruled out where its memory, ``curve``, was not seen to grow; None
    where it could not be judged. The smallest of

    - the MDL: it would have been called growth;
    - the upper end of the interval, or what memory rose by in all with every jump, and what could have stayed hidden below the
      pages that were seen: a step of the allocator in each worker, or what allocators held free at the start;
    - that of live bytes and of all else together, where both are exact, and not below the MDL of these counters.
    """
    if not curve.judged or not curve.known:
        return None
    increments = len(curve.levels) - 1
    unseen = max(pool.quantum * max(1, len(pool.stable)), _held_at_first(pool))
    inside = max(curve.high, curve.total / increments) + unseen / increments
    bounds = (as_seen(pool, curve).mdl_per_round, inside, _exact(pool))
    return max(0.0, min(bound for bound in bounds if bound is not None))


def _exact(pool: PoolView) -> float | None:
    live = heap_of(pool).live
    most = None if live is None or not live.judged else most_kept(pool)
    return None if live is None or most is None else max(most, live.mdl_per_round)


def _held_at_first(pool: PoolView) -> float:
    """Free bytes at the first floor in the allocators that are known."""
    return float(sum(np.nan_to_num(each.held)[:, 0].sum() for each in heap_of(pool).allocators))
