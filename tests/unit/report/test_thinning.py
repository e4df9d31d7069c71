"""Fewer points, no lost extremes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harness.model.run import Series
from harness.report.thinning import thinned


def series(values: list[int]) -> Series:
    return Series("process.memory.rss", None, np.arange(len(values), dtype=np.int64), np.array(values, dtype=np.int64))


def test_few_points_are_all_kept() -> None:
    given_ = [series([1, 2, 3]), series([4, 5])]
    assert thinned(given_, 5) == given_


@given(st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=400), st.integers(1, 500))
def test_first_last_lowest_and_highest_stay(values: list[int], most: int) -> None:
    (found,) = thinned([series(values)], most)
    assert found.t_ns.size <= max(most, 4) + 4
    assert found.t_ns[0] == 0
    assert found.t_ns[-1] == len(values) - 1
    assert found.values.min() == min(values)
    assert found.values.max() == max(values)
    assert np.array_equal(found.values, np.array(values, dtype=np.int64)[found.t_ns])


def test_every_spike_of_one_sample_stays() -> None:
    values = [100] * 1_000_000
    for at in range(0, 1_000_000, 10_007):
        values[at] = 1_000
    (found,) = thinned([series(values)], 10_000)
    assert found.t_ns.size < 15_000
    assert (found.values == 1_000).sum() == len(range(0, 1_000_000, 10_007))


def test_each_series_keeps_its_share() -> None:
    long, short = thinned([series(list(range(90_000))), series(list(range(10_000)))], 10_000)
    assert 8_000 <= long.t_ns.size <= 9_100
    assert 800 <= short.t_ns.size <= 1_100
