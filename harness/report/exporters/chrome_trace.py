"""Chrome's Trace Event Format for a whole run: what Perfetto and chrome://tracing open.

https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU. A process of ours is a process of the trace; a
request is a slice on a thread of its process, and requests that overlap are on different threads, for slices of one thread must
nest. Whole µs since the run's begin: cutting keeps order, so cut stretches overlap no more than the measured ones. The tables
(csv, parquet) are exact to the ns.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import count

from harness.model.event import Window
from harness.model.process import ProcessKey, host_key
from harness.model.report import Report
from harness.model.run import Series
from harness.model.timeline import Timeline
from harness.plugins.exports import Part, RunExport
from harness.report.lanes import Placed, lanes, lifecycle, placed
from harness.report.metric_values import decimal, scale_of
from harness.report.thinning import thinned
from harness.report.when import Clocks, plus_minus, told
from harness.report.words import clean, known, started

COUNTER_CAP = 2_000_000  # at 90 bytes each; beyond that viewers in a browser run out of memory
_FIRST_THREAD = 1 << 23  # above all pids of Linux, so that a thread of ours is never taken for one of the system
_PIECE = 100_000  # events written at once
_TEXT_LETTERS = 300
_RECORDED = ("rss_start_bytes", "rss_end_bytes", "peak_bytes")  # of what an agent wrote down for a request
_UNITS = {"%": "percent", "1": "number", "?": "number"}


def parts(report: Report) -> Iterator[Part]:
    """One file, UTF-8."""
    yield Part("", pieces(report))


def pieces(report: Report) -> Iterator[bytes]:
    """The file piece by piece."""
    timeline = report.timeline
    series = list(timeline.series.values())
    kept = thinned(series, COUNTER_CAP)
    head = {
        "displayTimeUnit": "ms",
        "otherData": {
            "exporter": "harness",
            "run": clean(timeline.manifest.run_id),
            "started": started(timeline.manifest).isoformat(),
            "samples": sum(each.t_ns.size for each in series),
            "samples_here": sum(each.t_ns.size for each in kept),
            **_clocks(timeline),
        },
    }
    yield dumped(head)[:-1].encode("utf-8") + b',"traceEvents":[\n'
    numbers = _Numbers(timeline)
    yield _joined(numbers.names(timeline))
    begin = timeline.manifest.started_ns
    for each in kept:
        yield from _counters(each, numbers.process(each.process), begin)
    for key, requests in placed(timeline).items():
        yield b",\n" + _joined(_requests(requests, key, numbers, Clocks(timeline), begin))
    for events in (_phases(timeline, numbers), _findings(report, numbers), _lifecycle(timeline, numbers)):
        text_ = _joined(events)
        yield b",\n" + text_ if text_ else b""
    yield b"\n]}\n"


def _clocks(timeline: Timeline) -> dict[str, object]:
    """How far times of other hosts can be trusted: viewers have no place for it, and show an order all the same."""
    manifest = timeline.manifest
    end_ns = manifest.ended_ns or manifest.started_ns
    found = {
        clean(clock.host.name): f"times within {plus_minus(clock.most(manifest.started_ns, end_ns))}"
        for clock in timeline.hosts
    }
    note = "what two hosts did closer together than that has no order that is known"
    return {"clocks": {**found, "note": note}} if found else {}


def _counters(series: Series, process: int, begin_ns: int) -> Iterator[bytes]:
    """Each sample as an event: there may be millions, and they hold numbers only."""
    scale = scale_of(series.metric)
    text = dumped({"ph": "C", "pid": process, "name": clean(series.metric)})[:-1]
    unit = dumped(_UNITS.get(scale.unit, scale.unit))
    for first in range(0, series.t_ns.size, _PIECE):
        piece = slice(first, first + _PIECE)
        times, values = ((series.t_ns[piece] - begin_ns) // 1000).tolist(), series.values[piece].tolist()
        shown = values if scale.divisor == 1 else [decimal(value, scale.divisor) for value in values]
        yield "".join(
            f',\n{text},"ts":{max(0, t)},"args":{{{unit}:{v}}}}}' for t, v in zip(times, shown, strict=True)
        ).encode("utf-8")


def _joined(events: Iterator[dict[str, object]]) -> bytes:
    return ",\n".join(map(dumped, events)).encode("utf-8")


def dumped(value: object) -> str:
    """JSON with letters as they are: Perfetto refuses a file with an escaped pair of surrogates."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


