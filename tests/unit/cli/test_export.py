"""``harness export`` on a stored run, and ``harness profile convert``."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sqlite3
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from stored_runs import record
from timelines import App, simulate

from harness.cli import invoke
from harness.cli.exporting import plain
from harness.plugins.registry import load_profile_exports, load_run_exports

CAPTURES = Path(__file__).parents[2] / "fixtures" / "captures"
SMALL = CAPTURES / "xdebug" / "small.cachegrind.gz"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    raw = simulate(App())
    return record(
        replace(raw, manifest=replace(raw.manifest, run_id="../..\x1b/evil id")), tmp_path_factory.mktemp("runs")
    )


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_list_says_what_opens_what(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["export", "--list"]) == 0
    out = capsys.readouterr().out
    for each in (*load_run_exports(), *load_profile_exports()):
        assert f"  {each.name} " in out
        assert each.opens_with in out
    assert invoke(["profile", "convert", "--list"]) == 0
    assert "speedscope" in capsys.readouterr().out


@pytest.mark.parametrize("name", [each.name for each in load_run_exports()])
def test_the_default_name_is_made_of_the_runs_and_stays_here(name: str, stored: Path, here: Path) -> None:
    assert invoke(["export", str(stored), "--format", name]) == 0
    [written] = here.iterdir()
    assert written.name.startswith("evil-id")
    assert not list(here.rglob("*.part"))
    files = [path for path in here.rglob("*") if path.is_file()]
    assert all(path.stat().st_size for path in files)
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)  # a run is its owner's


def test_a_name_with_gz_is_packed(stored: Path, here: Path) -> None:
    assert invoke(["export", str(stored), "--format", "chrome-trace", "-o", "a.json"]) == 0
    assert invoke(["export", str(stored), "--format", "chrome-trace", "-o", "a.json.gz"]) == 0
    data = (here / "a.json.gz").read_bytes()
    assert gzip.decompress(data) == (here / "a.json").read_bytes()
    assert data[3:8] == bytes(5)  # no name, no time: the same bytes each time


def test_several_files_are_a_directory_or_a_zip_file(stored: Path, here: Path) -> None:
    for target in ("tables", "tables.zip", "again.zip"):
        assert invoke(["export", str(stored), "--format", "csv", "-o", target]) == 0
    with zipfile.ZipFile("tables.zip") as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert {name: archive.read(name) for name in names} == {
            p.name: p.read_bytes() for p in (here / "tables").iterdir()
        }
    assert "samples.csv" in names
    assert (here / "tables.zip").read_bytes() == (here / "again.zip").read_bytes()


def test_a_dash_is_standard_output(stored: Path, here: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert invoke(["export", str(stored), "--format", "chrome-trace", "-o", "-"]) == 0
    assert json.loads(capfdbinary.readouterr().out)["traceEvents"]
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "which run?"),
        (["RUN"], "one of --format, --profiles and --parquet"),
        (["RUN", "--format", "csv", "--profiles", "pprof"], "one of --format, --profiles and --parquet"),
        (["RUN", "--format", "chrome-trac"], "did you mean chrome-trace?"),
        (["RUN", "--profiles", "csv"], "no format of profiles 'csv'"),
        (["RUN", "--format", "csv", "-o", "-"], "several files"),
        (["RUN", "--profiles", "pprof", "-o", "-"], "several files"),
        (["RUN", "--format", "chrome-trace", "-o", "/"], "that is no file"),
        (["RUN", "--format", "chrome-trace", "-o", "nowhere/a.json"], "cannot write nowhere/a.json"),
        (["RUN", "--format", "csv", "-o", "file"], "cannot make file"),
        (["nowhere", "--format", "csv"], "nowhere"),
        (["RUN", "--profiles", "pprof"], "no profile that could be written"),
    ],
)
def test_mistakes_are_one_clear_error(
    arguments: list[str], error: str, stored: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "file").write_text("")
    assert invoke(["export", *(str(stored) if each == "RUN" else each for each in arguments)]) in (2, 3)
    captured = capsys.readouterr()
    assert error in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""
    assert sorted(path.name for path in here.iterdir()) == ["file"]


def test_profiles_of_a_run_go_into_one_directory(stored: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names of endpoints are the target's; one that the format cannot show is said, the others are written."""
    run = here / "run"
    shutil.copytree(stored, run)
    (run / "artifacts").mkdir(exist_ok=True)
    shutil.copy(SMALL, run / "artifacts" / "a.cachegrind.gz")
    shutil.copy(CAPTURES / "xdebug" / "collector.gcstats", run / "artifacts" / "b.gcstats")
    with sqlite3.connect(run / "run.sqlite") as database:
        _artifact(database, "xdebug", "artifacts/a.cachegrind.gz", "GET ../../\x1b[2J/evil")
        _artifact(database, "xdebug_gcstats", "artifacts/b.gcstats", "home")
    database.close()
    assert invoke(["export", str(run), "--profiles", "collapsed", "-o", "out"]) == 0
    names = sorted(path.name for path in (here / "out").iterdir())
    assert len(names) == 2
    assert all(name.startswith("002-xdebug-GET") for name in names)
    assert [name.split(".")[-3] for name in names] == ["self_memory_growth", "time"]
    err = capsys.readouterr().err
    assert "left out: profile 3 (xdebug_gcstats, home)" in err
    assert "wrote 2 files into out" in err
    assert "\x1b" not in err


