"""Reports of any size: many samples, requests, processes and hours, as bytes on a random walk of whole pages."""

from __future__ import annotations

import dataclasses

import numpy as np
from reports import MIB, START, leak_report

from harness.model.process import ProcessInfo, ProcessKey, Role
from harness.model.profile import CallNode, Frame, FunctionCost, Profile, ValueType
from harness.model.report import ProfileView, Report, WorkerRow
from harness.model.run import Series
from harness.model.span import PhaseName, RequestRecord, Span
from harness.model.timeline import Coverage, JoinedSpan, JoinMethod, Timeline, Worker

_METRICS = ("pss", "rss", "uss", "pss_anon")
_ENDPOINTS = tuple(f"GET /page/{n}" for n in range(10))


def big_report(*, samples: int, requests: int, processes: int = 10, seconds: int = 1000, seed: int = 11) -> Report:
    """About ``samples`` samples of ``processes`` workers and ``requests`` requests, evenly over ``seconds``."""
    rng = np.random.default_rng(seed)
    base = leak_report(requests_per_round=1)
    sweeps = max(samples // (processes * len(_METRICS)), 1)
    end = START + seconds * 1_000_000_000
    times = np.linspace(START, end, sweeps, endpoint=False).astype(np.int64)
    times += rng.integers(0, 2_000_000, sweeps)
    workers: list[Worker] = []
    series: dict[tuple[str, ProcessKey | None], Series] = {}
    for number in range(processes):
        key = ProcessKey("", 1000 + number, 10 + number)
        workers.append(
            Worker(ProcessInfo(key, 1, "gunicorn", "gunicorn", 0, "app", START, START, end, None), Role.WORKER, 0)
        )
        walk = np.cumsum(rng.integers(-3, 4, sweeps)) * 4096 + 40 * MIB
        for i, metric in enumerate(_METRICS):
            name = f"process.memory.{metric}"
            series[name, key] = Series(name, key, times, np.maximum(walk + i * 4096 * 256, 0))
    spans = _spans(rng, [w.info.key for w in workers], requests, seconds)
    timeline = dataclasses.replace(
        base.timeline,
        manifest=dataclasses.replace(base.timeline.manifest, ended_ns=end),
        windows=(),
        workers=tuple(workers),
        series=series,
        spans=spans,
        events=(),
        coverage=Coverage(len(spans), len(spans), {JoinMethod.SPAN_ID: len(spans)}, len(spans), 0, ()),
    )
    return dataclasses.replace(
        base,
        timeline=timeline,
        workers=_rows(timeline),
        ledger=(),
        profiles=(ProfileView(base.profiles[0].artifact, big_profile(50_000)),),
    )


def big_profile(calls: int) -> Profile:
    """A call tree of that many nodes, eight below each until they run out."""
    frames = tuple(Frame(f"Shop\\Part{n}->work", f"/srv/shop/src/Part{n}.php", n) for n in range(500))
    parents = [-1, *((n - 1) // 8 for n in range(1, calls))]
    inclusive = [1000] * calls
    for node in range(calls - 1, 0, -1):
        inclusive[parents[node]] += inclusive[node]
    tree = tuple(CallNode(n % 500, parents[n], 1, (1000,), (inclusive[n],)) for n in range(calls))
    functions = tuple(FunctionCost(n, 1, (1000,), (1000,)) for n in range(500))
    return Profile("xdebug", (ValueType("time", "ns", "time"),), frames=frames, functions=functions, tree=tree)


def _spans(rng: np.random.Generator, keys: list[ProcessKey], count: int, seconds: int) -> tuple[JoinedSpan, ...]:
    starts = START + np.sort(rng.integers(0, seconds * 1_000_000_000, count))
    lengths = rng.lognormal(15.5, 0.6, count).astype(np.int64)
    deltas = np.where(rng.random(count) < 0.1, rng.integers(1, 20, count) * 4096, 0)
    found = []
    for n, (start, length, delta) in enumerate(zip(starts.tolist(), lengths.tolist(), deltas.tolist(), strict=True)):
        status = 500 if n % 997 == 0 else 200
        span = Span(
            f"{n:016x}",
            _ENDPOINTS[n % 10],
            PhaseName.ROUNDS,
            0,
            0,
            0,
            None,
            start,
            start + length,
            status,
            None,
            512,
            (),
        )
        values = {"rss_start_bytes": 40 * MIB, "rss_end_bytes": 40 * MIB + delta, "peak_bytes": 2 * MIB + delta}
        key = keys[n % len(keys)]
        record = RequestRecord(
            "python-agent", key.pid, span.span_id, n, start, start + length, None, span.endpoint, status, None, values
        )
        found.append(JoinedSpan(span, key, JoinMethod.SPAN_ID, record))
    return tuple(found)


def _rows(timeline: Timeline) -> tuple[WorkerRow, ...]:
    rows = []
    for worker in timeline.workers:
        pss = timeline.series["process.memory.pss", worker.info.key].values
        info = worker.info
        rows.append(
            WorkerRow(
                info.key,
                info.pool,
                worker.role,
                info.comm,
                info.born_ns,
                None,
                0,
                int(pss[0]),
                int(pss[-1]),
                int(pss.max()),
            )
        )
    return tuple(rows)
