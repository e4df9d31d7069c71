"""Many runs through real components: the command line, a Dask scheduler with two workers, profiles in bulk, a benchmark."""

from __future__ import annotations

import dataclasses
import gzip
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from dask_cluster import cluster, lethal, tasks_of_workers
from fleets import LEAKING, LEAKS_SINCE, fleet
from stored_runs import record
from timelines import App, simulate, six

from harness.cli import invoke
from harness.fleet.cluster import carried_out
from harness.fleet.dataset import Dataset
from harness.fleet.queries import QUERIES
from harness.fleet.tables import fleet_run

pytestmark = pytest.mark.integration

CHECKOUT = Path(__file__).parents[2]
CAPTURE = CHECKOUT / "tests/fixtures/captures/callgrind/cachegrind.gz"
FILES = 230  # five batches, the last one not full


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with cluster(2, tmp_path_factory.mktemp("cluster")) as address:
        yield address


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    made = Dataset(str(tmp_path_factory.mktemp("fleet")), create=True)
    for report in fleet(4, 20):
        made.add(fleet_run(report))
    return made.storage.place


@pytest.fixture(scope="module")
def profiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("profiles")
    for number in range(FILES):
        below = directory / f"night-{number % 3}"
        below.mkdir(exist_ok=True)
        (below / f"cachegrind.out.{number}.gz").write_bytes(CAPTURE.read_bytes())
    (directory / "empty").write_bytes(b"")
    (directory / "notes.txt").write_text("nothing of the kind")
    (directory / "damaged.xt.gz").write_bytes(
        gzip.compress(b"Version: 3.4.0\nFile format: 4\nTRACE START [x]\n1\tx")[:-9]
    )
    (directory / "link").symlink_to(CAPTURE)
    return directory


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert invoke(["fleet", *arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("query", [name for name, query in QUERIES.items() if query.table != "functions"])
def test_a_cluster_answers_as_one_process_does(
    query: str, dataset: str, scheduler: str, capsys: pytest.CaptureFixture[str]
) -> None:
    here = asked(capsys, dataset, query, "--json")
    assert asked(capsys, dataset, query, "--json", "--engine", "dask", "--scheduler", scheduler) == here
    assert json.loads(here)["rows"]


def test_both_workers_worked(dataset: str, scheduler: str, capsys: pytest.CaptureFixture[str]) -> None:
    asked(capsys, dataset, "drift", "--engine", "dask", "--scheduler", scheduler)
    counts = tasks_of_workers(scheduler)
    assert len(counts) == 2
    assert all(counts.values()), counts


def test_the_version_that_began_it(dataset: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(asked(capsys, dataset, "versions", "--json", "--scenario", LEAKING))["rows"]
    assert [(row["since"], row["hosts"]) for row in rows] == [(LEAKS_SINCE, 4)]


@pytest.mark.parametrize("way", ["processes", "threads", "scheduler"])
def test_profiles_in_bulk(
    way: str, profiles: Path, tmp_path: Path, scheduler: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"processes": ["--workers", "2"], "threads": ["--threads"], "scheduler": ["--scheduler", scheduler]}[way]
    place = str(tmp_path / "dataset")
    assert invoke(["profile", "bulk", str(profiles), "-o", place, "--top", "20", *options]) == 0
    told = capsys.readouterr().err
    assert f"read {FILES} of {FILES + 3} files" in told or f"read {FILES + 1} of {FILES + 3} files" in told
    rows = json.loads(asked(capsys, place, "functions", "--json", "--limit", "100000"))["rows"]
    assert rows
    assert {row["profiles"] for row in rows} == {FILES}
    before = contents(place)
    assert invoke(["profile", "bulk", str(profiles), "-o", place, "--top", "20", *options]) == 0
    assert contents(place) == before


def test_files_that_went_are_gone(profiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place, directory = str(tmp_path / "dataset"), tmp_path / "some"
    directory.mkdir()
    for number in range(60):
        (directory / f"{number}.gz").write_bytes(CAPTURE.read_bytes())
    assert invoke(["profile", "bulk", str(directory), "-o", place, "--threads"]) == 0
    for number in range(10, 60):
        (directory / f"{number}.gz").unlink()
    assert invoke(["profile", "bulk", str(directory), "-o", place, "--threads"]) == 0
    capsys.readouterr()
    rows = json.loads(asked(capsys, place, "functions", "--json"))["rows"]
    assert {row["profiles"] for row in rows} == {10}


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of a server that speaks S3."""
    argv = [sys.executable, "-u", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    server = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    assert server.stderr is not None
    address = next(found[0] for line in server.stderr if (found := re.search(r"http://127\.0\.0\.1:[0-9]+", line)))
    for name, value in (("ENDPOINT_URL", address), ("ACCESS_KEY_ID", "a"), ("SECRET_ACCESS_KEY", "b"),
                        ("DEFAULT_REGION", "us-east-1")):  # fmt: skip
        monkeypatch.setenv(f"AWS_{name}", value)
    said = threading.Thread(target=server.stderr.read, daemon=True)  # or the pipe fills
    said.start()
    try:
        subprocess.run([sys.executable, "-c", "import s3fs; s3fs.S3FileSystem().mkdir('nights')"], check=True)
        yield "s3://nights/fleet"
    finally:
        server.terminate()
        server.wait(30)
        said.join()
        server.stderr.close()


def harness(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "harness", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)


def test_a_dataset_in_s3(bucket: str, tmp_path: Path, profiles: Path) -> None:
    raw = simulate(App(endpoints=six()))
    manifests = [dataclasses.replace(raw.manifest, run_id=f"night-{n}") for n in (1, 2)]
    runs = [str(record(dataclasses.replace(raw, manifest=m), tmp_path / m.run_id)) for m in manifests]
    added = harness("export", *runs, "--parquet", bucket, "--version", "a/b")
    assert added.returncode == 0, added.stderr
    again = harness("export", *runs, "--parquet", bucket)
    assert "added 0 of 2 runs" in again.stderr
    for engine in ("duckdb", "dask"):
        asked = harness("fleet", bucket, "verdicts", "--json", "--engine", engine, "--version", "a/b")
        assert asked.returncode == 0, asked.stderr
        assert sum(row["runs"] for row in json.loads(asked.stdout)["rows"]) == 2
    bulk = harness("profile", "bulk", str(profiles), "-o", bucket, "--threads", "--top", "5")
    assert bulk.returncode == 0, bulk.stderr
    rows = json.loads(harness("fleet", bucket, "functions", "--json").stdout)["rows"]
    assert {row["profiles"] for row in rows} == {FILES}
    nowhere = harness("fleet", "s3://nowhere/fleet", "verdicts")
    assert nowhere.returncode == 2
    assert "there is no dataset" in nowhere.stderr


def contents(place: str) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(Path(place).rglob("*")) if path.is_file()}


def test_a_process_that_dies_costs_its_own_task_only(scheduler: str) -> None:
    for found in (
        list(carried_out(lethal, [0, 1, 2, 3], processes=True, workers=2)),
        list(carried_out(lethal, [0, 1, 2, 3], scheduler)),
    ):
        assert [each for each in found if not isinstance(each, str)] == [0, 2, 3]
        assert isinstance(found[1], str)


def test_a_scheduler_that_is_not_there(dataset: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["fleet", dataset, "drift", "--engine", "dask", "--scheduler", "tcp://127.0.0.1:9"]) == 2
    assert "does not answer" in capsys.readouterr().err


def test_a_thousand_runs() -> None:
    """The answers, not the times: `bench/fleet.py` says those."""
    argv = [sys.executable, CHECKOUT / "bench" / "fleet.py", "--runs", "1000"]
    done = subprocess.run(argv, cwd="/", capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    rows = {
        cells[1].strip(" `"): cells[-2].strip()
        for line in done.stdout.splitlines()
        if len(cells := line.split("|")) > 3
    }
    assert "1000 runs were written" in done.stdout
    assert rows["drift"].startswith("worse, login, kept per request")
    assert rows["versions"] == "worse, login, kept per request, 1.5"
    assert rows["endpoints"].startswith("login, basket, 1.")
