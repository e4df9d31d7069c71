"""Memory that all workers of a pool share by design, counted once: PHP's opcache and APCu.

Each process maps the whole segment, so summing RSS counts it as often as there are workers; PSS divides it among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.model.process import ProcessKey
from harness.model.run import Series
from harness.model.timeline import Timeline, Worker
from harness.report.pools import pools

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


def shared_rows(timeline: Timeline) -> tuple[SharedRow, ...]:
    """One row for each pool and cache that was seen; pools in order of first appearance."""
    found = []
    for pool, members in pools(timeline).items():
        for kind in KINDS:
            rows = (_row(timeline.series, pool, members, kind, source) for source in _SOURCES)
            row = next((r for r in rows if r is not None), None)
            if row is not None:
                found.append(row)
    return tuple(found)


def _row(
    series: Mapping[tuple[str, ProcessKey | None], Series], pool: str, members: Sequence[Worker], kind: str, source: str
) -> SharedRow | None:
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
    return SharedRow(
        pool, kind, processes, sizes[times[-1]], int(used[0]), int(used[-1]), int(used.max()), wasted.get(times[-1])
    )
