"""Bounded history: nothing that matters is lost when bins are joined."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.session.live.history import Bin, History, Trend

steps = st.lists(st.tuples(st.integers(0, 10**13), st.integers(-(10**15), 10**15)), min_size=1, max_size=200)


@given(steps=steps, bin_ns=st.integers(1, 10**10), half=st.integers(1, 20))
def test_every_extreme_and_the_latest_value_stay(steps: list[tuple[int, int]], bin_ns: int, half: int) -> None:
    history = History(bin_ns, 2 * half)
    times = list(accumulate(step for step, _ in steps))
    for t_ns, (_, value) in zip(times, steps, strict=True):
        history.add(t_ns, value)
    seen = [b for b in history.bins if b is not None]
    values = [value for _, value in steps]
    assert 1 <= len(history.bins) <= 2 * half
    assert min(b.low for b in seen) == min(values)
    assert max(b.high for b in seen) == max(values)
    assert history.bins[-1] is not None
    assert history.bins[-1].last == values[-1]
    assert history.span_ns >= times[-1] - times[0]
    assert history.bin_ns % bin_ns == 0
    assert (history.bin_ns // bin_ns).bit_count() == 1, "bins only ever double"


@given(steps=steps, half=st.integers(1, 20))
def test_each_bin_holds_the_values_of_its_time(steps: list[tuple[int, int]], half: int) -> None:
    history = History(1_000, 2 * half)
    times = list(accumulate(step for step, _ in steps))
    for t_ns, (_, value) in zip(times, steps, strict=True):
        history.add(t_ns, value)
    expected: dict[int, list[int]] = {}
    for t_ns, (_, value) in zip(times, steps, strict=True):
        expected.setdefault((t_ns - times[0]) // history.bin_ns, []).append(value)
    assert {i: b for i, b in enumerate(history.bins) if b is not None} == {
        i: Bin(min(values), max(values), values[-1]) for i, values in expected.items()
    }


def test_gaps_stay_gaps_until_they_are_joined_with_something() -> None:
    history = History(10, 8)
    history.add(0, 1)
    history.add(60, 2)
    assert [b is not None for b in history.bins] == [True, False, False, False, False, False, True]


def test_two_days_at_a_tenth_of_a_second_take_no_more_than_ten_minutes() -> None:
    history = History(100_000_000, 240)
    for second in range(0, 48 * 3600, 7):
        history.add(second * 10**9, second)
    assert len(history.bins) <= 240
    assert history.bins[0] == Bin(0, history.bins[0].high, history.bins[0].last)  # type: ignore[union-attr]  # it is there


@pytest.mark.parametrize(("bin_ns", "capacity"), [(0, 8), (-1, 8), (1, 1), (1, 7)])
def test_a_history_that_could_not_be_halved_is_refused(bin_ns: int, capacity: int) -> None:
    with pytest.raises(ValueError, match="bin"):
        History(bin_ns, capacity)


@given(slope=st.integers(-(10**9), 10**9), level=st.integers(0, 10**12), count=st.integers(3, 100))
def test_the_trend_of_a_straight_line_is_its_slope(slope: int, level: int, count: int) -> None:
    trend = Trend(10**9, 20)
    for second in range(count):
        trend.add(second * 10**9, level + slope * second)
    assert trend.per_minute() == pytest.approx(60 * slope, rel=1e-6, abs=1e-3)


def test_a_trend_forgets_what_is_long_ago_and_needs_three_points() -> None:
    trend = Trend(10**9, 5)
    assert trend.per_minute() is None
    for second, value in enumerate([1000, 0, 900, 5, 5, 5, 5, 5]):
        trend.add(second * 10**9, value)
        trend.add(second * 10**9 + 1, 10**9)  # too soon after the last: left out
    assert trend.per_minute() == pytest.approx(0)
