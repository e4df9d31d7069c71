from __future__ import annotations

from dataclasses import replace

import pytest
from cases import causes, findings, row
from timelines import App

from harness.diagnose.rules.pool.retention import RULE
from harness.model.finding import Cause, Confidence, Severity

ONCE = App(allocators=True, blocks_at_floors=True, held_steps={2: 50_000_000}, trimmed=45_000_000)


def test_fires_where_one_step_is_free_again_and_stays() -> None:
    [found] = findings(RULE, ONCE)
    assert found.cause is Cause.RETENTION
    assert found.severity is Severity.INFO
    assert found.confidence is Confidence.HIGH
    assert "round 2" in found.summary
    assert row(found, "memory.step").value == pytest.approx(200_000_000, rel=0.05)
    assert causes(ONCE) == {Cause.RETENTION}


def test_also_where_nobody_tried_to_give_it_back() -> None:
    [found] = findings(RULE, replace(ONCE, trimmed=None))
    assert found.confidence is Confidence.MEDIUM


@pytest.mark.parametrize(
    "app",
    [
        App(allocators=True, blocks_at_floors=True),
        App(allocators=True, blocks_at_floors=True, steps={2: 50_000_000}),
        replace(ONCE, trimmed=0),
        replace(ONCE, held_in="heap"),
        replace(ONCE, held_steps={}, held_per_round=2_000_000),
    ],
    ids=["healthy", "a step that is still in use", "cannot be given back", "pinned arenas", "held memory that grows"],
)
def test_stays_quiet(app: App) -> None:
    assert not findings(RULE, app)


@pytest.mark.parametrize("app", [replace(ONCE, allocators=False)], ids=["allocators not known"])
def test_without_enough_data_it_says_nothing(app: App) -> None:
    assert not findings(RULE, app)
