from __future__ import annotations

import math
from dataclasses import replace

import pytest
from cases import against, causes, findings, judged, row
from timelines import App, six

from harness.diagnose.rules.pool.leak_objects import RULE
from harness.model.finding import EXPLAINS, Cause, Confidence, Side

KEEPS = App(
    endpoints=six(cart_add={"leak_bytes": 10_240, "leak_blocks": 5}),
    allocators=True,
    blocks_at_floors=True,
    collected=dict.fromkeys(range(4), 0),
)
EACH = 3500 // 4  # one request in six keeps 5 blocks, over 7 rounds of 600, in each of 4 workers


def test_fires_where_live_objects_and_memory_grow() -> None:
    [found] = findings(RULE, KEEPS)
    assert found.cause is Cause.LEAK_OBJECTS
    assert found.confidence is Confidence.HIGH
    assert found.subject.endpoint == "cart_add"
    assert found.numbers[EXPLAINS] == pytest.approx(1_024_000, rel=0.1)
    assert 4.5 <= (row(found, "blocks.floor").value or 0) <= 5.5
    assert not against(found)
    assert causes(KEEPS) == {Cause.LEAK_OBJECTS}


def test_garbage_is_taken_off_what_it_explains() -> None:
    [found] = findings(RULE, replace(KEEPS, collected=dict.fromkeys(range(4), round(EACH * 0.4))))
    assert found.numbers[EXPLAINS] == pytest.approx(0.6 * 1_024_000, rel=0.1)
    assert found.confidence is Confidence.MEDIUM
    assert "gc.probe" in against(found)


def test_growth_that_free_memory_takes_up_is_seen_in_live_bytes() -> None:
    """Resident memory does not move: what requests keep is cut from memory that malloc held already."""
    small = replace(KEEPS, endpoints=six(cart_add={"leak_bytes": 900, "leak_blocks": 2}), held_per_round=-21_000)
    found = judged(small)
    assert found.verdict.cause is Cause.LEAK_OBJECTS
    assert found.verdict.confidence is not Confidence.HIGH


def test_large_objects_beside_a_cache_that_still_fills_are_neither_healthy_nor_an_extensions() -> None:
    """Byte strings that are kept lie with malloc, in memory that it held already; the cache bends the sum of all live bytes."""
    held = {"agent.python.blocks": 1, "runtime.glibc.used": 1500}
    beside = replace(
        KEEPS,
        endpoints=six(cart_add={"adds": held}),
        rounds=12,
        small_blocks=True,
        extra=lambda n: 4e5 * (1 - math.exp(-n / 800)),
    )
    [found] = findings(RULE, beside)
    assert found.confidence is not Confidence.HIGH
    assert found.numbers[EXPLAINS] == pytest.approx(600 / 6 * 1500, rel=0.1)
    assert row(found, "blocks.floor").value == pytest.approx(1, rel=0.1)
    assert causes(beside) == {Cause.LEAK_OBJECTS}
    del held["agent.python.blocks"]
    assert (
        judged(replace(beside, small_blocks=False, blocks_at_floors=False, with_blocks=False)).verdict.cause
        is not Cause.HEALTHY
    ), "without their number nobody knows what it is"


def test_large_objects_are_no_extensions_memory_where_a_cache_bends_their_number() -> None:
    """Buffers of 20 kB that are kept, and their small heads; as the mix drifts, ever fewer pages come into a cache."""
    ends = six(
        cart_add={"leak_blocks": 6, "native_bytes": 20_000, "adds": {"agent.python.blocks": 1}},
        item={"weight": 6.0, "last_weight": 0.3, "adds": {"agent.python.blocks": 1, "runtime.glibc.used": 600}},
    )
    beside = replace(KEEPS, endpoints=ends, flows=True, rounds=12, small_blocks=True)
    [found] = findings(RULE, beside)
    assert found.subject.endpoint == "cart_add"
    assert row(found, "blocks.large").value == pytest.approx(140, rel=0.5)
    assert causes(beside) == {Cause.LEAK_OBJECTS}
    cached = replace(ends[3], adds={}, leak_blocks=0)
    assert causes(replace(beside, endpoints=(*ends[:3], cached, *ends[4:]))) == {Cause.LEAK_NATIVE}


def test_a_few_large_objects_are_known_by_the_bytes_that_come_with_each() -> None:
    """One search in thirty keeps a buffer of 200 kB: some allocations a slice, by which nothing seems to grow."""
    few = {"every": 30, "native_bytes": 200_000, "adds": {"agent.python.blocks": 1}}
    beside = replace(KEEPS, endpoints=six(search=few), flows=True, rounds=12, small_blocks=True)
    [found] = findings(RULE, beside)
    assert row(found, "blocks.few").value == pytest.approx(200_000, rel=0.1)
    assert causes(beside) == {Cause.LEAK_OBJECTS}
    apart = six(search={"native_bytes": 6_500}, login={"every": 30, "adds": {"agent.python.blocks": 1}})
    assert causes(replace(beside, endpoints=apart)) == {Cause.LEAK_NATIVE}


@pytest.mark.parametrize(
    "app",
    [
        App(allocators=True, blocks_at_floors=True),
        replace(KEEPS, endpoints=six(cart_add={"native_bytes": 10_240})),
        replace(KEEPS, collected=dict.fromkeys(range(4), EACH)),
        replace(KEEPS, endpoints=six(), extra=lambda n: 8e6 * (1 - 0.5 ** (n / 150))),
    ],
    ids=["healthy", "native", "garbage", "cache that fills"],
)
def test_stays_quiet(app: App) -> None:
    assert not findings(RULE, app)


