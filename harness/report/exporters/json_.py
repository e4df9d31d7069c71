"""``harness-report/1``: for scripts. Fields may be added, never changed; the schema is `harness/report/report.schema.json`.

Sizes are bytes, times seconds since the start of the run, unknown is null.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping

from harness.model.event import Window
from harness.model.finding import Finding, Growth, Subject
from harness.model.highwater import HighWater
from harness.model.host import HostClock
from harness.model.profile import Peak, Profile
from harness.model.report import EndpointRow, LedgerRow, PoolLedgerRow, ProfileView, Report, SharingRow, WorkerRow
from harness.model.timeline import Coverage
from harness.report.places import HostRow, container_rows, host_rows
from harness.report.pools import PoolRow, pool_rows
from harness.report.shared_memory import SharedRow, shared_rows
from harness.report.words import run_seconds, started, version

FORMAT = "harness-report/1"
_TOP_FUNCTIONS = 20
_TOP_OBJECTS = 20
_TOP_COLLECTIONS = 100
_STACK = 200
_MOST_SHARING = 50
_MOST_PEAKS = 200
_Json = dict[str, object]


def export(report: Report) -> bytes:
    """The report as one JSON document, the same bytes for the same report."""
    text = json.dumps(_finite(document(report)), ensure_ascii=False, indent=1, allow_nan=False)
    return text.encode("utf-8", "replace") + b"\n"  # names read from /proc may hold lone surrogates


def document(report: Report) -> _Json:
    """The same as plain data."""
    manifest = report.timeline.manifest
    start = manifest.started_ns
    return {
        "format": FORMAT,
        "tool": {"name": "harness", "version": manifest.tool_version},
        "run": {
            "id": manifest.run_id,
            "scenario": manifest.scenario_name,
            "version": version(manifest),
            "started": started(manifest).isoformat(),
            "duration_s": run_seconds(manifest),
            "status": manifest.status.value,
            "status_text": manifest.status_text,
            "runtime": manifest.runtime,
            "host": dict(manifest.host),
        },
        "verdict": dataclasses.asdict(report.verdict),
        "findings": [_finding(f, start) for f in report.findings],
        "ledger": [_ledger(row, start) for row in report.ledger],
        "pool_ledger": [_pool_ledger(row, start) for row in report.pool_ledger],
        "part_growth": [dataclasses.asdict(row) for row in report.part_growth],
        "sharing": [_sharing(row) for row in report.sharing[:_MOST_SHARING]],
        "endpoints": [_endpoint(row) for row in report.endpoints],
        "workers": [_worker(row, start) for row in report.workers],
        "high_water": [_high_water(rise, start) for rise in report.high_water[:_MOST_PEAKS]],
        "pools": [_pool(row) for row in pool_rows(report.timeline)],
        "shared_memory": [_shared(row) for row in shared_rows(report.timeline)],
        "windows": [_window(w, start) for w in report.timeline.windows],
        "profiles": [_profile(i, view, start) for i, view in enumerate(report.profiles)],
        "expectations": [dataclasses.asdict(e) for e in report.expectations],
        "measures": [dataclasses.asdict(m) for m in report.measures],
        "conditions": dict(report.conditions),
        "unjudged": {cause.value: reason for cause, reason in report.unjudged.items()},
        "recycling": [dataclasses.asdict(row) for row in report.recycling],
        "hosts": [_host(*each) for each in zip(host_rows(report.timeline), report.timeline.hosts, strict=True)],
        "containers": [dataclasses.asdict(row) for row in container_rows(report.timeline)],
        "siblings": [dataclasses.asdict(each) for each in report.siblings],
        "coverage": _coverage(report.timeline.coverage),
        "overhead": dict(report.overhead),
        "missing": [dataclasses.asdict(m) for m in report.missing],
    }


def _seconds(t_ns: int | None, start_ns: int) -> float | None:
    return None if t_ns is None else round((t_ns - start_ns) / 1e9, 6)


def _ms(ns: int | None) -> float | None:
    return None if ns is None else round(ns / 1e6, 3)


def _finding(finding: Finding, start: int) -> _Json:
    range_ns = finding.range_ns
    return {
        "cause": finding.cause.value,
        "severity": finding.severity.value,
        "confidence": finding.confidence.value,
        "secondary": finding.secondary,
        "summary": finding.summary,
        "subject": _subject(finding.subject),
        "growth": _growth(finding.growth),
        "evidence": [dataclasses.asdict(e) for e in finding.evidence],
        "prescriptions": [dataclasses.asdict(p) for p in finding.prescriptions],
        "range_s": None if range_ns is None else [_seconds(t, start) for t in range_ns],
    }


def _high_water(rise: HighWater, start: int) -> _Json:
    return {
        "host": rise.process.host,
        "pid": rise.process.pid,
        "start_ticks": rise.process.start_ticks,
        "pool": rise.pool,
        "phase": rise.phase,
        "since_s": _seconds(rise.since_ns, start),
        "t_s": _seconds(rise.t_ns, start),
        "mark": rise.mark,
        "rise": rise.rise,
        "kept": rise.kept,
        "candidates": rise.candidates,
        "endpoint": rise.endpoint,
        "span_id": rise.span_id,
        "started_s": _seconds(rise.started_ns, start),
        "clue": None if rise.clue is None else rise.clue.value,
    }


def _subject(subject: Subject) -> _Json:
    return dataclasses.asdict(subject)


def _growth(growth: Growth) -> _Json:
    return {
        "bytes_per_request": growth.bytes_per_request,
        "ci95": None if growth.ci95 is None else list(growth.ci95),
        "bytes_per_hour": growth.bytes_per_hour,
        "mdl_bytes_per_request": growth.mdl_bytes_per_request,
        "mdl_bytes_per_hour": growth.mdl_bytes_per_hour,
    }


def _ledger(row: LedgerRow, start: int) -> _Json:
    return {
        "host": row.key.host,
        "pid": row.key.pid,
        "start_ticks": row.key.start_ticks,
        "runtime": row.runtime,
        "phase": str(row.phase),
        "round": row.round,
        "t_s": _seconds(row.t_ns, start),
        "pss": row.pss,
        "live": row.live,
        "allocator_held": row.allocator_held,
        "file": row.file,
        "shared": row.shared,
        "stacks": row.stacks,
        "thp": row.thp,
        "unexplained": row.unexplained,
        "other_native": row.other_native,
        "image": row.image,
        "swap": row.swap,
        "live_runtime": row.live_runtime,
        "live_native": row.live_native,
        "held_by": dict(row.held_by),
        "anon_huge": row.anon_huge,
        "explained_share": None if row.explained_share is None else round(row.explained_share, 6),
        "source": row.source,
    }


def _pool_ledger(row: PoolLedgerRow, start: int) -> _Json:
    return {
        "pool": row.pool,
        "phase": str(row.phase),
        "round": row.round,
        "t_s": _seconds(row.t_ns, start),
        "processes": row.processes,
        "pss": row.pss,
        **row.parts,
    }


def _sharing(row: SharingRow) -> _Json:
    return {
        "host": row.key.host,
        "pid": row.key.pid,
        "start_ticks": row.key.start_ticks,
        "pool": row.pool,
        "generation": row.generation,
        "source": row.source,
        "unshared_bytes": row.unshared,
        "points": [
            {"age_s": _seconds(age_ns, 0), "private": private, "shared": shared, "pss": pss}
            for age_ns, private, shared, pss in row.points
        ],
    }


def _endpoint(row: EndpointRow) -> _Json:
    return {
        "name": row.name,
        "requests": row.requests,
        "errors": row.errors,
        "p50_ms": _ms(row.p50_ns),
        "p99_ms": _ms(row.p99_ns),
        "retained_bytes_per_request": row.retained_bytes_per_request,
        "ci95": None if row.ci95 is None else list(row.ci95),
        "request_peak_p50_bytes": row.request_peak_p50,
        "request_peak_bytes": row.request_peak,
    }


def _shared(row: SharedRow) -> _Json:
    return {
        "pool": row.pool,
        "kind": row.kind,
        "processes": row.processes,
        "size_bytes": row.size,
        "used_start_bytes": row.used_start,
        "used_end_bytes": row.used_end,
        "used_peak_bytes": row.used_peak,
        "wasted_bytes": row.wasted,
    }


def _worker(row: WorkerRow, start: int) -> _Json:
    return {
        "host": row.key.host,
        "pid": row.key.pid,
        "start_ticks": row.key.start_ticks,
        "pool": row.pool,
        "role": row.role.value,
        "comm": row.comm,
        "started_s": _seconds(row.started_ns, start),
        "ended_s": _seconds(row.ended_ns, start),
        "requests": row.requests,
        "pss_start": row.pss_start,
        "pss_end": row.pss_end,
        "pss_peak": row.pss_peak,
        "longest_stall_ms": _ms(row.longest_stall_ns),
    }


def _pool(row: PoolRow) -> _Json:
    return {
        "name": row.name,
        "measured": row.measured,
        "processes": row.processes,
        "requests": row.requests,
        "memory_start": row.start,
        "memory_end": row.end,
        "memory_peak": row.peak,
    }


def _host(row: HostRow, clock: HostClock) -> _Json:
    """Times of the host are right within ``clock_error_s``; its address is nobody's business."""
    return {
        "name": clock.host.name,
        "role": clock.host.role,
        "version": clock.host.version or None,
        "measured": row.measured,
        "first": row.first,
        "clock_error_s": None if row.within_ns is None else row.within_ns / 1e9,
        "clock_drift_ppm": row.drift_ppm,
        "clock_drift_error_ppm": row.drift_error_ppm,
        "clock_readings": clock.readings,
        "system": row.system,
        "line_down_s": row.down_ns / 1e9,
        "line_downs": row.downs,
        "sweeps_missed": row.missed,
    }


