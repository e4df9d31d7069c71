"""What of a comparison people are shown first, in words; every format for people is made of it. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.compare.drift import drift_text
from harness.compare.model import (
    Answer,
    Change,
    Comparison,
    Drift,
    DriftRow,
    FindingChange,
    LineChange,
    Method,
    Mismatch,
    Outcome,
    Row,
    RunName,
    Weight,
)
from harness.compare.thresholds import GROWTH
from harness.compare.words import (
    METHODS,
    SIGNS,
    amount,
    interval,
    mismatch_text,
    named,
    relative,
    remark,
    shown,
    subject,
    title,
)
from harness.units import format_bytes

_CLEAR = (Answer.WORSE, Answer.BETTER)
_MOST_PARTS = 8
_MOST_LINES = 10
_MOST_NAMED = 4
_CHANGES = {
    Change.CAME: "came",
    Change.WENT: "went",
    Change.CAUSE: "changed its cause",
    Change.STAYED: "stayed",
}


@dataclass(frozen=True, slots=True)
class Cells:
    """One row of a table: what, whose, before, after, difference, its interval, and what is to be said of it."""

    answer: Answer
    what: str
    whose: str
    base: str
    head: str
    difference: str
    interval: str
    note: str


@dataclass(frozen=True, slots=True)
class Digest:
    """``runs``: label and text. ``notes``: what is not alike though it may be. ``rest``: rows that are not shown, in sentences.
    ``parts``: which part of memory moved."""

    outcome: Outcome
    head: str
    summary: str
    runs: Sequence[tuple[str, str]]
    columns: tuple[str, str, str, str, str, str]
    rows: Sequence[Cells]
    rest: Sequence[str]
    parts: Sequence[str]
    findings: Sequence[str]
    lines: Sequence[str]
    notes: Sequence[str]
    method: str


def digest(found: Comparison | Drift) -> Digest:
    """Of either kind."""
    return _of_drift(found) if isinstance(found, Drift) else _of_sides(found)


def cells(row: Row) -> Cells:
    """A row in words."""
    difference = amount(row.difference, row.unit, sign=True) + relative(row)
    return Cells(
        answer=row.answer,
        what=title(row.metric),
        whose=subject(row),
        base=amount(row.base.value, row.unit),
        head=amount(row.head.value, row.unit),
        difference="" if row.difference is None else difference,
        interval=interval(row.low, row.high, row.unit),
        note=remark(row),
    )


def drift_cells(row: DriftRow, runs: Sequence[str]) -> Cells:
    """A row of a drift in words: from the first run to the last, and a run."""
    note = ""
    if row.step_after is not None:
        note = f"a step: {drift_text(row, runs)}"
    elif row.tiny:
        note = f"certain, but less than the {amount(row.threshold, row.unit)} that matter"
    elif row.answer is Answer.UNKNOWN:
        note = f"would need {row.needs}"
    return Cells(
        answer=row.answer,
        what=title(row.metric),
        whose=subject(row),
        base=amount(row.values[0], row.unit),
        head=amount(row.values[-1], row.unit),
        difference=amount(row.slope, row.unit, sign=True),
        interval=interval(row.low, row.high, row.unit),
        note=shown(note),
    )


def finding_text(change: FindingChange) -> str:
    """``came: critical leak.objects, endpoint search``."""
    cause = change.head_cause or change.base_cause or ""
    if change.change is Change.CAUSE:
        cause = f"{change.base_cause} is now {change.head_cause}"
    whose = (
        f", endpoint {shown(change.endpoint)}" if change.endpoint else f", {shown(change.pool)}" if change.pool else ""
    )
    return f"{_CHANGES[change.change]}: {change.severity} {cause}{whose}"


def line_text(change: LineChange) -> str:
    """``search: cbor2_broken.py:11 use keeps 3.5 KiB more (120 B, now 3.6 KiB; tracemalloc)``."""
    line = change.head_line or change.base_line
    place = shown(
        f"{change.file.replace(chr(92), '/').rsplit('/', 1)[-1]}{f':{line}' if line else ''} {change.function}"
    )
    before, after = (format_bytes(size or 0) for size in (change.base_bytes, change.head_bytes))
    direction = "more" if change.difference > 0 else "less"
    return (
        f"{shown(change.endpoint)}: {place} keeps {format_bytes(abs(change.difference))} {direction} "
        f"({before}, now {after}; {shown(change.tool)})"
    )


def _of_sides(found: Comparison) -> Digest:
    deciding = [row for row in found.rows if row.weight is not Weight.TELLS]
    told = [row for row in deciding if row.weight is Weight.MUST or row.answer in _CLEAR]
    return Digest(
        outcome=found.outcome,
        head=f"{_runs(found.base)} against {_runs(found.head)} – {shown(found.head[0].scenario)}",
        summary=found.summary,
        runs=(*(("base", _run(run)) for run in found.base), *(("head", _run(run)) for run in found.head)),
        columns=("quantity", "of", "base", "head", "difference", "95 % CI"),
        rows=tuple(cells(row) for row in told),
        rest=tuple(_rest([row for row in deciding if row not in told])),
        parts=tuple(named(row) for row in _moved(found.rows)[:_MOST_PARTS]),
        findings=tuple(finding_text(change) for change in found.findings if change.change is not Change.STAYED),
        lines=tuple(line_text(change) for change in found.lines[:_MOST_LINES]),
        notes=tuple(_note(m) for m in found.mismatches),
        method=_method(deciding),
    )


def _of_drift(found: Drift) -> Digest:
    ids = [run.id for run in found.runs]
    return Digest(
        outcome=found.outcome,
        head=f"drift over {len(found.runs)} runs – {shown(found.runs[-1].scenario)}",
        summary=shown_sentence(found.summary),
        runs=tuple((f"run {number}", _run(run)) for number, run in enumerate(found.runs, 1)),
        columns=("quantity", "of", "first", "last", "each run", "95 % CI"),
        rows=tuple(drift_cells(row, ids) for row in found.rows),
        rest=(),
        parts=(),
        findings=(),
        lines=(),
        notes=tuple(_note(m) for m in found.mismatches),
        method="slopes are Theil and Sen's; answers hold together, for all rows, with 95 %",
    )


def _note(mismatch: Mismatch) -> str:
    return mismatch_text(mismatch) + (" (compared because you insisted)" if mismatch.refuses else "")


def shown_sentence(text: str) -> str:
    """A sentence that names runs, for people."""
    return " ".join(shown(piece) for piece in text.split(" "))


def _runs(names: Sequence[RunName]) -> str:
    return "1 run" if len(names) == 1 else f"{len(names)} runs"


def _run(run: RunName) -> str:
    return f"{shown(run.id)} ({shown(run.verdict)}, {run.rounds} {run.stretch}s)"


def _moved(rows: Sequence[Row]) -> list[Row]:
    """The parts of pools that clearly moved, by how much."""
    parts = [row for row in rows if row.weight is Weight.TELLS and row.pool is not None and row.answer in _CLEAR
             and row.metric not in GROWTH and (row.metric.startswith("floor_") or row.metric.endswith("_per_round"))]  # fmt: skip
    return sorted(parts, key=lambda row: -abs(row.difference or 0))


def _rest(rows: Sequence[Row]) -> Iterator[str]:
    """The rows that are not in the table, in a sentence for each answer."""
    same = [row for row in rows if row.answer is Answer.SAME]
    unknown = [row for row in rows if row.answer is Answer.UNKNOWN]
    if same:
        yield f"{SIGNS[Answer.SAME]} the same: {_by_metric(same)}"
    if unknown:
        needs = next((row.needs for row in unknown if row.needs), "")
        more = f" (would need {needs})" if needs else ""
        yield f"{SIGNS[Answer.UNKNOWN]} cannot be told, and need not be: {_by_metric(unknown)}{more}"


def _by_metric(rows: Sequence[Row]) -> str:
    subjects: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        subjects[row.metric].append(subject(row) or "all")
    texts = []
    for metric, names in subjects.items():
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        texts.append(f"{title(metric)} ({', '.join(names[:_MOST_NAMED])}{more})")
    return ", ".join(texts)


def _method(rows: Sequence[Row]) -> str:
    methods = [m for m in Method if any(row.method is m for row in rows)]
    told = " and ".join(METHODS[m] for m in methods)
    return (
        f"intervals from {told}; answers hold together, for all rows, with 95 %"
        if told
        else "nothing could be compared"
    )
