from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from harness.diagnose.growth import Shape, Yardstick, judge, judge_workers
from harness.diagnose.wording import curve_evidence

MIB = 1 << 20
YARD = Yardstick(floor=96_000, quantum=MIB, doubt=MIB)
LEVEL = 100e6


def wander(n: int, phi: float, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """AR(1) noise of standard deviation ``sigma``; a random walk with steps of ``sigma`` for phi = 1."""
    noise = rng.standard_normal(n) * sigma
    if phi == 1:
        return np.cumsum(noise)
    y = np.empty(n)
    y[0] = noise[0]
    for i in range(1, n):
        y[i] = phi * y[i - 1] + math.sqrt(1 - phi * phi) * noise[i]
    return y


def shapes(levels: list[np.ndarray]) -> Counter[Shape]:
    return Counter(judge(y, YARD).shape for y in levels)


@pytest.mark.parametrize("phi", [0.0, 0.8, 1.0])
@pytest.mark.parametrize("rounds", [7, 8, 12])
def test_healthy_runs_are_hardly_ever_called_growing(phi: float, rounds: int) -> None:
    """1800 healthy runs in all, a third of them random walks of 1 MiB a round; each cell may have one false alarm in 200."""
    rng = np.random.default_rng(int(100 * phi) + rounds)
    found = shapes([LEVEL + wander(rounds, phi, MIB, rng) for _ in range(200)])
    assert found[Shape.LINEAR] <= 1
    assert found[Shape.SLOWING] + found[Shape.SETTLED] <= 6
    assert found[Shape.FLAT] >= 150


@pytest.mark.parametrize("phi", [0.0, 0.5])
def test_twice_the_minimum_detectable_leak_is_found(phi: float) -> None:
    rng = np.random.default_rng(17)
    runs = []
    for _ in range(150):
        noise = wander(8, phi, 2e6, rng)
        runs.append(LEVEL + noise + 2 * judge(LEVEL + noise, YARD).mdl_per_round * np.arange(8))
    assert shapes(runs)[Shape.LINEAR] >= 0.95 * len(runs)


def test_steady_growth_above_the_printed_mdl_is_never_called_flat() -> None:
    rng = np.random.default_rng(23)
    for _ in range(200):
        y = LEVEL + wander(8, 0.5, 1e6, rng) + rng.uniform(0, 4e6) * np.arange(8)
        found = judge(y, YARD)
        if found.shape is Shape.FLAT:
            assert found.per_round < found.mdl_per_round


def test_growth_itself_does_not_make_the_mdl_larger() -> None:
    """The drift of a series that does not grow is a part of what growth has to stand out from; growth is not."""
    noise = wander(8, 0.3, 50_000, np.random.default_rng(5))
    slow, fast = (judge(LEVEL + noise + rate * np.arange(8), YARD) for rate in (3 * MIB, 30 * MIB))
    assert slow.grows
    assert fast.grows
    assert slow.mdl_per_round < slow.per_round / 2
    assert fast.mdl_per_round < 2 * slow.mdl_per_round


def test_linear_growth() -> None:
    found = judge(LEVEL + 2e6 * np.arange(8), YARD)
    assert found.shape is Shape.LINEAR
    assert found.grows
    assert found.rises
    assert found.steady
    assert found.per_round == pytest.approx(2e6)
    assert found.low <= 2e6 <= found.high
    assert found.total == pytest.approx(14e6)


def test_growth_that_stops_has_settled_and_counts_only_what_is_left() -> None:
    found = judge(LEVEL + 20e6 * (1 - 0.4 ** np.arange(8)), YARD)
    assert found.shape is Shape.SETTLED
    assert not found.grows
    assert found.per_round < found.eps
    assert found.high < found.mdl_per_round + found.eps


def test_growth_that_has_nearly_stopped_has_settled_with_an_mdl_that_covers_its_tail() -> None:
    found = judge(LEVEL + 200e6 * (1 - 0.5 ** np.arange(8)), YARD)
    assert found.shape is Shape.SETTLED
    assert found.mdl_per_round >= np.diff(found.levels)[-1]


def test_slowing_growth_predicts_its_ceiling() -> None:
    found = judge(LEVEL + 60e6 * (1 - 0.75 ** np.arange(8)), YARD)
    assert found.shape is Shape.SLOWING
    assert found.ceiling == pytest.approx(LEVEL + 60e6, rel=0.02)
    assert found.rounds_to_ceiling == pytest.approx(math.log(0.1) / math.log(0.75), rel=0.1)


def test_growth_that_shrinks_a_little_is_not_steady() -> None:
    found = judge(LEVEL + np.cumsum([0, *(8e6 * 0.96**i for i in range(7))]), YARD)
    assert found.shape is Shape.LINEAR
    assert found.slightly_slowing
    assert not found.steady


@pytest.mark.parametrize("position", range(7))
def test_one_step_is_left_out_wherever_it_is(position: int) -> None:
    increments = np.zeros(7)
    increments[position] = 50e6
    found = judge(LEVEL + np.concatenate([[0], np.cumsum(increments)]), YARD)
    assert found.shape is Shape.FLAT
    assert found.step == (position, 50e6)
    assert found.mdl_per_round < MIB


def test_a_leak_beside_a_step_is_still_a_leak() -> None:
    increments = np.full(7, 1e6)
    increments[2] += 60e6
    found = judge(LEVEL + np.concatenate([[0], np.cumsum(increments)]), YARD)
    assert found.shape is Shape.LINEAR
    assert found.per_round == pytest.approx(1e6)


def test_two_steps_are_not_a_slope() -> None:
    found = judge(LEVEL + np.array([0, 0, 20, 20, 20, 20, 40, 40]) * 1e6, YARD)
    assert found.shape is Shape.UNCLEAR


def test_a_leak_beside_two_steps_is_still_a_leak() -> None:
    increments = np.full(7, 1e6)
    increments[[1, 4]] += [60e6, 20e6]
    found = judge(LEVEL + np.concatenate([[0], np.cumsum(increments)]), YARD)
    assert found.shape is Shape.LINEAR
    assert found.per_round == pytest.approx(1e6)
    assert found.step == (1, 61e6)


@pytest.mark.parametrize("rounds", [8, 12, 20])
def test_what_fills_in_the_first_rounds_and_then_stands_still_has_settled(rounds: int) -> None:
    rng = np.random.default_rng(rounds)
    noise = [wander(rounds, 0.3, 1e5, rng) for _ in range(50)]
    assert shapes([LEVEL + 4e6 * np.minimum(np.arange(rounds), 2) + n for n in noise]) == {Shape.SETTLED: 50}


@pytest.mark.parametrize("rounds", [8, 12, 20])
def test_growth_that_has_just_stopped_is_not_called_growing(rounds: int) -> None:
    """A bounded cache that was filled in the last round but one."""
    rng = np.random.default_rng(rounds)
    fill = 4e6 * np.minimum(np.arange(rounds), rounds - 2)
    found = shapes([LEVEL + fill + wander(rounds, 0.3, 1e5, rng) for _ in range(100)])
    assert found[Shape.LINEAR] <= 6
    assert found[Shape.SLOWING] >= 94


@pytest.mark.parametrize("first", [8e6, 30e6])
@pytest.mark.parametrize("q", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("rounds", [8, 12, 20])
def test_a_leak_behind_a_warm_up_is_never_called_healthy(rounds: int, q: float, first: float) -> None:
    """1 MB a round that goes on after a decay, with noise of 0.1 MB: it was called settled in every run once."""
    rng = np.random.default_rng(rounds)
    levels = 1e6 * np.arange(rounds) + np.cumsum([0, *(first * q**i for i in range(rounds - 1))])
    judged = [judge(LEVEL + levels + wander(rounds, 0.3, 1e5, rng), YARD) for _ in range(60)]
    healthy = [g for g in judged if g.shape in (Shape.FLAT, Shape.SETTLED)]
    assert len(healthy) <= 3
    assert all(g.mdl_per_round > 1e6 for g in healthy)


def test_a_leak_behind_a_warm_up_is_found_when_enough_rounds_follow() -> None:
    levels = LEVEL + 1e6 * np.arange(16) + 30e6 * (1 - 0.3 ** np.arange(16))
    found = judge(levels + wander(16, 0.3, 5e4, np.random.default_rng(1)), YARD)
    assert found.shape is Shape.LINEAR
    assert found.per_round == pytest.approx(1e6, rel=0.1)
    assert len(found.levels) == 16


@pytest.mark.parametrize("rounds", [8, 12, 20])
def test_growth_that_never_ends_is_not_called_settled(rounds: int) -> None:
    """Logarithm and square root: no ceiling, and still a tenth or more of the first rounds' growth at the end."""
    rng = np.random.default_rng(rounds)
    t = np.arange(rounds)
    for curve in (10e6 * np.log1p(t), 5e6 * np.sqrt(t)):
        found = shapes([LEVEL + curve + wander(rounds, 0.3, 1e5, rng) for _ in range(60)])
        assert found[Shape.SLOWING] >= 55
        assert found[Shape.LINEAR] <= 3


@pytest.mark.parametrize("rounds", [8, 12, 20])
@pytest.mark.parametrize("phi", [0.0, 0.5])
def test_the_printed_mdl_is_found_as_often_as_it_says(rounds: int, phi: float) -> None:
    """About 90 %, whatever the number of rounds; 74 % once with 20 rounds."""
    rng = np.random.default_rng(31)
    runs = []
    for _ in range(150):
        noise = LEVEL + wander(rounds, phi, 2e6, rng)
        runs.append(noise + judge(noise, YARD).mdl_per_round * np.arange(rounds))
    assert shapes(runs)[Shape.LINEAR] >= 0.83 * len(runs)


def test_less_than_three_quanta_is_not_growth() -> None:
    found = judge(LEVEL + 0.4 * MIB * np.arange(8), YARD)
    assert found.shape is Shape.UNCLEAR  # certain, but it may be three steps of one allocator
    assert judge(LEVEL + 0.5 * MIB * np.arange(8), YARD).shape is Shape.LINEAR


def test_shrinking_is_not_growth() -> None:
    assert judge(LEVEL - 3e6 * np.arange(8), YARD).shape is Shape.FLAT


def test_constant_is_flat() -> None:
    found = judge(np.full(8, LEVEL), YARD)
    assert found.shape is Shape.FLAT
    assert found.mdl_per_round >= 3 * MIB / 7


@pytest.mark.parametrize("rounds", range(7))
def test_too_few_rounds_are_not_judged(rounds: int) -> None:
    found = judge(LEVEL + 5e6 * np.arange(rounds), YARD)
    assert found.shape is Shape.SHORT
    assert not found.judged
    assert not found.grows
    assert found.known == (rounds >= 3)


def test_workers_that_jump_once_at_different_times_are_events_and_no_slope() -> None:
    calm = Yardstick(floor=50_000, quantum=1 << 20, doubt=1 << 20)
    levels = np.full((3, 8), 20e6)
    for worker, at in enumerate((2, 4, 5)):
        levels[worker, at:] += 17e6 + worker * 1e6
    assert judge(levels.sum(axis=0), calm).shape is Shape.UNCLEAR
    found = judge_workers(levels, calm)
    assert found.shape is Shape.FLAT
    assert found.step is not None
    assert found.total == pytest.approx(54e6)
    rising = levels + np.arange(8) * 400_000
    assert judge_workers(rising, calm).shape is not Shape.FLAT
    twice = levels.copy()
    twice[0, 6:] += 17e6
    assert judge_workers(twice, calm).shape is Shape.UNCLEAR, "a leak that shows in large pieces jumps again"


def test_increments_that_are_all_alike_are_told_in_words() -> None:
    even = judge([1e8 + 4e5 * i for i in range(10)], Yardstick(48_000, 131_072, doubt=131_072, relative=0))
    text = curve_evidence("pool.floor", "memory", even, "round").text
    assert text.endswith("no increment differs")
    assert "inf" not in text
