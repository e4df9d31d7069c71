"""What ``diff(...)`` and comparisons take of another run, or of a JSON report of it. Pure."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from harness.compare.facts import RunFacts, telling
from harness.compare.model import RunName
from harness.errors import UsageError
from harness.model.finding import Cause, Confidence, Finding, Growth, Severity, Subject
from harness.model.measure import Measure, Unit
from harness.model.report import Report
from harness.model.span import PhaseName

_FORMAT = "harness-report/1"
_MOST = 100_000
_SECRET = ("what is sent to ", "how it is launched", "load: each_round", "load: command")
_MOST_CONDITIONS = 5000


@dataclass(frozen=True, slots=True)
class Baseline:
    """``name``: for people. ``run``: its id. ``conditions``: under which it was recorded, as in ``Report.conditions``."""

    name: str
    run: str
    measures: Sequence[Measure]
    conditions: Mapping[str, str]


def hidden(conditions: Mapping[str, str]) -> dict[str, str]:
    """The same, comparable as before, without what a scenario may have been told in confidence: bodies, headers, commands."""
    return {name: _hash(value) if name.startswith(_SECRET) else value for name, value in conditions.items()}


def _hash(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def baseline_of(report: Report, name: str) -> Baseline:
    """A run that was analysed, as a baseline."""
    return Baseline(name, report.timeline.manifest.run_id, report.measures, report.conditions)


def baseline_in(document: object, name: str) -> Baseline:
    """A JSON report as a baseline. Raises UsageError for anything else, and for a report that does not tell enough."""
    if not isinstance(document, Mapping) or document.get("format") != _FORMAT:
        raise UsageError(
            f"{name}: is not a JSON report ({_FORMAT})", hint="give a run directory, or a report.json of one"
        )
    rows, conditions, run = document.get("measures"), document.get("conditions"), document.get("run")
    if not (isinstance(rows, list) and isinstance(conditions, Mapping) and isinstance(run, Mapping)):
        raise UsageError(
            f"{name}: does not hold what is compared",
            hint="it is of an older version: make it again with `harness report RUN --format json`",
        )
    if len(rows) > _MOST or len(conditions) > _MOST_CONDITIONS:
        raise UsageError(f"{name}: holds more than a report does")
    measures = tuple(_measure(row, f"{name}: measures[{index}]") for index, row in enumerate(rows))
    return Baseline(name, str(run.get("id")), measures, {str(key): str(value) for key, value in conditions.items()})


def facts_in(document: object, name: str) -> RunFacts:
    """A JSON report as a side of a comparison: all but lines of profiles and curves. Raises UsageError as `baseline_in`."""
    baseline = baseline_in(document, name)
    whole = document if isinstance(document, Mapping) else {}
    run, verdict = _object(whole.get("run"), f"{name}: run"), _object(whole.get("verdict"), f"{name}: verdict")
    rounds = [
        row
        for row in _objects(whole, "windows", name)
        if row.get("phase") == PhaseName.ROUNDS and row.get("block") is None and row.get("end_s") is not None
    ]
    try:
        started_wall_ns = int(datetime.fromisoformat(str(run.get("started"))).timestamp()) * 1_000_000_000
        found = [_finding(row, f"{name}: findings[{i}]") for i, row in enumerate(_objects(whole, "findings", name))]
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(f"{name}: {error}"[:300]) from None
    about = RunName(
        baseline.run, str(run.get("scenario")), started_wall_ns, str(verdict.get("cause")), len(rounds)
    )  # fmt: skip
    measured = tuple(str(row.get("name")) for row in _objects(whole, "pools", name) if row.get("measured") is True)
    return RunFacts(about, baseline.conditions, measured, len(rounds), baseline.measures, telling(found), (), ())


def _finding(row: Mapping[str, object], place: str) -> Finding:
    """Of a finding what is compared. Raises ValueError for a cause that nobody knows."""
    subject = _object(row.get("subject"), f"{place}.subject")
    return Finding(
        cause=Cause(str(row.get("cause"))),
        severity=Severity(str(row.get("severity"))),
        confidence=Confidence(str(row.get("confidence"))),
        subject=Subject(pool=_text(subject, "pool", place), endpoint=_text(subject, "endpoint", place)),
        summary=_text(row, "summary", place) or "",
        growth=Growth(None, None, None, None),
        evidence=(),
        prescriptions=(),
        range_ns=None,
    )


def _objects(document: Mapping[str, object], key: str, name: str) -> list[Mapping[str, object]]:
    rows = document.get(key)
    if not isinstance(rows, list) or len(rows) > _MOST:
        raise UsageError(f"{name}: {key} is not a list as reports have it")
    return [_object(row, f"{name}: {key}[{index}]") for index, row in enumerate(rows)]


def _object(value: object, place: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise UsageError(f"{place}: is not an object")
    return value


def _measure(row: object, place: str) -> Measure:
    if not isinstance(row, Mapping):
        raise UsageError(f"{place}: is not an object")
    try:
        unit = Unit(str(row.get("unit")))
    except ValueError:
        raise UsageError(f"{place}: unknown unit {row.get('unit')!r}"[:300]) from None
    return Measure(
        metric=_text(row, "metric", place) or "",
        unit=unit,
        value=_number(row, "value", place),
        low=_number(row, "low", place),
        high=_number(row, "high", place),
        endpoint=_text(row, "endpoint", place),
        pool=_text(row, "pool", place),
        blind=_number(row, "blind", place),
        reason=_text(row, "reason", place) or "",
    )


def _number(row: Mapping[str, object], key: str, place: str) -> float | None:
    value = row.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError(f"{place}: {key} is not a number")
    return value


def _text(row: Mapping[str, object], key: str, place: str) -> str | None:
    value = row.get(key)
    if value is not None and not isinstance(value, str):
        raise UsageError(f"{place}: {key} is not text")
    return value
