"""`harness bundle` and the commands that read a bundle like a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from stored_runs import record
from timelines import App, simulate

from harness.cli import invoke
from harness.errors import EXIT_USAGE


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return record(simulate(App(requests=60, blocks=1, rounds=8, warmup=0)), tmp_path / "runs")


def test_pack_list_and_report(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["bundle", str(run)]) == 0
    out, err = capsys.readouterr()
    path = Path(out.strip())
    assert path.suffixes[-2:] == [".harness", ".zip"]
    assert "run.sqlite" in err
    assert invoke(["bundle", "--list", str(path)]) == 0
    assert capsys.readouterr().out == err
    assert invoke(["report", str(path), "--format", "json"]) == 0
    theirs = json.loads(capsys.readouterr().out)
    assert invoke(["report", str(run), "--format", "json"]) == 0
    ours = json.loads(capsys.readouterr().out)
    assert theirs["verdict"] == ours["verdict"]
    assert theirs["endpoints"] == ours["endpoints"]
    assert theirs["ledger"] == ours["ledger"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--list", "{run}"], "cannot be read"),
        (["{run}", "--list", "--with-logs"], "--list only shows"),
        (["{run}/run.sqlite"], "is a file, not a run"),
        (["nothing"], "not a run"),
        (["{run}", "-o", "no/such/place.zip"], "cannot write"),
    ],
)
def test_mistakes(run: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert invoke(["bundle", *(a.format(run=run) for a in arguments)]) == EXIT_USAGE
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err


def test_a_file_that_is_no_bundle(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["report", str(run / "run.sqlite")]) == EXIT_USAGE
    assert "not a bundle" in capsys.readouterr().err