class _Numbers:
    """Numbers of processes and threads in the trace: the pid where it was used once in the run, else one that is free."""

    def __init__(self, timeline: Timeline) -> None:
        used = {worker.info.key.pid for worker in timeline.workers}
        spare = count(max(used, default=0) + 1)
        self.run, self._host, self._nobody = next(spare), next(spare), next(spare)
        self._threads = count(_FIRST_THREAD)
        self._processes: dict[ProcessKey, int] = {}
        taken: set[int] = set()
        for worker in timeline.workers:
            key = worker.info.key
            number = next(spare) if key.pid in taken else key.pid
            taken.add(number)
            self._processes[key] = number
        self._machines = {clock.host.name: next(spare) for clock in timeline.hosts if not clock.host.first}
        self._first = next((clock.host.name for clock in timeline.hosts if clock.host.first), "")

    def process(self, key: ProcessKey | None) -> int:
        """Of a process; of the machine for None."""
        if key is None:
            return self._host
        if key == host_key(key.host):
            return self._machines.get(key.host, self._nobody)
        return self._processes.get(key, self._nobody)

    def server(self, key: ProcessKey | None) -> int:
        """Of a process; for None the one that stands for all whose server is not known."""
        return self._nobody if key is None else self.process(key)

    def thread(self) -> int:
        """Of a thread that no other has."""
        return next(self._threads)

    def names(self, timeline: Timeline) -> Iterator[dict[str, object]]:
        rows = [
            (self.run, "run: phases, findings, events"),
            (self._host, f"machine{' ' + clean(self._first) if self._first else ''}, sampler and load generator"),
            (self._nobody, "requests of unknown processes"),
            *((number, f"machine {clean(name)} and its sampler") for name, number in self._machines.items()),
        ]
        for worker in timeline.workers:
            info = worker.info
            name = f"{clean(info.comm, 60)} {info.key} ({clean(info.pool, 60)}, {worker.role.value})"
            rows.append((self._processes[info.key], name))
        for order, (number, name) in enumerate(rows):
            yield _meta("process_name", number, number, name=name)
            yield _meta("process_sort_index", number, number, sort_index=order)


def _meta(kind: str, process: int, thread: int, **args: object) -> dict[str, object]:
    return {"ph": "M", "pid": process, "tid": thread, "name": kind, "args": args}


def _requests(
    requests: Sequence[Placed], key: ProcessKey | None, numbers: _Numbers, clocks: Clocks, begin_ns: int
) -> Iterator[dict[str, object]]:
    process, thread, lane = numbers.server(key), 0, -1
    host = "" if key is None else key.host
    for each in requests:
        if each.lane != lane:
            lane, thread = each.lane, numbers.thread()
            yield _meta("thread_name", process, thread, name=f"requests {lane + 1}")
        span = each.joined.span
        args: dict[str, object] = {
            "ok": span.ok,
            "phase": span.phase.value,
            "latency_us": span.latency_ns // 1000,
            "times": "of the process" if each.inside else "of the sender",
            "span_id": clean(span.span_id, 16),
        }
        values: dict[str, object] = {
            "status": span.status,
            "round": span.round,
            "error": None if span.error is None else clean(span.error, _TEXT_LETTERS),
        }
        within_ns = clocks.moment(each.start_ns, host).within_ns if each.inside else 0
        if within_ns != 0:
            args["times"] = f"of the process, within {plus_minus(within_ns)}"
        if each.joined.record is not None:
            values |= {name: each.joined.record.values.get(name) for name in _RECORDED}
        args |= {name: value for name, value in values.items() if value is not None}
        yield _slice(
            process, thread, clean(span.endpoint), "request", (each.start_ns - begin_ns, each.end_ns - begin_ns), args
        )


