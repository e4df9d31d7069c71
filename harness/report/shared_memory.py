"""Memory that all workers of a pool share by design, counted once: PHP's opcache and APCu.

Each process maps the whole segment, so summing RSS counts it as often as there are workers; PSS divides it among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.model.process import ProcessKey
from harness.model.run import Series
from harness.model.timeline import Timeline, Worker
from harness.report.pools import pools

if TYPE_CHECKING:
    from numpy.typing import NDArray

KINDS = ("opcache", "apcu")
_SOURCES = ("runtime.php.", "agent.php.")  # read from outside; else what PHP itself said


@dataclass(frozen=True, slots=True)
class SharedRow:
    """One segment of one pool: ``processes`` saw it. Sizes in bytes; ``wasted`` is None where the cache knows no such thing."""

    pool: str
    kind: str
    processes: int
    size: int
    used_start: int
    used_end: int
    used_peak: int
    wasted: int | None


@dataclass(frozen=True, slots=True)
class Segment:
    """What is used of one segment over time: ``t_ns`` and ``used`` in bytes are of one length; ``size`` and
    ``wasted`` are the latest, ``wasted`` None where the cache knows no such thing."""

    pool: str
    kind: str
    processes: int
    t_ns: NDArray[np.int64]
    used: NDArray[np.int64]
    size: int
    wasted: int | None


def segments(timeline: Timeline) -> tuple[Segment, ...]:
    """One for each pool and cache that was seen; pools in order of first appearance."""
    found = []
    for pool, members in pools(timeline).items():
        for kind in KINDS:
            each = (_segment(timeline.series, pool, members, kind, source) for source in _SOURCES)
            segment = next((s for s in each if s is not None), None)
            if segment is not None:
                found.append(segment)
    return tuple(found)


def shared_rows(timeline: Timeline) -> tuple[SharedRow, ...]:
    """The same as rows of a table."""
    return tuple(
        SharedRow(s.pool, s.kind, s.processes, s.size, int(s.used[0]), int(s.used[-1]), int(s.used.max()), s.wasted)
        for s in segments(timeline)
    )


def _segment(
    series: Mapping[tuple[str, ProcessKey | None], Series], pool: str, members: Sequence[Worker], kind: str, source: str
) -> Segment | None:
    def of(name: str) -> dict[int, int]:
        """The values by time, over all processes: they speak of one segment."""
        known = [s for w in members if (s := series.get((f"{source}{kind}.{name}", w.info.key))) is not None]
        return {t: v for s in known for t, v in zip(s.t_ns.tolist(), s.values.tolist(), strict=True)}

    sizes, free, wasted = of("size"), of("free"), of("wasted")
    times = sorted(sizes.keys() & free.keys())
    if not times:
        return None
    used = np.array([sizes[t] - free[t] - wasted.get(t, 0) for t in times], dtype=np.int64)
    processes = sum((f"{source}{kind}.size", w.info.key) in series for w in members)
    instants = np.array(times, dtype=np.int64)
    return Segment(pool, kind, processes, instants, used, sizes[times[-1]], wasted.get(times[-1]))
