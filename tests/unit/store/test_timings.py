"""Times in memory that does not grow."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.store.timings import Timings, together

TIMES = st.lists(st.integers(0, 999_999_999), min_size=1, max_size=60)


def of(times: list[int]) -> Timings:
    timings = Timings()
    for time_ns in times:
        timings.add(time_ns)
    return timings


def test_none_where_there_are_none() -> None:
    assert Timings().quantile_ns(0.5) is None
    assert together([]).quantile_ns(0.95) is None


@given(TIMES)
def test_a_quantile_is_one_of_the_times_to_three_digits(times: list[int]) -> None:
    timings = of(times)
    assert timings.count == len(times)
    for share, at in ((0.5, (len(times) + 1) // 2), (1.0, len(times))):
        found = timings.quantile_ns(share)
        assert found is not None
        assert abs(found - sorted(times)[at - 1]) <= sorted(times)[at - 1] / 200


@given(TIMES, TIMES)
def test_parts_together_are_the_whole(left: list[int], right: list[int]) -> None:
    whole = together([of(left), of(right)])
    assert whole.count == len(left) + len(right)
    assert whole.quantile_ns(0.5) == of(left + right).quantile_ns(0.5)


def test_many_different_times_take_little_memory() -> None:
    timings = of(list(range(0, 1_000_000_000, 9_973)))
    assert timings.count == 100_271
    assert len(timings._times) < 8_000
