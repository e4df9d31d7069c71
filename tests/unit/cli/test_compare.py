"""``harness compare`` on stored runs: sides, sets, formats, exit codes, refusals."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from stored_runs import record
from timelines import App, simulate, six

from harness import cli
from harness.errors import EXIT_EXPECTATION, EXIT_OK, EXIT_USAGE

_REQUESTS = 300


def stored(directory: Path, seed: int, *, leak: int = 0, cpus: int = 2, level: int = 40_000_000) -> Path:
    app = App(seed=seed, endpoints=six(cart_add={"leak_bytes": leak}), requests=_REQUESTS, blocks=5, level_bytes=level)
    raw = simulate(app)
    host = {**raw.manifest.host, "cpus": cpus}
    about = replace(raw.manifest, run_id=f"run-{seed}", host=host)
    directory.mkdir(parents=True, exist_ok=True)
    return record(replace(raw, manifest=about), directory)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``healthy/`` and ``leaking/`` hold three runs each; ``elsewhere/`` one of another host."""
    root = tmp_path_factory.mktemp("runs")
    for seed in range(3):
        stored(root / "healthy", seed)
        stored(root / "leaking", 10 + seed, leak=10_000)
    stored(root / "elsewhere", 20, cpus=8)
    for i in range(6):
        stored(root / "drifting", 30 + i, level=int(40_000_000 * 1.05**i))
    return root


def compare(*arguments: str | Path) -> int:
    return cli.invoke(["compare", *map(str, arguments)])


def one(runs: Path, name: str, index: int = 0) -> Path:
    return sorted((runs / name).iterdir())[index]


def test_a_new_leak_fails(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(one(runs, "healthy"), one(runs, "leaking")) == EXIT_EXPECTATION
    said = capsys.readouterr().out
    assert said.startswith("✗ fail")
    assert "cart_add" in said


def test_a_repair_passes(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(one(runs, "leaking"), one(runs, "healthy"), "--allow-unknown") == EXIT_OK
    assert "went: critical" in capsys.readouterr().out


def test_directories_of_runs_are_sets(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(runs / "healthy", runs / "leaking", "--format", "json") == EXIT_EXPECTATION
    document = json.loads(capsys.readouterr().out)
    assert (len(document["base"]), len(document["head"])) == (3, 3)
    assert {row["method"] for row in document["rows"]} - {None} == {"between runs"}


def test_further_runs_by_name(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--base-also", one(runs, "healthy", 1), "--head-also", one(runs, "leaking", 1)]
    compare(one(runs, "healthy"), one(runs, "leaking"), *more, "--format", "json")
    document = json.loads(capsys.readouterr().out)
    assert [run["id"] for run in document["base"]] == ["run-0", "run-1"]
    assert [run["id"] for run in document["head"]] == ["run-10", "run-11"]


def test_cannot_tell_fails_unless_allowed(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    strict = ("--threshold", "floor_own=1KiB")
    pair = (one(runs, "healthy"), one(runs, "healthy", 1))
    assert compare(*pair, *strict) == EXIT_EXPECTATION
    assert capsys.readouterr().out.startswith("? cannot tell")
    assert compare(*pair, *strict, "--allow-unknown") == EXIT_OK


def test_another_host_is_refused(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = (one(runs, "healthy"), one(runs, "elsewhere"))
    assert compare(*pair) == EXIT_USAGE
    said = capsys.readouterr().err
    assert "host: cpus: 2 in base, 8 in head" in said
    assert "--anyway" in said
    assert compare(*pair, "--anyway", "--allow-unknown") == EXIT_OK
    assert "because you insisted" in capsys.readouterr().out


@pytest.mark.parametrize(("format_name", "begins"), [("md", "## ✗ fail"), ("html", "<!doctype html>"), ("json", "{")])
def test_files(runs: Path, tmp_path: Path, format_name: str, begins: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "compared"
    code = compare(one(runs, "healthy"), one(runs, "leaking"), "--format", format_name, "-o", out)
    assert code == EXIT_EXPECTATION
    assert out.read_text(encoding="utf-8").startswith(begins)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == f"wrote {out}: fail\n"


def test_drift(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare("--drift", runs / "drifting", "--format", "json") == EXIT_EXPECTATION
    document = json.loads(capsys.readouterr().out)
    assert [run["id"] for run in document["runs"]] == [f"run-{30 + i}" for i in range(6)]
    floor = next(row for row in document["rows"] if row["metric"] == "floor_own")
    assert floor["answer"] == "worse"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["healthy"], "two sides, got 1"),
        (["healthy", "leaking", "elsewhere"], "--drift"),
        (["healthy", "healthy"], "on both sides"),
        (["nowhere", "healthy"], "nowhere"),
        (["healthy", "leaking", "--threshold", "peak=5%"], "peak_pss"),
        (["--drift", "healthy"], "at least 5 runs in order, got 3"),
        (["--drift", "healthy", "--base-also", "leaking"], "no sides"),
        (["healthy", "leaking", "--head-also", "leaking"], "named twice"),
    ],
)
def test_mistakes(runs: Path, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    named = [text if text.startswith("--") or "=" in text else str(runs / text) for text in arguments]
    assert compare(*named) == EXIT_USAGE
    assert told in capsys.readouterr().err


def test_a_copy_of_a_run_is_the_same_run(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    original, copy = one(runs, "healthy"), tmp_path / "copy"
    shutil.copytree(original, copy)
    assert compare(original, copy) == EXIT_USAGE
    assert f"{copy}: is the same run as {original}" in capsys.readouterr().err
    assert compare("--drift", runs / "drifting", original, copy) == EXIT_USAGE
    assert "is the same run as" in capsys.readouterr().err


def test_a_report_is_a_side_as_its_run_is(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, head, report = one(runs, "healthy"), one(runs, "leaking"), tmp_path / "main.json"
    assert cli.invoke(["report", str(base), "--format", "json", "-o", str(report)]) == EXIT_OK
    capsys.readouterr()
    told = []
    for side in (base, report):
        assert compare(side, head, "--format", "json") == EXIT_EXPECTATION
        document = json.loads(capsys.readouterr().out)
        told.append({key: document[key] for key in ("outcome", "summary", "rows", "findings")})
    assert told[0] == told[1]
    assert compare(base, report) == EXIT_USAGE
    assert "is the same run as" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is not JSON"),
        ("[]", "is not a JSON report"),
        ('{"format": "harness-report/1"}', "does not hold what is compared"),
        ('{"format": "harness-report/1", "measures": [], "conditions": {}, "run": {}, "verdict": {}}', "windows"),
        (
            '{"format": "harness-report/1", "measures": [], "conditions": {}, "run": {"started": "x"}, "verdict": {},'
            '"windows": [], "findings": [], "pools": []}',
            "isoformat",
        ),
    ],
)
def test_what_is_no_report(
    runs: Path, tmp_path: Path, text: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "main.json").write_text(text)
    assert compare(tmp_path / "main.json", one(runs, "healthy")) == EXIT_USAGE
    assert told in capsys.readouterr().err
