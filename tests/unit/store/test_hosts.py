"""What a run says of its hosts may be damaged, or anybody's: one clear error, never a traceback."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.analysis.pipeline import analyse
from harness.errors import RunError
from harness.model.event import Event
from harness.model.host import HOST_CLOCK, RunHost
from harness.model.run import RunManifest, RunStatus
from harness.store import layout
from harness.store.hosts import attributes_of, hosts_of
from harness.store.reader import read_run
from harness.store.writer import Recorder

HOSTS = (
    RunHost("web-1", "ssh://web-1", "web", True, True, 5, "1.2", {"kernel": "6.1", "cpus": 2, "libc": None}),
    RunHost("db-1", "ssh://db-1", "db", False, False, -7),
)
TOLD = [asdict(host) for host in HOSTS]
MANIFEST = RunManifest(
    layout.FORMAT, "id", "0.1.0", "shop", "shop.yaml", {"name": "shop"}, {"kernel": "6.1"}, "python", 1_700_000_000 * 10**9,
    10**9, 60 * 10**9, RunStatus.COMPLETE, "", {},
)  # fmt: skip

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from([*TOLD[0], "later"])
damaged = st.lists(
    st.dictionaries(names, anything, max_size=3).map(lambda changes: {**TOLD[0], **changes})
    | st.tuples(names, st.just(TOLD[1])).map(lambda each: {k: v for k, v in each[1].items() if k != each[0]})
    | anything,
    max_size=3,
)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = layout.new_run_directory(tmp_path_factory.mktemp("hosts"), "20260101-000000", "shop")
    recorder = Recorder(run)
    recorder.manifest(MANIFEST)
    recorder.hosts(HOSTS)
    for t_ns in (2, 30, 50):
        told = {"host": "web-1", "before_ns": t_ns, "there_ns": t_ns + 5, "wall_ns": 0, "after_ns": t_ns + 2}
        recorder.event(Event(t_ns, HOST_CLOCK, None, "read", told))
    recorder.close()
    return run


def change(run: Path, sql: str, text: str) -> None:
    with sqlite3.connect(run / layout.DATABASE) as db:
        db.execute(sql, (text,))
    db.close()


def refusal(run: Path) -> str:
    """What the whole road to a report says of the run; the run's name where there is a report."""
    try:
        analyse(run)
    except RunError as error:
        return error.message
    return str(run)


def test_what_is_written_is_read_and_what_later_versions_add_is_passed_over(recorded: Path) -> None:
    assert hosts_of(json.dumps(TOLD)) == HOSTS
    assert hosts_of(json.dumps([{**TOLD[0], "later": {"x": [1]}}])) == HOSTS[:1]
    assert hosts_of("[]") == ()
    change(recorded, "UPDATE meta SET value = ? WHERE key = 'hosts'", json.dumps(TOLD))
    assert read_run(recorded).manifest.hosts == HOSTS


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({}, "no list of hosts"),
        ([TOLD[0]] * 2, "the same one"),
        ([TOLD[0], {**TOLD[1], "first": True}], "the same one"),
        ([[]], "no object"),
        ([{"name": "web-1"}], "has no place"),
        ([{**TOLD[0], "measured": 1}], "measured of a host of the run is no bool"),
        ([{**TOLD[0], "offset_ns": True}], "offset_ns of a host of the run is no int"),
        ([{**TOLD[0], "offset_ns": 1 << 62}], "a clock that no host has"),
        ([{**TOLD[0], "name": ""}], "has no name"),
        ([{**TOLD[0], "facts": {"kernel": []}}], "neither a number nor a text"),
        ([{**TOLD[0], "facts": 5}], "no object of names and values"),
        ([TOLD[0]] * 1001, "no list of hosts"),
    ],
)
def test_damaged_hosts_are_refused_in_words(recorded: Path, told: object, why: str) -> None:
    change(recorded, "UPDATE meta SET value = ? WHERE key = 'hosts'", json.dumps(told))
    with pytest.raises(RunError, match=why) as caught:
        read_run(recorded)
    assert str(recorded) in caught.value.message


@given(damaged)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_whatever_is_said_of_hosts_there_is_a_report_or_one_error(recorded: Path, told: object) -> None:
    change(recorded, "UPDATE meta SET value = ? WHERE key = 'hosts'", json.dumps(told))
    assert str(recorded) in refusal(recorded)


@given(
    st.dictionaries(
        st.sampled_from(["host", "before_ns", "there_ns", "wall_ns", "after_ns", "pool"]), anything, max_size=6
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_whatever_an_event_says_there_is_a_report_or_one_error(recorded: Path, told: object) -> None:
    change(recorded, "UPDATE meta SET value = ? WHERE key = 'hosts'", json.dumps(TOLD))
    change(recorded, "UPDATE event SET attributes = ?", json.dumps(told))
    assert str(recorded) in refusal(recorded)


@given(st.text(max_size=30))
def test_attributes_are_names_and_plain_values_or_refused(text: str) -> None:
    try:
        found = attributes_of(text)
    except ValueError:
        return
    assert all(value is None or isinstance(value, str | int | float) for value in found.values())


def test_numbers_that_no_column_holds_are_refused() -> None:
    assert attributes_of('{"a": -9223372036854775808, "b": true, "c": null}') == {"a": -(1 << 63), "b": True, "c": None}
    with pytest.raises(ValueError, match="64 bits"):
        attributes_of('{"a": 9223372036854775808}')


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("started_wall_ns", "9" * 30), ("started_wall_ns", "-5"), ("started_ns", "9" * 25), ("ended_ns", "9" * 25),
        ("host", '{"memory_bytes": 1000000000000000000000}'), ("facts", '{"x": 1000000000000000000000}'),
        ("costs", '{"x": 1' + "0" * 400 + "}"), ("unmeasured_pools", "[1, {}]"), ("unmeasured_pools", '"ab"'),
        ("scenario", "[" * 100_000),
    ],
)  # fmt: skip
def test_what_a_run_says_of_itself_is_of_its_kind_or_refused(recorded: Path, key: str, value: str) -> None:
    """Bundles and directories come from others: nothing of them surprises an exporter."""
    change(recorded, f"UPDATE meta SET value = ? WHERE key = '{key}'", value)
    with pytest.raises(RunError, match="unreadable run"):
        read_run(recorded)