def _artifact(database: sqlite3.Connection, tool: str, path: str, endpoint: str) -> None:
    database.execute(
        "insert into artifact (tool, adapter, path, status, endpoint, t_ns, detail, attributes)"
        " values (?, 'php', ?, 'complete', ?, 1, '', '{}')",
        (tool, path, endpoint),
    )


# --- convert ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [each.name for each in load_profile_exports()])
def test_a_profile_is_converted(name: str, here: Path) -> None:
    assert invoke(["profile", "convert", str(SMALL), "--to", name]) == 0
    names = sorted(path.name for path in here.iterdir())
    expected = {
        "callgrind": ["small.cachegrind.callgrind"],
        "chrome-trace": ["small.cachegrind.trace.json"],
        "collapsed": ["small.cachegrind.self_memory_growth.folded.txt", "small.cachegrind.time.folded.txt"],
        "pprof": ["small.cachegrind.pb.gz"],
        "speedscope": ["small.cachegrind.speedscope.json"],
    }
    assert names == expected[name]


def test_what_was_converted_can_be_read_again(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["profile", "convert", str(SMALL), "--to", "callgrind", "-o", "c"]) == 0
    assert invoke(["profile", "show", "c", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [kind["name"] for kind in document["value_types"]] == ["time", "self_memory_growth"]


def test_one_value_goes_to_standard_output(here: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert invoke(["profile", "convert", str(SMALL), "--to", "collapsed", "--value", "memory_growth", "-o", "-"]) == 0
    lines = capfdbinary.readouterr().out.decode().splitlines()
    assert sum(int(line.rpartition(" ")[2]) for line in lines) == 910_912


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([str(SMALL)], "a FILE and --to are needed"),
        (["--to", "pprof"], "a FILE and --to are needed"),
        ([str(SMALL), "--to", "pprov"], "did you mean pprof?"),
        ([str(SMALL), "--to", "pprof", "--value", "nope"], "it has time, self_memory_growth"),
        ([str(SMALL), "--to", "collapsed", "-o", "x"], "choose one with --value: time, self_memory_growth"),
        ([str(CAPTURES / "memprof" / "app.heap"), "--to", "chrome-trace"], "no times"),
        (["nowhere", "--to", "pprof"], "cannot read nowhere"),
        (["unknown", "--to", "pprof"], "in no known format"),
    ],
)
def test_what_cannot_be_converted_is_one_error(
    arguments: list[str], error: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "unknown").write_bytes(os.urandom(64).replace(b"events", b""))
    assert invoke(["profile", "convert", *arguments]) == 2
    captured = capsys.readouterr()
    assert error in captured.err
    assert captured.err.startswith("error: ")
    assert captured.out == ""


def test_parts_of_names() -> None:
    assert plain("GET /cart?id=1", "x") == "GET-cart-id-1"
    assert plain("../../etc", "x") == "etc"
    assert plain("\x1b\u202e", "x") == "x"
    assert len(plain("a" * 10_000, "x")) == 100
