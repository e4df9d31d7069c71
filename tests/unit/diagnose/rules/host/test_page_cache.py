from __future__ import annotations

from dataclasses import replace

import pytest
from cases import about_machine, against, judged, row
from kernel_counters import MIB, Machine
from timelines import App, six

from harness.diagnose.rules.host.page_cache import RULE
from harness.model.finding import Cause, Confidence, Severity

LOG = App(machine=Machine(files=8 * MIB, noise_bytes=20 * MIB))


def test_fires_where_the_targets_group_is_charged_with_files() -> None:
    [found] = about_machine(RULE, LOG)
    assert found.cause is Cause.PAGE_CACHE
    assert found.severity is Severity.INFO
    assert found.confidence is Confidence.HIGH
    assert found.subject.pool == "app"
    assert found.numbers["growth_bytes_per_round"] == pytest.approx(8 * MIB, rel=0.05)
    assert not against(found)
    assert "harmless" in found.summary


def test_it_does_not_displace_healthy() -> None:
    assert judged(LOG).verdict.cause is Cause.HEALTHY


def test_the_endpoint_that_writes_is_named() -> None:
    writes = six(login={"adds": {"cgroup.app.memory.stat.file": 64_000}})
    [found] = about_machine(RULE, App(endpoints=writes, machine=Machine()))
    assert found.subject.endpoint == "login"
    assert found.growth.bytes_per_request == pytest.approx(64_000, rel=0.05)
    assert "login" in found.summary


def test_version_1_of_groups_tells_the_same() -> None:
    [found] = about_machine(RULE, App(machine=Machine(files=8 * MIB, version=1)))
    assert found.confidence is Confidence.HIGH


def test_memory_that_falls_with_it_speaks_against_harmlessness() -> None:
    falls = Machine(files=8 * MIB, others={"MemAvailable": -8 * MIB})
    [found] = about_machine(RULE, App(machine=falls))
    assert against(found) == {"meminfo.available"}
    assert found.confidence is Confidence.MEDIUM


def test_a_group_at_its_limit_is_told() -> None:
    [found] = about_machine(RULE, App(machine=Machine(files=8 * MIB, limit=300 * MIB)))
    assert row(found, "cgroup.max").value == 300 * MIB
    assert "cgroup.max" in against(found)


def test_what_somebody_else_writes_is_not_put_down_to_the_target() -> None:
    elsewhere = App(machine=Machine(group=False, others={"Cached": 40 * MIB}))
    [found] = about_machine(RULE, elsewhere)
    assert found.subject.pool is None
    assert (found.severity, found.confidence) == (Severity.INFO, Confidence.LOW)
    [cleared] = about_machine(RULE, replace(elsewhere, machine=Machine(others={"Cached": 40 * MIB})))
    assert "target's own memory group shows nothing" in cleared.summary
    assert judged(elsewhere).verdict.cause is Cause.HEALTHY


@pytest.mark.parametrize(
    "app",
    [
        App(machine=Machine()),
        App(machine=Machine(noise_bytes=50 * MIB)),
        App(machine=Machine(files=600_000)),
        App(machine=Machine(), file_per_round=4 * MIB),
        App(machine=Machine(group=False, others={"Cached": 3 * MIB})),
        App(machine=Machine(own=False, charged_besides=2000 * MIB, files=3 * MIB)),
    ],
    ids=[
        "nothing is written",
        "a busy machine",
        "what the tool itself writes",
        "files that are mapped",
        "little, by somebody",
        "a group that is full of others",
    ],
)
def test_stays_quiet(app: App) -> None:
    assert not about_machine(RULE, app)


@pytest.mark.parametrize("app", [App(), replace(LOG, rounds=5)], ids=["nothing was read", "too few rounds"])
def test_without_enough_data_it_says_nothing(app: App) -> None:
    assert not about_machine(RULE, app)
