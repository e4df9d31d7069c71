"""Judge the lines of ``expect:``. Fails closed: where the data is missing the answer is None, which counts as failed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.analysis.tables import peak_pss
from harness.diagnose.engine import Diagnosis
from harness.model.report import EndpointRow, ExpectationResult
from harness.model.span import PhaseName
from harness.model.timeline import Timeline
from harness.scenario.expect import Expectation, Unit, parse_expectation
from harness.units import format_bytes, format_duration


def evaluate(
    timeline: Timeline, diagnosis: Diagnosis, endpoints: Sequence[EndpointRow]
) -> tuple[ExpectationResult, ...]:
    """One result per line of the scenario's ``expect``, in order."""
    lines = _lines(timeline)
    if lines is None:
        return not_evaluated(timeline)
    return tuple(_judge(line, timeline, diagnosis, endpoints) for line in lines)


def not_evaluated(timeline: Timeline) -> tuple[ExpectationResult, ...]:
    """The same lines, none of them met: where they could not be judged."""
    lines = _lines(timeline)
    if lines is None:
        told = f"not a list: {timeline.manifest.scenario.get('expect')!r}"[:200]
        return (ExpectationResult("expect", told, None),)
    return tuple(ExpectationResult(line, "could not be judged", None) for line in lines)


def _lines(timeline: Timeline) -> Sequence[str] | None:
    lines = timeline.manifest.scenario.get("expect") or ()
    return [str(line) for line in lines] if isinstance(lines, list | tuple) else None


def _judge(line: str, timeline: Timeline, diagnosis: Diagnosis, endpoints: Sequence[EndpointRow]) -> ExpectationResult:
    try:
        expectation = parse_expectation(line)
    except ValueError as error:
        return ExpectationResult(line, str(error), None)
    if expectation.kind == "verdict":
        return _verdict(expectation, diagnosis)
    if expectation.metric == "retained_bytes_per_request":
        return _retained(expectation, diagnosis, endpoints)
    actual = _measure(expectation, timeline, diagnosis)
    if actual is None:
        return ExpectationResult(line, "not measured", None)
    return ExpectationResult(line, _show(actual, expectation.unit), expectation.holds(actual))


def _verdict(expectation: Expectation, diagnosis: Diagnosis) -> ExpectationResult:
    cause = diagnosis.verdict.cause
    # "is not leak" is not met by "we could not tell"
    undecided = cause == "inconclusive" and "inconclusive" not in expectation.causes
    return ExpectationResult(expectation.expr, cause.value, None if undecided else expectation.accepts(cause))


def _retained(expectation: Expectation, diagnosis: Diagnosis, endpoints: Sequence[EndpointRow]) -> ExpectationResult:
    """Growth per request: of one endpoint, or of the average request of the fastest growing pool.

    An upper limit is judged by the upper end of the interval and a lower limit by the lower: a limit that lies inside the
    interval can be neither confirmed nor denied by this run.
    """
    if expectation.endpoint is not None:
        row = next((e for e in endpoints if e.name == expectation.endpoint), None)
        value, interval = (row.retained_bytes_per_request, row.ci95) if row is not None else (None, None)
    else:
        value, interval = diagnosis.retained() or (None, None)
    if value is None or interval is None:
        return ExpectationResult(expectation.expr, "not measured", None)
    actual = f"{format_bytes(value)} (95 % CI {format_bytes(interval[0])} to {format_bytes(interval[1])})"
    answers = {expectation.holds(interval[0]), expectation.holds(interval[1])}
    return ExpectationResult(expectation.expr, actual, answers.pop() if len(answers) == 1 else None)


def _measure(expectation: Expectation, timeline: Timeline, diagnosis: Diagnosis) -> float | None:
    """The metric in the expectation's unit; None when this run cannot say."""
    if expectation.metric == "peak_pss":
        return peak_pss(timeline, expectation.pool)
    if expectation.metric == "growth_per_hour":
        return diagnosis.bytes_per_hour(expectation.pool)
    spans = [
        j.span
        for j in timeline.spans
        if j.span.phase is PhaseName.ROUNDS and expectation.endpoint in (None, j.span.endpoint)
    ]
    if not spans:
        return None
    if expectation.metric == "errors":
        errors = sum(not s.ok for s in spans)
        return errors / len(spans) if expectation.unit is Unit.RATIO else errors
    latencies = [s.latency_ns for s in spans if s.status is not None]
    percent = {"p50": 50, "p99": 99}.get(expectation.metric or "")
    return float(np.percentile(latencies, percent)) if latencies and percent is not None else None


def _show(value: float, unit: Unit | None) -> str:
    if unit is Unit.BYTES:
        return format_bytes(value)
    if unit is Unit.NS:
        return format_duration(value)
    return f"{100 * value:.2g} %" if unit is Unit.RATIO else f"{value:g}"
