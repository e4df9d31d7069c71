from __future__ import annotations

from dataclasses import replace

import pytest
from cases import causes, findings, row
from timelines import App, six

from harness.diagnose.rules.pool.mapped_files import RULE
from harness.model.finding import EXPLAINS, Cause, Confidence, Severity, Side

MIB = 1024 * 1024
GROWS = App(file_per_round=2 * MIB)
INDEX = replace(
    GROWS,
    further={"process.smaps.data_file.pss": (MIB, 2 * MIB), "process.smaps.data_file.count": (1, 0),
             "process.smaps.data_file.size": (100 * MIB, 0)},
    files={"/var/shop/index.bin": 2 * MIB, "/usr/lib/locale/C.utf8/LC_CTYPE": 0},
)  # fmt: skip


def test_fires_where_file_pages_grow() -> None:
    [found] = findings(RULE, GROWS)
    assert found.cause is Cause.MAPPED_FILES
    assert found.severity is Severity.WARNING
    assert found.numbers[EXPLAINS] == pytest.approx(5 * 2 * MIB, rel=0.05)
    assert causes(GROWS) == {Cause.MAPPED_FILES}


def test_the_file_is_named() -> None:
    [found] = findings(RULE, INDEX)
    assert "/var/shop/index.bin" in found.summary
    assert found.confidence is Confidence.HIGH
    assert row(found, "process.files").side is Side.FOR
    assert "read further" in row(found, "smaps.count").text


def test_several_files_are_named_by_the_first() -> None:
    two = {"/srv/a.tiles": 1_100_000, "/srv/b.tiles": 1_000_000}
    [found] = findings(RULE, replace(INDEX, files=two))
    assert "/srv/a.tiles and another file" in found.summary


def test_the_endpoint_is_named() -> None:
    adds = {"process.memory.pss_file": 50_000, "process.smaps.data_file.pss": 50_000}
    [found] = findings(RULE, App(endpoints=six(item={"adds": adds}), further={"process.smaps.heap.pss": (0, 0)}))
    assert found.subject.endpoint == "item"
    assert found.growth.bytes_per_request == pytest.approx(50_000, rel=0.05)


def test_libraries_whose_sharing_changes_are_no_certain_growth() -> None:
    [found] = findings(RULE, replace(GROWS, further={"process.smaps.data_file.pss": (MIB, 0)}))
    assert row(found, "smaps.data_file").side is Side.AGAINST
    assert found.confidence is Confidence.LOW


@pytest.mark.parametrize(
    "app",
    [App(), replace(GROWS, endpoints=six(login={"leak_bytes": 200_000}))],
    ids=["healthy", "private memory that grows faster"],
)
def test_stays_quiet(app: App) -> None:
    assert not findings(RULE, app)


@pytest.mark.parametrize(
    "app",
    [replace(GROWS, rounds=5), replace(GROWS, metrics=("rss", "pss_anon"))],
    ids=["too few rounds", "not measured"],
)
def test_without_enough_data_it_says_nothing(app: App) -> None:
    assert not findings(RULE, app)
