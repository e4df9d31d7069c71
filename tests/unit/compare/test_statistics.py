"""Intervals of differences, and what is certain among many."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.compare.model import Method
from harness.compare.statistics import (
    Estimate,
    difference,
    geometric,
    holm,
    ratio,
    rounds_needed,
    runs_needed,
    side_of,
    t_quantile,
    t_tail,
)


def exact(value: float, usual: float = 0.0, *, typical: bool = True) -> Estimate:
    return Estimate(value, value, value, usual, typical)


@pytest.mark.parametrize(("df", "tail"), [(4, 0.025), (4, 0.001), (12, 0.025), (12, 0.0005), (40, 0.01)])
def test_the_tail_is_the_inverse_of_the_quantile(df: int, tail: float) -> None:
    from harness.diagnose.stats import student_t_quantile

    assert t_tail(student_t_quantile(1 - tail, df), df) == pytest.approx(tail, rel=1e-3)


def test_known_quantiles() -> None:
    assert t_quantile(8) == pytest.approx(2.306, abs=1e-3)
    assert t_quantile(8.9) == t_quantile(8)  # cautious
    assert t_quantile(1e6) == pytest.approx(1.96, abs=1e-3)


def test_a_lopsided_interval_reaches_only_where_it_did() -> None:
    """Certainly not below 0, perhaps 200: the difference may be 200 higher and cannot be lower."""
    found = difference([exact(0.0)], [Estimate(0.0, 0.0, 200.0)])
    assert found.low == 0.0
    assert 200 <= found.high <= 240
    assert found.method is Method.WITHIN


def test_of_two_single_runs_of_usual_spread() -> None:
    found = difference([exact(100.0, 1.0)], [exact(110.0, 1.0)])
    assert found.value == 10
    assert found.half_width == pytest.approx(t_quantile(16) * math.sqrt(2))
    assert found.method is Method.ASSUMED
    assert found.p < 1e-5


def test_runs_that_differ_more_than_usual_widen_the_interval() -> None:
    calm = difference([exact(v, 1.0) for v in (99, 100, 101)], [exact(v, 1.0) for v in (99, 100, 101)])
    wild = difference([exact(v, 1.0) for v in (90, 100, 110)], [exact(v, 1.0) for v in (90, 100, 110)])
    assert wild.half_width > 3 * calm.half_width
    assert wild.method is Method.RUNS


def test_what_is_only_how_bad_it_can_be_is_forgotten_when_runs_are_seen() -> None:
    quiet = (99.0, 100.0, 101.0)
    found = difference([exact(v, 45.0, typical=False) for v in quiet], [exact(v, 45.0, typical=False) for v in quiet])
    assert found.half_width < 5
    single = difference([exact(100.0, 45.0, typical=False)], [exact(100.0, 45.0, typical=False)])
    assert single.half_width > 100


def test_a_single_run_borrows_the_spread_of_many() -> None:
    many = [exact(v, 45.0, typical=False) for v in (99.0, 100.0, 101.0, 100.0)]
    found = difference(many, [exact(200.0, 90.0, typical=False)])
    assert 0 < found.half_width < 20
    assert found.p < 0.01


@pytest.mark.parametrize("size", [1, 3, 5])
def test_intervals_cover(size: int) -> None:
    """With the expected spread as it is, 95 % of the intervals hold the truth, whatever the number of runs."""
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(1000):
        base, head = ([exact(float(v), 2.0) for v in 100 + 2 * rng.standard_normal(size)] for _ in range(2))
        found = difference(base, head)
        held += found.low <= 0 <= found.high
    assert 935 <= held <= 990


def test_latencies_are_compared_by_their_factor() -> None:
    base = [exact(v, 0.45 * v, typical=False) for v in (1.0, 1.3, 0.8)]
    head = [exact(10 * v, 4.5 * v, typical=False) for v in (1.0, 1.3, 0.8)]
    found = ratio(base, head)
    assert found is not None
    assert found.value == pytest.approx(9 * (1.0 * 1.3 * 0.8) ** (1 / 3))
    assert found.p < difference(base, head).p


def test_a_latency_of_nothing_has_no_factor() -> None:
    assert ratio([exact(0.0)], [exact(1.0)]) is None
    assert geometric([exact(0.0)]) is None


def test_unknown_ends_stay_unknown() -> None:
    found = difference([exact(1.0)], [Estimate(2.0, 1.5, math.inf)])
    assert math.isinf(found.high)
    assert math.isfinite(found.low)
    shown = geometric([Estimate(2.0, -1.0, math.inf)])
    assert shown is not None
    assert shown.low == 0


def test_no_difference_at_all() -> None:
    found = difference([exact(3.0)], [exact(3.0)])
    assert (found.low, found.high, found.p) == (0, 0, 1)
    certain = difference([exact(3.0)], [exact(4.0)])
    assert certain.p == 0


def test_a_side_of_one_run_is_shown_with_what_is_usual() -> None:
    assert side_of([Estimate(5.0, 4.0, 6.0)]).low < 4.0
    shown = side_of([exact(10.0, 1.0), exact(12.0, 1.0)])
    assert shown.value == 11
    assert shown.low < 10
    assert shown.high > 12


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03]) == [True, False, False]
    assert holm([0.01, 0.02, 0.04]) == [True, True, True]
    assert holm([]) == []


def test_what_it_would_need() -> None:
    assert rounds_needed(8, 100.0, 50.0) == 32
    needed = runs_needed(10.0, 5.0, 16)
    assert needed is not None
    assert t_quantile(2 * needed - 2 + 16) * 10 * math.sqrt(2 / needed) <= 5
    assert runs_needed(1000.0, 0.1, 0) is None
