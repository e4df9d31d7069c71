"""Restart policies: the simulation against what can be computed by hand, and the choice on synthetic runs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from timelines import App, Endpoint, six
from timelines import simulate as make_run

from harness.correlate.build import correlate
from harness.diagnose.pool import PoolView, pools_of
from harness.diagnose.recycling import (
    COLD_REQUESTS,
    MAX_REQUESTS,
    MEMORY_LIMIT,
    NONE,
    WorkerCurve,
    cold_start,
    curve_of,
    recycling_of,
    simulate,
)
from harness.model.run import RawRun

MIB = 1 << 20
LINE = WorkerCurve(np.array([0.0, 1000.0]), np.array([10e6, 11e6]), slope=1000.0)


def pool_of(raw: RawRun) -> PoolView:
    (pool,) = pools_of(correlate(raw))
    return pool


def leaking(**changes: object) -> RawRun:
    return make_run(dataclasses.replace(App(endpoints=six(cart_add={"leak_bytes": 20_480})), **changes))  # type: ignore[arg-type]


# -- the simulation -------------------------------------------------------------------------------------------------------


def test_a_curve_goes_on_behind_what_was_measured() -> None:
    assert LINE.at(np.array([0.0, 500.0, 1000.0, 3000.0])).tolist() == [10e6, 10.5e6, 11e6, 13e6]


def test_one_worker_is_a_sawtooth() -> None:
    outcome = simulate(LINE, 1, 20 * 5000, 5000)
    assert outcome.peak == pytest.approx(10e6 + 5000 * 1000, rel=0.01)
    assert outcome.average == pytest.approx(10e6 + 2500 * 1000, rel=0.01)


def test_nobody_replaced_grows_on() -> None:
    outcome = simulate(LINE, 4, 100_000, None)
    assert outcome.peak == pytest.approx(4 * 10e6 + 100_000 * 1000, rel=0.001)
    assert outcome.average == pytest.approx(4 * 10e6 + 50_000 * 1000, rel=0.01)


def test_without_a_jitter_all_are_old_together() -> None:
    together = simulate(LINE, 8, 8 * 20 * 5000, 5000)
    apart = simulate(LINE, 8, 8 * 20 * 5000, 5000, jitter=5000)
    oldest = 8 * (10e6 + 5000 * 1000)
    assert together.peak == pytest.approx(oldest, rel=0.05)
    assert apart.average == pytest.approx(8 * (10e6 + 7500 / 2 * 1000), rel=0.1)
    assert apart.peak < 8 * (10e6 + 9000 * 1000)  # they live up to 10000 requests, but not all at once


def test_the_same_seed_gives_the_same_outcome() -> None:
    assert simulate(LINE, 4, 50_000, 3000, 500) == simulate(LINE, 4, 50_000, 3000, 500)
    assert simulate(LINE, 4, 50_000, 3000, 500) != simulate(LINE, 4, 50_000, 3000, 500, seed=2)


# -- what is read from a run ----------------------------------------------------------------------------------------------


def test_the_curve_of_a_leak() -> None:
    curve = curve_of(pool_of(leaking()))
    assert curve is not None
    assert curve.slope == pytest.approx(20_480 / 6, rel=0.1)
    assert curve.level[0] == pytest.approx(40e6, rel=0.03)
    served = 10 * 600 / 4  # two rounds of warm-up, eight measured
    assert curve.requests[-1] == pytest.approx(served, rel=0.1)
    assert curve.level[-1] - curve.level[0] == pytest.approx(served * 20_480 / 6, rel=0.1)


def test_the_curve_of_a_cache_ends() -> None:
    filling = App(extra=lambda served: 20e6 * (1 - 0.98**served))
    curve = curve_of(pool_of(make_run(filling)))
    assert curve is not None
    assert curve.slope == 0
    assert curve.at(np.array([1e6]))[0] == pytest.approx(60e6, rel=0.02)


def test_without_requests_by_worker_there_is_no_curve() -> None:
    assert curve_of(pool_of(leaking(records="none"))) is None
    assert recycling_of(pool_of(leaking(records="none"))) is None


def slow_at_first(raw: RawRun, extra_ns: int) -> RawRun:
    """The first ten requests to each worker take longer."""
    slower = [
        dataclasses.replace(r, start_ns=(r.start_ns or 0) - extra_ns)
        if r.sequence is not None and r.sequence < 10 and r.start_ns is not None
        else r
        for r in raw.records
    ]
    return dataclasses.replace(raw, records=slower)


def test_the_cost_of_a_cold_start() -> None:
    raw = slow_at_first(leaking(), 100_000)
    found = cold_start(pool_of(raw))
    assert found is not None
    assert found.extra_s == pytest.approx(10 * 100e-6, rel=0.01)
    assert found.request_s == pytest.approx(1.6e-3, rel=0.01)
    assert COLD_REQUESTS > 10


def test_where_no_first_request_was_seen_the_cost_is_unknown() -> None:
    raw = leaking()
    later = [dataclasses.replace(r, sequence=(r.sequence or 0) + 500, first_in_process=False) for r in raw.records]
    assert cold_start(pool_of(dataclasses.replace(raw, records=later))) is None
    assert cold_start(pool_of(leaking(records="log"))) is None


# -- the choice ------------------------------------------------------------------------------------------------------------


def test_of_a_leak_the_rarest_that_keeps_workers_small_is_taken() -> None:
    row = recycling_of(pool_of(leaking()))
    assert row is not None
    assert row.chosen is not None
    assert row.policies[0].policy == NONE
    assert [p.policy for p in row.policies].count(MEMORY_LIMIT) == 1
    best = row.policies[row.chosen]
    assert best.policy == MAX_REQUESTS
    assert best.requests is not None
    assert best.jitter == best.requests // 5
    grown = (best.requests + best.jitter) * row.growth_bytes_per_request
    assert 0.1 * row.warm_bytes < grown <= 0.25 * row.warm_bytes + MIB
    assert best.average_bytes < best.peak_bytes < row.policies[0].peak_bytes
    assert best.cold_starts_per_hour == pytest.approx(row.requests_per_hour / (best.requests + best.jitter / 2))
    assert "25 %" in row.reason
    steps = [p.requests for p in row.policies if p.policy == MAX_REQUESTS]
    assert steps == sorted(s for s in steps if s is not None)


def test_a_server_without_a_jitter_is_simulated_without() -> None:
    row = recycling_of(pool_of(leaking()), with_jitter=False)
    assert row is not None
    assert {p.jitter for p in row.policies if p.policy == MAX_REQUESTS} == {0}
    assert all("more" not in p.text for p in row.policies)


def test_dear_cold_starts_make_replacement_rarer() -> None:
    cheap = recycling_of(pool_of(leaking()))
    dear = recycling_of(pool_of(slow_at_first(leaking(), 40_000_000)))
    assert cheap is not None
    assert dear is not None
    assert cheap.chosen is not None
    assert dear.chosen is not None
    few, many = cheap.policies[cheap.chosen].requests, dear.policies[dear.chosen].requests
    assert few is not None
    assert many is not None
    assert many > few
    assert dear.cold_start_s is not None
    assert dear.cold_start_s / many <= 0.02 * 2e-3
    assert "fiftieth" in dear.reason


def test_what_does_not_grow_is_left_alone() -> None:
    row = recycling_of(pool_of(make_run(App())))
    assert row is not None
    assert row.chosen is None
    assert row.growth_bytes_per_request == 0
    assert "does not pay" in row.reason


def test_the_budget_says_when_memory_is_full() -> None:
    row = recycling_of(pool_of(leaking()), budget_bytes=1e9)
    assert row is not None
    never = row.policies[0]
    assert never.hours_to_budget is not None
    used = row.workers * row.fresh_bytes + row.growth_bytes_per_request * row.requests_per_hour * never.hours_to_budget
    assert used == pytest.approx(1e9, rel=0.05)
    assert recycling_of(pool_of(leaking()), budget_bytes=1e15).policies[0].hours_to_budget is None  # type: ignore[union-attr]


def test_one_endpoint_is_enough() -> None:
    only = App(endpoints=(Endpoint("only", leak_bytes=4096),), requests=200, blocks=1)
    assert recycling_of(pool_of(make_run(only))) is not None
