from __future__ import annotations

from dataclasses import replace

import pytest
from cases import against, causes, findings, judged, row
from timelines import App, six

from harness.diagnose.rules.pool.leak_objects import RULE
from harness.model.finding import EXPLAINS, Cause, Confidence

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
    assert doubtful.confidence is Confidence.MEDIUM
    assert "gc.roots" in against(doubtful)
