from __future__ import annotations

from dataclasses import replace

import pytest
from cases import causes, findings, row
from timelines import App, six

from harness.diagnose.rules.pool.leak_mmap import RULE
from harness.model.finding import EXPLAINS, Cause, Confidence

MAPS = App(endpoints=six(about={"mapped_bytes": 16_384}), allocators=True, blocks_at_floors=True)


def test_fires_where_memory_grows_outside_every_allocator() -> None:
    [found] = findings(RULE, MAPS)
    assert found.cause is Cause.LEAK_MMAP
    assert found.confidence is Confidence.HIGH
    assert found.subject.endpoint == "about"
    assert found.numbers[EXPLAINS] == pytest.approx(1_638_400, rel=0.1)
    assert (row(found, "mappings").value or 0) > 0
    assert causes(MAPS) == {Cause.LEAK_MMAP}


@pytest.mark.parametrize(
    "app",
    [
        App(allocators=True, blocks_at_floors=True),
        replace(MAPS, endpoints=six(about={"native_bytes": 16_384})),
        replace(MAPS, endpoints=six(about={"leak_bytes": 16_384, "leak_blocks": 5})),
        replace(MAPS, endpoints=six(), held_per_round=500_000),
    ],
    ids=["healthy", "native", "objects", "fragmentation"],
)
def test_stays_quiet(app: App) -> None:
    assert not findings(RULE, app)


@pytest.mark.parametrize(
    "app",
    [replace(MAPS, rounds=6), replace(MAPS, allocators=False)],
    ids=["too few rounds", "allocators not known"],
)
def test_without_enough_data_it_says_nothing(app: App) -> None:
    assert not findings(RULE, app)