@pytest.mark.parametrize(
    "app",
    [replace(KEEPS, rounds=5), replace(KEEPS, blocks_at_floors=False, with_blocks=False)],
    ids=["too few rounds", "objects not counted"],
)
def test_without_enough_data_it_says_nothing(app: App) -> None:
    assert not findings(RULE, app)


def test_in_a_php_worker_the_heap_is_the_witness() -> None:
    worker = App(
        endpoints=six(cart_add={"leak_bytes": 10_240}), runtime="php", workers=1, allocators=True, with_blocks=False,
        roots_per_round=0,
    )  # fmt: skip
    [found] = findings(RULE, worker)
    assert found.confidence is Confidence.HIGH
    [doubtful] = findings(RULE, replace(worker, roots_per_round=500))
    assert doubtful.confidence is Confidence.LOW, "garbage makes the list grow as well, and nobody was made to collect"
    assert {"gc.roots", "gc.growing"} <= against(doubtful)
    [collected] = findings(RULE, replace(worker, roots_per_round=500, collected={0: 0}, collected_bytes=0))
    assert collected.confidence is Confidence.HIGH, "a collection freed nothing"


@pytest.mark.parametrize("runtime", ["php", "python"])
def test_with_the_collector_off_and_nobody_asked_it_is_a_suspicion(runtime: str) -> None:
    """Of PHP the list of possible cycles is not known, or always empty; Python has none."""
    app = replace(
        KEEPS,
        runtime=runtime,
        gc_enabled=False,
        collected=None,
        blocks_at_floors=runtime == "python",
        with_blocks=False,
    )
    [found] = findings(RULE, app)
    assert found.confidence is Confidence.LOW
    assert "gc.enabled" in against(found)
    [on] = findings(RULE, replace(app, gc_enabled=True))
    assert on.confidence is not Confidence.LOW


def test_a_list_of_possible_cycles_that_stays_rules_garbage_out_even_with_the_collector_off() -> None:
    worker = replace(
        KEEPS,
        runtime="php",
        with_blocks=False,
        blocks_at_floors=False,
        collected=None,
        gc_enabled=False,
        roots_per_round=0,
    )
    assert findings(RULE, worker)[0].confidence is Confidence.HIGH


@pytest.mark.parametrize(
    ("again", "fires"), [((256_000, 0, 0), True), ((0, 256_000, 125), False)], ids=["keeps as much", "keeps nothing"]
)
def test_what_a_further_round_keeps_tells_a_leak_from_garbage(again: tuple[int, int, int], fires: bool) -> None:
    """The collection frees half of what the rounds have added, however much of that was there before."""
    app = replace(
        KEEPS, idle_s=2, collected=dict.fromkeys(range(4), EACH // 2), collected_bytes=EACH // 2 * 2000, again=again
    )
    found = findings(RULE, app)
    assert bool(found) is fires
    if fires:
        assert found[0].confidence is Confidence.HIGH
        assert row(found[0], "gc.kept").side is Side.FOR


def test_the_rate_of_a_small_leak_is_not_that_of_the_whole_pool() -> None:
    """Fragmentation accounts for nearly all of it: that speaks for the pool, and the leak tells what is its own."""
    both = App(
        endpoints=six(login={"leak_bytes": 4000, "leak_blocks": 8}),
        allocators=True,
        blocks_at_floors=True,
        held_per_round=1_500_000,
    )
    found = judged(both)
    assert [f.cause for f in found.findings] == [Cause.FRAGMENTATION, Cause.LEAK_OBJECTS]
    leak = found.findings[1]
    rate = found.pools[0].rounds_per_hour
    assert rate is not None
    assert leak.growth.bytes_per_hour == pytest.approx(400_000 * rate, rel=0.05)
    assert "That is 6 % of the 6.1 MiB by which app grows with every round." in leak.summary


def test_what_one_endpoint_keeps_is_told_whole_of_whatever_kind() -> None:
    [found] = judged(
        replace(KEEPS, endpoints=six(login={"leak_bytes": 20_000, "leak_blocks": 12, "mapped_bytes": 8000}))
    ).findings
    assert found.growth.bytes_per_request == pytest.approx(28_000, rel=0.1)
    assert "That is" not in found.summary


def test_objects_beside_which_malloc_grows_more_are_never_certain() -> None:
    kept = {"leak_bytes": 6000, "leak_blocks": 12}
    app = replace(KEEPS, small_blocks=True, endpoints=six(login=kept))
    beside = replace(app, endpoints=six(login={**kept, "native_bytes": 20_000}))
    assert findings(RULE, app)[0].confidence is Confidence.HIGH
    [found] = findings(RULE, beside)
    assert found.confidence is Confidence.MEDIUM
    assert "malloc.live" in against(found)
    assert "malloc has 77 % of the growth" in row(found, "malloc.live").text


def test_the_bytes_of_pythons_own_heap_are_a_witness_where_the_count_is_too_small_to_be_one() -> None:
    few = replace(KEEPS, endpoints=six(cart_add={"leak_bytes": 2000, "leak_blocks": 0.5}), small_blocks=True)
    [found] = findings(RULE, few)
    assert row(found, "heap.own").side is Side.FOR
    lost = {
        "leak_bytes": 200,
        "leak_blocks": 0.5,
        "native_bytes": 2000,
    }  # most of it lies with malloc, where anything may lie
    assert not findings(RULE, replace(few, endpoints=six(cart_add=lost)))
