"""``harness load export``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import cli
from harness.load.plan import LoadPlan
from harness.load.swarm.wire import digest
from harness.scenario.reader import read_scenario
from harness.session.compiling import load_plan

SCENARIO = """
name: shop
target: {launch: serve, ready: "http://127.0.0.1:8000/"}
requests: [{name: home, get: "/?key=${KEY}"}]
"""


def export(directory: Path, load: str, *more: str) -> int:
    (directory / "shop.yaml").write_text(f"{SCENARIO}{load}\n")
    return cli.invoke(["load", "export", str(directory / "shop.yaml"), "-o", str(directory / "out"), *more])


def test_what_was_written_and_what_to_do_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KEY", raising=False)  # its value is only needed where the requests are sent
    load = "load: {engine: locust, remote_workers: 2, listen: '10.0.0.5:5557'}"
    assert export(tmp_path, load, "--url", "http://staging:8000") == 0
    out = capsys.readouterr().out
    assert "locustfile.py --worker --master-host 10.0.0.5 --master-port 5557" in out
    assert (tmp_path / "out" / "harness" / "load" / "swarm" / "crew.py").is_file()
    assert '"http://staging:8000"' in (tmp_path / "out" / "plan.json").read_text()


def test_what_was_written_is_what_the_run_sends(tmp_path: Path) -> None:
    """By the sign that a worker shows at the door; a weight is written as a whole number, and read as one that need not be."""
    load = "load: {engine: locust, remote_workers: 2, listen: '10.0.0.5:5557', concurrency: 7}"
    assert export(tmp_path, load) == 0
    code = "from pathlib import Path; from harness.load.swarm.crew import read_plan; print(read_plan(Path())[1])"
    worker = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": "", "KEY": "theirs"}, cwd=tmp_path / "out", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert worker.returncode == 0, worker.stderr
    plan = load_plan(read_scenario(tmp_path / "shop.yaml"), "http://elsewhere:8000", {"KEY": "ours"})
    received = LoadPlan.from_json(json.loads(json.dumps(plan.to_json())))
    assert worker.stdout.split()[-1] == digest(received.to_json())


def test_of_an_own_locustfile_only_the_hooks_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(tmp_path, "load: {locustfile: mine.py, for: 5m}") == 0
    assert "harness_hooks.py,mine.py --worker" in capsys.readouterr().out
    assert not (tmp_path / "out" / "plan.json").exists()


@pytest.mark.parametrize(
    ("load", "more", "said"),
    [
        ("load: {command: wrk x}", (), "not sent by Locust"),
        ("load: {engine: locust}", ("--url", "ftp://x"), "base_url: must look like"),
        ("load: {rounds: 2}", (), "2 rounds are too few"),
    ],
)
def test_what_cannot_be(
    load: str, more: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(tmp_path, load, *more) == 2
    assert said in capsys.readouterr().err


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    assert export(tmp_path, "load: {engine: locust}") == 2
    assert "is not empty" in capsys.readouterr().err
