from __future__ import annotations

from dataclasses import replace

import pytest
from cases import causes, findings, judged, row
from timelines import App, six

from harness.diagnose.rules.pool.descriptors import RULE
from harness.model.finding import EXPLAINS, Cause, Confidence, Severity

MORE = App(fds_per_round=20)


def test_fires_where_their_number_rises() -> None:
    [found] = findings(RULE, MORE)
    assert found.cause is Cause.DESCRIPTORS
    assert found.severity is Severity.WARNING
    assert found.confidence is Confidence.MEDIUM
    assert row(found, "fds.limit").value == pytest.approx((1024 - 170) / 20, rel=0.05)
    assert causes(MORE) == {Cause.DESCRIPTORS}


def test_the_endpoint_that_opens_them_is_named() -> None:
    [found] = findings(RULE, App(endpoints=six(search={"adds": {"process.fds": 2}})))
    assert found.subject.endpoint == "search"
    assert found.confidence is Confidence.HIGH
    assert "about 2 more" in found.summary


def test_the_workers_themselves_count_the_same() -> None:
    [found] = findings(RULE, replace(MORE, workers=9, further={"agent.python.fds": (10, 20)}))
    assert row(found, "agent.python.fds").value == pytest.approx(180)
    assert found.confidence is Confidence.HIGH


def test_those_of_mappings_go_with_the_mappings() -> None:
    adds = {"process.fds": 1, "process.memory.pss_file": 60_000, "process.smaps.data_file.pss": 60_000}
    maps = six(search={"adds": {**adds, "process.smaps.data_file.count": 1}})
    app = App(endpoints=maps, further={"process.smaps.heap.pss": (0, 0)})
    [found] = findings(RULE, app)
    assert found.numbers["mapped_descriptors_per_round"] > 0
    assert causes(app) == {Cause.MAPPED_FILES}
    assert judged(app).verdict.cause is Cause.MAPPED_FILES


def test_the_objects_of_open_files_go_with_them() -> None:
    opens = {"adds": {"process.fds": 1}, "leak_bytes": 9_000, "leak_blocks": 4}
    files = App(endpoints=six(search=opens), allocators=True, blocks_at_floors=True)
    [found] = findings(RULE, files)
    assert found.numbers[EXPLAINS] == pytest.approx(900_000, rel=0.1)
    assert causes(files) == {Cause.DESCRIPTORS}
    beside = replace(files, endpoints=six(search={"adds": {"process.fds": 1}}, login=opens | {"adds": {}}))
    assert causes(beside) == {Cause.DESCRIPTORS, Cause.LEAK_OBJECTS}
    large = replace(files, endpoints=six(search=opens | {"leak_bytes": 60_000}))
    assert judged(large).verdict.cause is Cause.LEAK_OBJECTS


@pytest.mark.parametrize(
    "app", [App(), App(endpoints=six(search={"adds": {"process.fds": 0}}))], ids=["healthy", "closed"]
)
def test_stays_quiet(app: App) -> None:
    assert not findings(RULE, app)


@pytest.mark.parametrize("app", [replace(MORE, rounds=5)], ids=["too few rounds"])
def test_without_enough_data_it_says_nothing(app: App) -> None:
    assert not findings(RULE, app)
