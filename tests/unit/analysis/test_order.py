"""Intervals from ranks and counts, against what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from harness.analysis.order import quantile_ranks, share_interval
from harness.scenario.enough import for_percentile, for_share


@pytest.mark.parametrize("q", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("n", [400, 4000, 8000])
def test_a_percentile_lies_within_in_95_of_100_samples(n: int, q: float) -> None:
    rng = np.random.default_rng(5)
    low, high = quantile_ranks(n, q)
    assert low is not None
    assert high is not None
    samples = np.sort(rng.random((2000, n)), axis=1)  # uniform: the quantile is q itself
    inside = (samples[:, low] <= q) & (q <= samples[:, high])
    assert 0.94 <= inside.mean() <= 0.985


def test_the_exact_ranks_and_the_approximation_meet() -> None:
    exact, near = quantile_ranks(5000, 0.99), quantile_ranks(5001, 0.99)
    assert all(a is not None and b is not None and abs(a - b) <= 3 for a, b in zip(exact, near, strict=True))


def test_too_few_values_have_no_upper_end() -> None:
    needed = for_percentile(0.99)
    assert needed == 368
    assert quantile_ranks(needed - 1, 0.99)[1] is None
    assert quantile_ranks(needed, 0.99)[1] == needed - 1
    assert quantile_ranks(1, 0.5) == (None, None)
    assert quantile_ranks(0, 0.5) == (None, None)


def test_shares() -> None:
    assert share_interval(0, 100) == (0.0, pytest.approx(0.037, abs=0.001))
    assert share_interval(100, 100) == (pytest.approx(0.963, abs=0.001), 1.0)
    low, high = share_interval(10, 1000)
    assert low < 0.01 < high
    assert (low, high) == (pytest.approx(0.0054, abs=0.0005), pytest.approx(0.0183, abs=0.0005))


@pytest.mark.parametrize("limit", [0.001, 0.01, 0.05])
def test_so_many_requests_without_an_error_are_needed_for_a_share(limit: float) -> None:
    needed = for_share(limit)
    assert share_interval(0, needed)[1] < limit <= share_interval(0, needed - 1)[1]
