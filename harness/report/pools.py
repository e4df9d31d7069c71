"""Memory of a pool: the sum over its processes, sweep by sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.model.process import ProcessKey, Role
from harness.model.run import Series
from harness.model.timeline import Timeline, Worker

if TYPE_CHECKING:
    from numpy.typing import NDArray

PSS = "process.memory.pss"
# Of PSS what does not depend on who else maps a file.
_OWN = ("process.memory.pss_anon", "process.memory.pss_shmem")
RSS = "process.memory.rss"


@dataclass(frozen=True, slots=True)
class PoolSum:
    """Sum of a metric over the processes of a pool, at every sweep that measured one of them."""

    t_ns: NDArray[np.int64]
    values: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PoolRow:
    """A pool over the whole run. ``measured`` is False for proxies and companions. Sizes in bytes, None = not measured."""

    name: str
    measured: bool
    processes: int
    requests: int
    start: int | None
    end: int | None
    peak: int | None


def memory_metric(timeline: Timeline) -> str:
    """PSS where any process has it, else RSS (whose sums count shared pages more than once)."""
    return PSS if any(name == PSS and s.t_ns.size for (name, _), s in timeline.series.items()) else RSS


def pools(timeline: Timeline) -> dict[str, list[Worker]]:
    """Processes by pool, pools in order of first appearance."""
    found: dict[str, list[Worker]] = {}
    for worker in timeline.workers:
        found.setdefault(worker.info.pool, []).append(worker)
    return found


def is_measured(members: Sequence[Worker]) -> bool:
    """Whether a pool belongs to the application: correlation makes every process of the others a helper."""
    return any(w.role is not Role.HELPER for w in members)


def pool_sum(
    series: Mapping[tuple[str, ProcessKey | None], Series], members: Sequence[Worker], metric: str
) -> PoolSum | None:
    """The pool's sum; None when no process of it has the metric.

    The sampler keeps to a budget, so not every sweep measures every process. A process counts with its latest value from its
    first measurement until it was last seen; leaving it out in between would draw drops that never happened.
    """
    picked = [(w, s) for w in members if (s := series.get((metric, w.info.key))) is not None and s.t_ns.size]
    if not picked:
        return None
    times = np.unique(np.concatenate([s.t_ns for _, s in picked]))
    sums = np.zeros(times.size, dtype=np.int64)
    for worker, s in picked:
        end = max(worker.info.last_seen_ns, int(s.t_ns[-1]))
        latest = np.searchsorted(s.t_ns, times, side="right") - 1
        alive = (latest >= 0) & (times <= end)
        sums[alive] += s.values[latest[alive]]
    return PoolSum(times, sums)


def own_sum(series: Mapping[tuple[str, ProcessKey | None], Series], members: Sequence[Worker]) -> PoolSum | None:
    """The pool's own memory: PSS without pages of files, which count in proportion to how many processes map them, be they
    of the application or not. None when no process of the pool has both parts.
    """
    parts = [pool_sum(series, members, metric) for metric in _OWN]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    times = np.unique(np.concatenate([part.t_ns for part in known]))
    times = times[times >= max(part.t_ns[0] for part in known)]
    latest = [part.values[np.searchsorted(part.t_ns, times, side="right") - 1] for part in known]
    return PoolSum(times, np.sum(latest, axis=0, dtype=np.int64))


def pool_rows(timeline: Timeline) -> tuple[PoolRow, ...]:
    """One row per pool."""
    metric = memory_metric(timeline)
    rows = []
    for name, members in pools(timeline).items():
        total = pool_sum(timeline.series, members, metric)
        measured = total is not None and total.values.size > 0
        values = total.values if total is not None and measured else None
        rows.append(
            PoolRow(
                name=name,
                measured=is_measured(members),
                processes=len(members),
                requests=sum(w.requests for w in members),
                start=None if values is None else int(values[0]),
                end=None if values is None else int(values[-1]),
                peak=None if values is None else int(values.max()),
            )
        )
    return tuple(rows)
