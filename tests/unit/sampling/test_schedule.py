"""A grid that does not drift."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.sampling.schedule import Due, Grid


def test_on_time() -> None:
    grid = Grid(1000, 100)
    assert grid.next_ns == 1000
    assert grid.take(999) is None
    assert grid.take(1000) == Due(0, 0)
    assert grid.next_ns == 1100


def test_lateness_does_not_shift_what_comes_after() -> None:
    grid = Grid(1000, 100)
    assert grid.take(1090) == Due(90, 0)
    assert grid.next_ns == 1100


def test_a_gap_is_counted_and_not_caught_up() -> None:
    grid = Grid(1000, 100)
    grid.take(1000)
    assert grid.take(1530) == Due(30, 4)  # 1100, 1200, 1300 and 1400; this one stands for 1500
    assert grid.take(1530) is None
    assert grid.next_ns == 1600


@given(st.integers(1, 10**9), st.lists(st.integers(0, 10**10), max_size=50))
def test_every_grid_point_is_either_taken_or_missed(interval_ns: int, steps: list[int]) -> None:
    grid = Grid(0, interval_ns)
    now = taken = missed = 0
    for step in steps:
        now += step
        due = grid.take(now)
        if due is not None:
            assert 0 <= due.late_ns < interval_ns
            taken += 1
            missed += due.missed
    assert grid.next_ns == (taken + missed) * interval_ns
    assert grid.next_ns > now or not steps
