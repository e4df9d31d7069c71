"""Adding runs: whole or not at all, once, in any file system, and read back as they were."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import duckdb
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fleets import fleet
from reports import HOSTILE, hostile_report, leak_report

from harness.cli import invoke
from harness.errors import UsageError
from harness.fleet.dataset import Dataset
from harness.fleet.engines import ENGINES
from harness.fleet.partitions import Choice
from harness.fleet.queries import QUERIES
from harness.fleet.query import shown, whole_statement
from harness.fleet.storage import _without_secrets
from harness.fleet.tables import TABLES, fleet_run
from harness.model.host import RunHost
from harness.model.report import Report
from harness.report.words import clean


@pytest.fixture(params=["path", "file", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A place for a dataset in each kind of file system."""
    if request.param == "memory":
        yield f"memory://{tmp_path.name}/fleet"
        fsspec.filesystem("memory").rm(f"/{tmp_path.name}", recursive=True)
    else:
        yield str(tmp_path / "fleet") if request.param == "path" else (tmp_path / "fleet").as_uri()


def contents(place: str) -> dict[str, bytes]:
    fs, root = fsspec.core.url_to_fs(place)
    return {name: fs.cat_file(name) for name in fs.find(root)}


def test_adding_twice_changes_nothing(place: str) -> None:
    dataset = Dataset(place, create=True)
    run = fleet_run(leak_report(), version="1.0")
    assert dataset.add(run).new
    before = contents(place)
    assert not dataset.add(run).new
    assert not Dataset(place).add(fleet_run(leak_report(), version="2.0")).new, "the same run under another name"
    assert contents(place) == before


def test_replacing_moves_a_run(place: str) -> None:
    dataset = Dataset(place, create=True)
    dataset.add(fleet_run(leak_report(), version="1.0", samples=True))
    assert dataset.add(fleet_run(leak_report(), version="2.0"), replace=True).new
    assert not any("version=1.0" in name for name in contents(place))
    (row,) = ENGINES["duckdb"](QUERIES["verdicts"], Choice(), dataset.files("runs", Choice()), None)
    assert (row["version"], row["runs"]) == ("2.0", 1)


def test_the_same_run_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Dataset(str(tmp_path / name), create=True).add(fleet_run(leak_report()))
    first, second = ([data for _, data in sorted(contents(str(tmp_path / n)).items())] for n in ("a", "b"))
    assert first == second


def test_what_an_unfinished_addition_left_is_not_seen(place: str) -> None:
    dataset = Dataset(place, create=True)
    run = fleet_run(leak_report())
    dataset.add(dataclasses.replace(run, tables=run.tables[:-1]))
    for table in TABLES:
        assert dataset.files(table, Choice()) == []
    assert Dataset(place).add(run).new, "and it can be added again"
    assert len(dataset.files("endpoints", Choice())) == 1


def test_rows_are_those_of_the_report(tmp_path: Path) -> None:
    report = leak_report()
    dataset = Dataset(str(tmp_path), create=True)
    dataset.add(fleet_run(report, samples=True))
    connection = duckdb.connect()
    rows = connection.execute(
        "select endpoint, requests, p99_ns, retained_bytes_per_request from read_parquet($f, hive_partitioning=true)",
        {"f": dataset.files("endpoints", Choice())},
    ).fetchall()
    assert rows == [(r.name, r.requests, r.p99_ns, r.retained_bytes_per_request) for r in report.endpoints]
    for table in TABLES:
        (file,) = dataset.files(table, Choice())
        names = [
            r[0]
            for r in connection.execute(
                "describe select * from read_parquet($f, hive_partitioning=false)", {"f": file}
            ).fetchall()
        ]
        assert names[:2] == ["run", "started_unix_ns"]
        assert "host" not in names, "that is the partition's"


def test_samples_are_only_there_when_asked_for(tmp_path: Path) -> None:
    assert "samples" not in [table.name for table in fleet_run(leak_report()).tables]
    assert "samples" in [table.name for table in fleet_run(leak_report(), samples=True).tables]
    assert fleet_run(leak_report()).tables[-1].name == "runs"


def test_hostile_names_stay_in_the_dataset(tmp_path: Path) -> None:
    report = hostile_report()
    manifest = dataclasses.replace(
        report.timeline.manifest, host={"node": f"../../{HOSTILE}"}, scenario={"version": "../../../x'; drop"}
    )
    report = dataclasses.replace(report, timeline=dataclasses.replace(report.timeline, manifest=manifest))
    dataset = Dataset(str(tmp_path / "a" / "b" / "fleet"), create=True)
    assert dataset.add(fleet_run(report)).new
    outside = [p for p in tmp_path.rglob("*") if p.is_file() and (tmp_path / "a" / "b" / "fleet") not in p.parents]
    assert outside == []
    for name, query in QUERIES.items():
        rows = ENGINES["duckdb"](query, Choice(), dataset.files(query.table, Choice()), None)
        assert isinstance(query.judge(rows).rows, tuple), name
    (row,) = ENGINES["duckdb"](
        QUERIES["verdicts"], Choice(version="../../../x'; drop"), dataset.files("runs", Choice()), None
    )
    assert row["version"] == "../../../x'; drop"


def test_unknown_is_null(place: str) -> None:
    (report,) = list(fleet(1, 1))[:1]
    manifest = dataclasses.replace(report.timeline.manifest, host={}, scenario={})
    report = dataclasses.replace(report, timeline=dataclasses.replace(report.timeline, manifest=manifest))
    dataset = Dataset(place, create=True)
    dataset.add(fleet_run(report))
    (row,) = ENGINES["duckdb"](QUERIES["verdicts"], Choice(), dataset.files("runs", Choice()), None)
    assert row["version"] is None
    assert row["hosts"] == 0


