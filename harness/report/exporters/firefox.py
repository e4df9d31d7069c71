"""Firefox Profiler's processed format, version 63: what https://profiler.firefox.com opens, also offline.

https://github.com/firefox-devtools/profiler/blob/main/docs-developer/processed-profile-format.md; newer programs upgrade it
when they load it. A process is a thread with markers for its requests and events; memory is counters. There are no stacks.

Two traps: counters are differences, the first one the whole value; and what lies outside ``profilingStartTime`` and
``profilingEndTime`` is cut off without a word, so these must be there and right.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.model.process import ProcessKey
from harness.model.report import Report
from harness.model.run import Series
from harness.model.timeline import JoinedSpan, Timeline
from harness.plugins.exports import Part, RunExport
from harness.report.lanes import lifecycle, placed
from harness.report.metric_values import scale_of
from harness.report.thinning import thinned
from harness.report.when import told
from harness.report.words import clean

VERSION = 63
_GECKO_VERSION = 31
COUNTER_CAP = 1_000_000
_OTHER, _REQUESTS, _FINDINGS, _EVENTS, _PHASES = range(5)
_CATEGORIES = (("Other", "grey"), ("Requests", "blue"), ("Findings", "red"), ("Events", "green"), ("Phases", "purple"))
_INSTANT, _INTERVAL = 0, 1
_TEXT_LETTERS = 300
# A track each: all metrics together would be a thousand tracks.
_OF_PROCESSES = (
    *(f"process.memory.{name}" for name in ("pss", "rss", "uss", "swap")),
    "process.fds",
    "process.threads",
)
_OF_MACHINE = (
    *(f"system.meminfo.{name}" for name in ("MemAvailable", "Cached", "Slab", "SwapFree")),
    "system.psi.memory.some_avg10",
    "system.psi.memory.full_avg10",
    "load.in_flight",
)
_COLOURS = ("orange", "blue", "green", "purple", "red", "teal", "magenta", "yellow")


_Row = tuple[
    str, float, float | None, int, dict[str, object]
]  # name, begin and end in ms (None: an instant), category, data


@dataclass(slots=True)
class _Thread:
    """What Firefox Profiler shows as a thread. ``rows``: its markers."""

    name: str
    pid: str
    tid: int
    born_ms: float
    ended_ms: float | None
    rows: list[_Row] = field(default_factory=list)


def parts(report: Report) -> Iterator[Part]:
    """One file, ASCII."""
    yield Part("", pieces(report))


def pieces(report: Report) -> Iterator[bytes]:
    """The file piece by piece."""
    timeline = report.timeline
    begin = timeline.manifest.started_ns
    counters = _counters(timeline)
    threads = _threads(report)
    ends = [ms for thread in threads for _, start, end, _, _ in thread.rows for ms in (start, end) if ms is not None]
    ends += [_ms(int(each.t_ns[-1]) - begin) for _, each in counters]
    last = max([*ends, _ms((timeline.manifest.ended_ns or begin) - begin)]) + 1  # what lies on the end is cut off too
    numbers = {thread.pid: number for number, thread in enumerate(threads)}
    run = _pid(None)  # also stands for processes that nothing is known of but their samples
    yield _json(_head(report, last))[:-1] + b',"counters":['
    for number, (key, series) in enumerate(counters):
        pid = _pid(key) if _pid(key) in numbers else run
        yield (b"," if number else b"") + _json(_counter(series, pid, numbers[pid], begin, number))
    texts: dict[str, int] = {}
    yield b'],"threads":['
    for number, thread in enumerate(threads):
        yield (b"," if number else b"") + _json(_thread(thread, texts))
    yield b'],"shared":' + _json(_shared(list(texts))) + b"}\n"


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")


def _ms(ns: int) -> float:
    return max(0, ns) / 1e6


def _head(report: Report, last_ms: float) -> dict[str, object]:
    manifest = report.timeline.manifest
    meta = {
        "version": _GECKO_VERSION,
        "preprocessedProfileVersion": VERSION,
        "interval": 1,
        "startTime": manifest.started_wall_ns / 1e6,
        "profilingStartTime": 0,
        "profilingEndTime": last_ms,
        "processType": 0,
        "product": f"harness: {clean(manifest.scenario_name)}",
        "stackwalk": 0,
        "debug": False,
        "toolkit": "",
        "platform": clean(str(manifest.host.get("kernel") or "")),
        "importedFrom": "harness",
        "symbolicated": True,
        "categories": [{"name": name, "color": colour, "subcategories": ["Other"]} for name, colour in _CATEGORIES],
        "markerSchema": list(_schemas()),
    }
    return {"meta": meta, "libs": [], "pages": []}


def _schemas() -> Iterator[dict[str, object]]:
    display = ["marker-chart", "marker-table", "timeline-overview"]
    for name, label, fields in (
        ("request", "endpoint", (("endpoint", "string"), ("phase", "string"), ("status", "integer"), ("ok", "string"),
                                 ("latency", "nanoseconds"), ("error", "string"), ("peak", "bytes"))),
        ("finding", "text", (("text", "string"), ("severity", "string"), ("confidence", "string"))),
        ("event", "text", (("text", "string"),)),
        ("phase", "text", (("text", "string"),)),
    ):  # fmt: skip
        shown = f"{{marker.data.{label}}}"
        yield {"name": name, "display": display, "chartLabel": shown, "tableLabel": shown, "tooltipLabel": shown,
               "fields": [{"key": key, "label": key, "format": kind} for key, kind in fields]}  # fmt: skip


def _counters(timeline: Timeline) -> list[tuple[ProcessKey | None, Series]]:
    found: list[tuple[ProcessKey | None, Series]] = []
    told = {worker.info.key: None for worker in timeline.workers}
    others = sorted({key for _, key in timeline.series if key is not None and key not in told})
    for process in (*told, *others):
        keys = [(metric, process) for metric in _OF_PROCESSES]
        found += [(key[1], timeline.series[key]) for key in keys if key in timeline.series]
    found += [(None, timeline.series[metric, None]) for metric in _OF_MACHINE if (metric, None) in timeline.series]
    kept = thinned([series for _, series in found], COUNTER_CAP)
    both = [(key, series) for (key, _), series in zip(found, kept, strict=True)]
    return [(key, series) for key, series in both if series.t_ns.size and series.values.any()]


def _counter(series: Series, pid: str, thread: int, begin_ns: int, number: int) -> dict[str, object]:
    scale = scale_of(series.metric)
    unit = "bytes" if scale.unit == "bytes" else ""
    values = series.values.astype(np.int64)
    steps = np.diff(values, prepend=0).tolist()
    times = np.maximum(series.t_ns - begin_ns, 0)
    label = series.metric.removeprefix("process.").removeprefix("system.")
    shown = {"type": "value", "format": {"unit": unit or "number"}}
    tooltip = [{**shown, "source": "accumulated", "label": label}, {**shown, "source": "count-range", "label": "range"}]
    return {
        "name": clean(series.metric),
        "category": "harness",
        "description": clean(f"{series.metric}{'' if scale.divisor == 1 else ', in 1/100'}"),
        "pid": pid,
        "mainThreadIndex": thread,
        "samples": {"time": (times / 1e6).tolist(), "count": steps, "length": len(steps)},
        "display": {
            "graphType": "line-accumulated", "unit": unit, "color": _COLOURS[number % len(_COLOURS)],
            "markerSchemaLocation": None, "sortWeight": 20, "label": clean(label), "tooltipRows": tooltip,
        },
    }  # fmt: skip


def _pid(key: ProcessKey | None) -> str:
    """Unique: pids are used again. The first thread stands for the run, the machine and what no process is known for."""
    return "run" if key is None else f"{key.pid}.{key.start_ticks}" + (f".{clean(key.host, 80)}" if key.host else "")


def _threads(report: Report) -> Sequence[_Thread]:
    timeline = report.timeline
    begin = timeline.manifest.started_ns
    run = _Thread("run", _pid(None), 0, 0, None)
    threads = {run.pid: run}
    for number, worker in enumerate(timeline.workers, 1):
        info = worker.info
        name = f"{clean(info.comm, 60)} {info.key} ({clean(info.pool, 60)}, {worker.role.value})"
        ended = None if info.ended_ns is None else _ms(info.ended_ns - begin)
        threads[_pid(info.key)] = _Thread(name, _pid(info.key), number, _ms(info.born_ns - begin), ended)
    run.rows += _of_run(report)
    for event in lifecycle(timeline):
        thread = threads.get(_pid(event.process), run)
        payload = _payload("event", text=clean(told(event), _TEXT_LETTERS))
        thread.rows.append((clean(event.kind), _ms(event.t_ns - begin), None, _EVENTS, payload))
    for key, requests in placed(timeline).items():
        thread = threads.get(_pid(key), run)
        for each in requests:
            start, end = _ms(each.start_ns - begin), _ms(each.end_ns - begin)
            thread.rows.append(("request", start, end, _REQUESTS, _request(each.joined)))
    for thread in threads.values():
        thread.rows.sort(key=lambda row: (row[1], row[0], -1.0 if row[2] is None else row[2]))
    return list(threads.values())


def _of_run(report: Report) -> Iterator[_Row]:
    """Phases with their rounds and blocks, and findings."""
    manifest = report.timeline.manifest
    begin = manifest.started_ns
    for window in report.timeline.windows:
        end = window.start_ns if window.end_ns is None else window.end_ns
        numbers = (
            f"{what} {number}"
            for what, number in (("round", window.round), ("block", window.block))
            if number is not None
        )
        payload = _payload("phase", text=" ".join((window.phase.value, *numbers)))
        yield window.phase.value, _ms(window.start_ns - begin), _ms(end - begin), _PHASES, payload
    for finding in report.findings:
        first, last = finding.range_ns or (begin, manifest.ended_ns or begin)
        payload = _payload(
            "finding",
            text=clean(finding.summary, 600),
            severity=finding.severity.value,
            confidence=finding.confidence.value,
        )
        yield f"finding: {finding.cause.value}", _ms(first - begin), _ms(last - begin), _FINDINGS, payload


def _request(joined: JoinedSpan) -> dict[str, object]:
    span, record = joined.span, joined.record
    return _payload(
        "request",
        endpoint=clean(span.endpoint),
        phase=span.phase.value,
        status=span.status,
        ok="yes" if span.ok else "no",
        latency=span.latency_ns,
        error=None if span.error is None else clean(span.error, _TEXT_LETTERS),
        peak=None if record is None else record.values.get("peak_bytes"),
    )


def _payload(kind: str, **values: object) -> dict[str, object]:
    """Data of a marker; what is not known is left out."""
    return {"type": kind, **{name: value for name, value in values.items() if value is not None}}


def _thread(thread: _Thread, texts: dict[str, int]) -> dict[str, object]:
    rows = thread.rows
    return {
        "processType": "default", "processStartupTime": thread.born_ms, "processShutdownTime": thread.ended_ms,
        "registerTime": thread.born_ms, "unregisterTime": thread.ended_ms, "pausedRanges": [], "name": thread.name,
        "isMainThread": True, "processName": thread.name, "pid": thread.pid, "tid": thread.tid,
        "samples": {"stack": [], "time": [], "weight": None, "weightType": "samples", "length": 0},
        "markers": {
            "data": [payload for *_, payload in rows],
            "name": [texts.setdefault(name, len(texts)) for name, *_ in rows],
            "startTime": [start for _, start, _, _, _ in rows],
            "endTime": [end for _, _, end, _, _ in rows],
            "phase": [_INSTANT if end is None else _INTERVAL for _, _, end, _, _ in rows],
            "category": [category for _, _, _, category, _ in rows],
            "length": len(rows),
        },
    }  # fmt: skip


def _shared(texts: Sequence[str]) -> dict[str, object]:
    """The strings of markers; stacks, frames and functions are none."""
    columns = {
        "stackTable": ("frame", "prefix"),
        "frameTable": ("address", "inlineDepth", "category", "subcategory", "func", "nativeSymbol", "innerWindowID", "line",
                       "column"),
        "funcTable": ("name", "isJS", "relevantForJS", "resource", "source", "lineNumber", "columnNumber"),
        "resourceTable": ("type", "lib", "name", "host"),
        "nativeSymbols": ("libIndex", "address", "name", "functionSize"),
        "sources": ("id", "filename", "startLine", "startColumn", "sourceMapURL"),
    }  # fmt: skip
    tables = {name: {**{column: [] for column in names}, "length": 0} for name, names in columns.items()}
    return {"stringArray": list(texts), **tables}


EXPORT = RunExport(
    "firefox",
    "firefox.json",
    "Firefox Profiler's processed format",
    "Firefox Profiler (https://profiler.firefox.com)",
    parts,
)
