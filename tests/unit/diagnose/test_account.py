"""What accounts for the growth of private memory, where pages show it badly and exact counters well."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cases import judged, row, view_of
from timelines import App, simulate, six

from harness.correlate.build import correlate
from harness.diagnose.account import account_of, ruled_out
from harness.diagnose.engine import diagnose
from harness.diagnose.pool import PoolView, pools_of
from harness.diagnose.rules.pool.fragmentation import RULE as FRAGMENTATION
from harness.diagnose.rules.pool.leak import RULE as LEAK
from harness.model.finding import TIME_SHARE, Cause, Confidence, Side
from harness.model.run import RawRun

BY_TIME = App(allocators=True, live_noise_bytes=2000, idle_s=4)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("rate", "workers"), [(8_000, 4), (15_000, 4), (20_000, 4), (15_000, 1), (30_000, 2)])
def test_growth_with_time_is_told_where_live_bytes_certainly_grow(rate: int, workers: int, seed: int) -> None:
    """Too little for pages alone, by whose steps it might be chance: it was inconclusive, unlike the same growth by requests."""
    found = judged(replace(BY_TIME, bytes_per_second=rate, workers=workers, seed=seed))
    assert found.verdict.cause is Cause.LEAK
    assert found.verdict.confidence is not Confidence.HIGH
    assert "as time goes by" in found.verdict.summary
    growth = found.findings[0].growth
    assert growth.bytes_per_request is None, "fewer requests would not make it less"
    assert growth.bytes_per_hour == pytest.approx(rate * workers * 3600, rel=0.25)
    assert found.findings[0].numbers[TIME_SHARE] == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "weakness",
    [
        {},
        {"phi": 1.0, "noise_bytes": 60_000},
        {"live_noise_bytes": 40_000, "noise_bytes": 60_000},
        {"extra": lambda n: 8e6 * (1 - math.exp(-n / 150))},
    ],
    ids=["quiet", "random walk", "noisy", "cache that fills"],
)
def test_what_does_not_grow_with_time_is_no_leak(weakness: dict[str, Any], seed: int) -> None:
    assert judged(replace(BY_TIME, seed=seed, **weakness)).verdict.cause is Cause.HEALTHY


# -- free memory that grows by steps which are too large to be judged ------------------------------------------------------


HELD = App(allocators=True, blocks_at_floors=True, held_per_round=600_000)
# What malloc has taken more than it needs, in kB at the end of each round: it asks for more than is touched, now more, now less.
AHEAD = (0, 0, -300, 0, -200, 150, -250, 100, 150)


def by_steps(*, outside: bool = True, live: int = 0, ahead: float = 1.0) -> RawRun:
    """Private memory grows evenly, what malloc holds of it by steps of all sizes. ``outside``: whether the mappings were read;
    ``live``: bytes that malloc's live memory gains in each worker and round, out of what is free.
    ``ahead``: how large the steps are."""
    raw = simulate(HELD)
    ends = [w.floor_ns for w in raw.windows if w.phase == "rounds" and w.block is None and w.floor_ns is not None]
    series = {}
    for (metric, key), old in raw.series.items():
        done = (old.t_ns[:, None] >= np.array(ends)).sum(axis=1)
        values = old.values
        if metric == "runtime.glibc.used":
            values = values + done * live
        if metric == "runtime.glibc.system":
            values = values + np.rint(np.array(AHEAD)[done] * 1000 * ahead).astype(np.int64)
        if outside or not metric.startswith("process.smaps."):
            series[metric, key] = type(old)(metric, key, old.t_ns, values)
    return replace(raw, series=series)


def pool_by_steps(**how: Any) -> PoolView:
    (pool,) = pools_of(correlate(by_steps(**how)))
    return pool


def test_steps_of_free_memory_that_hide_its_trend() -> None:
    found = account_of(pool_by_steps())
    assert found is not None
    assert found.held is not None
    assert found.curve.grows
    assert not found.held.grows
    assert found.held.mdl_per_round > found.held.per_round
    assert found.live_ruled_out
    assert found.only_held


def test_what_only_allocators_can_hold_is_fragmentation() -> None:
    pool = pool_by_steps()
    [found] = FRAGMENTATION.check(pool)
    assert found.confidence is Confidence.MEDIUM
    assert "nothing else is left" in row(found, "heap.outside").text
    verdict = diagnose(pool.timeline)
    assert [f.cause for f in verdict.findings] == [Cause.FRAGMENTATION]


def test_where_the_rest_moves_too_much_to_be_ruled_out_it_is_a_suspicion() -> None:
    pool = pool_by_steps(ahead=1.7)
    account = account_of(pool)
    assert account is not None
    assert account.outside is not None
    assert account.outside.high > account.curve.low / 2
    assert account.held_by_default
    assert not account.only_held
    [found] = FRAGMENTATION.check(pool)
    assert found.confidence is Confidence.LOW
    assert diagnose(pool.timeline).findings[0].cause is Cause.FRAGMENTATION


def test_where_the_mappings_were_not_read_it_is_a_leak_of_unknown_kind_and_a_suspicion_only() -> None:
    pool = pool_by_steps(outside=False)
    account = account_of(pool)
    assert account is not None
    assert account.outside is None
    assert account.live_ruled_out
    assert not account.only_held
    assert not FRAGMENTATION.check(pool)
    [found] = LEAK.check(pool)
    assert found.confidence is Confidence.LOW
    assert row(found, "heap.live").side is Side.AGAINST
    assert diagnose(pool.timeline).verdict.confidence is Confidence.LOW


def test_live_bytes_that_grow_are_not_ruled_out() -> None:
    pool = pool_by_steps(live=400_000)
    account = account_of(pool)
    assert account is not None
    assert not account.live_ruled_out
    assert not account.only_held
    assert not FRAGMENTATION.check(pool)
    [found] = LEAK.check(pool)
    assert found.confidence is not Confidence.LOW


@pytest.mark.parametrize(
    "app",
    [replace(HELD, allocators=False), replace(HELD, held_per_round=0), replace(HELD, rounds=5)],
    ids=["live bytes were not read", "nothing grows", "too few rounds"],
)
def test_without_growth_or_live_bytes_nothing_is_ruled_out(app: App) -> None:
    account = account_of(view_of(app))
    assert account is not None
    assert not account.live_ruled_out
    assert not account.only_held


# -- what one endpoint seems to keep, against the pool as a whole ---------------------------------------------------------------


def with_jumps(app: App, size: int) -> PoolView:
    """In two rounds each worker's pages jump in the block in which it answered most requests to ``item``: pages that were shared,
    say, and are not any more."""
    raw = simulate(app)
    blocks = [w for w in raw.windows if w.phase == "rounds" and w.block is not None and w.round in (2, 5)]
    counts = {w: sum(s.endpoint == "item" and w.start_ns <= s.start_ns <= w.end_ns for s in raw.spans) for w in blocks}
    chosen = [max((w for w in blocks if w.round == n), key=lambda w: counts[w]) for n in (2, 5)]
    series = dict(raw.series)
    for (metric, key), old in raw.series.items():
        if metric == "process.memory.pss_anon":
            jumps = sum((old.t_ns >= w.floor_ns).astype(np.int64) * size for w in chosen)
            series[metric, key] = type(old)(metric, key, old.t_ns, old.values + jumps)
    (pool,) = pools_of(correlate(replace(raw, series=series)))
    return pool


def test_no_endpoint_keeps_more_than_the_pool_as_a_whole_may_have_grown_by() -> None:
    quiet = App(allocators=True, live_noise_bytes=2000, noise_bytes=5000, idle_s=2)
    pool = with_jumps(quiet, 60_000)
    assert pool.memory is not None
    assert pool.memory.high < 60_000
    assert ruled_out(pool, 60_000)
    assert not ruled_out(pool, 0.5 * pool.memory.high)
    blind = with_jumps(replace(quiet, allocators=False), 60_000)
    assert not ruled_out(blind, 60_000), "what allocators hold is not known: memory may be kept that shows by steps"


@pytest.mark.parametrize("seed", range(3))
def test_a_small_leak_that_is_there_is_never_ruled_out(seed: int) -> None:
    app = App(endpoints=six(item={"leak_bytes": 900}), allocators=True, live_noise_bytes=2000, idle_s=2, seed=seed)
    assert not ruled_out(view_of(app), 900 * app.requests / 6)
