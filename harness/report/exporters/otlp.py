"""OpenTelemetry's JSON lines: https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/.

One file a signal, as the specification demands: metrics (all samples), traces (requests: the sender's span, and within it that
of the process that answered), logs (findings and events). Each line is one message of opentelemetry-proto, ids in hex.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256

from harness.model.finding import Severity
from harness.model.process import ProcessKey, host_key
from harness.model.report import Report
from harness.model.run import Series
from harness.model.timeline import JoinedSpan, Timeline
from harness.plugins.exports import Part, RunExport
from harness.report.lanes import lifecycle
from harness.report.metric_values import scale_of
from harness.report.when import Clocks, told
from harness.report.words import clean, known

_UNITS = {"bytes": "By", "count": "1", "?": "1", "pages": "{page}"}
_PLACE = b'"dataPoints":[]'  # in JSON that a text inside cannot contain: there every quote has a backslash before it
_POINTS = 10_000  # a line; collectors refuse messages of more than some MiB
_SPANS = 2_000
_CLIENT, _SERVER, _ERROR = 3, 2, 2
_CUMULATIVE = 2
_SEVERITIES = {Severity.CRITICAL: (17, "ERROR"), Severity.WARNING: (13, "WARN"), Severity.INFO: (9, "INFO")}
_TEXT_LETTERS = 2_000
_Json = dict[str, object]


def parts(report: Report) -> Iterator[Part]:
    """Three files of JSON lines, ASCII."""
    yield Part("metrics.jsonl", _metrics(report.timeline))
    yield Part("traces.jsonl", _traces(report.timeline))
    yield Part("logs.jsonl", _logs(report))


def _line(message: _Json) -> bytes:
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"


def _attribute(name: str, value: object) -> _Json:
    if isinstance(value, bool):
        kind: _Json = {"boolValue": value}
    elif isinstance(value, int):
        kind = {"intValue": str(value)}
    elif isinstance(value, float):
        kind = {"doubleValue": value}
    else:
        kind = {"stringValue": clean(str(value), _TEXT_LETTERS)}
    return {"key": clean(name), "value": kind}


def _attributes(values: Mapping[str, object]) -> list[_Json]:
    return [_attribute(name, value) for name, value in values.items() if value is not None]


class _Resources:
    """What a message is about: a process, or the machine and the run."""

    def __init__(self, timeline: Timeline) -> None:
        self._run = {"harness.run": timeline.manifest.run_id, "harness.scenario": timeline.manifest.scenario_name}
        self._workers = {worker.info.key: worker for worker in timeline.workers}
        self.wall = timeline.manifest.started_wall_ns - timeline.manifest.started_ns
        self.clocks = Clocks(timeline)

    def of(self, process: ProcessKey | None) -> _Json:
        values: dict[str, object] = {"service.name": "harness", **self._run}
        if process is not None:
            worker = self._workers.get(process)
            values["host.name"] = process.host or None
            if process != host_key(process.host):
                values |= {"process.pid": process.pid, "harness.start_ticks": process.start_ticks}
            if worker is not None:
                values |= {"service.name": worker.info.pool, "process.command": worker.info.comm,
                           "harness.role": worker.role.value}  # fmt: skip
        return {"attributes": _attributes(values)}

    def at(self, t_ns: int) -> str:
        """An instant of the run's clock as OTLP writes it: ns since the epoch, as text."""
        return str(max(0, t_ns + self.wall))


def _metrics(timeline: Timeline) -> Iterator[bytes]:
    resources = _Resources(timeline)
    order = sorted(timeline.series, key=lambda k: (k[1] is not None, k[1] or ProcessKey("", 0, 0), k[0]))
    for key in order:
        series = timeline.series[key]
        resource = resources.of(key[1])
        for begin in range(0, series.t_ns.size, _POINTS):
            metric, points = _metric(key[0], series, begin, resources, timeline.manifest.started_ns)
            scope = {"scope": {"name": "harness"}, "metrics": [metric]}
            line = _line({"resourceMetrics": [{"resource": resource, "scopeMetrics": [scope]}]})
            yield line.replace(_PLACE, points, 1)


def _metric(name: str, series: Series, begin: int, resources: _Resources, started_ns: int) -> tuple[_Json, bytes]:
    """The metric with a place for its points, and the points: there may be millions, and they hold numbers only."""
    scale = scale_of(name)
    times, values = (column[begin : begin + _POINTS].tolist() for column in (series.t_ns, series.values))
    start = f'"startTimeUnixNano":"{resources.at(started_ns)}",' if scale.rises else ""
    if scale.divisor == 1:
        shown = [f'"asInt":"{value}"' for value in values]
    else:
        shown = [f'"asDouble":{value / scale.divisor!r}' for value in values]
    wall = resources.wall
    points = [f'{{{start}"timeUnixNano":"{max(0, t + wall)}",{v}}}' for t, v in zip(times, shown, strict=True)]
    data: _Json = {"dataPoints": []}
    if scale.rises:
        data |= {"aggregationTemporality": _CUMULATIVE, "isMonotonic": True}
    kind = "sum" if scale.rises else "gauge"
    metric: _Json = {"name": clean(name), "unit": _UNITS.get(scale.unit, scale.unit), kind: data}
    return metric, b'"dataPoints":[' + ",".join(points).encode("ascii") + b"]"


