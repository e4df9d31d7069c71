"""Pages that forked workers shared with their master and do not share any more: how fast, how far it can go, and who writes.

A page is copied when somebody writes to it. In CPython reading an object is a write to its reference counter, and a collection
writes into the header of every container. Which of the two it is shows in rounds with and without full collections, and in the
probe after the last round, which collects in every worker and does nothing else. Source: docs/causes.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.diagnose.growth import Growth, Yardstick, judge
from harness.diagnose.pool import FLOOR_BYTES, PAGE_STEP_BYTES, PoolView
from harness.model.event import PROBE_COLLECT
from harness.model.process import ProcessKey
from harness.model.span import PhaseName

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_SHARED = "process.memory.shared_dirty"
_FULL = ("runtime.python.gc.collections2", "agent.python.gc.collections2")
_MOSTLY = 0.5
_TIMES = 2.0  # as much in rounds with a full collection as in those without
_AT_ONCE = 0.3  # of what was shared before the probe


@dataclass(frozen=True, slots=True)
class Unsharing:
    """Sums over the stable workers, bytes. ``levels``: (rounds,) what they still share and was written before the fork;
    ``copied``: the curve of what they do not share any more. ``family``: growth a round of the PSS of all processes, the master's
    too; None where one was not measured. ``collecting``: whether full collections are what writes, None where nothing tells.
    ``probe``: what the one after the last round unshared, None where none was made in every worker. ``full_collections``: of all
    workers in the judged rounds, None = not known."""

    levels: tuple[float, ...]
    copied: Growth
    family: float | None
    collecting: bool | None
    probe: float | None
    full_collections: int | None

    @property
    def still_shared(self) -> float:
        """What can still be copied."""
        return self.levels[-1]

    @property
    def rounds_left(self) -> float | None:
        """After how many rounds all would be copied at this pace; None where it does not go on."""
        return self.still_shared / self.copied.per_round if self.copied.per_round > 0 else None


def unsharing_of(pool: PoolView) -> Unsharing | None:
    """None where shared pages were not measured at every floor, or nothing was ever shared."""
    return pool.once("unsharing", lambda: _unsharing(pool))


def _unsharing(pool: PoolView) -> Unsharing | None:
    shared = pool.matrix((_SHARED,))
    if shared is None or shared.shape[1] < 2 or not shared.any():
        return None
    levels = shared.sum(axis=0)
    floor = FLOOR_BYTES * len(pool.stable) ** 0.5
    copied = judge(levels[0] - levels, Yardstick(floor, PAGE_STEP_BYTES, doubt=PAGE_STEP_BYTES, relative=0))
    collections = next((m for m in (pool.matrix((name,)) for name in _FULL) if m is not None), None)
    probe = _by_probe(pool)
    return Unsharing(
        levels=tuple(float(v) for v in levels),
        copied=copied,
        family=_family(pool),
        collecting=_collecting(shared, collections, probe),
        probe=probe,
        full_collections=None if collections is None else int((collections[:, -1] - collections[:, 0]).sum()),
    )


def _family(pool: PoolView) -> float | None:
    rows = [
        [pool.floors[r.floor_ns][key].values.get("process.memory.pss") for r in pool.rounds] for key in pool.stable_all
    ]
    if any(value is None for row in rows for value in row):
        return None
    family = np.array(rows, dtype=np.float64).sum(axis=0)
    grown: float = (family[-1] - family[0]) / (family.size - 1)
    return grown


def _collecting(shared: Floats, collections: Floats | None, probe: float | None) -> bool | None:
    """By worker and round: did more pages stop being shared where a full collection ran? Where that cannot be compared, the probe
    tells what a collection can do, and the counter whether there was any."""
    if collections is None:
        return None
    copied, ran = -np.diff(shared, axis=1), np.diff(collections, axis=1) > 0
    if not ran.any():
        return False
    if not ran.all():
        with_it, without = float(copied[ran].mean()), float(copied[~ran].mean())
        return bool(with_it > 0 and with_it >= _TIMES * max(without, 0.0))
    before = float(shared[:, -1].sum())
    return None if probe is None or before <= 0 else probe >= _AT_ONCE * before


def _by_probe(pool: PoolView) -> float | None:
    """Shared pages in the sweep before the collection less those in the one after it."""
    made = {e.process for e in pool.timeline.events if e.kind == PROBE_COLLECT}
    window = next((w for w in pool.timeline.windows if w.phase is PhaseName.PROBES and w.floor_ns is not None), None)
    if window is None or window.floor_ns is None or not pool.stable or not made.issuperset(pool.stable):
        return None
    fallen = [_fallen(pool, key, window.start_ns, window.floor_ns) for key in pool.stable]
    known = [v for v in fallen if v is not None]
    return float(sum(known)) if len(known) == len(fallen) else None


def _fallen(pool: PoolView, worker: ProcessKey, start_ns: int, end_ns: int) -> float | None:
    series = pool.timeline.series.get((_SHARED, worker))
    if series is None:
        return None
    first, last = np.searchsorted(series.t_ns, (start_ns, pool.timeline.swept_at(end_ns, worker.host) + 1))
    values = series.values[first:last]
    return None if values.size < 2 else float(values[0]) - float(values[1])
