"""How long forked workers go on sharing what they were born with: private and shared memory by age since the fork.

A worker that was forked from a warmed master starts with next to no memory of its own. Every page that either of them
writes to is copied for the writer; counters of references and the collector's marks are writes too. So the shared part of each
generation falls from the fork on, and the private part rises by as much, beside what the worker allocates.

``shared`` is Shared_Dirty of smaps: pages that were written once and are mapped by several, which after a fork is anonymous
memory; shared memory that is written (opcache, APCu) is in it too and does not move. Source: Documentation/filesystems/proc.rst.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from harness.model.process import ProcessKey, Role
from harness.model.run import Series
from harness.model.span import PhaseName
from harness.model.timeline import FloorPoint, Timeline, Worker

_USS, _SHARED, _PSS = "process.memory.uss", "process.memory.shared_dirty", "process.memory.pss"
_AGE = "agent.python.fork.age"
_MOST_POINTS = 60
_NOT_MEASURED = (PhaseName.PROBES, PhaseName.PROFILED)
_TOLD, _SEEN = "agent", "kernel"

AllSeries = Mapping[tuple[str, ProcessKey | None], Series]


class SharingPoint(NamedTuple):
    """One sweep: ns since the fork; bytes."""

    age_ns: int
    private: int
    shared: int
    pss: int


@dataclass(frozen=True, slots=True)
class SharingCurve:
    """One worker. ``generation``: how many of its pool were forked before it. ``source`` of the time of its fork: its
    agent, or the kernel, which says when a process began."""

    pool: str
    key: ProcessKey
    generation: int
    forked_ns: int
    source: str
    points: Sequence[SharingPoint]

    @property
    def unshared(self) -> int:
        """Bytes that were shared at the first sweep and are not any more at the last."""
        return self.points[0].shared - self.points[-1].shared


def sharing_curves(timeline: Timeline) -> tuple[SharingCurve, ...]:
    """Workers that were forked from another process of their pool and measured in at least two sweeps, oldest first; up to the
    run's probes and its profiled pass, which touch what requests do not."""
    until_ns = min((w.start_ns for w in timeline.windows if w.phase in _NOT_MEASURED), default=None)
    told = _told(timeline.floors)
    masters = {(w.info.key.host, w.info.pool, w.info.key.pid): w for w in timeline.workers if w.role is Role.MASTER}
    found: list[tuple[int, str, Worker]] = []
    for worker in timeline.workers:
        info = worker.info
        if worker.role is not Role.WORKER:
            continue
        if info.key in told:
            found.append((told[info.key], _TOLD, worker))
            continue
        master = masters.get((info.key.host, info.pool, info.ppid))
        if master is not None and master.info.comm == info.comm and master.info.born_ns <= info.born_ns:
            found.append((info.born_ns, _SEEN, worker))
    curves = []
    born: dict[str, int] = {}
    for forked_ns, source, worker in sorted(found, key=lambda f: (f[0], f[2].info.key)):
        key, pool = worker.info.key, worker.info.pool
        generation = born.get(pool, 0)
        born[pool] = generation + 1
        points = _points(timeline.series, key, forked_ns, until_ns)
        if len(points) >= 2:
            curves.append(SharingCurve(pool, key, generation, forked_ns, source, points))
    return tuple(curves)


def _told(floors: Sequence[FloorPoint]) -> Mapping[ProcessKey, int]:
    """When a process was forked, by what its agent said at its first floor."""
    found: dict[ProcessKey, int] = {}
    for floor in floors:
        age_ns = floor.values.get(_AGE)
        if age_ns is not None and 0 <= age_ns <= floor.t_ns:
            found.setdefault(floor.process, floor.t_ns - age_ns)
    return found


def _points(series: AllSeries, key: ProcessKey, forked_ns: int, until_ns: int | None) -> tuple[SharingPoint, ...]:
    """Sweeps that measured all three, thinned out evenly; the first and the last stay."""
    columns = [series.get((metric, key)) for metric in (_USS, _SHARED, _PSS)]
    known = [column for column in columns if column is not None and column.t_ns.size]
    if len(known) < len(columns):
        return ()
    times = known[0].t_ns
    for column in known[1:]:
        times = np.intersect1d(times, column.t_ns, assume_unique=True)
    times = times[times >= forked_ns] if until_ns is None else times[(times >= forked_ns) & (times < until_ns)]
    if not times.size:
        return ()
    chosen = times[np.unique(np.linspace(0, times.size - 1, min(times.size, _MOST_POINTS)).round().astype(np.int64))]
    uss, shared, pss = (column.values[np.searchsorted(column.t_ns, chosen)].tolist() for column in known)
    return tuple(
        SharingPoint(t_ns - forked_ns, *row)
        for t_ns, row in zip(chosen.tolist(), zip(uss, shared, pss, strict=True), strict=True)
    )
