from __future__ import annotations

from dataclasses import replace

import pytest
from cases import causes, findings, judged, row
from timelines import App, six

from harness.diagnose.rules.pool.thp import RULE
from harness.model.finding import EXPLAINS, Cause, Confidence, Severity, Side

MIB = 1024 * 1024
HUGE = 2 * MIB
# Each third request to one endpoint touches one byte of an untouched huge page of a mapping that was made at the start.
SPARSE = App(
    allocators=True,
    blocks_at_floors=True,
    endpoints=six(item={"mapped_bytes": HUGE, "every": 3, "adds": {"process.memory.anon_huge": HUGE}}),
    further={"process.smaps.anonymous.size": (4000 * MIB, 0), "process.memory.anon_huge": (0, 0)},
    metrics=("rss", "pss", "pss_anon", "pss_file", "pss_shmem", "shared_dirty", "anon_huge"),
    facts={"thp.enabled": "madvise"},
)


def test_fires_where_huge_pages_are_filled_in_around_little() -> None:
    [found] = findings(RULE, SPARSE)
    assert found.cause is Cause.THP
    assert found.confidence is Confidence.HIGH
    assert found.subject.endpoint == "item"
    assert found.numbers[EXPLAINS] == pytest.approx(100 / 3 * HUGE, rel=0.1)
    assert row(found, "smaps.size").side is Side.FOR
    assert "madvise" in row(found, "thp.enabled").text
    assert judged(SPARSE).verdict.cause is Cause.THP
    assert causes(SPARSE) == {Cause.THP}


def test_mappings_that_are_kept_are_the_cause_and_huge_pages_only_where_they_lie() -> None:
    mapped = replace(SPARSE, further={**SPARSE.further, "process.smaps.anonymous.size": (40 * MIB, 25 * HUGE // 3)})
    [found] = findings(RULE, mapped)
    assert row(found, "smaps.size").side is Side.AGAINST
    assert found.severity is Severity.INFO
    assert judged(mapped).verdict.cause is Cause.LEAK_MMAP
    assert causes(mapped) == {Cause.LEAK_MMAP}


def test_a_leak_of_objects_in_huge_pages_is_a_leak_of_objects() -> None:
    adds = {"process.memory.anon_huge": 40_000}
    leak = App(
        allocators=True, blocks_at_floors=True, metrics=SPARSE.metrics,
        endpoints=six(login={"leak_bytes": 40_000, "leak_blocks": 40, "adds": adds}),
    )  # fmt: skip
    assert judged(leak).verdict.cause is Cause.LEAK_OBJECTS
    assert causes(leak) == {Cause.LEAK_OBJECTS}


@pytest.mark.parametrize(
    "app",
    [
        App(allocators=True),
        App(allocators=True, metrics=SPARSE.metrics, further={"process.memory.anon_huge": (8 * MIB, 0)}),
        App(allocators=True, endpoints=six(item={"mapped_bytes": 60_000})),
    ],
    ids=["no huge pages", "huge pages that do not grow", "mappings of small pages"],
)
def test_stays_quiet(app: App) -> None:
    assert not findings(RULE, app)


@pytest.mark.parametrize("app", [replace(SPARSE, rounds=5)], ids=["too few rounds"])
def test_without_enough_data_it_says_nothing(app: App) -> None:
    assert not findings(RULE, app)


def test_without_allocators_and_mappings_nothing_is_claimed() -> None:
    blind = App(endpoints=SPARSE.endpoints, further={"process.memory.anon_huge": (0, 0)})
    [found] = findings(RULE, blind)
    assert (found.severity, found.confidence) == (Severity.INFO, Confidence.LOW)
    assert found.numbers[EXPLAINS] == 0
