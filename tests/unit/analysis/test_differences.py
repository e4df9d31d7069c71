"""Differences from baselines, as amounts and as shares."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.analysis.differences import difference, relative, together
from harness.model.measure import Measure, Unit


def retained(value: float, half: float, blind: float | None = None) -> Measure:
    return Measure("retained_bytes_per_request", Unit.BYTES, value, value - half, value + half, blind=blind)


def peak(value: float) -> Measure:
    return Measure("peak_pss", Unit.BYTES, value, value, value)


def test_intervals_of_both_are_put_together() -> None:
    found = difference(retained(1000, 30), [retained(800, 40)])
    assert (found.value, found.low, found.high) == (200, pytest.approx(150, abs=15), pytest.approx(250, abs=15))


def test_a_fact_of_one_run_is_not_that_of_every_run() -> None:
    """Peaks are exact, and differ from run to run all the same."""
    found = difference(peak(100e6), [peak(100e6)])
    assert found.low is not None
    assert found.high is not None
    assert found.low < -1e6
    assert found.high > 1e6


def test_a_share_of_the_baseline() -> None:
    found = relative(retained(1100, 1), [retained(1000, 1)])
    assert found is not None
    assert found.unit is Unit.RATIO
    assert found.value == pytest.approx(0.1)
    assert (found.low, found.high) == (pytest.approx(0.1, abs=0.002), pytest.approx(0.1, abs=0.002))
    assert found.low < 0.1 < (found.high or 0)


def test_an_interval_of_a_share_holds_the_doubt_of_the_baseline() -> None:
    found = relative(retained(1000, 0), [retained(1000, 300)])
    assert found is not None
    assert found.low == pytest.approx(1000 / 1300 - 1, abs=0.06)
    assert found.high == pytest.approx(1000 / 700 - 1, abs=0.15)


@pytest.mark.parametrize("base", [retained(5, 20), retained(0, 0), retained(-10, 1)])
def test_there_is_no_share_of_what_may_be_nothing(base: Measure) -> None:
    assert relative(retained(10, 1), [base]) is None


def test_an_end_that_one_does_not_know_is_not_known() -> None:
    open_ended = replace(retained(1000, 10), high=None)
    found = difference(open_ended, [retained(900, 10)])
    assert found.low is not None
    assert found.high is None
    share = relative(open_ended, [retained(900, 10)])
    assert share is not None
    assert share.high is None


def test_several_baselines_show_how_much_runs_differ() -> None:
    steady = [peak(100e6), peak(100.1e6), peak(99.9e6), peak(100e6)]
    wild = [peak(100e6), peak(110e6), peak(90e6), peak(100e6)]
    narrow, wide = (difference(peak(102e6), bases) for bases in (steady, wild))
    assert narrow.value == wide.value == pytest.approx(2e6)
    assert narrow.low is not None
    assert wide.low is not None
    assert wide.low < narrow.low


def test_the_blind_spot_of_several_is_the_largest() -> None:
    assert together([retained(1, 1, blind=50), retained(1, 1, blind=90)]).blind == 90
    assert together([retained(1, 1, blind=50), retained(1, 1)]).blind is None


def test_latencies_differ_by_factors() -> None:
    """Twice as long is as far from the same as half as long, and no interval goes below nothing."""
    slow, fast = (Measure("p95", Unit.NS, v, 0.99 * v, 1.01 * v) for v in (20e6, 10e6))
    up, down = relative(slow, [fast]), relative(fast, [slow])
    assert up is not None
    assert down is not None
    assert (up.value, down.value) == (pytest.approx(1.0), pytest.approx(-0.5))
    assert up.low is not None
    assert up.high is not None
    assert down.low is not None
    assert down.high is not None
    assert (1 + up.low) * (1 + down.high) == pytest.approx(1)
    assert -1 < down.low < down.value < down.high
    change = difference(slow, [fast])
    assert change.value == pytest.approx(10e6)
    assert change.high == pytest.approx(up.high * 10e6)
    assert together([fast, slow]).value == pytest.approx(10e6 * 2**0.5)
