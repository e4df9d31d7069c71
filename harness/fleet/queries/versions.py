"""Which version of the application a change began with."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from harness.compare.model import Answer
from harness.compare.words import title
from harness.fleet.courses import Course, courses_of
from harness.fleet.queries.drift import MAPPED, REDUCED, notes
from harness.fleet.query import Column, Judged, Kind, Query, Row

_MOST_NAMED = 5
_Key = tuple[str | None, str, str | None, Answer, tuple[str | None, ...], tuple[str | None, ...]]


def judge(rows: Sequence[Row]) -> Judged:
    """One row for what changed between the same versions, with the hosts that say so: one alone may have a reason of its own."""
    found = courses_of(rows)
    moved: dict[_Key, list[Course]] = {}
    measured: dict[tuple[str | None, str, str | None], int] = {}
    for course in found.courses:
        series = (course.scenario, course.row.metric, course.row.pool)
        measured[series] = measured.get(series, 0) + 1
        if course.row.answer in (Answer.WORSE, Answer.BETTER):
            key = (*series, course.row.answer, course.versions_before, course.versions_after)
            moved.setdefault(key, []).append(course)
    out = [_row(key, courses, measured[key[:3]]) for key, courses in moved.items()]
    out.sort(key=lambda row: (row["answer"] != Answer.WORSE.value, -int(str(row["hosts"])), str(row["scenario"])))
    return Judged(tuple(out), notes(found))


def _row(key: _Key, courses: Sequence[Course], of: int) -> Row:
    scenario, metric, pool, answer, before, after = key
    first = courses[0]
    return {
        "answer": answer.value,
        "scenario": scenario,
        "metric": metric,
        "what": title(metric),
        "pool": pool,
        "unit": first.row.unit.value,
        "before": _named(before),
        "since": _since(before, after, first),
        "step": median(course.row.rise for course in courses),
        "hosts": len(courses),
        "of_hosts": of,
        "host": first.host if len(courses) == 1 else None,
        "run": first.run_after,
    }


def _named(versions: Sequence[str | None]) -> str | None:
    names = [name if name is not None else "(not known)" for name in versions]
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return " or ".join(names[:_MOST_NAMED]) + more if names else None


def _since(before: Sequence[str | None], after: Sequence[str | None], course: Course) -> str:
    """A version, several where the runs allow several, or why it is none."""
    if course.row.step_after is None:
        return "(no step: it rises from run to run)" if course.row.rise > 0 else "(no step: it falls from run to run)"
    if after == (None,) or not after:
        return "(versions are not known)"
    if before == after and len(after) == 1:
        return f"(not with a version: within {_named(after)})"
    return _named(after) or ""


QUERY = Query(
    name="versions",
    title="the version that a change began with",
    table="measures",
    mapped=MAPPED,
    reduced=REDUCED,
    columns=(
        Column("answer", "answer"),
        Column("scenario", "scenario"),
        Column("metric", ""),
        Column("what", "quantity"),
        Column("pool", "of"),
        Column("unit", ""),
        Column("before", "last good"),
        Column("since", "since version"),
        Column("step", "by", Kind.CHANGE),
        Column("hosts", "on hosts", Kind.COUNT),
        Column("of_hosts", "of", Kind.COUNT),
        Column("host", ""),
        Column("run", "first run"),
    ),
    judge=judge,
)