def _traces(timeline: Timeline) -> Iterator[bytes]:
    resources = _Resources(timeline)
    sent = sorted(timeline.spans, key=lambda j: (j.span.start_ns, j.span.span_id))
    run = timeline.manifest.run_id
    for begin in range(0, len(sent), _SPANS):
        rows = sent[begin : begin + _SPANS]
        yield _spans(resources.of(None), [_sent(joined, run, resources) for joined in rows])
    by_worker: dict[ProcessKey, list[JoinedSpan]] = {}
    for joined in sent:
        if joined.worker is not None and joined.record is not None:
            by_worker.setdefault(joined.worker, []).append(joined)
    for worker in sorted(by_worker):
        spans = [span for joined in by_worker[worker] if (span := _answered(joined, run, resources)) is not None]
        for begin in range(0, len(spans), _SPANS):
            yield _spans(resources.of(worker), spans[begin : begin + _SPANS])


def _spans(resource: _Json, spans: Sequence[_Json]) -> bytes:
    scope = {"scope": {"name": "harness"}, "spans": spans}
    return _line({"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]})


def _id(run: str, span_id: str, what: str, digits: int) -> str:
    """The ids that were sent are in no report; these are as unique, and the same each time."""
    return sha256(f"{run}\0{span_id}\0{what}".encode("utf-8", "replace")).hexdigest()[:digits]


def _own_id(run: str, span_id: str) -> str:
    """The id that was sent, where it is one."""
    sound = len(span_id) == 16 and all(c in "0123456789abcdef" for c in span_id) and span_id.strip("0")
    return span_id if sound else _id(run, span_id, "sent", 16)


def _sent(joined: JoinedSpan, run: str, resources: _Resources) -> _Json:
    span = joined.span
    values = {
        "http.response.status_code": span.status, "harness.phase": span.phase.value, "harness.round": span.round,
        "harness.block": span.block, "harness.user": span.user, "http.response.body.size": span.body_bytes,
        "harness.latency_ns": span.latency_ns, "harness.joined_by": joined.method.value,
        "harness.failed_checks": ", ".join(span.failed_checks) or None,
    }  # fmt: skip
    found: _Json = {
        "traceId": _id(run, span.span_id, "trace", 32),
        "spanId": _own_id(run, span.span_id),
        "name": clean(span.endpoint),
        "kind": _CLIENT,
        "startTimeUnixNano": resources.at(span.start_ns),
        "endTimeUnixNano": resources.at(max(span.start_ns, span.end_ns)),
        "attributes": _attributes(values),
    }
    if not span.ok:
        text = span.error or ("a check failed" if span.failed_checks else "no response")
        found["status"] = {"code": _ERROR, "message": clean(text, _TEXT_LETTERS)}
    return found


def _answered(joined: JoinedSpan, run: str, resources: _Resources) -> _Json | None:
    record, span = joined.record, joined.span
    if record is None or record.start_ns is None or record.end_ns is None:
        return None
    values: dict[str, object] = {f"harness.{name}": value for name, value in sorted(record.values.items())}
    if joined.worker is not None and joined.worker.host:
        values["harness.within_ns"] = resources.clocks.moment(record.start_ns, joined.worker.host).within_ns
    return {
        "traceId": _id(run, span.span_id, "trace", 32),
        "spanId": _id(run, span.span_id, "answered", 16),
        "parentSpanId": _own_id(run, span.span_id),
        "name": clean(record.name or span.endpoint),
        "kind": _SERVER,
        "startTimeUnixNano": resources.at(record.start_ns),
        "endTimeUnixNano": resources.at(max(record.start_ns, record.end_ns)),
        "attributes": _attributes(
            {"http.response.status_code": record.status, "harness.source": record.source, **values}
        ),
    }


def _logs(report: Report) -> Iterator[bytes]:
    timeline = report.timeline
    resources = _Resources(timeline)
    begin = timeline.manifest.started_ns
    for number, finding in enumerate(report.findings, 1):
        at = begin if finding.range_ns is None else finding.range_ns[0]
        severity, text = _SEVERITIES[finding.severity]
        growth = known(finding.growth.bytes_per_request)
        values = {
            "harness.finding": number, "harness.cause": finding.cause.value, "harness.confidence": finding.confidence.value,
            "harness.pool": finding.subject.pool, "harness.endpoint": finding.subject.endpoint,
            "harness.bytes_per_request": None if growth is None else float(growth),
        }  # fmt: skip
        yield _log(resources.of(None), resources.at(at), finding.summary, severity, text, values)
    for event in lifecycle(timeline):
        attributes = {name: known(v) if isinstance(v, float) else v for name, v in sorted(event.attributes.items())}
        values = {"harness.event": event.kind, **attributes}
        yield _log(resources.of(event.process), resources.at(event.t_ns), told(event), 9, "INFO", values)


def _log(resource: _Json, at: str, text: str, severity: int, name: str, values: Mapping[str, object]) -> bytes:
    record = {
        "timeUnixNano": at, "observedTimeUnixNano": at, "severityNumber": severity, "severityText": name,
        "body": {"stringValue": clean(text, _TEXT_LETTERS)}, "attributes": _attributes(values),
    }  # fmt: skip
    scope = {"scope": {"name": "harness"}, "logRecords": [record]}
    return _line({"resourceLogs": [{"resource": resource, "scopeLogs": [scope]}]})


EXPORT = RunExport(
    "otlp",
    "jsonl",
    "OpenTelemetry's JSON lines",
    "OpenTelemetry collectors (otlpjsonfile receiver)",
    parts,
    several=True,
)
