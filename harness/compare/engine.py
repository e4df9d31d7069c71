"""Two sides held against each other. Pure: the same reports always give the same comparison."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.compare.conditions import mismatches
from harness.compare.facts import RunFacts, facts_of
from harness.compare.findings import finding_changes
from harness.compare.lines import line_changes
from harness.compare.model import Answer, Comparison, Curve, Mismatch, Outcome, Row, Weight
from harness.compare.rows import not_worse, rows_of
from harness.compare.thresholds import GROWTH, Threshold
from harness.compare.words import mismatch_text, named
from harness.errors import UsageError
from harness.model.report import Report

_MOST_NAMED = 3


def compare(
    base: Sequence[Report | RunFacts],
    head: Sequence[Report | RunFacts],
    *,
    thresholds: Mapping[str, Threshold] | None = None,
    anyway: bool = False,
) -> Comparison:
    """``head`` against ``base``, at least one run each. ``thresholds``: what matters, by metric, where it is not the default.

    Raises UsageError where the runs are not comparable, unless ``anyway``; see `obstacles`.
    """
    before, after = ([run if isinstance(run, RunFacts) else facts_of(run) for run in side] for side in (base, head))
    if not before or not after:
        raise UsageError("a comparison needs a run on each side")
    differing = obstacles(before, after)
    refused(differing, anyway=anyway)
    rows = rows_of(before, after, thresholds)
    outcome = _outcome(rows)
    return Comparison(
        base=tuple(run.name for run in before),
        head=tuple(run.name for run in after),
        outcome=outcome,
        summary=_summary(outcome, rows),
        rows=rows,
        findings=finding_changes(before, after),
        lines=line_changes(before, after),
        mismatches=differing,
        curves=(*_curves(before, head=False), *_curves(after, head=True)),
        counts=Counter(row.answer for row in rows if row.weight is not Weight.TELLS),
    )


def obstacles(base: Sequence[RunFacts], head: Sequence[RunFacts]) -> tuple[Mismatch, ...]:
    """What is not alike in all the runs; what refuses is first."""
    runs = [(run.name.id, run.conditions) for run in (*base, *head)]
    return mismatches(runs, [False] * len(base) + [True] * len(head))


def refused(differing: Sequence[Mismatch], *, anyway: bool) -> None:
    """Raises UsageError where something forbids the comparison and nobody insists on it."""
    against = [m for m in differing if m.refuses]
    if against and not anyway:
        lines = "".join(f"\n  {mismatch_text(m)}" for m in against)
        raise UsageError(
            f"these runs are not comparable:{lines}",
            hint="record one of them again as the other was made, or insist with --anyway",
        )


def _curves(runs: Sequence[RunFacts], *, head: bool) -> list[Curve]:
    return [replace(curve, head=head) for run in runs for curve in run.curves]


def _outcome(rows: Sequence[Row]) -> Outcome:
    """Fails closed: what must be known and is not, is no pass. That something certainly did not get worse is enough to know."""
    if any(row.answer is Answer.WORSE and row.weight is not Weight.TELLS for row in rows):
        return Outcome.FAIL
    must = [row for row in rows if row.weight is Weight.MUST]
    return Outcome.PASS if must and not _left_open(rows) else Outcome.UNKNOWN


def _left_open(rows: Sequence[Row]) -> list[Row]:
    """What must be known and is not. Of a pool's growth one measure is enough: live bytes or pages."""
    told = {row.pool for row in rows if row.metric in GROWTH and row.weight is not Weight.TELLS and _known(row)}
    return [
        row
        for row in rows
        if row.weight is Weight.MUST and not _known(row) and not (row.metric in GROWTH and row.pool in told)
    ]


def _known(row: Row) -> bool:
    return row.answer is not Answer.UNKNOWN or not_worse(row)


def _summary(outcome: Outcome, rows: Sequence[Row]) -> str:
    deciding = [row for row in rows if row.weight is not Weight.TELLS]
    worse = [row for row in deciding if row.answer is Answer.WORSE]
    better = [row for row in deciding if row.answer is Answer.BETTER]
    gains = f" {_count(better, deciding)} got better: {_listed(better)}." if better else ""
    if outcome is Outcome.FAIL:
        return f"{_count(worse, deciding)} got worse: {_listed(worse)}.{gains}"
    if outcome is Outcome.PASS:
        return f"Nothing got worse by what matters.{gains}"
    unknown = _left_open(rows)
    if not unknown:
        return f"Nothing of what must be known was measured in these runs.{gains}"
    needs = next((row.needs or row.reason for row in unknown), "")
    return f"Nothing certainly got worse, but {_listed(unknown)} cannot be told{f': {needs}' if needs else ''}.{gains}"


def _count(rows: Sequence[Row], of: Sequence[Row]) -> str:
    return f"{len(rows)} of {len(of)} quantities"


def _listed(rows: Sequence[Row]) -> str:
    texts = [named(row) for row in rows[:_MOST_NAMED]]
    more = len(rows) - len(texts)
    return ", ".join(texts) + (f" and {more} more" if more > 0 else "")
