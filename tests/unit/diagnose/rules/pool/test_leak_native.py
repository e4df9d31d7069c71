from __future__ import annotations

from dataclasses import replace

import pytest
from cases import against, causes, findings, judged, row
from timelines import App, six

from harness.diagnose.rules.pool.leak_native import RULE
from harness.model.finding import EXPLAINS, Cause, Confidence

LOSES = App(endpoints=six(search={"native_bytes": 8_000}), allocators=True, blocks_at_floors=True)


def test_fires_where_malloc_grows_and_objects_do_not() -> None:
    [found] = findings(RULE, LOSES)
    assert found.cause is Cause.LEAK_NATIVE
    assert found.confidence is Confidence.HIGH
    assert found.subject.endpoint == "search"
    assert found.numbers[EXPLAINS] == pytest.approx(800_000, rel=0.1)
    assert "those of the language's own heap by" in row(found, "malloc.live").text
    assert "heap.judged" not in {e.signal for e in found.evidence}, "pages show it themselves"
    assert causes(LOSES) == {Cause.LEAK_NATIVE}


def test_objects_of_another_endpoint_are_not_those_of_the_one_that_loses_memory() -> None:
    """Both together look like objects with memory of an extension; which request adds what tells them apart."""
    two = six(search={"native_bytes": 8_000}, login={"leak_bytes": 1_500, "leak_blocks": 18})
    [found] = findings(RULE, replace(LOSES, endpoints=two, flows=True, rounds=12))
    assert found.subject.endpoint == "search"
    assert row(found, "blocks.elsewhere").value == pytest.approx(18, rel=0.15)
    assert "with requests to login" in row(found, "blocks.elsewhere").text
    owned = six(search={"native_bytes": 8_000, "leak_bytes": 1_500, "leak_blocks": 18})
    assert not findings(RULE, replace(LOSES, endpoints=owned, flows=True, rounds=12))


def test_the_rate_is_that_of_what_is_kept_where_free_memory_takes_some_of_it_up() -> None:
    flow = replace(LOSES, flows=True, rounds=12, held=12_000_000, held_per_round=-90_000, slice_s=30)
    [found] = findings(RULE, flow)
    per_request = found.growth.bytes_per_request
    assert per_request == pytest.approx(8_000, rel=0.05)
    assert found.growth.bytes_per_hour == pytest.approx(per_request * 600 / 6 * 120, rel=0.05)
    assert "% of the" not in found.summary


def test_php_fpm_hides_it_in_chunks_that_it_keeps_anyway() -> None:
    """A persistent connection more with each request: the worker's resident memory need not move for a long time."""
    fpm = replace(
        LOSES, runtime="php", endpoints=six(search={"native_bytes": 2_000}), held_in="heap", held=8_000_000,
        held_per_round=-50_000, with_blocks=False, blocks_at_floors=False,
    )  # fmt: skip
    [found] = findings(RULE, fpm)
    assert found.cause is Cause.LEAK_NATIVE
    assert found.confidence is not Confidence.HIGH, "resident memory has not shown it"
    assert "live bytes that the allocators count exactly" in row(found, "heap.judged").text
    assert (row(found, "heap.judged").value or 0) > 3 * abs(row(found, "pool.floor").value or 0)
    assert causes(fpm) == {Cause.LEAK_NATIVE}


def test_without_a_view_into_malloc_it_is_what_remains() -> None:
    blind = replace(LOSES, allocators=False, endpoints=six(search={"leak_bytes": 10_240}))
    [found] = findings(RULE, blind)
    assert found.cause is Cause.LEAK_NATIVE


@pytest.mark.parametrize(
    "app",
    [
        App(allocators=True, blocks_at_floors=True),
        replace(LOSES, endpoints=six(search={"leak_bytes": 8_000, "leak_blocks": 4})),
        replace(LOSES, endpoints=six(search={"mapped_bytes": 8_000})),
        replace(LOSES, endpoints=six(), held_per_round=400_000),
    ],
    ids=["healthy", "objects", "mmap", "fragmentation"],
)
def test_stays_quiet(app: App) -> None:
    assert not findings(RULE, app)


@pytest.mark.parametrize(
    "app",
    [replace(LOSES, rounds=5), replace(LOSES, allocators=False, blocks_at_floors=False, with_blocks=False)],
    ids=["too few rounds", "neither malloc nor objects known"],
)
def test_without_enough_data_it_says_nothing(app: App) -> None:
    assert not findings(RULE, app)


def test_a_few_objects_beside_a_large_loss_are_told_and_do_not_hide_it() -> None:
    both = App(
        endpoints=six(login={"native_bytes": 40_000, "leak_bytes": 60, "leak_blocks": 1}),
        allocators=True,
        blocks_at_floors=True,
    )
    [found] = findings(RULE, both)
    assert row(found, "heap.share").text.endswith("of the growth of live memory, malloc has the rest")


@pytest.mark.parametrize(
    "kept",
    [{"native_bytes": 40_000}, {"mapped_bytes": 40_000}, {"leak_bytes": 1_200_000, "leak_blocks": 3, "every": 30}],
    ids=["malloc", "mmap", "large objects now and then"],
)
def test_without_a_view_into_malloc_it_is_never_certain(kept: dict[str, int]) -> None:
    [found] = findings(RULE, App(endpoints=six(item=kept), blocks_at_floors=True))
    assert found.confidence is Confidence.MEDIUM
    assert "malloc.live" in against(found)


@pytest.mark.parametrize("small", [0, 1], ids=["bytes", "bytearray"])
def test_objects_that_nobody_counted_are_not_taken_for_none(small: int) -> None:
    """Attached to a CPython before 3.12 only objects of up to 512 bytes are counted: a list of large ones looks like a loss of
    malloc, with one small object each where they have a head of their own. What is certain is that it grows."""
    kept = {"native_bytes": 4_096, "leak_bytes": 60 * small, "leak_blocks": small}
    app = App(endpoints=six(login=kept), allocators=True, with_blocks=False, outside_blocks=True)
    assert not findings(RULE, app)
    [found] = judged(app).findings
    assert (found.cause, found.confidence) == (Cause.LEAK, Confidence.HIGH)
    assert found.subject.endpoint == "login"
    assert "could not be counted" in row(found, "blocks.large").text
    with_agent = replace(app, blocks_at_floors=True)
    assert causes(with_agent) == {Cause.LEAK_NATIVE}


def test_small_objects_from_outside_are_objects_all_the_same() -> None:
    app = App(
        endpoints=six(login={"leak_bytes": 4_096, "leak_blocks": 40}),
        allocators=True,
        with_blocks=False,
        outside_blocks=True,
    )
    assert causes(app) == {Cause.LEAK_OBJECTS}
    assert causes(replace(app, endpoints=six())) <= {Cause.HEALTHY}


def test_uncounted_objects_without_a_view_into_malloc() -> None:
    app = App(endpoints=six(login={"native_bytes": 10_240}), with_blocks=False, outside_blocks=True)
    assert causes(app) == {Cause.LEAK}
