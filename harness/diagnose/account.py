"""How a pool's private memory moves from round to round, and which kind of memory accounts for it.

Of the stable workers together, all from sweeps at floors::

    private memory (anonymous PSS)  =  resident anonymous memory  -  what is still shared with the master
    resident anonymous memory       =  committed by allocators  +  outside of them (mmap, stacks)
    committed                       =  live  +  held (free, not given back)

Each is judged by itself. The right-hand sides are counters of different kinds, so they agree with the left only within the
steps in which memory is taken: what a part *accounts for* is its own steady growth, never a remainder of the others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from harness.diagnose.attribution import Driver, attribute_private
from harness.diagnose.gaps import without_gaps
from harness.diagnose.growth import Growth, Shape, Yardstick, judge
from harness.diagnose.heap import heap_of
from harness.diagnose.pool import ARENA_BYTES, FLOOR_BYTES, PAGE_STEP_BYTES, PoolView
from harness.diagnose.probes import garbage_share

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# Classes of mappings that hold what allocators and mmap() give: harness/sampling/sources/pid_smaps_classes.py.
_ANONYMOUS = ("heap", "anonymous", "jit")
_STACKS = ("thread_stack",)
_AGREE_LOW, _AGREE_HIGH = 0.7, 1.3
_LITTLE, _HALF = 0.3, 0.5  # of all growth
_CERTAIN_T = 3.7  # one-sided 99.5 % quantile of t with 6 degrees of freedom
_BYTES_PER_THREAD = 256 * 1024  # resident stack and allocator arena of a thread that does little


class Part(StrEnum):
    """What growth of private memory can consist of."""

    LIVE = "live"
    HELD = "held"
    OUTSIDE = "outside"
    UNSHARED = "unshared"
    THREADS = "threads"


@dataclass(frozen=True, slots=True)
class Account:
    """``curve``: private memory as it is judged. ``finer``: it was judged by its plain noise, because an exact counter that grows
    with it has ruled out that a step of an allocator looks like growth. ``live`` .. ``unshared``: curves of the parts, None
    where they could not be measured. ``threads``: bytes a round that new threads account for at most."""

    curve: Growth
    finer: bool
    live: Growth | None
    held: Growth | None
    outside: Growth | None
    unshared: Growth | None
    threads: float
    garbage: float | None

    @property
    def grows(self) -> bool:
        """Whether private memory is certain to grow on and on."""
        return self.curve.grows

    @property
    def kept(self) -> float | None:
        """Live bytes a round that are kept for good, garbage left out; None where live memory is not known."""
        if self.live is None or not self.live.known:
            return None
        return max(0.0, self.live.per_round) * (1 - min(1.0, self.garbage or 0.0))

    @property
    def live_ruled_out(self) -> bool:
        """Whether live bytes, all of them counted exactly, are certain to be no large part of growth that is certain."""
        return self.curve.grows and _no_part(self.live, _LITTLE * self.curve.low)

    @property
    def only_held(self) -> bool:
        """Whether free memory of the allocators is what is left: all else is certain to grow too little, and it does grow,
        though by steps too large to be judged as a curve of its own."""
        return self.held_by_default and _no_part(self.outside, _HALF * self.curve.low)

    @property
    def held_by_default(self) -> bool:
        """The same where what no allocator took moves too much for a bound: it is not seen to grow, and free memory is."""
        held = self.held
        return (
            self.live_ruled_out
            and self.outside is not None
            and not self.outside.rises
            and (self.unshared is None or _no_part(self.unshared, _LITTLE * self.curve.low))
            and held is not None
            and held.rises
            and held.per_round >= _HALF * self.curve.per_round
        )

    @property
    def corroborated(self) -> bool:
        """Whether two independent measures show the same growth: pages that the kernel counts, and live bytes of the
        allocators."""
        live = self.live
        if live is None or not live.grows or not live.steady or not self.curve.rises:
            return False
        return _AGREE_LOW * self.curve.per_round <= live.per_round <= _AGREE_HIGH * self.curve.per_round

    def amounts(self) -> Mapping[Part, float]:
        """Bytes a round that each part which is certain to grow accounts for."""
        found = {Part.LIVE: self.live, Part.HELD: self.held, Part.OUTSIDE: self.outside, Part.UNSHARED: self.unshared}
        amounts = {part: curve.per_round for part, curve in found.items() if curve is not None and curve.grows}
        if self.threads > 0:
            amounts[Part.THREADS] = min(self.threads, max(self.curve.per_round, 0.0))
        return amounts

    def share(self, part: Part) -> float:
        """What a part accounts for, of all private growth; 0 where it does not grow. Above 1 where other parts shrink."""
        growth = self.curve.per_round
        return self.amounts().get(part, 0.0) / growth if growth > 0 else 0.0

    @property
    def leading(self) -> Part | None:
        """The part that accounts for most; None where none is certain to grow."""
        amounts = self.amounts()
        return max(amounts, key=lambda part: amounts[part]) if amounts else None


def _no_part(curve: Growth | None, most: float) -> bool:
    """Whether the curve is measured and the upper end of its interval is below ``most`` bytes a round."""
    return curve is not None and curve.judged and not curve.grows and curve.high < most


def account_of(pool: PoolView) -> Account | None:
    """None where private memory was not measured at every floor."""
    return pool.once("account", lambda: _account(pool))


def ruled_out(pool: PoolView, kept: float) -> bool:
    """Whether the pool as a whole rules out that ``kept`` bytes a round stay in it (`most_kept`)."""
    most = most_kept(pool)
    return most is not None and kept > most


def most_kept(pool: PoolView) -> float | None:
    """Bytes a round that may stay in the pool at most: neither private memory, nor live bytes with what lies outside of the
    allocators, may have grown by more. Jumps that were left out of a curve may be kept memory that shows in large pieces, so live
    bytes and the rest have to be known, without a jump; else None."""
    account = account_of(pool)
    if account is None or account.live is None or account.outside is None:
        return None
    exact = (account.live, account.outside)
    if any(not curve.judged or curve.step is not None for curve in exact):
        return None
    return max(account.curve.high, sum(max(0.0, curve.high) for curve in exact))


def _account(pool: PoolView) -> Account | None:
    if pool.memory is None:
        return None
    heap = heap_of(pool)
    resident = _resident(pool)
    committed = sum((a.committed for a in heap.allocators), np.zeros(())) if heap.complete else None
    curve, live = pool.memory, heap.live
    if attribute_private(pool).driven.by is Driver.TIME:
        curve, live = _paced(pool, curve, pool.yardstick), None if live is None else _paced(pool, live, heap.yardstick)
    finer = _finer(pool, curve, (pool.blocks, pool.heap, live))
    return Account(
        curve=finer or curve,
        finer=finer is not None,
        live=live,
        held=heap.held,
        outside=None if resident is None or committed is None else _judged(pool, resident - committed, ARENA_BYTES),
        unshared=_unshared(pool, resident),
        threads=_threads(pool),
        garbage=garbage_share(pool),
    )


def _paced(pool: PoolView, curve: Growth, yardstick: Yardstick) -> Growth:
    """The same for equal stretches of time: what grows with time grows less in a shorter round, which is no decay."""
    floors = np.array([r.floor_ns for r in pool.rounds], dtype=np.float64)
    if curve.grows or not curve.judged or floors.size != len(curve.levels):
        return curve
    lasted = np.diff(floors)
    increments = np.diff(curve.levels) * lasted.mean() / lasted
    return judge(curve.levels[0] + np.concatenate([[0.0], np.cumsum(increments)]), yardstick)


def _resident(pool: PoolView) -> Floats | None:
    """(workers, rounds) resident anonymous memory that is neither a stack nor a private copy of a file; swapped pages
    included."""
    total = None
    for name in _ANONYMOUS:
        levels = pool.counters((f"process.smaps.{name}.rss", f"process.smaps.{name}.swap"))
        if levels is not None:
            total = levels if total is None else total + levels
    return total


def _unshared(pool: PoolView, resident: Floats | None) -> Growth | None:
    """Growth of private memory beyond that of resident memory: pages that were shared with the master and are not any more."""
    if resident is None or pool.levels is None or pool.anon_metric != "pss_anon":
        return None
    return _judged(pool, pool.levels - resident, PAGE_STEP_BYTES)


def _judged(pool: PoolView, levels: Floats, quantum: float) -> Growth:
    floor = FLOOR_BYTES * math.sqrt(max(1, len(pool.stable)))
    return judge(without_gaps(levels).sum(axis=0), Yardstick(floor, quantum, doubt=quantum))


def _threads(pool: PoolView) -> float:
    threads = pool.threads
    if threads is None or not threads.grows:
        return 0.0
    stacks = pool.counters(tuple(f"process.smaps.{name}.rss" for name in _STACKS))
    measured = 0.0 if stacks is None else _judged(pool, stacks, PAGE_STEP_BYTES).per_round
    return max(measured, threads.per_round * _BYTES_PER_THREAD)


def _finer(pool: PoolView, curve: Growth, exact: Sequence[Growth | None]) -> Growth | None:
    """``curve``, private memory, judged by its plain noise where one of the exact counters (live allocations, live bytes)
    certainly grows."""
    if curve.grows or curve.shape in (Shape.SLOWING, Shape.SETTLED, Shape.SHORT):
        return None
    if not any(counter is not None and counter.grows for counter in exact):
        return None
    plain = Yardstick(pool.yardstick.floor, PAGE_STEP_BYTES, doubt=PAGE_STEP_BYTES, relative=0)
    finer = judge(curve.levels, plain)
    if finer.grows:
        return finer
    certain = finer.rises and finer.t >= _CERTAIN_T and finer.shape is not Shape.SLOWING
    return replace(finer, shape=Shape.LINEAR) if certain else None