def _slice(
    process: int, thread: int, name: str, category: str, stretch_ns: tuple[int, int], args: Mapping[str, object]
) -> dict[str, object]:
    start, end = (max(0, t) // 1000 for t in stretch_ns)
    return {
        "ph": "X", "pid": process, "tid": thread, "cat": category, "name": name, "ts": start, "dur": max(0, end - start),
        "args": args,
    }  # fmt: skip


def _phases(timeline: Timeline, numbers: _Numbers) -> Iterator[dict[str, object]]:
    """Phases, rounds and blocks, on a thread for each of the three levels."""
    manifest = timeline.manifest
    last = max((w.end_ns or w.start_ns for w in timeline.windows), default=manifest.started_ns)
    last = max(last, manifest.ended_ns or last)
    levels: dict[int, list[Window]] = {}
    for window in timeline.windows:
        levels.setdefault((window.round is not None) + (window.block is not None), []).append(window)
    for level, windows in sorted(levels.items()):
        rows = sorted(windows, key=lambda w: (w.start_ns, w.end_ns or last))
        tracks: dict[int, int] = {}
        for window, lane in zip(rows, lanes((w.start_ns, w.end_ns or last) for w in rows), strict=True):
            if lane not in tracks:
                tracks[lane] = numbers.thread()
                yield _meta("thread_name", numbers.run, tracks[lane], name=("phases", "rounds", "blocks")[level])
            number = "" if level == 0 else f" {window.round if level == 1 else window.block}"
            stretch = (window.start_ns - manifest.started_ns, (window.end_ns or last) - manifest.started_ns)
            name = f"{window.phase.value}{number}"
            yield _slice(
                numbers.run, tracks[lane], name, "phase", stretch, {"round": window.round, "block": window.block}
            )


def _findings(report: Report, numbers: _Numbers) -> Iterator[dict[str, object]]:
    """An instant for each finding, and a slice where it is about a stretch of the run."""
    begin = report.timeline.manifest.started_ns
    thread = numbers.thread()
    yield _meta("thread_name", numbers.run, thread, name="findings")
    for number, finding in enumerate(report.findings):
        at = begin if finding.range_ns is None else finding.range_ns[0]
        args: dict[str, object] = {
            "number": number + 1,
            "summary": clean(finding.summary, 600),
            "severity": finding.severity.value,
            "confidence": finding.confidence.value,
        }
        growth = known(finding.growth.bytes_per_request)
        if growth is not None:
            args["bytes_per_request"] = growth
        name = f"finding: {finding.cause.value}"
        yield {"ph": "i", "s": "g", "pid": numbers.run, "tid": thread, "cat": "finding", "name": name,
               "ts": max(0, at - begin) // 1000, "args": args}  # fmt: skip
        if finding.range_ns is not None:
            own = numbers.thread()
            yield _meta("thread_name", numbers.run, own, name=f"finding {number + 1}")
            stretch = (finding.range_ns[0] - begin, finding.range_ns[1] - begin)
            yield _slice(numbers.run, own, name, "finding", stretch, args)


def _lifecycle(timeline: Timeline, numbers: _Numbers) -> Iterator[dict[str, object]]:
    begin = timeline.manifest.started_ns
    for event in lifecycle(timeline):
        process = numbers.run if event.process is None else numbers.process(event.process)
        yield {"ph": "i", "s": "p", "pid": process, "tid": process, "cat": "event", "name": clean(event.kind),
               "ts": max(0, event.t_ns - begin) // 1000, "args": {"text": clean(told(event), _TEXT_LETTERS)}}  # fmt: skip


EXPORT = RunExport(
    "chrome-trace", "trace.json", "Chrome Trace JSON", "Perfetto (https://ui.perfetto.dev), chrome://tracing", parts
)
