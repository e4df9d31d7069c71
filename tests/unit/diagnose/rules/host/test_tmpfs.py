from __future__ import annotations

from dataclasses import replace

import pytest
from cases import about_machine, judged
from kernel_counters import MIB, Machine
from timelines import App, six

from harness.diagnose.rules.host.tmpfs import RULE
from harness.model.finding import Cause, Confidence, Severity

FILES = App(machine=Machine(tmpfs=3 * MIB, noise_bytes=10 * MIB))


def test_fires_where_files_on_a_tmpfs_pile_up() -> None:
    [found] = about_machine(RULE, FILES)
    assert found.cause is Cause.SHARED_MEMORY
    assert found.subject.pool == "app"
    assert found.confidence is Confidence.MEDIUM
    assert "tmpfs" in found.summary
    assert judged(FILES).verdict.cause is Cause.SHARED_MEMORY


def test_the_endpoint_is_named() -> None:
    adds = {"cgroup.app.memory.stat.shmem": 20_000}
    [found] = about_machine(RULE, App(endpoints=six(item={"adds": adds}), machine=Machine()))
    assert found.subject.endpoint == "item"
    assert found.confidence is Confidence.HIGH


def test_what_grows_on_the_machine_is_somebodys() -> None:
    elsewhere = App(machine=Machine(others={"Shmem": 20 * MIB}))
    [found] = about_machine(RULE, elsewhere)
    assert found.subject.pool is None
    assert (found.severity, found.confidence) == (Severity.INFO, Confidence.LOW)
    assert "shows nothing of it" in found.summary
    assert judged(elsewhere).verdict.cause is Cause.HEALTHY


@pytest.mark.parametrize(
    "app",
    [
        App(machine=Machine()),
        App(machine=Machine(noise_bytes=20 * MIB)),
        App(endpoints=six(item={"shared_bytes": 20_000}), machine=Machine()),
        App(machine=Machine(own=False, charged_besides=2000 * MIB, tmpfs=3 * MIB)),
    ],
    ids=["nothing grows", "a busy machine", "what processes have mapped", "a group that is full of others"],
)
def test_stays_quiet(app: App) -> None:
    assert not about_machine(RULE, app)


@pytest.mark.parametrize("app", [App(), replace(FILES, rounds=6)], ids=["nothing was read", "too few rounds"])
def test_without_enough_data_it_says_nothing(app: App) -> None:
    assert not about_machine(RULE, app)
