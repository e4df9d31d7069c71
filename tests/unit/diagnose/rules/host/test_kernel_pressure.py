from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from cases import about_machine, judged, row
from kernel_counters import MIB, Machine
from timelines import App, simulate

from harness.correlate.build import correlate
from harness.diagnose.host import host_of
from harness.diagnose.pool import pools_of
from harness.diagnose.rules.host.kernel_pressure import RULE
from harness.model.event import CONTAINER_OOM, Event
from harness.model.finding import Cause, Confidence, Finding, Severity, Side
from harness.model.host import RunHost
from harness.model.process import host_key
from harness.model.run import RawRun
from harness.model.span import PhaseName

FAULTS = {"process.faults.major": (100, 40)}  # of each worker
FULL = Machine(limit=200 * MIB, hits=3000, refaults=20_000, waiting=0.1)
AT_LIMIT = App(machine=FULL, further=FAULTS)
SHORT = App(
    machine=Machine(group=False, available=900 * MIB, swaps=4000, stalls=200, machine_waiting=0.08), further=FAULTS
)


def test_fires_where_the_groups_limit_makes_requests_wait() -> None:
    [found] = about_machine(RULE, AT_LIMIT)
    assert found.cause is Cause.KERNEL_PRESSURE
    assert found.severity is Severity.WARNING
    assert found.confidence is Confidence.HIGH
    assert found.subject.pool == "app"
    assert "200.0 MiB" in found.summary
    assert row(found, "psi.some").value > 0.05  # of the time of the made-up rounds
    assert judged(AT_LIMIT).verdict.cause is Cause.KERNEL_PRESSURE


def test_version_1_of_groups_counts_hits_and_the_processes_their_faults() -> None:
    old = replace(FULL, version=1, machine_waiting=0.1)
    [found] = about_machine(RULE, replace(AT_LIMIT, machine=old))
    assert found.severity is Severity.WARNING
    assert found.confidence is Confidence.HIGH


def test_a_killed_process_is_critical() -> None:
    [found] = about_machine(RULE, replace(AT_LIMIT, machine=replace(FULL, killed=(4,)), further={}))
    assert found.severity is Severity.CRITICAL
    assert "was killed" in found.summary


def test_fires_where_the_machine_is_short_and_the_target_suffers() -> None:
    [found] = about_machine(RULE, SHORT)
    assert found.severity is Severity.WARNING
    assert found.subject.pool == "app"
    assert judged(SHORT).verdict.cause is Cause.KERNEL_PRESSURE


def test_where_only_others_suffer_it_is_no_more_than_information() -> None:
    others = replace(SHORT, further={})
    [found] = about_machine(RULE, others)
    assert found.subject.pool is None
    assert (found.severity, found.confidence) == (Severity.INFO, Confidence.LOW)
    assert row(found, "pool.faults").side is Side.AGAINST
    assert judged(others).verdict.cause is Cause.HEALTHY


@pytest.mark.parametrize(
    "app",
    [
        App(machine=Machine()),
        App(machine=Machine(limit=200 * MIB, hits=3000)),
        App(machine=Machine(refaults=20_000, waiting=0.1)),
        App(machine=Machine(machine_waiting=0.1), further=FAULTS),
        App(machine=Machine(available=900 * MIB), further=FAULTS),
        App(machine=Machine(noise_bytes=200 * MIB)),
    ],
    ids=[
        "nothing is short",
        "a full group that nobody minds",
        "a group that is not at its limit",
        "others wait, with memory to spare",
        "little is available, and nobody waits",
        "a busy machine",
    ],
)
def test_stays_quiet(app: App) -> None:
    assert not about_machine(RULE, app)


@pytest.mark.parametrize("app", [App(), replace(AT_LIMIT, rounds=2)], ids=["nothing was read", "too few rounds"])
def test_without_enough_data_it_says_nothing(app: App) -> None:
    assert not about_machine(RULE, app)


def test_a_kernel_without_stall_information_needs_more_signs() -> None:
    blind = replace(SHORT.machine or Machine(), machine_waiting=None)
    [found] = about_machine(RULE, replace(SHORT, machine=blind))
    assert found.subject.pool == "app"
    assert not about_machine(RULE, replace(SHORT, machine=replace(blind, swaps=0, stalls=0)))


def test_a_container_that_was_killed_takes_its_counter_with_it() -> None:
    """Only the event tells: a group that was made anew counts from 0."""
    quiet = replace(AT_LIMIT, machine=Machine(limit=200 * MIB), further={})
    assert not about_machine(RULE, quiet)
    run = simulate(quiet)
    at_ns = next(w.floor_ns for w in run.windows if w.phase is PhaseName.ROUNDS and w.block is None and w.round == 4)
    assert at_ns is not None
    text = "the kernel killed a process of the container web"
    killed = Event(at_ns, CONTAINER_OOM, None, text, {"pool": "app", "kills": 1})
    [found] = _about(replace(run, events=(*run.events, killed)))
    assert found.severity is Severity.CRITICAL
    assert row(found, "oom_kill").text == text
    others = replace(killed, attributes={"pool": "db", "kills": 1})
    assert not _about(replace(run, events=(*run.events, others)))


def _about(run: RawRun) -> Sequence[Finding]:
    timeline = correlate(run)
    return RULE.check(host_of(timeline, pools_of(timeline)))


def _on(host: str, run: RawRun, *, first: bool) -> RawRun:
    """The run with its processes on another host. ``first``: whose own values are those of no process."""
    hosts = (RunHost(host, f"ssh://{host}", "web", True, first, 0),)
    processes = [replace(p, key=replace(p.key, host=host)) for p in run.processes]
    keys = {p.key: q.key for p, q in zip(run.processes, processes, strict=True)}
    series = {(m, keys.get(key, key)): replace(s, process=keys.get(key, key)) for (m, key), s in run.series.items()}  # type: ignore[arg-type]
    return replace(run, manifest=replace(run.manifest, hosts=hosts), processes=processes, series=series)


def test_what_a_machine_is_short_of_nobody_on_another_one_suffers_from() -> None:
    """The values of no process are of this machine, and the processes that fetch pages again are on another one."""
    [found] = _about(_on("web-2", simulate(SHORT), first=False))
    assert found.severity is Severity.INFO
    assert (found.subject.host, found.subject.pool) == ("", None)
    assert "does not suffer" in found.summary
    [found] = _about(_on("web-2", simulate(SHORT), first=True))
    assert (found.subject.host, found.subject.pool) == ("web-2", "app")


def test_a_kill_in_a_container_of_another_host_is_told_of_that_host() -> None:
    run = _on("web-2", simulate(replace(AT_LIMIT, machine=replace(FULL, killed=(4,)), further={})), first=False)
    here = next(p for p in run.processes if p.key.pid)
    moved = {
        (m, host_key("web-2") if key is None and m.startswith("cgroup.") else key): s
        for (m, key), s in run.series.items()
    }
    other = replace(here, key=replace(here.key, host="", pid=1 << 20), pool="cron", ppid=1)
    [found] = _about(replace(run, series=moved, processes=[other, *run.processes]))
    assert found.severity is Severity.CRITICAL
    assert (found.subject.host, found.subject.pool) == ("web-2", "app")