def test_a_damaged_file_is_an_error_for_people(tmp_path: Path) -> None:
    dataset = Dataset(str(tmp_path), create=True)
    dataset.add(fleet_run(leak_report()))
    (file,) = dataset.files("runs", Choice())
    Path(file).write_bytes(b"PAR1 and no more")
    for engine in ("duckdb", "dask"):
        with pytest.raises(UsageError, match="cannot be read"):
            ENGINES[engine](QUERIES["verdicts"], Choice(), [file], None)


@pytest.mark.parametrize("marker", [b'{"format": "harness-fleet/2"}', b"\xff", b"[]"])
def test_other_datasets_are_refused(tmp_path: Path, marker: bytes) -> None:
    (tmp_path / "harness-fleet.json").write_bytes(marker)
    with pytest.raises(UsageError, match="no dataset that this version reads"):
        Dataset(str(tmp_path), create=True)


@pytest.mark.parametrize("name", ["a b", "x=1", "[1]*?", "#ü%20", "a;b'c"])
def test_a_directory_may_be_called_anything(name: str, tmp_path: Path) -> None:
    place = tmp_path / name / "fleet"
    dataset = Dataset(str(place), create=True)
    dataset.add(fleet_run(leak_report(), version="1"))
    assert (place / "harness-fleet.json").is_file()
    assert len(dataset.files("runs", Choice())) == 1
    (row,) = ENGINES["duckdb"](QUERIES["verdicts"], Choice(version="1"), dataset.files("runs", Choice()), None)
    assert row["version"] == "1"
    printed = shown(whole_statement(QUERIES["verdicts"], Choice(), [dataset.storage.pattern("runs/**/*.parquet")]))
    assert len(duckdb.connect().execute(printed).fetchall()) == 1


def test_a_directory_that_would_be_a_partition(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="version="):
        Dataset(str(tmp_path / "version=0" / "fleet"), create=True)
    assert list(tmp_path.iterdir()) == []


def test_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no dataset"):
        Dataset(str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="Protocol not known"):
        Dataset("gopher://x/y")


def test_the_host_is_where_it_ran() -> None:
    report = next(iter(fleet(1, 1)))
    assert fleet_run(report).partition.host == "web-1"
    hosts = tuple(
        RunHost(name, f"ssh://{name}", "web", measured, first=name == "a", offset_ns=0)
        for name, measured in (("a", True), ("b", True), ("db", False))
    )
    manifest = dataclasses.replace(report.timeline.manifest, hosts=hosts)
    away = dataclasses.replace(report, timeline=dataclasses.replace(report.timeline, manifest=manifest))
    assert fleet_run(away).partition.host == "a,b"


@pytest.mark.parametrize(
    ("versions", "one"), [(("1", "1", "9"), "1"), (("1", "2", "1"), None), (("", "", "9"), None), ((), None)]
)
def test_the_version_of_all_hosts(versions: tuple[str, ...], one: str | None) -> None:
    report = leak_report()
    hosts = tuple(
        RunHost(str(n), "", "web", n < 2, first=n == 0, offset_ns=0, version=version)
        for n, version in enumerate(versions)
    )
    manifest = dataclasses.replace(report.timeline.manifest, hosts=hosts)
    assert (
        version_in(dataclasses.replace(report, timeline=dataclasses.replace(report.timeline, manifest=manifest))) == one
    )


def version_in(report: Report) -> str | None:
    return fleet_run(report).partition.version


def test_the_version_is_that_of_the_scenario_unless_one_is_given() -> None:
    report = next(iter(fleet(1, 1)))
    assert version_in(report) == "1.0"
    assert fleet_run(report, version="7").partition.version == "7"
    assert version_in(leak_report()) is None


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        ("ftp://u:p@h/x", "ftp://h/x"),
        ("s3://key:sec/ret@bucket/a", "s3://bucket/a"),
        ("simplecache::ftp://u:p@h/x", "simplecache::ftp://h/x"),
        ("https://h/x?X-Amz-Signature=ab&y=1", "https://h/x?..."),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
        ("/srv/a@b\x1b[2J", "/srv/a@b\\x1b[2J"),
    ],
)
def test_a_place_is_shown_without_its_secrets(place: str, shown: str) -> None:
    assert clean(_without_secrets(place), 500) == shown


@pytest.mark.parametrize("wrong", [["\x1b[2J"], [1.5], [b"\xff"], [[1]], [None], [2**63 - 1]])
@pytest.mark.parametrize("column", ["run", "started_unix_ns", "metric", "value", "unit", "conditions"])
def test_rows_of_another_shape_are_an_error_with_words(
    tmp_path: Path, column: str, wrong: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    """Anybody may have written the files of a dataset."""
    dataset = Dataset(str(tmp_path / "d"), create=True)
    for report in fleet(1, 4):
        dataset.add(fleet_run(report))
    for each in dataset.files("measures", Choice()):
        found = pq.ParquetFile(each).read()
        place = found.column_names.index(column)
        pq.write_table(found.set_column(place, column, pa.array(wrong * found.num_rows)), each)
    assert invoke(["fleet", str(tmp_path / "d"), "drift"]) in (0, 2)
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    assert "\x1b" not in said.out + said.err
