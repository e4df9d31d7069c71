"""The table: nothing the sampler lacks is left out, and it keeps the sampler's words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from checkups import machine, observation, root, target, this_machine
from hypothesis import given
from hypothesis import strategies as st

from harness.doctor.model import Clock, Kind, Limit, Line, Looked, Machine, Place, State, Subject
from harness.doctor.observe import Observation
from harness.doctor.signals import table
from harness.model.event import Missing
from harness.sampling.groups import OURS_TOO
from harness.sampling.sources import SYSTEM_SOURCES
from harness.targets import own_cgroup

ONE = target(Looked(7, "app", 1000))
TWO = target(Looked(7, "app", 1000), Looked(8, "app", 33))


def lines(seen: Observation, subject: Subject = ONE, on: Machine | None = None) -> dict[str, Line]:
    found = [line for group in table(seen, subject, root() if on is None else on) for line in group.lines]
    assert len({line.signal for line in found}) == len(found)
    return {line.signal: line for line in found}


def test_everything_there() -> None:
    found = lines(observation(7))
    assert {line.state for line in found.values()} == {State.OK, State.NONE}
    assert not any(line.costs or line.fix for line in found.values())
    assert found["process.memory.pss"].found.endswith("of the one process")
    assert (
        found["runtime.python"].found
        == "CPython 3.11.2 (layout 3.11.2 (same size)): read and proved of the one process"
    )
    none = {signal for signal, line in found.items() if line.state is State.NONE}
    assert none == {"runtime.php", "runtime.glibc", "cgroup.limit", own_cgroup.SIGNAL, "process.numa", "system.swap"}


NAMES = [
    "process.memory.pss", "process.memory.pss_anon", "process.smaps", "process.fds", "process.events", "process.exit_accounts",
    "process.numa", "process.limit", "runtime.memory", "runtime.python", "runtime.python.gc", "runtime.glibc.used", "settings",
    "cgroup.memory", "cgroup.memory.peak", "cgroup.pids.current", "a.signal.of.later", "process.of.later", "system.of.later",
    *(source().signal for source in SYSTEM_SOURCES),
]  # fmt: skip


@given(
    st.lists(st.sampled_from(NAMES), unique=True),
    st.sampled_from([machine(), root(), machine(ptrace_scope=1, hidepid=True, cgroup="no")]),
    st.booleans(),
    st.booleans(),
    st.sampled_from(Kind),
)
def test_what_the_sampler_lacks_is_in_the_table_once_in_its_own_words(
    names: list[str], on: Machine, one: bool, deep: bool, kind: Kind
) -> None:
    missing = [Missing(name, f"reason of {name}", f"cost of {name}") for name in names]
    seen = observation(7, 8, without=(8,) if one else (7, 8), missing=missing, deep=deep)
    found = lines(seen, replace(TWO, kind=kind), on)
    for said in missing:
        line = found[said.signal]
        assert line.state in (State.MISSING, State.PARTLY)
        assert said.reason in line.found
        assert line.costs == said.costs
        assert line.fix
    for line in found.values():
        if line.state in (State.MISSING, State.PARTLY):
            assert line.costs
            assert line.fix
            assert line.signal in {*names, "process.list", own_cgroup.SIGNAL}


def test_of_some_processes() -> None:
    missing = [
        Missing("process.memory.pss", "no permission to read /proc/8/smaps_rollup", "costs"),
        Missing("runtime.memory", "no permission to read /proc/8/mem", "costs"),
    ]
    found = lines(observation(7, 8, without=(8,), missing=missing), TWO, machine())
    assert found["process.memory.pss"].state is State.PARTLY
    assert (
        "of 1 of 2 processes looked at; no permission to read /proc/8/smaps_rollup" in found["process.memory.pss"].found
    )
    assert "sudo -u 33" in found["process.memory.pss"].fix
    assert found["runtime.memory"].state is State.PARTLY
    assert found["runtime.python"].state is State.OK


def test_a_machine_of_which_only_our_own_processes_can_be_read() -> None:
    missing = [Missing("process.memory.pss", "no permission to read /proc/11/smaps_rollup", "costs")]
    found = lines(observation(10, 11, without=(11,), missing=missing), this_machine(), machine())
    line = found["process.memory.pss"]
    assert line.state is State.PARTLY
    assert "of processes of ada, not of other users' or of what changed its user" in line.found
    assert "/proc/PID/smaps_rollup" in line.found  # the pid of a probe means nothing


def test_memory_that_may_not_be_read_says_nothing_about_runtimes() -> None:
    missing = [Missing("runtime.memory", "no permission", "costs")]
    found = lines(observation(7, without=(7,), missing=missing))
    assert found["runtime.memory"].state is State.MISSING
    assert {found[f"runtime.{name}"].state for name in ("python", "php", "glibc")} == {State.UNCHECKED}


def test_what_was_not_reached_or_not_asked_for() -> None:
    assert lines(observation(7, deep=False))["process.smaps"].state is State.UNCHECKED
    found = lines(observation(7, heaps=False, runtimes={}))
    assert found["runtime.memory"].state is State.UNCHECKED
    assert "runtime.python" not in found
    events = [Missing("process.events", "no", "costs")]
    assert lines(observation(7, missing=events))["process.exit_accounts"].state is State.UNCHECKED


def test_a_process_without_memory_of_its_own() -> None:
    seen = observation(7)
    seen.columns[7] = {**seen.columns[7], "process.memory.pss": None}
    assert lines(seen)["process.memory.pss"].state is State.NONE


def test_limits_name_the_nearest_and_the_lowest() -> None:
    limits = (Limit("/a/b", 4 << 30), Limit("/a", 1 << 30))
    found = lines(observation(7), on=root(limits=limits))["cgroup.limit"].found
    assert found == "4.0 GiB by /a/b, the nearest limit; the lowest is 1.0 GiB by /a"
    assert lines(observation(7), on=root(limits=limits[1:]))["cgroup.limit"].found == "1.0 GiB by /a, the nearest limit"


def test_a_cgroup_of_its_own() -> None:
    launched = replace(ONE, kind=Kind.LAUNCH)
    on = machine(cgroup="/sys/fs/cgroup/x may not be written to")
    line = lines(observation(7), launched, on)[own_cgroup.SIGNAL]
    assert (line.state, line.costs) == (State.MISSING, own_cgroup.COSTS)
    assert line.fix.startswith("systemd-run --user --scope -p Delegate=yes")
    assert lines(observation(7), launched)[own_cgroup.SIGNAL].state is State.OK


def test_a_group_that_we_are_in_is_no_lack_where_a_launched_target_gets_another() -> None:
    shared = [Missing("cgroup.memory", f"{OURS_TOO} /session: its accounts are not the target's", "costs")]
    launched = replace(ONE, kind=Kind.LAUNCH)
    assert lines(observation(7, missing=shared), launched)["cgroup.memory"].state is State.OK
    refused = lines(observation(7, missing=shared), launched, machine(cgroup="may not be written to"))["cgroup.memory"]
    assert refused.state is State.MISSING
    assert refused.fix.startswith("systemd-run --user --scope")
    running = lines(observation(7, missing=shared), replace(ONE, kind=Kind.TARGET))["cgroup.memory"]
    assert running.state is State.MISSING
    assert "another session" in running.fix


@pytest.mark.parametrize(
    ("on", "signal", "state"),
    [
        (root(clock=Clock("hpet", ("tsc", "hpet"), 1500, 70)), "clock", State.PARTLY),
        (root(place=Place(Path("/srv"), False, 1 << 40, None)), "disk", State.MISSING),
        (root(place=Place(Path("/srv"), True, 1 << 20, 200 << 20)), "disk", State.MISSING),
        (root(place=Place(Path("/srv"), True, 1 << 20, None)), "disk", State.OK),
        (machine(hidepid=True), "process.list", State.PARTLY),
    ],
)
def test_the_machine_itself(on: Machine, signal: str, state: State) -> None:
    line = lines(observation(7), on=on)[signal]
    assert line.state is state
    assert bool(line.fix) == (state is not State.OK)


def test_memory_nodes_and_swap() -> None:
    seen = observation(7, facts={"numa.nodes": 2}, system={"system.swap.size": 2 << 30, "system.swap.used": 1 << 20})
    seen.more[7].add("process.numa.0")
    found = lines(seen)
    assert (found["process.numa"].state, found["system.swap"].state) == (State.OK, State.OK)
    assert "2.0 GiB, 1.0 MiB of it used" in found["system.swap"].found
