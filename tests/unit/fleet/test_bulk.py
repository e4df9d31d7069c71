"""Profiles become rows: what each says, whatever the files next to it hold, with numbers no larger than a column."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import duckdb
import jsonschema
import pytest

from harness.errors import UsageError
from harness.fleet.bulk import Batch, bulk, parse
from harness.fleet.dataset import Dataset
from harness.fleet.engines import ENGINES
from harness.fleet.partitions import Choice
from harness.fleet.queries import QUERIES
from harness.fleet.render import document

HEAD = (
    "version: 1\ncreator: xdebug 3.4.0 (PHP 8.2)\ncmd: {script}\npart: 1\npositions: line\n\n"
    "events: Time_(10ns) Memory_(bytes)\n\n"
)


def cachegrind(path: Path, memory: int, *, function: str = "f") -> None:
    """One function that takes so much memory, called from main."""
    text = HEAD.format(script=path) + (
        f"fl=(1) /app/a.php\nfn=(1) {function}\n2 100 {memory}\n\n"
        "fl=(1)\nfn=(2) {main}\n1 50 8\ncfl=(1)\ncfn=(1)\ncalls=1 0 0\n3 100 "
        f"{memory}\n\nsummary: 150 {memory + 8}\n\n"
    )
    path.write_text(text)


def rows(dataset: Dataset, table: str) -> list[tuple[object, ...]]:
    sql = "select * exclude source from read_parquet($f, hive_partitioning=true) order by all"
    return duckdb.connect().execute(sql, {"f": dataset.files(table, Choice())}).fetchall()


def test_rows_are_what_the_files_say(tmp_path: Path) -> None:
    directory = tmp_path / "in"
    directory.mkdir()
    for number in (1, 2, 3):
        cachegrind(directory / f"cachegrind.out.{number}", 1000 * number)
    dataset = Dataset(str(tmp_path / "out"), create=True)
    done = bulk(directory, dataset, processes=False, workers=1)
    assert (done.files, done.profiles, done.foreign, done.unread) == (3, 3, 0, 0)
    profiles = rows(dataset, "profiles")
    assert [row[0] for row in profiles] == [f"cachegrind.out.{n}" for n in (1, 2, 3)]
    query = QUERIES["functions"]
    found = ENGINES["duckdb"](query, Choice(), dataset.files("functions", Choice()), None)
    f = next(row for row in found if row["function"] == "f" and row["unit"] == "bytes")
    assert (f["self"], f["most"], f["calls"], f["profiles"]) == (6000, 3000, 3, 3)
    main = next(row for row in found if row["function"] == "{main}" and row["unit"] == "bytes")
    assert f["share"] == pytest.approx(6000 / (6000 + float(str(main["self"]))))
    schema = json.loads(files("harness.fleet").joinpath("fleet.schema.json").read_text())
    jsonschema.validate(json.loads(document(query, query.judge(found), 100)), schema)


def test_only_the_largest_are_kept(tmp_path: Path) -> None:
    cachegrind(tmp_path / "cachegrind.out.1", 5000)
    parsed = parse(Batch(str(tmp_path), ("cachegrind.out.1",), 1))
    (tmp_path / "f.parquet").write_bytes(parsed.tables["functions"])
    names = duckdb.connect().execute(f"select value, function from '{tmp_path}/f.parquet'").fetchall()
    assert len(names) == len(set(names)) == len({value for value, _ in names})


def test_a_file_that_goes_or_lies_costs_nothing_else(tmp_path: Path) -> None:
    cachegrind(tmp_path / "good", 10)
    (tmp_path / "fifo-like").mkdir()
    (tmp_path / "text").write_text("hello")
    hostile = "\x1b[31m</script>'; drop--\u202e"
    cachegrind(tmp_path / "hostile", 2**70, function=hostile)
    parsed = parse(Batch(str(tmp_path), ("good", "gone", "fifo-like", "text", "hostile"), 10))
    assert parsed.profiles >= 1
    assert parsed.foreign == 1
    assert {problem.split(":")[0] for problem in parsed.problems} >= {"gone", "fifo-like"}
    assert not any("\x1b" in problem for problem in parsed.problems)
    (tmp_path / "f.parquet").write_bytes(parsed.tables["functions"])
    names = duckdb.connect().execute(f"select function from '{tmp_path}/f.parquet'").fetchall()
    assert not any("\x1b" in name or "\u202e" in name for (name,) in names)


def test_links_are_not_followed(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "else"
    inside.mkdir()
    outside.mkdir()
    cachegrind(outside / "secret", 10)
    (inside / "link").symlink_to(outside / "secret")
    (inside / "dir").symlink_to(outside)
    done = bulk(inside, Dataset(str(tmp_path / "out"), create=True), processes=False)
    assert done.files == 0


def test_two_directories_of_one_name_are_two_sources(tmp_path: Path) -> None:
    dataset = Dataset(str(tmp_path / "out"), create=True)
    for parent in ("a", "b"):
        (tmp_path / parent / "in").mkdir(parents=True)
        cachegrind(tmp_path / parent / "in" / "cachegrind.out.1", 100)
        bulk(tmp_path / parent / "in", dataset, processes=False)
    assert len(rows(dataset, "profiles")) == 2


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no directory"):
        bulk(tmp_path / "nowhere", Dataset(str(tmp_path / "out"), create=True))
