"""Slow drift of every scenario on every host: the same judgement as ``harness compare --drift``."""

from __future__ import annotations

from collections.abc import Sequence

from harness.compare.words import title
from harness.fleet.courses import Course, Courses, courses_of, day_slope
from harness.fleet.query import Column, Judged, Kind, Query, Row
from harness.report.words import counted

# Growth as `harness.compare.thresholds.GROWTH` has it, levels, and what the whole application answers.
MAPPED = """\
SELECT host, scenario, version, run, started_unix_ns, metric, unit, pool, value, low, high, cause, rounds, conditions
FROM {source}
WHERE {where} AND endpoint IS NULL AND value IS NOT NULL AND metric IN (
  'live_bytes_per_request', 'retained_bytes_per_request', 'kept_by_endpoints', 'live_per_round', 'growth_per_round',
  'floor_own', 'peak_own', 'floor_pss', 'peak_pss', 'p50', 'p99', 'errors')"""
REDUCED = """\
SELECT *
FROM mapped
ORDER BY host, scenario, started_unix_ns, run, metric, pool"""


def judge(rows: Sequence[Row]) -> Judged:
    """Worst first: what got worse, by how many times what matters."""
    found = courses_of(rows)
    return Judged(tuple(_row(course) for course in found.courses), notes(found))


def notes(found: Courses) -> tuple[str, ...]:
    """What was left out, and how certain it is."""
    told = []
    if found.short:
        told.append(
            f"{counted(found.short, 'scenario on its host', 'scenarios on their hosts')} not judged: fewer than five runs "
            "that are comparable with the newest."
        )
    if found.left_out:
        told.append(
            f"{counted(found.left_out, 'run')} left out: not comparable with the newest of the same scenario and host "
            "(other traffic, host or phases, or not complete)."
        )
    if found.older:
        told.append(f"{counted(found.older, 'older run')} left out: the newest of each are judged.")
    if found.courses:
        told.append(f"Certain with 95 % over all {len(found.courses)} series together (Holm).")
    return tuple(told)


def _row(course: Course) -> Row:
    row = course.row
    return {
        "answer": row.answer.value,
        "scenario": course.scenario,
        "host": course.host,
        "metric": row.metric,
        "what": title(row.metric),
        "pool": row.pool,
        "unit": row.unit.value,
        "runs": len(row.values),
        "first": row.values[0],
        "last": row.values[-1],
        "slope_per_run": row.slope,
        "slope_low": row.low,
        "slope_high": row.high,
        "slope_per_day": day_slope(course),
        "rise": row.rise,
        "matters": row.threshold,
        "p": row.p,
        "step_version": course.versions_after[0] if len(course.versions_after) == 1 else None,
        "needs": row.needs,
    }


QUERY = Query(
    name="drift",
    title="slow drift of each scenario on each host, worst first",
    table="measures",
    mapped=MAPPED,
    reduced=REDUCED,
    columns=(
        Column("answer", "answer"),
        Column("scenario", "scenario"),
        Column("host", "host"),
        Column("metric", ""),
        Column("what", "quantity"),
        Column("pool", "of"),
        Column("unit", ""),
        Column("runs", "runs", Kind.COUNT),
        Column("first", "first", Kind.AMOUNT),
        Column("last", "last", Kind.AMOUNT),
        Column("slope_per_run", "a run", Kind.CHANGE),
        Column("slope_low", "", Kind.CHANGE),
        Column("slope_high", "", Kind.CHANGE),
        Column("slope_per_day", "a day", Kind.CHANGE),
        Column("rise", "in all", Kind.CHANGE),
        Column("matters", "", Kind.AMOUNT),
        Column("p", "", Kind.NUMBER),
        Column("step_version", "since version"),
        Column("needs", ""),
    ),
    judge=judge,
)
