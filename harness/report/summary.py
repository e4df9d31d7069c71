"""What the short reports say, before anyone decides how it looks: the content of the terminal summary and of Markdown."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.model.finding import Advice, Finding, Prescription
from harness.model.report import EndpointRow, ExpectationResult, Report
from harness.report import words
from harness.report.highlights import Highlight, highlights
from harness.report.host_words import container_lines, host_lines, places_brief
from harness.report.ledger_words import ledger_line
from harness.report.peak_words import peak_line
from harness.report.places import beside
from harness.units import format_duration

_FINDINGS, _ENDPOINTS = 3, 6
_BECAUSE, _CHANGE = 8, 8  # lines


@dataclass(frozen=True, slots=True)
class FindingSummary:
    """A finding in short texts; empty ones are left out by whoever prints.

    ``action``, ``because`` and ``change`` (lines) are of the first recommendation; ``also`` names the others; ``answers`` say why
    what is often recommended would not help. ``siblings``: how others that do the same work do.
    """

    severity: str
    cause: str
    sentence: str
    subject: str
    numbers: str
    action: str
    because: tuple[str, ...] = ()
    change: tuple[str, ...] = ()
    also: str = ""
    answers: tuple[str, ...] = ()
    siblings: str = ""


@dataclass(frozen=True, slots=True)
class EndpointSummary:
    """The cells of one row."""

    name: str
    requests: str
    errors: str
    p50: str
    p99: str
    retained: str


@dataclass(frozen=True, slots=True)
class Summary:
    """All texts are one line each and free of control characters."""

    scenario: str
    tone: words.Tone
    verdict: str
    confidence: str
    run: str
    trouble: str | None  # why the run is not complete
    findings: tuple[FindingSummary, ...]
    more_findings: int
    endpoints: tuple[EndpointSummary, ...]
    more_endpoints: int
    expectations: tuple[tuple[bool | None, str], ...]
    joined: str
    overhead: str
    missing: tuple[str, ...]
    profiles: str | None
    highlights: tuple[Highlight, ...]
    memory: str | None = None  # what a worker's memory consists of
    peak: str | None = None  # who raised the high-water mark most
    hosts: tuple[str, ...] = ()  # how hosts of one role compare, and a line each
    containers: tuple[str, ...] = ()  # a line each
    places: str | None = None  # hosts and containers in one line
    version: str | None = None  # of the application
    blind_spot: str | None = None  # of the first expectation that was met and has one


def summarise(report: Report) -> Summary:
    """Pick what matters most: the first findings as ranked by diagnosis, the endpoints that keep most memory."""
    manifest = report.timeline.manifest
    seconds = words.run_seconds(manifest)
    length = "unfinished" if seconds is None else format_duration(seconds * 1e9)
    spans = report.timeline.coverage.spans
    ranked = sorted(report.endpoints, key=by_retained)
    return Summary(
        scenario=words.clean(manifest.scenario_name),
        tone=words.tone(report.verdict.cause),
        verdict=words.clean(report.verdict.summary, 600),
        confidence=words.confidence(report.verdict.confidence),
        run=", ".join(
            [
                words.clean(manifest.run_id),
                length,
                *([words.counted(spans, "request")] if spans else []),
                words.counted(len(report.timeline.workers), "process", "processes"),
            ]
        ),
        trouble=words.status_text(manifest),
        findings=tuple(_finding(report, f) for f in report.findings[:_FINDINGS]),
        more_findings=max(0, len(report.findings) - _FINDINGS),
        endpoints=tuple(_endpoint(e) for e in ranked[:_ENDPOINTS]),
        more_endpoints=max(0, len(ranked) - _ENDPOINTS),
        expectations=tuple((e.passed, _expectation(e)) for e in report.expectations),
        joined=words.joined_share(report),
        overhead=words.overhead_line(report.overhead),
        missing=tuple(_sentence(f"{m.signal}: {m.reason}", m.costs) for m in report.missing),
        profiles=_profiles(report),
        highlights=highlights(report),
        memory=ledger_line(report),
        hosts=host_lines(report),
        containers=container_lines(report),
        places=places_brief(report),
        version=words.version(manifest),
        peak=None if (peak := peak_line(report)) is None else words.clean(peak, 300),
        blind_spot=next((words.clean(e.note, 300) for e in report.expectations if e.passed and e.note), None),
    )


def by_retained(row: EndpointRow) -> tuple[float, int, str]:
    """Sort key: what keeps most memory first, unknown last, then by number of requests."""
    value = row.retained_bytes_per_request
    return (math.inf if value is None or not math.isfinite(value) else -value, -row.requests, row.name)


def _finding(report: Report, finding: Finding) -> FindingSummary:
    numbers = (*words.growth_parts(finding.growth), words.confidence(finding.confidence))
    recommended = [p for p in finding.prescriptions if p.kind is Advice.DO]
    first = recommended[0] if recommended else None
    action = (
        ""
        if first is None
        else first.action
        if first.command is None
        else f"{first.action.removesuffix('.')}: {first.command}"
    )
    subject = dict(words.subject_parts(finding.subject))
    return FindingSummary(
        severity=finding.severity.value,
        cause=finding.cause.value,
        sentence=words.clean(finding.summary, 600),
        subject=" · ".join(f"{label} {text}" for label, text in subject.items() if label not in ("runtime", "host")),
        numbers="; ".join(numbers),
        action=words.clean(action, 400),
        because=() if first is None else words.lines(first.because, _BECAUSE),
        change=() if first is None or first.change is None else words.lines(first.change, _CHANGE),
        also=", ".join(words.clean(p.id, 64) for p in recommended[1:]),
        answers=tuple(_answer(p) for p in finding.prescriptions if p.kind is Advice.ANSWER),
        siblings=words.clean(beside(report, finding), 600),
    )


def _answer(prescription: Prescription) -> str:
    because = " ".join(prescription.because.split()) if "\n" not in prescription.because else ""
    return words.clean(f"{prescription.action} {because}".strip(), 600)


def _endpoint(row: EndpointRow) -> EndpointSummary:
    return EndpointSummary(
        name=words.clean(row.name),
        requests=str(row.requests),
        errors=str(row.errors),
        p50=words.milliseconds(row.p50_ns),
        p99=words.milliseconds(row.p99_ns),
        retained=words.retained(row),
    )


def _expectation(result: ExpectationResult) -> str:
    note = f"; {words.clean(result.note, 400)}" if result.note else ""
    return f"{words.clean(result.expr)} – {words.clean(result.actual)}{note}"


def _sentence(what: str, costs: str) -> str:
    return words.clean(f"{what} ({costs})" if costs else what, 400)


def _profiles(report: Report) -> str | None:
    views = [view for view in report.profiles if view.artifact.opens_with is None]
    if not views:
        return None
    opened = sum(view.profile is not None for view in views)
    tools = ", ".join(sorted({words.clean(view.artifact.tool, 40) for view in views}))
    return f"{opened} of {len(views)} profiles could be read ({tools})"
