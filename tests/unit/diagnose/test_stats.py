from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.diagnose.stats import (
    bootstrap_nnls,
    fit_decay,
    fit_settling,
    lag1_autocorrelation,
    mad,
    mean_test,
    minimum_detectable_slope,
    nnls,
    nnls_gram,
    normal_quantile,
    standard_errors,
    student_t_quantile,
    trend,
)

LEVELS = arrays(np.float64, st.integers(3, 12), elements=st.floats(-1e6, 1e6, width=32))


def ar1(n: int, phi: float, rng: np.random.Generator) -> np.ndarray:
    noise = rng.standard_normal(n)
    y = np.empty(n)
    y[0] = noise[0]
    for i in range(1, n):
        y[i] = phi * y[i - 1] + math.sqrt(1 - phi * phi) * noise[i]
    return y


@pytest.mark.parametrize(
    ("p", "df", "expected"),  # printed tables
    [
        (0.975, 1, 12.7062),
        (0.975, 2, 4.3027),
        (0.975, 3, 3.1824),
        (0.995, 6, 3.7074),
        (0.95, 5, 2.0150),
        (0.975, 30, 2.0423),
        (0.995, 1000, 2.5808),
    ],
)
def test_student_quantiles_match_the_tables(p: float, df: int, expected: float) -> None:
    assert student_t_quantile(p, df) == pytest.approx(expected, rel=2e-4)


def test_quantiles_refuse_what_they_cannot_do() -> None:
    assert normal_quantile(0.975) == pytest.approx(1.959964, rel=1e-6)
    with pytest.raises(ValueError, match="df"):
        student_t_quantile(0.9, 0)
    with pytest.raises(ValueError, match="df"):
        student_t_quantile(0.2, 5)


def test_mad() -> None:
    assert mad([1, 2, 3, 4, 100]) == 1
    assert mad([7]) == 0
    assert mad([]) == 0


def test_trend_of_a_line_is_exact() -> None:
    found = trend([5 + 3 * i for i in range(8)])
    assert (found.slope, found.low, found.high, found.lag1) == (3, 3, 3, 0)
    assert found.z > 3


def test_trend_ignores_one_outlier() -> None:
    y = [float(2 * i) for i in range(9)]
    y[4] += 1000
    assert trend(y).slope == pytest.approx(2)


@pytest.mark.parametrize("size", [0, 2, 2001])
def test_trend_refuses_sizes_it_is_not_made_for(size: int) -> None:
    with pytest.raises(ValueError, match="values"):
        trend(np.zeros(size))


@given(LEVELS, st.floats(-1e3, 1e3, width=32))
def test_trend_is_equivariant(y: np.ndarray, extra: float) -> None:
    steps = np.arange(y.size)
    assert trend(y + extra * steps).slope == pytest.approx(trend(y).slope + extra, rel=1e-6, abs=1e-3)
    assert trend(-y).slope == pytest.approx(-trend(y).slope, rel=1e-9, abs=1e-9)
    assert trend(-y).z == pytest.approx(-trend(y).z, abs=1e-9)


@given(LEVELS)
def test_trend_interval_holds_its_slope(y: np.ndarray) -> None:
    found = trend(y)
    assert found.low <= found.slope <= found.high
    assert 0 <= found.lag1 <= 0.99


def test_false_positives_of_the_trend_test_stay_near_nominal_under_autocorrelation() -> None:
    """Nominal 2.5 % one-sided; the uncorrected test reaches 22 % at 0.8. Full table: bench/diagnosis.py."""
    rng = np.random.default_rng(11)
    rates = {}
    for phi in (0.0, 0.5, 0.8):
        rates[phi] = float(np.mean([trend(ar1(60, phi, rng)).z > 1.96 for _ in range(400)]))
    assert rates[0.0] < 0.05
    assert rates[0.5] < 0.07
    assert rates[0.8] < 0.09


def test_increments_of_a_random_walk_pass_as_growth_no_oftener_than_they_should() -> None:
    rng = np.random.default_rng(5)
    needed = student_t_quantile(0.995, 6)
    hits = np.mean([mean_test(rng.standard_normal(7)).t >= needed for _ in range(3000)])
    assert hits < 0.01


def test_mean_test() -> None:
    found = mean_test([1, 2, 3])
    assert found.mean == 2
    assert found.low == pytest.approx(2 - 4.3027 / math.sqrt(3), rel=1e-4)
    assert found.t == pytest.approx(2 * math.sqrt(3))
    assert mean_test([5, 5]).t == math.inf
    assert mean_test([-5, -5]).t == -math.inf
    assert mean_test([0, 0]).t == 0
    with pytest.raises(ValueError, match="two"):
        mean_test([1])


def test_lag1_knows_noise_from_a_walk() -> None:
    rng = np.random.default_rng(3)
    assert lag1_autocorrelation(rng.standard_normal(300)) < 0.2
    assert lag1_autocorrelation(ar1(300, 0.9, rng)) > 0.75
    assert lag1_autocorrelation([1, -1] * 20) < 0.1
    assert lag1_autocorrelation([4, 4, 4]) == 0


def test_minimum_detectable_slope_is_detected_about_as_often_as_promised() -> None:
    rng = np.random.default_rng(9)
    slope = minimum_detectable_slope(1.0, 60, 0.0)
    hits = np.mean([trend(rng.standard_normal(60) + slope * np.arange(60)).z > 1.96 for _ in range(300)])
    assert 0.75 < hits <= 0.97  # facts: .81 to .90
    assert minimum_detectable_slope(1.0, 60, 0.8) > 2 * slope


