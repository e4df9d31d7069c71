"""What lack of memory costs: time that tasks wait, pages read again from disk or swap. Of a group, of a pool, of the machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.diagnose.host import Counted, HostView
from harness.diagnose.pool import PoolView

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

STALLED_SHARE = 0.01  # of the time; an idle machine is at 0, so this is 10 ms a second in which work stood still
FAULTS_PER_SECOND = 1.0  # pages that had to be fetched from disk or swap
MOST_ROUNDS = 0.5
_SWAPPED_BYTES = 1024 * 1024
_SECOND_NS = 1e9


@dataclass(frozen=True, slots=True)
class Harm:
    """What the processes of one pool suffer. ``faults``: major faults a second, None = not measured; ``swapped``: bytes of theirs
    that went to swap over the judged rounds."""

    faults: float | None
    swapped: float

    @property
    def reads_again(self) -> bool:
        return self.faults is not None and self.faults >= FAULTS_PER_SECOND

    @property
    def swaps(self) -> bool:
        return self.swapped >= _SWAPPED_BYTES

    @property
    def any(self) -> bool:
        return self.reads_again or self.swaps


def stalled(host: HostView, prefix: str) -> float | None:
    """Share of the time between the first and the last floor in which some task waited for memory, where it was spread over the
    rounds; 0 where it was one incident. None where the kernel does not count it."""
    counted = host.counted(f"{prefix}some")
    if counted is None:
        return None
    share = counted.per_second / _SECOND_NS
    lasted = np.diff([r.floor_ns for r in host.rounds])
    often = float(np.mean(np.array(counted.per_round) >= STALLED_SHARE / 2 * lasted))
    return share if often >= MOST_ROUNDS else 0.0


def lasting(counted: Counted | None, per_second: float, host: HostView) -> bool:
    """Whether a counter rises by at least so much a second, in most rounds."""
    if counted is None or counted.per_second < per_second:
        return False
    each = per_second * (host.rounds[-1].floor_ns - host.rounds[0].floor_ns) / _SECOND_NS / (len(host.rounds) - 1)
    return counted.rounds_with(each / 2) >= MOST_ROUNDS


def harm_of(pool: PoolView) -> Harm:
    """What the processes that lived through all rounds had to fetch, and what of them was swapped out."""
    faults, swap = _summed(pool, "process.faults.major"), _summed(pool, "process.memory.swap")
    swapped = 0.0 if swap is None else float(swap[-1] - swap[0])
    if faults is None or len(pool.rounds) < 2:
        return Harm(None, swapped)
    rises = np.clip(np.diff(faults), 0, None)
    seconds = (pool.rounds[-1].floor_ns - pool.rounds[0].floor_ns) / _SECOND_NS
    often = float(np.mean(rises >= FAULTS_PER_SECOND / 2 * seconds / rises.size))
    return Harm(float(rises.sum()) / seconds if often >= MOST_ROUNDS else 0.0, swapped)


def _summed(pool: PoolView, metric: str) -> Floats | None:
    rows = [[pool.floors[r.floor_ns][key].values.get(metric) for r in pool.rounds] for key in pool.stable_all]
    if not rows or any(value is None for row in rows for value in row):
        return None
    levels: Floats = np.array(rows, dtype=np.float64).sum(axis=0)
    return levels
