from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.diagnose.steps import Step, steps

LEVELS = arrays(np.float64, st.integers(3, 24), elements=st.floats(-1e9, 1e9, width=32))


def staircase(size: int, slope: float, jumps: dict[int, float], noise: float = 0.0, seed: int = 1) -> np.ndarray:
    increments = np.full(size - 1, slope)
    for at, jump in jumps.items():
        increments[at] += jump
    levels = 100e6 + np.concatenate([[0.0], np.cumsum(increments)])
    return levels + np.random.default_rng(seed).normal(0, noise, size) if noise else levels


def test_every_step_is_found_with_the_slope_between_them() -> None:
    found = steps(staircase(12, 1e6, {2: 20e6, 5: 8e6, 9: 30e6}))
    assert found.steps == (Step(2, 21e6), Step(5, 9e6), Step(9, 31e6))
    assert (found.slope, found.low, found.high) == pytest.approx((1e6, 1e6, 1e6))
    assert found.height == 61e6
    assert found.between.size == 8


def test_noise_widens_the_interval_and_leaves_the_steps() -> None:
    found = steps(staircase(12, 1e6, {2: 20e6, 9: 30e6}, noise=2e5))
    assert [step.index for step in found.steps] == [2, 9]
    assert found.low < 1e6 < found.high
    assert found.high - found.low < 1e6


@pytest.mark.parametrize(
    "levels",
    [
        staircase(8, 1e6, {}),
        staircase(8, 0, {1: 5e6, 3: 5e6, 5: 5e6}),  # three of seven increments: not rare enough to be events
        staircase(7, 0, {1: 5e6, 3: 5e6}),  # four increments are left: too few for a slope
        staircase(8, 0, {3: -50e6}),
        100e6 + 30e6 * (1 - 0.5 ** np.arange(8)),
        100e6 + 1e5 * np.arange(8) ** 2,
    ],
    ids=["line", "staircase", "too-few", "down", "decay", "accelerating"],
)
def test_what_is_no_step(levels: np.ndarray) -> None:
    assert steps(levels).steps == ()


def test_small_jumps_are_no_steps() -> None:
    levels = staircase(10, 0, {4: 1e5})
    assert steps(levels).steps == (Step(4, 1e5),)
    assert steps(levels, least=2e5).steps == ()


@pytest.mark.parametrize("rounds", [8, 12, 20])
def test_noise_hardly_ever_has_steps(rounds: int) -> None:
    rng = np.random.default_rng(rounds)
    stationary = sum(bool(steps(rng.normal(0, 1, rounds)).steps) for _ in range(500))
    walks = sum(bool(steps(np.cumsum(rng.normal(0, 1, rounds))).steps) for _ in range(500))
    assert stationary <= 10
    assert walks <= 10


def test_two_levels_are_refused() -> None:
    with pytest.raises(ValueError, match="three"):
        steps([1, 2])


@given(LEVELS, st.floats(0, 1e6))
def test_steps_are_the_largest_increments_and_all_else_is_between(y: np.ndarray, least: float) -> None:
    found = steps(y, least)
    assert found.height + found.between.sum() == pytest.approx(y[-1] - y[0], rel=1e-6, abs=1e-3)
    assert len(found.steps) <= max(0, (y.size - 1) // 3)
    for step in found.steps:
        assert step.size > least
        assert step.size > found.between.max()
