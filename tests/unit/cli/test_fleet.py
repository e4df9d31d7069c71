"""`harness export --parquet` and `harness fleet` as somebody types them."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import cast

import pytest
from stored_runs import record
from timelines import App, simulate, six

from harness.cli import invoke
from harness.fleet.queries import QUERIES
from harness.store.reader import read_manifest


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Six recorded runs, the last three with another version; night after night."""
    found = []
    for night in range(6):
        raw = simulate(App(endpoints=six(), seed=night))
        manifest = dataclasses.replace(
            raw.manifest,
            run_id=f"2026112{night}-shop",
            started_wall_ns=1_795_000_000_000_000_000 + night * 86_400_000_000_000,
            scenario={**raw.manifest.scenario, "version": "1.0" if night < 3 else "1.1"},
            host={**raw.manifest.host, "node": "web-1"},
        )
        found.append(record(dataclasses.replace(raw, manifest=manifest), tmp_path_factory.mktemp(f"night{night}")))
    return found


@pytest.fixture(scope="module")
def dataset(runs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    place = str(tmp_path_factory.mktemp("fleet") / "new")
    assert invoke(["export", *map(str, runs), "--parquet", place]) == 0
    return place


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert invoke(["fleet", *arguments, "--json"]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def contents(place: str) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path(place).rglob("*") if path.is_file()}


def test_recorded_runs_are_asked(dataset: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows = answer(capsys, dataset, "verdicts")["rows"]
    assert isinstance(rows, list)
    assert sorted((row["version"], row["runs"]) for row in rows) == [("1.0", 3), ("1.1", 3)]
    drift = answer(capsys, dataset, "drift")["rows"]
    assert isinstance(drift, list)
    assert {row["runs"] for row in drift} == {6}
    assert not [row for row in drift if row["answer"] == "worse"]


def test_again_changes_nothing_and_says_so(dataset: str, runs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(dataset)
    assert invoke(["export", str(runs[0]), "--parquet", dataset, "--version", "9"]) == 0
    told = capsys.readouterr().err
    assert "is there already as version 1.0" in told
    assert "added 0 of 1 run" in told
    assert contents(dataset) == before


def test_a_bundle_is_a_run(runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle, place = tmp_path / "shop.harness", str(tmp_path / "fleet")
    assert invoke(["bundle", str(runs[0]), "-o", str(bundle)]) == 0
    assert invoke(["export", str(bundle), "--parquet", place, "--version", "3"]) == 0
    capsys.readouterr()
    rows = answer(capsys, place, "verdicts", "--version", "3")["rows"]
    assert isinstance(rows, list)
    assert len(rows) == 1


def test_the_version_comes_along_in_a_bundle(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, place = tmp_path / "b.harness.zip", str(tmp_path / "fleet")
    assert invoke(["bundle", str(runs[5]), "-o", str(bundle)]) == 0
    assert invoke(["export", str(bundle), "--parquet", place]) == 0
    capsys.readouterr()
    (row,) = cast(list[dict[str, object]], answer(capsys, place, "verdicts")["rows"])
    assert row["version"] == "1.1"


def test_a_directory_of_runs_stands_for_those_in_it(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each once: a link to one of them is not one more. What is no run, and what lies further down, is left alone."""
    held, place = tmp_path / "runs", str(tmp_path / "fleet")
    (held / "further" / "down").mkdir(parents=True)
    (held / "notes.txt").touch()
    for run in runs[:2]:
        shutil.copytree(run, held / read_manifest(run).run_id)
    shutil.copytree(runs[2], held / "further" / "down" / "run")
    assert invoke(["bundle", str(runs[3]), "-o", str(held / "third.harness.zip")]) == 0
    (held / "latest").symlink_to(read_manifest(runs[1]).run_id)
    assert invoke(["export", str(held), str(held / "latest"), "--parquet", place]) == 0
    assert "added 3 of 3 runs" in capsys.readouterr().err
    assert invoke(["export", str(held), "--parquet", place]) == 0
    assert "added 0 of 3 runs" in capsys.readouterr().err
    assert invoke(["export", str(held / "further"), "--parquet", place]) == 2
    assert "not a run" in capsys.readouterr().err


def test_what_cannot_be_read_is_left_out(runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "nothing").mkdir()
    place = str(tmp_path / "fleet")
    assert invoke(["export", str(tmp_path / "nothing"), str(runs[0]), "--parquet", place]) == 2
    told = capsys.readouterr().err
    assert "left out" in told
    assert "added 1 of 2 runs" in told
    assert answer(capsys, place, "verdicts")["rows"]


def test_a_directory_of_other_things_does_not_become_a_dataset(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Such as that of the runs."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "something").touch()
    before = contents(str(tmp_path))
    assert invoke(["export", str(runs[0]), "--parquet", str(tmp_path / "runs")]) == 2
    assert f"name a new directory, such as {tmp_path}/runs/fleet" in capsys.readouterr().err
    assert contents(str(tmp_path)) == before


def test_why_there_is_nothing(dataset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["export", str(tmp_path / "nothing"), "--parquet", str(tmp_path / "empty")]) == 2
    assert "not a run (no run.sqlite in it); name a directory" in capsys.readouterr().err
    for arguments, why in (
        ([str(tmp_path / "empty"), "drift"], "the dataset has no runs yet"),
        ([dataset, "functions"], "the dataset has no profiles"),
        ([dataset, "drift", "--scenario", "other"], "chosen are 0 of its 6 runs"),
    ):
        assert invoke(["fleet", *arguments]) == 0
        told = capsys.readouterr()
        assert told.out.startswith("no rows\n")
        assert why in told.err


@pytest.mark.parametrize("name", list(QUERIES))
def test_every_query_has_text_and_sql(name: str, dataset: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["fleet", dataset, name]) == 0
    assert capsys.readouterr().out
    assert invoke(["fleet", dataset, name, "--sql"]) == 0
    assert capsys.readouterr().out.startswith("WITH mapped AS (")


def test_the_list_names_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["fleet", "--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(QUERIES)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "a DATASET and a QUERY are needed"),
        (["DATASET"], "a DATASET and a QUERY are needed"),
        (["DATASET", "drifts"], "did you mean 'drift'"),
        (["drift", "DATASET"], "the dataset comes first: harness fleet /"),
        (["DATASET", "drift", "--engine", "spark"], "there are: duckdb, dask"),
        (["DATASET", "drift", "--scheduler", "tcp://127.0.0.1:1"], "has no scheduler"),
        (["DATASET", "functions", "--host", "h"], "cannot choose by host"),
        (["DATASET", "drift", "--since", "yesterday"], "--since"),
        (["/nowhere", "drift"], "there is no dataset of runs"),
    ],
)
def test_mistakes_are_one_clear_error(
    arguments: list[str], error: str, dataset: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["fleet", *(dataset if each == "DATASET" else each for each in arguments)]) == 2
    captured = capsys.readouterr()
    assert error in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["RUN", "--parquet", "X", "--format", "csv"], "one of --format, --profiles and --parquet"),
        (["RUN", "--format", "csv", "--samples"], "go with --parquet"),
        (["RUN", "RUN", "--format", "csv"], "one run at a time"),
        (["RUN", "--parquet", "/proc/fleet"], "cannot write"),
    ],
)
def test_mistakes_of_adding(
    arguments: list[str], error: str, runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = {"RUN": str(runs[0]), "X": str(tmp_path / "x")}
    assert invoke(["export", *(said.get(each, each) for each in arguments)]) == 2
    assert error in capsys.readouterr().err