def test_decay_is_recognised_and_extrapolated() -> None:
    found = fit_decay([64 * 0.5**i for i in range(8)])
    assert found.q == pytest.approx(0.5, abs=0.01)
    assert found.q_high < 0.6
    assert found.aicc_gain > 10
    assert found.remaining(8) == pytest.approx(0.5, rel=0.1)


def test_what_a_decay_leaves_is_found() -> None:
    rng = np.random.default_rng(5)
    found = fit_settling(10 * 0.5 ** np.arange(11) + 2 + rng.normal(0, 0.05, 11))
    assert found.q == pytest.approx(0.5, abs=0.03)
    assert found.rest == pytest.approx(2, abs=0.1)
    assert 1.5 < found.rest_low < 2
    assert found.aicc_gain > 0
    assert not found.fades


def test_a_decay_to_nothing_leaves_nothing() -> None:
    rng = np.random.default_rng(5)
    certain = sum(fit_settling(10 * 0.5 ** np.arange(11) + rng.normal(0, 0.1, 11)).rest_low > 0 for _ in range(200))
    assert certain <= 6  # 1 %


def test_increments_that_fall_like_a_power_of_time_fade() -> None:
    assert fit_settling(10 / np.arange(1, 13)).fades
    with pytest.raises(ValueError, match="five"):
        fit_settling([1, 2, 3, 4])


def test_constant_increments_do_not_decay() -> None:
    found = fit_decay([10, 10.1, 9.9, 10, 10.05, 9.95, 10])
    assert found.q_low < 1 < found.q_high
    assert found.aicc_gain < 0
    assert fit_decay([1, 2, 4, 8]).remaining(4) is None
    with pytest.raises(ValueError, match="four"):
        fit_decay([1, 2, 3])


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(6, 20))
def test_nnls_meets_the_optimality_conditions(seed: int, columns: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(0, 10, (rows, columns)), rng.uniform(-5, 20, rows)
    x = nnls(a, b)
    gradient = a.T @ (a @ x - b)
    scale = float(np.abs(a.T @ b).max()) + 1
    assert (x >= 0).all()
    assert (gradient >= -1e-6 * scale).all()  # no endpoint outside would improve the fit
    assert np.abs(gradient[x > 0]).max(initial=0) <= 1e-6 * scale  # inside it is stationary


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_nnls_recovers_what_was_put_in(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.choice([0.0, 100.0, 5000.0], 5)
    a = rng.integers(0, 50, (60, 5)).astype(float)
    assert nnls(a, a @ truth) == pytest.approx(truth, rel=1e-5, abs=1e-3)


def test_nnls_shares_between_columns_that_cannot_be_told_apart() -> None:
    column = np.array([1.0, 2, 3, 4])
    assert nnls(np.stack([column, column], axis=1), 10 * column) == pytest.approx([5, 5], rel=1e-4)


def test_nnls_of_nothing() -> None:
    assert nnls_gram(np.zeros((0, 0)), np.zeros(0)).size == 0
    assert (nnls(np.ones((3, 2)), [-1, -2, -3]) == 0).all()
    assert (nnls(np.zeros((3, 2)), [1, 2, 3]) == 0).all()


def test_standard_errors_match_the_textbook_and_flag_dependence() -> None:
    a = np.array([[1.0, 0], [1, 1], [1, 2], [1, 3]])
    expected = np.sqrt(np.diag(np.linalg.inv(a.T @ a)) * 4.0)
    assert standard_errors(a.T @ a, 4.0) == pytest.approx(expected)
    twin = np.column_stack([a[:, 1], a[:, 1], a[:, 0]])
    errors = standard_errors(twin.T @ twin, 4.0)
    assert np.isinf(errors[:2]).all()
    assert np.isfinite(errors[2])
    assert np.isinf(standard_errors(np.zeros((1, 1)), 4.0)).all()


def test_bootstrap_intervals_cover_the_truth_and_are_repeatable() -> None:
    rng = np.random.default_rng(2)
    truth = np.array([0.0, 1000, 0, 200])
    covered = np.zeros(4)
    runs = 60
    for run in range(runs):
        counts = rng.integers(0, 20, (60, 4)).astype(float)
        growth = counts @ truth + rng.normal(0, 3000, 60)
        fit = bootstrap_nnls(counts, growth, np.arange(60) // 2, draws=150, seed=run)
        covered += (fit.low <= truth) & (truth <= fit.high)
    assert (covered / runs > 0.85).all()
    again = bootstrap_nnls(counts, growth, np.arange(60) // 2, draws=150, seed=run)
    assert (again.low == fit.low).all()
    assert (again.high == fit.high).all()


def test_bootstrap_of_too_few_groups_is_not_sure_of_anything() -> None:
    counts = np.array([[1.0, 2], [2, 1]])
    fit = bootstrap_nnls(counts, np.array([10.0, 10]), np.array([0, 1]))
    assert np.isinf(fit.high).all()
    assert (fit.low == 0).all()
    empty = bootstrap_nnls(np.zeros((0, 2)), np.zeros(0), np.zeros(0, dtype=np.int64))
    assert np.isinf(empty.high).all()
