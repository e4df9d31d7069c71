from __future__ import annotations

from dataclasses import replace

import pytest
from cases import against, causes, findings, judged, row
from timelines import App, six

from harness.diagnose.rules.pool.cow_unsharing import RULE
from harness.model.finding import EXPLAINS, Cause, Confidence

MIB = 1024 * 1024
COPIES = App(unshared_per_round=2 * MIB, allocators=True, blocks_at_floors=True)


def test_fires_where_pages_stop_being_shared() -> None:
    [found] = findings(RULE, COPIES)
    assert found.cause is Cause.COW_UNSHARING
    assert found.confidence is Confidence.HIGH
    assert found.numbers[EXPLAINS] == pytest.approx(4 * 2 * MIB, rel=0.05)
    assert found.numbers["still_shared_bytes"] == pytest.approx(4 * (200_000_000 - 8 * 2 * MIB))
    assert "is not a leak" in found.summary
    assert causes(COPIES) == {Cause.COW_UNSHARING}


def test_its_end_is_predicted() -> None:
    [found] = findings(RULE, COPIES)
    assert "in " not in row(found, "shared_dirty.left").text.split(";")[0]
    assert "87 more rounds" in row(found, "shared_dirty.left").text  # (200 MB - 8 x 2 MiB) / 2 MiB


def test_without_collections_it_is_reading_that_writes() -> None:
    [found] = findings(RULE, COPIES)
    assert found.numbers["collector_writes"] == 0
    assert "reference counter" in row(found, "gc.full").text


def test_collections_write_where_the_probe_shows_it() -> None:
    probed = replace(
        COPIES, full_collections_per_round=1, collected=dict.fromkeys(range(4), 0), collected_bytes=0,
        probe_unshares=100_000_000,
    )  # fmt: skip
    [found] = findings(RULE, probed)
    assert found.numbers["collector_writes"] == 1
    assert row(found, "gc.probe").value == pytest.approx(4 * 100_000_000)
    [harmless] = findings(RULE, replace(probed, probe_unshares=0))
    assert harmless.numbers["collector_writes"] == 0


def test_where_it_is_not_told_who_writes_nothing_is_claimed() -> None:
    [found] = findings(RULE, replace(COPIES, full_collections_per_round=1))
    assert "collector_writes" not in found.numbers


def test_without_mappings_and_allocators_it_is_less_certain() -> None:
    [found] = findings(RULE, App(unshared_per_round=2 * MIB))
    assert found.confidence is Confidence.MEDIUM


def test_a_leak_beside_it_is_the_cause() -> None:
    both = replace(COPIES, unshared_per_round=1 * MIB, endpoints=six(login={"leak_bytes": 120_000, "leak_blocks": 20}))
    assert judged(both).verdict.cause is Cause.LEAK_OBJECTS
    for found in findings(RULE, both):
        assert "heap.live" in against(found)


@pytest.mark.parametrize(
    "app",
    [App(allocators=True), App(allocators=True, endpoints=six(login={"leak_bytes": 50_000}))],
    ids=["healthy", "a leak"],
)
def test_stays_quiet(app: App) -> None:
    assert not findings(RULE, app)


@pytest.mark.parametrize(
    "app",
    [replace(COPIES, rounds=5), replace(COPIES, metrics=("rss", "pss", "pss_anon", "pss_file", "pss_shmem"))],
    ids=["too few rounds", "shared pages were not measured"],
)
def test_without_enough_data_it_says_nothing(app: App) -> None:
    assert not findings(RULE, app)
