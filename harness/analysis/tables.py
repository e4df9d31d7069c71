"""The tables of a report: endpoints, workers, overhead. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from harness.diagnose.attribution import EndpointGrowth
from harness.model.report import EndpointRow, WorkerRow
from harness.model.span import PhaseName, Span
from harness.model.timeline import Timeline

_PSS = "process.memory.pss"
_WALK = "process.walk"
_REQUEST_PEAK = "peak_bytes"  # PHP: memory_get_peak_usage(), which begins anew with each request


def endpoint_rows(timeline: Timeline, growth: Mapping[str, EndpointGrowth]) -> tuple[EndpointRow, ...]:
    """One row per endpoint over the measured rounds, in order of first appearance."""
    by_name: dict[str, list[Span]] = defaultdict(list)
    peaks: dict[str, list[int]] = defaultdict(list)
    for joined in timeline.spans:
        if joined.span.phase is PhaseName.ROUNDS:
            by_name[joined.span.endpoint].append(joined.span)
            peak = None if joined.record is None else joined.record.values.get(_REQUEST_PEAK)
            if peak is not None:
                peaks[joined.span.endpoint].append(peak)
    rows = []
    for name, spans in by_name.items():
        latencies = [s.latency_ns for s in spans if s.status is not None]
        p50, p99 = (int(x) for x in np.percentile(latencies, [50, 99])) if latencies else (None, None)
        found = growth.get(name)
        rows.append(
            EndpointRow(
                name=name,
                requests=len(spans),
                errors=sum(not s.ok for s in spans),
                p50_ns=p50,
                p99_ns=p99,
                retained_bytes_per_request=None if found is None else found.bytes_per_request,
                ci95=None if found is None else found.ci95,
                request_peak_p50=int(np.percentile(peaks[name], 50)) if name in peaks else None,
                request_peak=max(peaks[name]) if name in peaks else None,
            )
        )
    return tuple(rows)


def worker_rows(timeline: Timeline) -> tuple[WorkerRow, ...]:
    """One row per process ever seen, with the PSS it began, ended and peaked with."""
    rows = []
    for worker in timeline.workers:
        info = worker.info
        points = timeline.series.get((_PSS, info.key))
        walks = timeline.series.get((_WALK, info.key))
        measured = points is not None and points.values.size > 0
        rows.append(
            WorkerRow(
                key=info.key,
                pool=info.pool,
                role=worker.role,
                comm=info.comm,
                started_ns=info.born_ns,
                ended_ns=info.ended_ns,
                requests=worker.requests,
                pss_start=int(points.values[0]) if points is not None and measured else None,
                pss_end=int(points.values[-1]) if points is not None and measured else None,
                pss_peak=int(points.values.max()) if points is not None and measured else None,
                longest_stall_ns=int(walks.values.max()) if walks is not None and walks.values.size else None,
            )
        )
    return tuple(rows)


def overhead(timeline: Timeline) -> dict[str, float | None]:
    """What measuring cost, by the session's own accounts."""
    return dict(timeline.manifest.costs)
