from __future__ import annotations

from dataclasses import replace

import pytest
from cases import against, causes, findings, judged, row
from timelines import App, six

from harness.diagnose.rules.pool.gc_delay import RULE
from harness.model.finding import EXPLAINS, Cause, Confidence, Severity

EACH = 3500 // 4
OFF = App(
    endpoints=six(cart_add={"leak_bytes": 10_240, "leak_blocks": 5}),
    allocators=True,
    blocks_at_floors=True,
    gc_enabled=False,
    collected=dict.fromkeys(range(4), EACH),
)


def test_fires_where_a_collection_frees_what_the_rounds_have_added() -> None:
    [found] = findings(RULE, OFF)
    assert found.cause is Cause.GC_DELAY
    assert found.confidence is Confidence.HIGH
    assert "switched off" in found.summary
    assert found.numbers["garbage_share"] == pytest.approx(1.0, abs=0.1)
    assert found.numbers[EXPLAINS] == pytest.approx(1_024_000, rel=0.1)
    assert causes(OFF) == {Cause.GC_DELAY}


def test_a_collector_that_is_on_but_comes_rarely() -> None:
    [found] = findings(RULE, replace(OFF, gc_enabled=True))
    assert "comes late" in found.summary
    assert row(found, "gc.collections2").value == 0
    [often] = findings(RULE, replace(OFF, gc_enabled=True, full_collections_per_round=3))
    assert "gc.collections2" in against(often)


def test_garbage_in_a_leak_goes_with_the_leak() -> None:
    found = judged(replace(OFF, collected=dict.fromkeys(range(4), round(EACH * 0.3))))
    assert found.verdict.cause is Cause.LEAK_OBJECTS
    assert Cause.GC_DELAY not in {f.cause for f in found.findings if not f.secondary}


def test_garbage_that_goes_up_and_down_is_told_but_no_alarm() -> None:
    sawtooth = replace(OFF, endpoints=six(), collected=dict.fromkeys(range(4), 100_000), collected_bytes=12_000_000)
    [found] = findings(RULE, sawtooth)
    assert found.severity is Severity.INFO
    assert found.numbers["garbage_bytes"] == pytest.approx(4 * 12_000_000)


@pytest.mark.parametrize(
    "app",
    [replace(OFF, collected=dict.fromkeys(range(4), 0)), replace(OFF, endpoints=six())],
    ids=["leak: nothing is garbage", "healthy, a little garbage"],
)
def test_stays_quiet(app: App) -> None:
    assert not findings(RULE, app)


@pytest.mark.parametrize(
    "app",
    [replace(OFF, collected=None), replace(OFF, collected={0: EACH}), replace(OFF, rounds=5)],
    ids=["nobody collected", "one of four collected", "too few rounds"],
)
def test_without_enough_data_it_says_nothing(app: App) -> None:
    assert not findings(RULE, app)
