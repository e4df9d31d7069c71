"""What was done to the workers after the last measured round, and what it gave: a garbage collection, then memory given back.

Both change what they look at, so they come when nothing is to be judged any more. What a collection frees was garbage; what
trimming gives back were whole free pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.diagnose.attribution import Driver, attribute_private
from harness.diagnose.heap import heap_of
from harness.diagnose.pool import PoolView
from harness.model.event import PROBE_COLLECT, PROBE_COLLECT_AGAIN, PROBE_TRIM, Scalar
from harness.model.process import ProcessKey
from harness.model.span import PhaseName

_LIVE = {
    "python": ("runtime.python.pymalloc.live", "runtime.glibc.used", "runtime.glibc.mmapped"),
    "php": ("runtime.php.heap.size", "runtime.glibc.used", "runtime.glibc.mmapped"),
}

_WALKS = 4  # before and after each of two collections


@dataclass(frozen=True, slots=True)
class Collected:
    """What one full garbage collection after the last round freed in all stable workers together; None = not known.

    ``blocks``: live Python allocations before it less those after it. ``live_bytes``: the same of the allocators' live bytes, as
    seen from outside. ``resident_bytes``: by which the processes' resident memory fell. ``pause_ns``: the longest.
    """

    objects: int
    blocks: int | None
    live_bytes: int | None
    resident_bytes: int | None
    pause_ns: int


@dataclass(frozen=True, slots=True)
class Trimmed:
    """What the stable workers gave back to the kernel when they were told to, together; None = not known."""

    resident_bytes: int | None


@dataclass(frozen=True, slots=True)
class Kept:
    """``live_bytes`` that one further round left in all stable workers together, with full collections before and after it: none
    of it is garbage in cycles. ``share``: of what live bytes grew by in a judged round; ``low``, ``high``: the same, less and
    more what counts as noise of one round."""

    live_bytes: int
    share: float
    low: float
    high: float


def collected(pool: PoolView) -> Collected | None:
    """None unless every stable worker was made to collect: a part of them proves nothing."""
    return pool.once("collected", lambda: _collected(pool, PROBE_COLLECT, walk=0))


def trimmed(pool: PoolView) -> Trimmed | None:
    """None unless every stable worker was told to give back what is free."""
    found = _probes(pool, PROBE_TRIM)
    return None if found is None else Trimmed(_total([_whole(p.get("rss_bytes")) for p in found]))


def collected_again(pool: PoolView) -> Collected | None:
    """The same after one further round, which began without garbage: what one round leaves. None where that was not done."""
    return pool.once("collected again", lambda: _collected(pool, PROBE_COLLECT_AGAIN, walk=1))


def kept_again(pool: PoolView) -> Kept | None:
    """What one further round kept. None where there was none, or where live bytes do not grow evenly, so that there is nothing to
    compare it with."""
    return pool.once("kept again", lambda: _kept_again(pool))


def garbage_share(pool: PoolView) -> float | None:
    """Of the growth over the judged rounds, what is garbage at most: by allocations where these are counted, else by live bytes.

    Garbage that grows is left by each round *and* still there at the end. So from the further round, where there was one, it is
    the smaller of two: what that round left, and what all earlier ones have left together, for each of them. Without that round
    it is what the collection freed, which may count garbage from before the rounds, so that it can be above 1. What the further
    round kept through a full collection is no garbage, and where growth goes with requests the rest of it is: that bounds the
    share from both sides. None without a collection, or where nothing grew: then it says nothing about what did."""
    first, again = collected(pool), collected_again(pool)
    if first is None:
        return None
    shares = []
    for freed, freed_again, curve in (
        (first.blocks, None if again is None else again.blocks, pool.blocks),
        (first.live_bytes, None if again is None else again.live_bytes, heap_of(pool).live),
    ):
        if freed is None or curve is None or not curve.rises:
            continue
        growing = freed / (len(pool.rounds) - 1)
        if freed_again is not None:
            growing = min(freed_again, (freed - freed_again) / _rounds_before(pool))
        if curve.per_round > 0:
            shares.append(max(0.0, growing / curve.per_round))
    share = min(shares, default=None)  # a few allocations that go and much memory that stays are no garbage
    kept = kept_again(pool)
    if kept is None:
        return share
    with_requests = attribute_private(pool).driven.by is Driver.REQUESTS
    least = 1 - kept.high if with_requests else 0.0  # what goes with time grows less where nobody pauses
    return max(0.0, least, min(1 - kept.low, 1 - kept.share if share is None else share))


def _kept_again(pool: PoolView) -> Kept | None:
    live = heap_of(pool).live
    if collected(pool) is None or collected_again(pool) is None or live is None or not live.grows:
        return None
    kept = _total([_live_kept(pool, key) for key in pool.stable])
    if kept is None or live.per_round <= 0:
        return None
    low, share, high = ((kept + error) / live.per_round for error in (-live.eps, 0.0, live.eps))
    return Kept(kept, share, low, high)


def _rounds_before(pool: PoolView) -> int:
    """Rounds, warm-up included, before the first collection."""
    whole = [w for w in pool.timeline.windows if w.round is not None and w.block is None and w.end_ns is not None]
    return max(1, len(whole))


def _collected(pool: PoolView, kind: str, walk: int) -> Collected | None:
    """``walk``: which pair of walks in the probes' window lies around the collection."""
    found = _probes(pool, kind)
    objects = None if found is None else _total([_whole(p.get("objects")) for p in found])
    if found is None or objects is None:
        return None
    return Collected(
        objects=objects,
        blocks=_total([_whole(p.get("blocks")) for p in found]),
        live_bytes=_total([_live_freed(pool, key, walk) for key in pool.stable]),
        resident_bytes=_total([_whole(p.get("rss_bytes")) for p in found]),
        pause_ns=max(_whole(p.get("pause_ns")) or 0 for p in found),
    )


