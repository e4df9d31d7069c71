"""How the quantities of one scenario on one host went over its runs, by the statistics of ``harness compare --drift``. Pure.

Only runs that are comparable with the newest are judged together, as ``compare`` would have it. Certainty is over all series of
a fleet (Holm): of a thousand series that do not move, fifty would otherwise be called. Where a change began is a set of places:
those that Hansen (2000, Econometrica 68, 575) leaves with 95 % for a threshold, n ln(S(place) / S(best)) <= 7.35.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.compare.conditions import mismatches
from harness.compare.drift import LEAST_RUNS, drift
from harness.compare.facts import RunFacts
from harness.compare.model import Answer, DriftRow, RunName
from harness.compare.statistics import holm
from harness.fleet.query import Row
from harness.model.measure import Measure, Unit

MOST_RUNS = 200  # of one scenario on one host, newest first
_PLACES = 7.35
_DAY_NS = 86_400_000_000_000
_ORDER = (Answer.WORSE, Answer.BETTER, Answer.UNKNOWN, Answer.SAME)
_OPEN = "more runs: it is not certain among all series of this fleet"


@dataclass(frozen=True, slots=True)
class Course:
    """One quantity. ``days``: when each of ``row.values`` was, since the first.

    ``versions_before`` and ``versions_after``: of the runs on either side of the places where a step may be, oldest first; empty
    where there is no step. ``run_after``: the first run behind the best place.
    """

    host: str | None
    scenario: str | None
    row: DriftRow
    days: tuple[float, ...]
    versions_before: tuple[str | None, ...] = ()
    versions_after: tuple[str | None, ...] = ()
    run_after: str | None = None


@dataclass(frozen=True, slots=True)
class Courses:
    """``short``: scenarios on hosts with too few comparable runs. ``left_out``: runs that are not comparable; ``older``: beyond
    the newest that are looked at."""

    courses: Sequence[Course]
    short: int
    left_out: int
    older: int


@dataclass(frozen=True, slots=True)
class _Run:
    facts: RunFacts
    version: str | None


def courses_of(rows: Sequence[Row]) -> Courses:
    """Rows of the table ``measures``: one for each quantity of a run, those of a run together, runs oldest first."""
    found: list[Course] = []
    short = left_out = older = 0
    for (host, scenario), runs in _grouped(rows).items():
        newest = runs[-MOST_RUNS:]
        older += len(runs) - len(newest)
        alike = _comparable(newest)
        left_out += len(newest) - len(alike)
        if len(alike) < LEAST_RUNS:
            short += 1
            continue
        found += _of_group(host, scenario, alike)
    certain = holm([course.row.p for course in found])
    sure = [_sure(course, known) for course, known in zip(found, certain, strict=True)]
    return Courses(sorted(sure, key=_worst_first), short, left_out, older)


def _sure(course: Course, certain: bool) -> Course:
    if certain or course.row.answer not in (Answer.WORSE, Answer.BETTER):
        return course
    return replace(course, row=replace(course.row, answer=Answer.UNKNOWN, needs=_OPEN))


def _worst_first(course: Course) -> tuple[int, float, float]:
    row = course.row
    return _ORDER.index(row.answer), -abs(row.rise) / row.threshold if row.threshold else 0.0, row.p


def _grouped(rows: Sequence[Row]) -> dict[tuple[str | None, str | None], list[_Run]]:
    runs: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        runs.setdefault((row["host"], row["scenario"], row["started_unix_ns"], row["run"]), []).append(row)
    parsed: dict[object, Mapping[str, str]] = {}
    groups: dict[tuple[str | None, str | None], list[_Run]] = {}
    for of_run in runs.values():
        first = of_run[0]
        text = first["conditions"]
        if text not in parsed:
            parsed[text] = _conditions(text)
        groups.setdefault((_text(first["host"]), _text(first["scenario"])), []).append(
            _Run(_facts(of_run, parsed[text]), _text(first["version"]))
        )
    for group in groups.values():
        group.sort(key=lambda run: (run.facts.name.started_wall_ns, run.facts.name.id))
    return groups


def _conditions(text: object) -> Mapping[str, str]:
    """A dataset may have been written by anybody."""
    try:
        found = json.loads(text) if isinstance(text, str) else {}
    except (ValueError, RecursionError):
        found = {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _facts(rows: Sequence[Row], conditions: Mapping[str, str]) -> RunFacts:
    first = rows[0]
    name = RunName(
        str(first["run"]),
        str(first["scenario"]),
        int(_number(first["started_unix_ns"]) or 0),
        str(first["cause"]),
        int(_number(first["rounds"]) or 0),
    )
    measures = tuple(m for row in rows if (m := _measure(row)) is not None)
    pools = tuple(dict.fromkeys(m.pool for m in measures if m.pool is not None))
    return RunFacts(name, conditions, pools, name.rounds, measures, (), (), ())


def _measure(row: Row) -> Measure | None:
    value, unit = _number(row["value"]), row["unit"]
    if value is None or not isinstance(unit, str) or unit not in set(Unit):
        return None
    return Measure(
        str(row["metric"]), Unit(unit), value, _number(row["low"]), _number(row["high"]), pool=_text(row["pool"])
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _comparable(runs: Sequence[_Run]) -> list[_Run]:
    """Those that ``compare`` would take together with the newest."""
    newest = runs[-1].facts.conditions
    known: dict[int, bool] = {}
    taken = []
    for run in runs:
        conditions = run.facts.conditions
        if id(conditions) not in known:
            differing = mismatches([("", newest), ("", conditions)], [False, True])
            known[id(conditions)] = not any(m.refuses for m in differing)
        if known[id(conditions)]:
            taken.append(run)
    return taken


def _of_group(host: str | None, scenario: str | None, runs: Sequence[_Run]) -> Iterator[Course]:
    found = drift([run.facts for run in runs], anyway=True)
    for row in found.rows:
        known = [run for run in runs if _has(run.facts, row)]
        start = known[0].facts.name.started_wall_ns
        days = tuple((run.facts.name.started_wall_ns - start) / _DAY_NS for run in known)
        course = Course(host, scenario, row, days)
        if row.step_after is not None:
            places = step_places(row.values)
            best = next(i for i, run in enumerate(known) if run is runs[row.step_after])
            course = replace(
                course,
                versions_before=tuple(dict.fromkeys(known[place].version for place in places)),
                versions_after=tuple(dict.fromkeys(known[place + 1].version for place in places)),
                run_after=known[best + 1].facts.name.id,
            )
        yield course


def _has(facts: RunFacts, row: DriftRow) -> bool:
    return any((m.metric, m.pool) == (row.metric, row.pool) and m.unit is row.unit for m in facts.measures)


def step_places(values: Sequence[float]) -> tuple[int, ...]:
    """Indices of values after which a step may be, with 95 %: at least two values on each side, oldest first."""
    series = np.asarray(values, dtype=np.float64)
    n = series.size
    places = range(1, n - 2)
    around = np.array([_scatter(series[: p + 1]) + _scatter(series[p + 1 :]) for p in places])
    best = float(around.min())
    if best <= 0:
        return tuple(p for p, s in zip(places, around, strict=True) if s <= 0)
    inside = n * np.log(around / best) <= _PLACES
    return tuple(p for p, taken in zip(places, inside, strict=True) if taken)


def _scatter(part: np.ndarray) -> float:
    return float(((part - part.mean()) ** 2).sum())


def day_slope(course: Course) -> float | None:
    """Theil and Sen's slope over time instead of runs: the median of all pairs. None for runs that all began at once."""
    values, days = np.asarray(course.row.values), np.asarray(course.days)
    if values.size != days.size:
        return None
    i, j = np.triu_indices(values.size, 1)
    apart = days[j] - days[i]
    pairs = apart > 0
    return float(np.median((values[j] - values[i])[pairs] / apart[pairs])) if pairs.any() else None
