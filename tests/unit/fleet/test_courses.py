"""Series of runs: what is comparable, what is certain over a whole fleet, and where a step may be."""

from __future__ import annotations

import json

import numpy as np
import pytest

from harness.compare.model import Answer
from harness.fleet.courses import courses_of, day_slope, step_places
from harness.fleet.query import Row

DAY = 86_400 * 10**9
ALIKE = json.dumps({"how it ended": "complete", "host: kernel": "6.1"})


def rows(
    values: list[float], *, host: str = "h", conditions: str | list[str] = ALIKE, versions: list[str] | None = None
) -> list[Row]:
    told = [conditions] * len(values) if isinstance(conditions, str) else conditions
    return [
        {
            "host": host, "scenario": "s", "version": None if versions is None else versions[i], "run": f"r{i:03}",
            "started_unix_ns": i * DAY, "metric": "floor_pss", "unit": "bytes", "pool": "app", "value": value, "low": value,
            "high": value, "cause": "healthy", "rounds": 8, "conditions": told[i],
        }
        for i, value in enumerate(values)
    ]  # fmt: skip


def level(n: int, *, step_at: int | None = None, step: float = 20e6, seed: int = 1) -> list[float]:
    noise = np.random.default_rng(seed).normal(0, 1e6, n)
    return [100e6 + float(x) + (step if step_at is not None and i >= step_at else 0) for i, x in enumerate(noise)]


def test_a_step_has_versions_on_both_sides() -> None:
    versions = [f"v{i // 4}" for i in range(20)]
    (course,) = courses_of(rows(level(20, step_at=12), versions=versions)).courses
    assert course.row.answer is Answer.WORSE
    assert (course.versions_before, course.versions_after, course.run_after) == (("v2",), ("v3",), "r012")


def test_runs_that_are_not_comparable_with_the_newest_are_left_out() -> None:
    old = json.dumps({"how it ended": "complete", "host: kernel": "5.10"})
    found = courses_of(rows(level(20, step_at=10), conditions=[old] * 10 + [ALIKE] * 10))
    (course,) = found.courses
    assert found.left_out == 10
    assert len(course.row.values) == 10
    assert course.row.answer is not Answer.WORSE, "the kernel changed, not the application"


def test_runs_that_did_not_end_are_left_out() -> None:
    ended = json.dumps({"how it ended": "interrupted", "host: kernel": "6.1"})
    found = courses_of(rows(level(12), conditions=[ALIKE] * 3 + [ended] + [ALIKE] * 8))
    assert found.left_out == 1


def test_four_runs_say_nothing() -> None:
    found = courses_of(rows(level(4)))
    assert (found.courses, found.short) == ([], 1)


def test_many_series_that_do_not_move_are_not_called() -> None:
    many = [row for number in range(200) for row in rows(level(10, seed=number), host=f"h{number:03}")]
    called = [c for c in courses_of(many).courses if c.row.answer in (Answer.WORSE, Answer.BETTER)]
    assert called == []


def test_only_the_newest_runs_are_judged() -> None:
    found = courses_of(rows(level(230, step_at=10)))
    assert found.older == 30
    assert found.courses[0].row.answer is not Answer.WORSE


@pytest.mark.parametrize("seed", range(5))
def test_the_places_of_a_step_hold_the_true_one(seed: int) -> None:
    places = step_places(level(30, step_at=15, step=1.5e6, seed=seed))
    assert 14 in places
    assert len(step_places(level(30, step_at=15, step=50e6, seed=seed))) == 1
    assert len(places) > 1


@pytest.mark.parametrize(("runs", "at", "deviations"), [(10, 5, 1.5), (20, 16, 1.0), (50, 25, 2.0)])
def test_the_true_place_is_nearly_always_among_them(runs: int, at: int, deviations: float) -> None:
    rng = np.random.default_rng(7)
    series = [rng.normal(0, 1, runs) + deviations * (np.arange(runs) >= at) for _ in range(200)]
    assert sum(at - 1 in step_places(list(values)) for values in series) >= 184


def test_an_exact_step_is_one_place() -> None:
    assert step_places([1, 1, 1, 1, 5, 5, 5, 5]) == (3,)


def test_a_day_is_not_a_run() -> None:
    values = [100e6 + 1e6 * i for i in range(10)]
    twice = [{**row, "started_unix_ns": i * DAY // 2} for i, row in enumerate(rows(values))]
    (course,) = courses_of(twice).courses
    assert day_slope(course) == pytest.approx(2e6)
    at_once = [{**row, "started_unix_ns": 5} for row in rows(values)]
    assert day_slope(courses_of(at_once).courses[0]) is None


@pytest.mark.parametrize("conditions", ["", "no JSON", "[1]", "[" * 5000])
def test_conditions_of_anybody(conditions: str) -> None:
    found = courses_of(rows(level(8), conditions=conditions))
    assert found.short + len(found.courses) == 1


@pytest.mark.parametrize("change", [{"value": float("nan")}, {"unit": "furlongs"}, {"unit": None}, {"value": None}])
def test_rows_that_say_nothing(change: dict[str, object]) -> None:
    broken = [{**row, **change} for row in rows(level(8))]
    assert courses_of(broken).courses == []  # type: ignore[arg-type]  # a dataset may hold anything
