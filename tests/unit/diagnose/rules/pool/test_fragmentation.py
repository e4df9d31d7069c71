from __future__ import annotations

from dataclasses import replace

import pytest
from cases import causes, findings, judged
from timelines import App, six

from harness.diagnose.rules.pool.fragmentation import RULE
from harness.model.finding import EXPLAINS, Cause, Confidence, Severity

GROWS = App(allocators=True, blocks_at_floors=True, held_per_round=600_000)
STANDS = App(allocators=True, blocks_at_floors=True, held=60_000_000, held_in="heap", trimmed=100_000)


def test_fires_where_free_memory_grows_and_live_memory_does_not() -> None:
    [found] = findings(RULE, GROWS)
    assert found.cause is Cause.FRAGMENTATION
    assert found.confidence is Confidence.HIGH
    assert found.numbers[EXPLAINS] == pytest.approx(4 * 600_000, rel=0.1)
    assert causes(GROWS) == {Cause.FRAGMENTATION}


def test_standing_fragmentation_is_told_and_no_alarm() -> None:
    [found] = findings(RULE, STANDS)
    assert found.severity is Severity.INFO
    assert found.confidence is Confidence.HIGH
    assert found.numbers["held_bytes"] == pytest.approx(4 * 60_000_000)
    assert causes(STANDS) == {Cause.FRAGMENTATION}
    assert judged(STANDS).verdict.cause is Cause.FRAGMENTATION


def test_what_goes_with_a_leak_is_secondary() -> None:
    both = replace(GROWS, endpoints=six(login={"leak_bytes": 40_000, "leak_blocks": 9}))
    assert judged(both).verdict.cause is Cause.LEAK_OBJECTS
    assert causes(both) == {Cause.LEAK_OBJECTS}


@pytest.mark.parametrize(
    "app",
    [
        App(allocators=True, blocks_at_floors=True),
        replace(GROWS, held_per_round=0, endpoints=six(login={"native_bytes": 9_000})),
        replace(STANDS, held=2_000_000),
    ],
    ids=["healthy", "native leak", "little is held"],
)
def test_stays_quiet(app: App) -> None:
    assert not findings(RULE, app)


@pytest.mark.parametrize(
    "app", [replace(GROWS, rounds=5), replace(GROWS, allocators=False)], ids=["too few rounds", "allocators not known"]
)
def test_without_enough_data_it_says_nothing(app: App) -> None:
    assert not findings(RULE, app)
