"""What the live view makes of sweeps."""

from __future__ import annotations

import os
import pickle

import pytest
from ticks import MIB, SECOND, process, tick

from harness.session.guardrails import Rail
from harness.session.live.state import LiveState, Snapshot
from harness.session.live.traffic import Traffic

PAGE = os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def state() -> LiveState:
    return LiveState("shop", SECOND, 0)


def gauge(snapshot: Snapshot, name: str) -> float | None:
    return next(g.value for g in snapshot.machine if g.name == name)


def test_pools_are_summed_from_the_latest_value_of_each_living_process(state: LiveState) -> None:
    a, b, c = process(1), process(2), process(3, pool="jobs")
    state.observe(tick(1, {a: 10 * MIB, b: 20 * MIB, c: 5 * MIB}))
    state.observe(tick(2, {a: 11 * MIB, b: None, c: None}))  # a sweep within a budget measures only some
    shown = {
        line.name: (line.alive, line.measured, line.metric, line.size) for line in state.snapshot(3 * SECOND).pools
    }
    assert shown == {"app": (2, 2, "PSS", 31 * MIB), "jobs": (1, 1, "PSS", 5 * MIB)}
    assert state.snapshot(3 * SECOND).elapsed_ns == 3 * SECOND


def test_what_was_never_measured_is_unknown_and_not_zero(state: LiveState) -> None:
    state.observe(tick(1, {process(1): None}))
    snapshot = state.snapshot(SECOND)
    (pool,) = snapshot.pools
    assert (pool.alive, pool.measured, pool.size, pool.per_minute, pool.bins) == (1, 0, None, None, ())
    assert all(g.value is None for g in snapshot.machine)
    assert snapshot.sampler_percent is None


def test_rss_stands_in_where_pss_may_not_be_read(state: LiveState) -> None:
    state.observe(tick(1, {process(1): 7 * MIB}, metric="process.memory.rss"))
    (pool,) = state.snapshot(SECOND).pools
    (worker,) = state.snapshot(SECOND).processes
    assert (pool.metric, pool.size) == ("RSS", 7 * MIB)
    assert (worker.metric, worker.size) == ("RSS", 7 * MIB)


def test_growth_per_minute_of_pools_and_processes(state: LiveState) -> None:
    a, b = process(1), process(2)
    for second in range(31):
        state.observe(tick(second, {a: 100 * MIB + second * MIB, b: 50 * MIB}))
    snapshot = state.snapshot(31 * SECOND)
    assert snapshot.pools[0].per_minute == pytest.approx(60 * MIB)
    assert {p.pid: p.per_minute for p in snapshot.processes} == {1: pytest.approx(60 * MIB), 2: pytest.approx(0)}


def test_the_first_rows_hold_the_biggest_and_those_that_grow_most(state: LiveState) -> None:
    workers = [process(pid) for pid in range(1, 40)]
    for second in range(0, 31, 5):
        sizes = {w: (100 - w.key.pid) * MIB + (second * MIB if w.key.pid == 39 else 0) for w in workers}
        state.observe(tick(second, dict(sizes)))
    assert [p.pid for p in state.snapshot(0).processes[:4]] == [1, 39, 2, 3]


def test_births_and_deaths_are_told_but_not_who_was_there_first(state: LiveState) -> None:
    a, b, c = process(1), process(2), process(3, born_s=2)
    state.observe(tick(1, {a: MIB, b: MIB}))
    assert state.snapshot(SECOND).events == ()
    state.observe(tick(3, {a: None, c: MIB}))
    assert state.snapshot(SECOND).events == (
        (3 * SECOND, "app: started: 3"),
        (3 * SECOND, "app: ended: 2 after 3.0 s"),
    )
    state.observe(tick(4, {}))
    (pool,) = state.snapshot(SECOND).pools
    assert (pool.alive, pool.size) == (0, None)
    assert len(pool.bins) >= 1, "what it was stays visible"


def test_a_burst_is_one_event(state: LiveState) -> None:
    state.observe(tick(1, {process(1): MIB}))
    state.observe(tick(2, {process(pid): MIB for pid in range(1, 60)}))
    assert state.snapshot(0).events == ((2 * SECOND, "app: started: 2, 3, 4 and 55 more"),)


def test_swap_is_a_rate_and_an_oom_kill_an_event(state: LiveState) -> None:
    first = {"system.vmstat.pswpin": 100, "system.vmstat.pswpout": 7, "system.vmstat.oom_kill": 4}
    state.observe(tick(1, {}, first))
    assert gauge(state.snapshot(0), "swap in") is None, "one reading is no rate"
    state.observe(tick(2, {}, {}))  # a sweep that did not read them
    state.observe(tick(3, {}, {"system.vmstat.pswpin": 300, "system.vmstat.pswpout": 7, "system.vmstat.oom_kill": 6}))
    snapshot = state.snapshot(0)
    assert gauge(snapshot, "swap in") == 100 * PAGE
    assert gauge(snapshot, "swap out") == 0
    assert snapshot.events == ((3 * SECOND, "the kernel killed 2 for lack of memory (OOM)"),)
    state.observe(tick(4, {}, {"system.vmstat.pswpin": 5, "system.vmstat.pswpout": 7}))
    assert gauge(state.snapshot(0), "swap in") == 100 * PAGE, "a counter that went back says nothing"


def test_what_sampling_costs(state: LiveState) -> None:
    state.observe(tick(1, {}, cpu_ns=50_000_000))
    state.observe(tick(11, {}, cpu_ns=150_000_000, late_ns=SECOND // 2, missed=3))
    snapshot = state.snapshot(0)
    assert snapshot.sampler_percent == pytest.approx(1.0)
    assert (snapshot.ticks, snapshot.late, snapshot.missed) == (2, 1, 3)


def test_memory_depends_on_who_lives_and_not_on_how_long(state: LiveState) -> None:
    """Two days in which every minute a worker is replaced, weighed by what it takes to write all of it down."""
    sizes = []
    for minute in range(48 * 60):
        workers = {process(pid): MIB * pid for pid in range(minute, minute + 5)}
        state.observe(tick(60 * minute, dict(workers), {"system.meminfo.MemAvailable": minute}))
        if minute % 20 == 19:
            sizes.append(len(pickle.dumps(state)))
    half_a_day = len(sizes) // 4
    assert max(sizes[-half_a_day:]) <= 1.05 * max(sizes[:half_a_day])


def test_traffic_and_guard_rails_are_those_told_last(state: LiveState) -> None:
    assert (state.snapshot(SECOND).traffic, state.snapshot(SECOND).sent) == ((), None)
    rails = (Rail("latency p99", "unknown", "at most 2.0 s", None),)
    state.load(Traffic(1 * SECOND, 100.0, 3_000_000, 9_000_000, 100, 1, 0), rails)
    state.load(Traffic(2 * SECOND, None, None, None, 100, 1, 0), rails)  # nothing was answered lately
    state.early = {"app": "grows"}
    snapshot = state.snapshot(3 * SECOND)
    assert [line.value for line in snapshot.traffic] == [None, None, None]
    assert [len(line.bins) for line in snapshot.traffic] == [1, 1, 1]  # what was known stays in the picture
    assert (snapshot.sent, snapshot.rails, snapshot.early) == ((100, 1, 0), rails, (("app", "grows"),))
    state.load(None, ())
    assert (state.snapshot(3 * SECOND).traffic, state.snapshot(3 * SECOND).rails) == ((), ())