def _window(window: Window, start: int) -> _Json:
    return {
        "phase": window.phase.value,
        "round": window.round,
        "block": window.block,
        "start_s": _seconds(window.start_ns, start),
        "end_s": _seconds(window.end_ns, start),
        "floor_s": _seconds(window.floor_ns, start),
    }


def _coverage(coverage: Coverage) -> _Json:
    return {
        "requests": coverage.spans,
        "joined": coverage.joined,
        "by_method": {method.value: count for method, count in coverage.by_method.items()},
        "records": coverage.records,
        "records_unmatched": coverage.records_unmatched,
        "checks": [{"compared": what, "outcome": outcome} for what, outcome in coverage.checks],
    }


def _profile(index: int, view: ProfileView, start: int) -> _Json:
    artifact = view.artifact
    return {
        "id": index,
        "tool": artifact.tool,
        "status": artifact.status.value,
        "endpoint": artifact.endpoint,
        "span_id": artifact.span_id,
        "pid": artifact.pid,
        "t_s": _seconds(artifact.t_ns, start),
        "path": artifact.path,
        "detail": artifact.detail,
        "opens_with": artifact.opens_with,
        **_profile_summary(view.profile),
    }


def _profile_summary(profile: Profile | None) -> _Json:
    if profile is None:
        return {
            "complete": None,
            "totals": {},
            "notes": [],
            "peak": None,
            "collections": [],
            "value_types": [],
            "top_functions": [],
            "top_objects": [],
            "top_holders": [],
        }
    top = sorted(profile.functions, key=lambda f: f.inclusive_values[:1], reverse=True)[:_TOP_FUNCTIONS]
    return {
        "complete": profile.complete,
        "totals": dict(profile.totals),
        "notes": list(profile.notes),
        "peak": None if profile.peak is None else _peak(profile, profile.peak),
        "collections": [dataclasses.asdict(run) for run in profile.collections[:_TOP_COLLECTIONS]],
        "value_types": [dataclasses.asdict(v) for v in profile.value_types],
        "top_functions": [
            {
                **dataclasses.asdict(profile.frames[f.frame]),
                "calls": f.calls,
                "self": list(f.self_values),
                "inclusive": list(f.inclusive_values),
            }
            for f in top
        ],
        "top_objects": [dataclasses.asdict(group) for group in profile.objects[:_TOP_OBJECTS]],
        "top_holders": [dataclasses.asdict(chain) for chain in profile.holders[:_TOP_OBJECTS]],
    }


def _peak(profile: Profile, peak: Peak) -> _Json:
    stack = peak.stack if len(peak.stack) <= _STACK else (*peak.stack[: _STACK // 2], *peak.stack[-_STACK // 2 :])
    frames = [dataclasses.asdict(profile.frames[frame]) for frame in stack]
    return {"offset_ns": peak.offset_ns, "bytes": peak.bytes, "depth": len(peak.stack), "stack": frames}


def _finite(value: object) -> object:
    """NaN and infinities have no place in JSON; they mean that nothing is known."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value
