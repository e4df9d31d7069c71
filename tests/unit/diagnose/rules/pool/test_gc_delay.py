from __future__ import annotations

from dataclasses import replace

import pytest
from cases import against, causes, findings, judged, row
from timelines import App, six

from harness.diagnose.rules.pool.gc_delay import RULE
from harness.model.finding import EXPLAINS, Cause, Confidence, Severity, Side

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


def test_what_a_further_round_keeps_tells_garbage_from_a_leak() -> None:
    """The collection frees half of what the rounds have added: the rest of the garbage was collected before."""
    half = replace(OFF, idle_s=2, collected=dict.fromkeys(range(4), EACH // 2), collected_bytes=EACH // 2 * 2000)
    [found] = findings(RULE, replace(half, again=(0, 256_000, 125)))
    assert found.confidence is Confidence.HIGH
    assert found.numbers["garbage_share"] > 0.9
    assert row(found, "gc.kept").side is Side.FOR
    leak = replace(half, again=(256_000, 0, 125))
    assert not findings(RULE, leak)
    assert causes(leak) == {Cause.LEAK_OBJECTS}


WAITS = App(
    endpoints=six(cart_add={"leak_bytes": 10_240}), runtime="php", workers=1, allocators=True, with_blocks=False,
    roots_per_round=500, gc_enabled=False,
)  # fmt: skip


def test_a_worker_that_nobody_could_ask_with_its_collector_off_is_suspected() -> None:
    [found] = findings(RULE, WAITS)
    assert found.confidence is Confidence.LOW
    assert "not ruled out" in found.summary
    assert "gc.probe" in against(found)
    assert row(found, "gc.enabled").side is Side.FOR
    assert causes(WAITS) == {Cause.GC_DELAY}


@pytest.mark.parametrize(
    ("app", "cause"),
    [
        (replace(WAITS, gc_enabled=True), Cause.LEAK_OBJECTS),
        (replace(WAITS, roots_per_round=0), Cause.LEAK_OBJECTS),
        (replace(WAITS, collected={0: 0}, collected_bytes=0), Cause.LEAK_OBJECTS),
        (replace(WAITS, endpoints=six(), roots_per_round=500), Cause.HEALTHY),
        (replace(WAITS, endpoints=six(cart_add={"native_bytes": 10_240})), Cause.LEAK_NATIVE),
    ],
    ids=["the collector is on", "its list does not grow", "a collection freed nothing", "healthy", "malloc"],
)
def test_nobody_is_suspected_without_all_that_it_takes(app: App, cause: Cause) -> None:
    assert not findings(RULE, app)
    assert causes(app) == {cause}


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
