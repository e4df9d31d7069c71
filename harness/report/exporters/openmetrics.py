"""OpenMetrics text with a timestamp at each sample: what ``promtool tsdb create-blocks-from openmetrics`` takes.

https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md. Names are ``harness_`` and the metric's with
``_`` for dots, units are base units (seconds, ratio). Prometheus counts time in ms: of samples within one ms the last is written.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.model.metric import FAMILIES
from harness.model.process import ProcessKey, host_key
from harness.model.report import Report
from harness.model.run import Series
from harness.model.timeline import JoinedSpan
from harness.plugins.exports import Part, RunExport
from harness.report.metric_values import decimal, scale_of
from harness.report.when import Clocks
from harness.report.words import clean

_NOT_NAME = re.compile(r"[^a-zA-Z0-9_]+")
_CGROUP = re.compile(r"cgroup\.(.+)\.((?:memory|pids)\..+)", re.DOTALL)
_RESERVED = ("_total", "_created", "_bucket", "_count", "_sum", "_info", "_gsum", "_gcount")
_CLOCK_ERROR = "harness_clock_error_seconds"
_OWN = frozenset(
    {"harness_requests", "harness_request_latency_seconds", "harness_finding", _CLOCK_ERROR}
)  # a bundle may name metrics so
# unit -> (what the name ends with, how much larger its base unit is)
_BASE = {"bytes": ("bytes", 1), "ns": ("seconds", 1_000_000_000), "%": ("ratio", 100), "pages": ("pages", 1)}
_LABEL_LETTERS = 200
_PIECE = 100_000  # samples written at once
_REQUEST_STEP_NS = 1_000_000_000
_MS = 1_000_000

Labels = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class _Family:
    name: str
    kind: str  # gauge | counter
    unit: str
    divisor: int
    help: str
    members: list[tuple[Labels, Series]] = field(default_factory=list)


def parts(report: Report) -> Iterator[Part]:
    """One file, UTF-8."""
    yield Part("", pieces(report))


def pieces(report: Report) -> Iterator[bytes]:
    """The file piece by piece."""
    manifest = report.timeline.manifest
    offset = manifest.started_wall_ns - manifest.started_ns
    run = (("run", clean(manifest.run_id, _LABEL_LETTERS)),)
    families = _families(report, run)
    for name in sorted(families):
        family = families[name]
        yield _head(family.name, family.kind, family.unit, family.help)
        sample = f"{family.name}_total" if family.kind == "counter" else family.name
        for labels, series in sorted(family.members, key=lambda member: member[0]):
            yield from _samples(sample, labels, series, family.divisor, offset)
    yield from _requests(report.timeline.spans, run, offset)
    yield from _findings(report, run, manifest.started_wall_ns)
    yield from _clock_errors(report, run)
    yield b"# EOF\n"


def _head(name: str, kind: str, unit: str, text: str) -> bytes:
    lines = [f"# TYPE {name} {kind}"]
    if unit:
        lines.append(f"# UNIT {name} {unit}")
    lines.append(f"# HELP {name} {_escaped(text)}")
    return ("\n".join(lines) + "\n").encode("utf-8")


def _families(report: Report, run: Labels) -> Mapping[str, _Family]:
    timeline = report.timeline
    about = {worker.info.key: worker for worker in timeline.workers}
    found: dict[str, _Family] = {}
    clocks = Clocks(timeline)
    for metric, process in sorted(timeline.series, key=lambda key: key[0]):
        series = timeline.series[metric, process]
        place = clocks.place(metric, process)
        labels = [*run, *([("host", place)] if process is None and place else [])]
        if process is not None:
            labels += _process_labels(process)
            worker = about.get(process)
            if worker is not None:
                labels += [("pool", worker.info.pool), ("role", worker.role.value), ("comm", worker.info.comm)]
        base, more = _split(metric)
        scale = scale_of(metric)
        ending, factor = _BASE.get(scale.unit, ("", 1))
        name = f"harness_{_NOT_NAME.sub('_', base).strip('_')}" + (f"_{ending}" if ending else "")
        if name.endswith(_RESERVED) or name in _OWN:
            name += "_value"
        kind = "counter" if scale.rises else "gauge"
        divisor = scale.divisor * factor
        family = found.setdefault(name, _Family(name, kind, ending, divisor, f"sampled as {clean(base)}"))
        if (family.kind, family.divisor) != (kind, divisor):  # two metrics that differ in what the name cannot hold
            name = f"{name}_{kind}_{divisor}"
            family = found.setdefault(name, _Family(name, kind, "", divisor, f"sampled as {clean(base)}"))
        unclear = scale.unit == "?" or _NOT_NAME.sub("_", base) != base.replace(".", "_")
        metric_label = [("metric", metric)] if unclear else []
        family.members.append((_labels([*labels, *more, *metric_label]), series))
    return found


def _process_labels(process: ProcessKey) -> list[tuple[str, str]]:
    host = [("host", process.host)] if process.host else []
    if process == host_key(process.host):
        return host
    return [*host, ("pid", str(process.pid)), ("start", str(process.start_ticks))]


def _split(metric: str) -> tuple[str, list[tuple[str, str]]]:
    """The fixed part of a metric's name, and as labels what depends on the machine: caches, zones, pools."""
    cgroup = _CGROUP.fullmatch(metric)
    if cgroup is not None:
        return f"cgroup.{cgroup[2]}", [("pool", cgroup[1])]
    for prefix, _, _ in FAMILIES:
        if metric == prefix:
            break
        if metric.startswith(prefix):
            return prefix.rstrip("._"), [("name", metric[len(prefix) :])]
    return metric, []


