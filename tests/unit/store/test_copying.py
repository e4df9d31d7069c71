"""A copy holds the rows that were put into it and nothing else; a database from elsewhere is looked at before it is used."""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from stored_runs import record
from timelines import App, simulate

from harness.errors import RunError
from harness.model.event import Missing
from harness.store.copying import check_database, copy_run
from harness.store.reader import read_names, read_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return record(simulate(App(requests=30, blocks=1, rounds=2, warmup=0)), tmp_path)


def copied(run: Path, tmp_path: Path, **rewrite: object) -> Path:
    target = tmp_path / "copy"
    target.mkdir()
    copy_run(run, target / "run.sqlite", rewrite)  # type: ignore[arg-type]
    return target


def test_a_copy_is_the_same_run(run: Path, tmp_path: Path) -> None:
    ours, theirs = read_run(run), read_run(copied(run, tmp_path))
    assert theirs.manifest == ours.manifest
    assert theirs.spans == ours.spans
    assert theirs.records == ours.records
    assert theirs.processes == ours.processes
    assert theirs.series.keys() == ours.series.keys()
    for of, series in ours.series.items():
        assert np.array_equal(theirs.series[of].values, series.values)
        assert np.array_equal(theirs.series[of].t_ns, series.t_ns)
    check_database(tmp_path / "copy" / "run.sqlite")


@pytest.fixture
def files_of_100_kb() -> Iterator[None]:
    """As on a full disk: the kernel writes no more."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_no_room_is_no_fault_of_the_run(run: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    rows = [(None, 1, "x", None, "y" * 200_000, "{}")]
    request.getfixturevalue("files_of_100_kb")
    with pytest.raises(OSError, match="No space left on device"):
        copy_run(run, tmp_path / "copy.sqlite", {}, {"event": rows})


def test_rows_are_rewritten_or_left_out(run: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    rewrite = {"endpoint": lambda row: (row[0], f"x{row[0]}"), "missing": lambda _: None}
    copy_run(run, tmp_path / "copy" / "run.sqlite", rewrite, {"missing": [("a", "b", "c")]})
    found = read_run(tmp_path / "copy")
    assert {span.endpoint for span in found.spans} == {f"x{n + 1}" for n in range(len(read_names(run).endpoints))}
    assert list(found.missing) == [Missing("a", "b", "c")]


def test_nothing_of_deleted_rows_or_foreign_tables_comes_along(run: Path, tmp_path: Path) -> None:
    db = sqlite3.connect(run / "run.sqlite")
    db.executescript("PRAGMA secure_delete=OFF; CREATE TABLE note (text TEXT); INSERT INTO note VALUES ('wombat-4711')")
    db.executemany(
        "INSERT INTO event (t_ns, kind, text, attributes) VALUES (1, 'x', ?, '{}')", [("gravel-4711" * 9,)] * 300
    )
    db.commit()
    db.execute("DELETE FROM event WHERE kind = 'x'")
    db.commit()
    db.close()
    assert b"gravel-4711" in b"".join(p.read_bytes() for p in run.glob("run.sqlite*"))
    raw = (copied(run, tmp_path) / "run.sqlite").read_bytes()
    assert b"wombat-4711" not in raw
    assert b"gravel-4711" not in raw


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE more (x TEXT)",
        "CREATE TRIGGER t AFTER INSERT ON event BEGIN DELETE FROM span; END",
        "DROP VIEW sample; CREATE VIEW sample AS SELECT 1 AS series_id",
        "UPDATE span SET start_ns = 'soon'",
        "UPDATE endpoint SET name = x'00' WHERE id = 1",
        "UPDATE chunk SET n = 5000",
        "DELETE FROM position WHERE i > 5",
        "UPDATE meta SET value = zeroblob(10) WHERE key = 'format'",
    ],
)
def test_a_database_that_is_not_quite_ours_is_refused(run: Path, tmp_path: Path, change: str) -> None:
    path = copied(run, tmp_path) / "run.sqlite"
    with sqlite3.connect(path) as db:
        db.executescript(change)
    db.close()
    with pytest.raises(RunError):
        check_database(path)


def test_damaged_files_are_refused(run: Path, tmp_path: Path) -> None:
    path = copied(run, tmp_path) / "run.sqlite"
    whole = path.read_bytes()
    for content in (b"", b"no database", whole[: len(whole) // 2], whole[:100] + bytes(4000) + whole[4100:]):
        path.write_bytes(content)
        with pytest.raises(RunError):
            check_database(path)


def test_the_older_format_is_not_copied(run: Path, tmp_path: Path) -> None:
    with sqlite3.connect(run / "run.sqlite") as db:
        db.execute("UPDATE meta SET value = 'harness-run/1' WHERE key = 'format'")
    db.close()
    with pytest.raises(RunError, match="cannot be copied"):
        copied(run, tmp_path)
