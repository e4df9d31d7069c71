from __future__ import annotations

from dataclasses import replace

import pytest
from cases import about_machine, causes, judged, row
from kernel_counters import MIB, Machine
from timelines import App, six

from harness.diagnose.rules.host.kernel_slab import RULE
from harness.model.finding import Cause, Confidence, Severity

NAMES = App(machine=Machine(names=3 * MIB, noise_bytes=5 * MIB))
SOCKETS = App(machine=Machine(sockets=3 * MIB), fds_per_round=50)


def test_fires_where_names_pile_up_in_the_targets_group() -> None:
    [found] = about_machine(RULE, NAMES)
    assert found.cause is Cause.KERNEL_SLAB
    assert found.subject.pool == "app"
    assert found.confidence is Confidence.HIGH
    assert found.severity is Severity.INFO
    assert found.numbers["unreclaimable_share"] == 0
    assert "dentry" in row(found, "slab.cache").text
    assert "files that are not there" in row(found, "slab.inodes").text
    assert judged(NAMES).verdict.cause is Cause.KERNEL_SLAB


def test_memory_that_cannot_be_given_up_is_a_warning() -> None:
    [found] = about_machine(RULE, SOCKETS)
    assert found.severity is Severity.WARNING
    assert found.numbers["unreclaimable_share"] == 1
    assert row(found, "process.fds").value == pytest.approx(250, rel=0.1)
    assert {Cause.KERNEL_SLAB, Cause.DESCRIPTORS} <= causes(SOCKETS)


def test_version_1_knows_one_number_and_the_cache_tells_the_kind() -> None:
    [names] = about_machine(RULE, App(machine=Machine(names=3 * MIB, version=1)))
    assert names.severity is Severity.INFO
    assert names.confidence is Confidence.HIGH
    [sockets] = about_machine(RULE, replace(SOCKETS, machine=Machine(sockets=3 * MIB, version=1)))
    assert sockets.severity is Severity.WARNING
    assert "sockets" in sockets.summary


def test_the_endpoint_is_named() -> None:
    adds = {"cgroup.app.memory.stat.slab_reclaimable": 20_000, "system.slab.dentry": 20_000}
    [found] = about_machine(RULE, App(endpoints=six(item={"adds": adds}), machine=Machine()))
    assert found.subject.endpoint == "item"
    assert found.growth.bytes_per_request == pytest.approx(20_000, rel=0.05)


def test_what_grows_on_the_machine_is_somebodys() -> None:
    elsewhere = App(machine=Machine(group=False, others={"SUnreclaim": 20 * MIB}))
    [found] = about_machine(RULE, elsewhere)
    assert found.subject.pool is None
    assert (found.severity, found.confidence) == (Severity.INFO, Confidence.LOW)
    assert judged(elsewhere).verdict.cause is Cause.HEALTHY


@pytest.mark.parametrize(
    "app",
    [
        App(machine=Machine()),
        App(machine=Machine(noise_bytes=20 * MIB)),
        App(machine=Machine(names=100_000)),
        App(machine=Machine(version=1, files=8 * MIB)),
        App(machine=Machine(version=1), threads_per_round=20),
        App(machine=Machine(group=False, others={"SReclaimable": 1 * MIB})),
    ],
    ids=[
        "nothing grows",
        "a busy machine",
        "little",
        "the bookkeeping of page cache",
        "the stacks of threads",
        "little, by somebody",
    ],
)
def test_stays_quiet(app: App) -> None:
    assert not about_machine(RULE, app)


@pytest.mark.parametrize("app", [App(), replace(NAMES, rounds=6)], ids=["nothing was read", "too few rounds"])
def test_without_enough_data_it_says_nothing(app: App) -> None:
    assert not about_machine(RULE, app)