def _labels(labels: Sequence[tuple[str, str]]) -> Labels:
    return tuple((name, clean(text, _LABEL_LETTERS)) for name, text in labels)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _written(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{_escaped(text)}"' for name, text in labels) + "}"


def _samples(name: str, labels: Labels, series: Series, divisor: int, offset_ns: int) -> Iterator[bytes]:
    milliseconds = (series.t_ns.astype(np.int64) + offset_ns) // _MS
    if not milliseconds.size:
        return
    last = np.append(np.flatnonzero(np.diff(milliseconds) > 0), milliseconds.size - 1)
    head = f"{name}{_written(labels)} "
    for first in range(0, last.size, _PIECE):
        index = last[first : first + _PIECE]
        pairs = zip(series.values[index].tolist(), milliseconds[index].tolist(), strict=True)
        yield "".join(f"{head}{decimal(value, divisor)} {decimal(ms, 1000)}\n" for value, ms in pairs).encode("utf-8")


def _requests(spans: Sequence[JoinedSpan], run: Labels, offset_ns: int) -> Iterator[bytes]:
    """Requests that ended and their latencies together, at the end of every second in which one did."""
    if not spans:
        return
    by_labels: dict[Labels, list[tuple[int, int]]] = defaultdict(list)
    for joined in spans:
        span = joined.span
        outcome = "ok" if span.ok else "failed"
        labels = _labels([("endpoint", span.endpoint), ("phase", span.phase.value), ("outcome", outcome)])
        by_labels[(*run, *labels)].append((max(span.start_ns, span.end_ns), max(0, span.latency_ns)))
    rows = [(labels, _by_second(ended, offset_ns)) for labels, ended in sorted(by_labels.items())]
    name = "harness_request_latency_seconds"
    yield _head(
        name, "counter", "seconds", "from the intended begin to the last byte, of all requests together; at the sender"
    )
    for labels, seconds in rows:
        head = f"{name}_total{_written(labels)} "
        yield "".join(f"{head}{decimal(total, 1_000_000_000)} {at}\n" for at, _, total in seconds).encode("utf-8")
    name = "harness_requests"
    yield _head(name, "counter", "", "requests that ended, as their sender saw them")
    for labels, seconds in rows:
        head = f"{name}_total{_written(labels)} "
        yield "".join(f"{head}{count} {at}\n" for at, count, _ in seconds).encode("utf-8")


def _by_second(ended: Sequence[tuple[int, int]], offset_ns: int) -> list[tuple[str, int, int]]:
    """Of (end, latency): timestamp, requests so far, latencies so far."""
    found: dict[int, tuple[int, int]] = {}
    count = total = 0
    for end, latency in sorted(ended):
        count, total = count + 1, total + latency
        found[end // _REQUEST_STEP_NS] = (count, total)
    return [
        (decimal(((second + 1) * _REQUEST_STEP_NS + offset_ns) // _MS, 1000), *sums) for second, sums in found.items()
    ]


def _findings(report: Report, run: Labels, started_wall_ns: int) -> Iterator[bytes]:
    if not report.findings:
        return
    yield _head("harness_finding", "info", "", "what the analysis found; see the report for the evidence")
    begin = report.timeline.manifest.started_ns
    for number, finding in enumerate(report.findings, 1):
        at = started_wall_ns if finding.range_ns is None else finding.range_ns[0] - begin + started_wall_ns
        labels = _labels([
            ("number", str(number)), ("cause", finding.cause.value), ("severity", finding.severity.value),
            ("confidence", finding.confidence.value), ("pool", finding.subject.pool or ""),
            ("endpoint", finding.subject.endpoint or ""),
        ])  # fmt: skip
        yield f"harness_finding_info{_written((*run, *labels))} 1 {decimal(at // _MS, 1000)}\n".encode()


def _clock_errors(report: Report, run: Labels) -> Iterator[bytes]:
    """How far the samples of each other host may be off in time: what is closer together than that has no known order."""
    manifest = report.timeline.manifest
    end_ns = manifest.ended_ns or manifest.started_ns
    errors = [(clock.host.name, clock.most(manifest.started_ns, end_ns)) for clock in report.timeline.hosts]
    known_ = [(name, error_ns) for name, error_ns in errors if error_ns is not None]
    if not known_:
        return
    yield _head(_CLOCK_ERROR, "gauge", "seconds", "times of samples of this host may be off by so much")
    at = decimal(manifest.started_wall_ns // _MS, 1000)
    for name, error_ns in known_:
        labels = _written((*run, *_labels([("host", name)])))
        yield f"{_CLOCK_ERROR}{labels} {decimal(error_ns, 1_000_000_000)} {at}\n".encode()


EXPORT = RunExport(
    "openmetrics",
    "openmetrics.txt",
    "OpenMetrics with timestamps",
    "Prometheus (promtool tsdb create-blocks-from openmetrics)",
    parts,
)
