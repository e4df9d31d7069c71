"""Curves of any length in few points."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.formats.moments import POINTS_CAP, Moment, Thinned, extremes


def thinned(moments: list[Moment]) -> list[Moment]:
    curve = Thinned()
    for moment in moments:
        curve.add([moment])
        curve.open(moment[0])
    return curve.points()


def test_extremes_are_in_order_and_the_first_of_equals() -> None:
    a, b, c, d = (1, 5, 0, False), (1, 9, 1, False), (1, 9, 2, False), (2, 5, 3, True)
    assert extremes([a, b, c, d]) == [a, b]
    assert extremes([b, c, a, d]) == [b, a]
    assert extremes([a, d]) == [a]
    assert extremes([b]) == [b]
    assert extremes([]) == []


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 10**9)), max_size=300))
def test_a_short_curve_stays_as_it_is(steps: list[tuple[int, int]]) -> None:
    moments, now = [], 0
    for number, (step, size) in enumerate(steps):
        now += step
        moments.append((now, size, number, False))
    assert thinned(moments) == moments


@pytest.mark.parametrize("pace", [0, 1, 7, 10**6, 10**15])
def test_a_long_curve_keeps_its_extremes_whatever_the_pace(pace: int) -> None:
    chance, moments, now = random.Random(pace), [], 0
    for number in range(POINTS_CAP + 2_000):
        now += chance.randint(0, pace)
        moments.append((now, chance.randint(0, 10**9), number, False))
    points = thinned(moments)
    assert len(points) <= POINTS_CAP - 2
    assert points == sorted(points, key=lambda moment: moment[2])
    for pick in (min, max):
        assert pick(moments, key=lambda moment: moment[1]) in points


def test_one_late_moment_makes_the_stretches_wide_enough() -> None:
    early = [(at, at % 13, at, False) for at in range(POINTS_CAP + 1)]
    points = thinned([*early, (10**18, 5, -1, True)])
    assert len(points) <= 3
    assert points[-1] == (10**18, 5, -1, True)
    assert [p[1] for p in points[:-1]] == [0, 12]
