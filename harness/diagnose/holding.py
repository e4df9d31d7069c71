"""Free memory that allocators hold and do not give back: how much, which allocator, since when, and whether it could be had.

What is *held* is committed less live. It is only a problem where it is resident: after a trim most of it may not be. Thresholds
and their sources: docs/causes.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from harness.diagnose.account import account_of
from harness.diagnose.gaps import complete
from harness.diagnose.heap import Allocator, heap_of
from harness.diagnose.pool import PoolView
from harness.diagnose.probes import trimmed
from harness.model.finding import Evidence, Side
from harness.model.span import PhaseName
from harness.units import format_bytes

_MATTERS_BYTES = 8 * 1024 * 1024  # a worker
_MATTERS_SHARE = 0.3  # of private memory
_STEP_SHARE = 0.6  # of the held memory, that one step in resident memory must explain
_RETURNED_SHARE = 0.3  # of the held memory, that a trim gives back where it is whole free pages
_FEWEST_FLOORS = 3
_PINNED_OCCUPANCY = 0.5


@dataclass(frozen=True, slots=True)
class Holding:
    """Sums over the stable workers, bytes. ``held``: what was free at every floor since the largest step. ``step``: the largest
    rise of the pool's resident memory between two floors, warm-up included, the round it was in, and the times of the floors
    around it; ``returned``: what the
    trim gave back, None = nobody tried."""

    held: float
    anonymous: float
    largest: Allocator
    held_by_largest: float
    occupancy: float  # live over committed, of the largest
    step: float
    step_where: str
    step_ns: tuple[int, int]
    returned: int | None

    @property
    def share(self) -> float:
        """Of private memory."""
        return self.held / self.anonymous if self.anonymous > 0 else 0.0

    @property
    def in_one_step(self) -> bool:
        """Whether memory went up at once, as one huge request or job makes it, and stayed there."""
        return self.step >= _STEP_SHARE * self.held

    @property
    def can_be_given_back(self) -> bool | None:
        """Whether whole pages of it were free: None where nobody tried, or it lies with pymalloc, which nobody can tell to."""
        if self.returned is None or self.largest.name == "pymalloc":
            return None
        return self.returned >= _RETURNED_SHARE * self.held_by_largest

    @property
    def stayed(self) -> bool:
        """Whether it was tried, and little of it all was given back."""
        return self.returned is not None and self.returned < _RETURNED_SHARE * self.held

    @property
    def pinned(self) -> bool:
        """Whether it lies in arenas that a few survivors keep from being given back."""
        arenas = self.largest.name in {"pymalloc", "zend"}
        return arenas and self.occupancy < _PINNED_OCCUPANCY and self.can_be_given_back is not True


def holding_of(pool: PoolView) -> Holding | None:
    """None where the allocators are not known, or hold too little to matter."""
    return pool.once("holding", lambda: _holding(pool))


def holding_evidence(found: Holding) -> list[Evidence]:
    """How much is held, where, and what giving it back gave."""
    text = (
        f"{format_bytes(found.held)} are free but held by allocators, {100 * found.share:.0f} % of private memory; most of it by "
        f"{found.largest.name}, whose live bytes fill {100 * found.occupancy:.0f} % of what it has taken"
    )
    rows = [Evidence("heap.held", found.held, "bytes", text)]
    if found.returned is not None:
        text = f"told to give back free memory, the workers returned {format_bytes(max(0, found.returned))}"
        rows.append(Evidence("probe.trim", float(found.returned), "bytes", text, Side.CONTEXT))
    if found.in_one_step:
        text = f"resident memory rose by {format_bytes(found.step)} at once, in {found.step_where}, and stayed there"
        rows.append(Evidence("memory.step", found.step, "bytes", text, Side.CONTEXT))
    return rows


def _holding(pool: PoolView) -> Holding | None:
    heap, account = heap_of(pool), account_of(pool)
    if not heap.complete or account is None:
        return None
    step, where, around_ns = _largest_step(pool)
    first = sum(r.floor_ns < around_ns[1] for r in pool.rounds)
    read = complete(np.concatenate([a.held for a in heap.allocators]))
    floors = read[min(int(np.searchsorted(read, first)), max(0, read.size - _FEWEST_FLOORS)) :]
    if not floors.size:
        return None
    by_allocator = {a.name: a.held[:, floors].sum(axis=0) for a in heap.allocators}
    # What garbage or a cache fills again and again is in use: only what stays free at every floor is held for nothing.
    held, anonymous = float(np.sum(list(by_allocator.values()), axis=0).min()), account.curve.levels[-1]
    if held < max(_MATTERS_BYTES * len(pool.stable) ** 0.5, _MATTERS_SHARE * anonymous):
        return None
    largest = max(heap.allocators, key=lambda a: float(by_allocator[a.name].min()))
    given = trimmed(pool)
    return Holding(
        held=held,
        anonymous=anonymous,
        largest=largest,
        held_by_largest=float(by_allocator[largest.name].min()),
        occupancy=float(largest.live[:, floors].sum(axis=0).max() / largest.committed[:, floors[-1]].sum()),
        step=step,
        step_where=where,
        step_ns=around_ns,
        returned=None if given is None else given.resident_bytes,
    )


def _largest_step(pool: PoolView) -> tuple[float, str, tuple[int, int]]:
    """The largest rise of the stable workers' resident memory from one floor to the next, where it was, and the times of these
    floors."""
    metric = f"process.memory.{pool.anon_metric}"
    levels: list[tuple[int, str, float]] = []
    for window in sorted(pool.timeline.windows, key=lambda w: w.floor_ns or 0):
        floor = None if window.floor_ns is None else pool.floors.get(window.floor_ns)
        if floor is None or window.floor_ns is None or window.phase not in (PhaseName.WARMUP, PhaseName.ROUNDS):
            continue
        values = [floor[key].values.get(metric) if key in floor else None for key in pool.stable]
        known = [v for v in values if v is not None]
        if known and len(known) == len(values):
            kind = "warm-up round" if window.phase is PhaseName.WARMUP else "round"
            levels.append((window.floor_ns, f"{kind} {window.round}", float(sum(known))))
    rises = [(after - before, where, (since, t_ns)) for (since, _, before), (t_ns, where, after) in pairwise(levels)]
    return max(rises, default=(0.0, "", (0, 0)))
