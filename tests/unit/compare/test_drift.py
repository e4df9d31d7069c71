"""Slow drift and steps over runs in order."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pytest
from compared import ALIKE, facts, kept, latency, level

from harness.compare.drift import _kendall_tail, drift
from harness.compare.facts import RunFacts
from harness.compare.model import Answer, DriftRow, Outcome
from harness.compare.thresholds import Threshold
from harness.errors import UsageError

MIB = 1024 * 1024


def runs(sizes: list[float], **changes: object) -> list[RunFacts]:
    return [
        facts(kept(0), level(size * MIB), level(size * MIB * 1.1, "peak_pss"), name=f"run-{i}", **changes)
        for i, size in enumerate(sizes, 1)
    ]


def row(found: list[RunFacts], metric: str = "floor_pss", **options: object) -> DriftRow:
    return next(r for r in drift(found, **options).rows if r.metric == metric)  # type: ignore[arg-type]


def noisy(sizes: list[float], seed: int = 1) -> list[float]:
    rng = np.random.default_rng(seed)
    return [size * (1 + 0.005 * float(rng.standard_normal())) for size in sizes]


@pytest.mark.parametrize("n", [3, 5, 6])
def test_the_tail_of_kendalls_s_by_counting(n: int) -> None:
    i, j = np.triu_indices(n, 1)
    every = [int(np.sign(np.array(p)[j] - np.array(p)[i]).sum()) for p in permutations(range(n))]
    for s in range(n * (n - 1) // 2 + 1):
        assert _kendall_tail(n, s) == pytest.approx(sum(v >= s for v in every) / len(every))


def test_three_percent_a_run_is_called() -> None:
    found = drift(runs(noisy([100 * 1.03**i for i in range(8)])))
    assert found.outcome is Outcome.FAIL
    floor = next(r for r in found.rows if r.metric == "floor_pss")
    assert floor.answer is Answer.WORSE
    assert floor.step_after is None
    assert floor.slope == pytest.approx(3.3 * MIB, rel=0.2)
    assert floor.low < floor.slope < floor.high
    assert "a run" in found.summary


def test_no_neighbours_show_it() -> None:
    from harness.compare.engine import compare

    sizes = noisy([100 * 1.03**i for i in range(8)])
    for before, after in pairwise(sizes):
        assert compare(runs([before]), runs([after])).outcome is not Outcome.FAIL


def test_a_step_is_placed() -> None:
    found = drift(runs(noisy([100.0] * 7 + [112.0] * 4)))
    floor = next(r for r in found.rows if r.metric == "floor_pss")
    assert (floor.answer, floor.step_after) == (Answer.WORSE, 6)
    assert floor.step == pytest.approx(12 * MIB, rel=0.1)
    assert "between run 7 (run-7) and run 8 (run-8)" in found.summary


def test_what_does_not_move_passes() -> None:
    found = drift(runs(noisy([100.0] * 10)))
    assert found.outcome is Outcome.PASS
    assert {r.answer for r in found.rows} == {Answer.SAME}


def test_a_repair_is_better() -> None:
    found = drift(runs(noisy([100 * 0.95**i for i in range(8)])))
    assert found.outcome is Outcome.PASS
    assert next(r for r in found.rows if r.metric == "floor_pss").answer is Answer.BETTER


def test_a_rise_that_does_not_matter_is_said_to_be_tiny() -> None:
    floor = row(runs([100 + 0.2 * i for i in range(8)]))
    assert (floor.answer, floor.tiny) == (Answer.SAME, True)
    strict = row(runs([100 + 0.2 * i for i in range(8)]), thresholds={"floor_pss": Threshold(0, 0.01)})
    assert strict.answer is Answer.WORSE


def test_five_runs_are_few_and_it_says_how_many_it_takes() -> None:
    """The more quantities are judged together, the more runs a rise takes that never turns."""
    found = [
        facts(*run.measures, latency(2e6), latency(9e6, "p99"), name=run.name.id)
        for run in runs([100.0, 102.0, 108.0, 109.0, 118.0])
    ]
    assert drift(found).outcome is Outcome.UNKNOWN
    assert row(found).needs == "at least 6 runs"


def test_latency_that_wanders_does_not_hold_up_what_is_known() -> None:
    found = [
        facts(kept(0), level(100 * MIB), level(101 * MIB, "peak_pss"), latency(ns), name=f"{i}")
        for i, ns in enumerate([20e6, 60e6, 10e6, 50e6, 30e6, 70e6])
    ]
    result = drift(found)
    assert next(r for r in result.rows if r.metric == "p50").answer is Answer.UNKNOWN
    assert result.outcome is Outcome.PASS


def test_a_run_that_does_not_know_is_left_out_and_places_stay() -> None:
    found = runs([100.0] * 5 + [120.0] * 5)
    found[1] = facts(kept(0), name="run-2")
    floor = row(found)
    assert len(floor.values) == 9
    assert floor.step_after == 4


def test_without_memory_nothing_can_be_told() -> None:
    found = drift([facts(latency(2e6), name=str(i)) for i in range(6)])
    assert found.outcome is Outcome.UNKNOWN


def test_fewer_than_five_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 5 runs in order, got 4"):
        drift(runs([100.0] * 4))


def test_a_run_that_is_not_like_the_first_is_refused() -> None:
    found = runs([100.0] * 6)
    found[3] = facts(kept(0), level(100 * MIB), name="odd", conditions={**ALIKE, "host: cpus": "4"})
    drift(found)  # what the others do not tell is no difference
    found = [facts(kept(0), conditions={**ALIKE, "host: cpus": "2" if i else "4"}) for i in range(6)]
    with pytest.raises(UsageError, match="host: cpus"):
        drift(found)


@pytest.mark.parametrize("length", [6, 10])
def test_false_alarms(length: int) -> None:
    """Among 100 series of noise at most a few are said to move; nominal 5 in 100 for each direction."""
    rng = np.random.default_rng(4)
    alarms = 0
    for _ in range(100):
        sizes = [100 * (1 + 0.04 * float(v)) for v in rng.standard_normal(length)]
        alarms += drift(runs(sizes)).outcome is Outcome.FAIL
    assert alarms <= 9