def _probes(pool: PoolView, kind: str) -> Sequence[dict[str, Scalar]] | None:
    told = {e.process: dict(e.attributes) for e in pool.timeline.events if e.kind == kind}
    found = [told[key] for key in pool.stable if key in told]
    return found if found and len(found) == len(pool.stable) else None


def _live_freed(pool: PoolView, worker: ProcessKey, walk: int) -> int | None:
    """Live bytes at the walk before the collection less those at the one after it."""
    levels = _walked(pool, worker)
    return None if levels is None or len(levels) < 2 * walk + 2 else levels[2 * walk] - levels[2 * walk + 1]


def _live_kept(pool: PoolView, worker: ProcessKey) -> int | None:
    """Live bytes after the second collection less those after the first."""
    levels = _walked(pool, worker)
    return None if levels is None or len(levels) < _WALKS else levels[3] - levels[1]


def _walked(pool: PoolView, worker: ProcessKey) -> Sequence[int] | None:
    """Live bytes at each walk among the probes. Some of the counters are read in between, too: a sweep that has them all is a
    walk."""
    window = next((w for w in pool.timeline.windows if w.phase is PhaseName.PROBES and w.floor_ns is not None), None)
    if window is None or window.floor_ns is None:
        return None
    readings: list[dict[int, int]] = []
    for metric in _LIVE.get(pool.runtime, ()):
        series = pool.timeline.series.get((metric, worker))
        if series is None:
            return None
        end_ns = pool.timeline.swept_at(window.floor_ns, worker.host)
        first, last = np.searchsorted(series.t_ns, (window.start_ns, end_ns + 1))
        readings.append(dict(zip(series.t_ns[first:last].tolist(), series.values[first:last].tolist(), strict=True)))
    if not readings:
        return None
    times = sorted(set.intersection(*(set(reading) for reading in readings)))
    return [sum(reading[t] for reading in readings) for t in times]


def _total(values: Sequence[int | None]) -> int | None:
    known = [v for v in values if v is not None]
    return sum(known) if known and len(known) == len(values) else None


def _whole(value: Scalar) -> int | None:
    return value if type(value) is int else None
