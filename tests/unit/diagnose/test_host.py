from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from kernel_counters import MIB, Machine
from timelines import App, simulate

from harness.correlate.build import correlate
from harness.diagnose.growth import Yardstick
from harness.diagnose.host import HostView, host_of, of_processes
from harness.diagnose.pool import pools_of
from harness.diagnose.straits import harm_of, lasting, stalled
from harness.model.process import host_key

APP = App(machine=Machine(hits=70, waiting=0.1, files=MIB, swaps=3), further={"process.faults.major": (5, 20)})


def view(app: App) -> HostView:
    timeline = correlate(simulate(app))
    return host_of(timeline, pools_of(timeline))


def test_counters_are_what_they_rose_by() -> None:
    host = view(APP)
    hits = host.counted("cgroup.app.memory.events.max")
    assert hits is not None
    assert hits.per_round == (70.0,) * 7
    assert hits.total == 490
    assert hits.rounds_with(71) == 0
    seconds = (host.rounds[-1].floor_ns - host.rounds[0].floor_ns) / 1e9
    assert hits.per_second == pytest.approx(490 / seconds)
    assert host.counted("no.such", "system.vmstat.pswpin", "system.vmstat.pswpout").total == 42  # type: ignore[union-attr]
    assert host.counted("no.such") is None


def test_a_counter_that_was_reset_counts_nothing() -> None:
    run = simulate(APP)
    key = ("cgroup.app.memory.events.max", None)
    falls = replace(run.series[key], values=run.series[key].values[::-1].copy())
    timeline = correlate(replace(run, series={**run.series, key: falls}))
    counted = host_of(timeline, pools_of(timeline)).counted(key[0])
    assert counted is not None
    assert counted.total == 0


def test_the_accounts_of_a_group_may_be_those_of_a_further_host() -> None:
    """What is only one machine's own is that of the first."""
    run = simulate(APP)
    moved = {
        (metric, host_key("") if key is None and metric.startswith(("cgroup.", "system.")) else key): series
        for (metric, key), series in run.series.items()
    }
    timeline = correlate(replace(run, series=moved))
    host = host_of(timeline, pools_of(timeline))
    hits = host.counted("cgroup.app.memory.events.max")
    assert hits is not None
    assert hits.total == 490
    assert host.counted("system.vmstat.pswpin") is None


def test_lasting_wants_it_in_most_rounds() -> None:
    host = view(APP)
    assert lasting(host.counted("cgroup.app.memory.events.max"), 1, host)
    assert not lasting(host.counted("cgroup.app.memory.events.max"), 1000, host)
    assert not lasting(None, 0, host)
    once = view(replace(APP, machine=Machine(killed=(4,))))
    assert not lasting(once.counted("cgroup.app.memory.events.oom_kill"), 1e-9, once)


def test_stalls_are_a_share_of_the_time() -> None:
    host = view(APP)
    seconds = np.mean(np.diff([r.floor_ns for r in host.rounds])) / 1e9
    assert stalled(host, "cgroup.app.memory.pressure_total.") == pytest.approx(0.1 * 10 / seconds, rel=0.05)
    assert stalled(host, "system.psi_total.memory.") == 0
    assert stalled(host, "nothing.") is None


def test_harm_is_what_the_processes_suffer() -> None:
    host = view(replace(APP, further={**APP.further, "process.memory.swap": (0, MIB)}))
    harm = harm_of(host.pools[0])
    assert harm.reads_again
    assert harm.swapped == 4 * 7 * MIB
    assert harm.swaps
    calm = harm_of(view(App()).pools[0])
    assert (calm.faults, calm.swapped, calm.any) == (None, 0.0, False)


def test_a_group_is_the_targets_if_it_was_made_for_it_or_is_filled_by_it() -> None:
    assert [g.own for g in view(APP).groups] == [True]
    assert [g.own for g in view(replace(APP, machine=Machine(own=False))).groups] == [False]
    assert not view(replace(APP, machine=Machine(own=False, charged_besides=1000 * MIB))).groups
    assert not view(replace(APP, machine=Machine(group=False))).groups
    assert not view(App()).groups


def test_levels_at_floors() -> None:
    host = view(APP)
    levels = host.at_floors("cgroup.app.memory.stat.file")
    assert levels is not None
    assert np.diff(levels) == pytest.approx([MIB] * 7)
    assert host.sum_at_floors("cgroup.app.memory.stat.file", "no.such") is None
    doubled = host.sum_at_floors("cgroup.app.memory.stat.file", "cgroup.app.memory.stat.file")
    assert doubled is not None
    assert doubled == pytest.approx(2 * levels)
    assert host.grows(levels, Yardstick(1000, 1000, doubt=1000)) is not None
    assert host.grows(levels[::-1], Yardstick(1000, 1000, doubt=1000)) is None
    at = host.at("cgroup.app.memory.stat.file", [r.floor_ns for r in host.rounds])
    assert list(at.values()) == levels.tolist()
    assert host.at("no.such", [1]) == {}


def test_sums_over_processes_need_all_of_them() -> None:
    pool = view(APP).pools[0]
    shared = of_processes(pool, "pss_shmem")
    assert shared is not None
    assert shared.size == 8
    assert of_processes(pool, "anon_huge") is None
