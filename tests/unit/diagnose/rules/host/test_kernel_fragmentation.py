from __future__ import annotations

from dataclasses import replace

import pytest
from cases import about_machine, judged, row
from kernel_counters import Machine
from timelines import App

from harness.diagnose.rules.host.kernel_fragmentation import RULE
from harness.model.finding import Cause, Confidence, Severity, Side

PIECES = (400_000, 90_000, 20_000, 2_000, 300, 40, 5, 1, 0, 0, 0)
BROKEN = Machine(blocks=PIECES, compactions=100, wanted=400, fallbacks=300, waiting=0.1)
HUGE = {"process.memory.anon_huge": (20_000_000, 0)}
WAITS = App(machine=BROKEN, further=HUGE)


def test_fires_where_the_target_waits_for_large_blocks() -> None:
    [found] = about_machine(RULE, WAITS)
    assert found.cause is Cause.KERNEL_FRAGMENTATION
    assert found.severity is Severity.WARNING
    assert found.confidence is Confidence.HIGH
    assert found.subject.pool == "app"
    assert found.numbers["unusable_share"] == pytest.approx(1.0)
    assert found.numbers["huge_fallback_share"] == pytest.approx(0.75, rel=0.01)


def test_swap_is_not_blamed_on_it() -> None:
    [found] = about_machine(RULE, WAITS)
    answer = row(found, "vmstat.swap")
    assert answer.side is Side.CONTEXT
    assert "does not make the machine swap" in answer.text


def test_without_harm_to_the_target_it_is_somebodys() -> None:
    others = App(machine=replace(BROKEN, group=False))
    [found] = about_machine(RULE, others)
    assert found.subject.pool is None
    assert (found.severity, found.confidence) == (Severity.INFO, Confidence.LOW)
    assert judged(others).verdict.cause is Cause.HEALTHY


@pytest.mark.parametrize(
    "app",
    [
        App(machine=Machine()),
        App(machine=Machine(blocks=PIECES)),
        App(machine=Machine(compactions=100, wanted=400, fallbacks=300)),
        App(machine=Machine(blocks=PIECES, wanted=4000, fallbacks=20)),
    ],
    ids=[
        "nothing is broken up",
        "broken up, and nobody minds",
        "stalls for other reasons",
        "a few huge pages are missed",
    ],
)
def test_stays_quiet(app: App) -> None:
    assert not about_machine(RULE, app)


@pytest.mark.parametrize("app", [App(), replace(WAITS, rounds=2)], ids=["nothing was read", "too few rounds"])
def test_without_enough_data_it_says_nothing(app: App) -> None:
    assert not about_machine(RULE, app)
