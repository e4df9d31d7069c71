"""``harness gate`` on stored runs: exit codes, baselines, places, and what CI systems are told."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from junitparser import JUnitXml
from stored_runs import record
from timelines import App, manifest, simulate, six

from harness import cli
from harness.errors import EXIT_EXPECTATION, EXIT_OK, EXIT_USAGE
from harness.scenario.expect import parse_expectation

_SCENARIO = """\
name: test
target: {launch: app, url: "http://127.0.0.1:9/"}
requests: [{name: home, get: /}]
expect:
  - verdict is healthy

  - errors == 0
"""


def _run(directory: Path, app: App, run_id: str, scenario: Path | str = "nowhere.yaml") -> Path:
    raw = simulate(app)
    about = replace(raw.manifest, run_id=run_id, scenario_path=str(scenario))
    expect = manifest(expect=("verdict is healthy", "errors == 0")).scenario
    about = replace(about, scenario={**about.scenario, **expect})
    directory.mkdir(exist_ok=True)
    return record(replace(raw, manifest=about), directory)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _run(tmp_path_factory.mktemp("healthy"), App(), "healthy")


@pytest.fixture(scope="module")
def leaking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("leaking")
    (directory / "test.yaml").write_text(_SCENARIO)
    return _run(directory, App(endpoints=six(cart_add={"leak_bytes": 10_240})), "leaking", directory / "test.yaml")


def gate(run: Path, *options: str) -> int:
    return cli.invoke(["gate", str(run), *options])


def test_all_hold(healthy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gate(healthy, "--expect", "no leak, descriptors", "--expect", "p99 < 1s of endpoint home") == EXIT_OK
    said = capsys.readouterr().out
    assert "gate: passed, all 4 met" in said
    assert "blind spot: growth below" in said


def test_one_does_not(leaking: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gate(leaking, "-q") == EXIT_EXPECTATION
    said = capsys.readouterr().out
    assert "✗ verdict is healthy – leak" in said
    assert "errors == 0" not in said
    assert "gate: failed, 1 of 2 not met" in said


def test_not_to_be_told_is_failed(healthy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gate(healthy, "--expect", "p99 < 1s of endpoint hoem") == EXIT_EXPECTATION
    said = capsys.readouterr().out
    assert "did you mean 'home'?" in said
    assert "1 cannot be told from this run, which counts as failed" in said


def test_a_run_as_baseline_or_its_json(
    healthy: Path, leaking: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = tmp_path / "main.json"
    assert cli.invoke(["report", str(healthy), "--format", "json", "-o", str(base)]) == 0
    lines = ("--expect", "diff(growth_per_round) < 100 KiB", "--expect", "diff(peak_pss) < 90 %", "-q")
    told = []
    for baseline in (healthy, base):
        assert gate(leaking, "--baseline", str(baseline), *lines) == EXIT_EXPECTATION
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]
    assert "✗ diff(growth_per_round) < 100 KiB – +" in told[0]
    assert "diff(peak_pss)" not in told[0], "it is met"


def test_without_a_baseline(healthy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gate(healthy, "--expect", "diff(peak_pss) < 5 %") == EXIT_EXPECTATION
    assert "there is no baseline" in " ".join(capsys.readouterr().out.split())
    assert gate(healthy, "--expect", "diff(peak_pss) < 5 %", "--no-diff") == EXIT_OK
    assert "diff" not in capsys.readouterr().out


def test_a_baseline_for_nothing_is_said_to_be(healthy: Path, leaking: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gate(healthy, "--baseline", str(leaking)) == EXIT_OK
    assert capsys.readouterr().err == "warning: nothing is compared with the baseline: no line says diff(...)\n"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--expect", "no leek"), "--expect: 'leek' is not a cause (did you mean 'leak'?)"),
        (("--baseline", "nowhere"), "--baseline nowhere: there is no such run"),
        (("--baseline", "{empty}"), "is not JSON"),
        (("--baseline", "{list}"), "is not a JSON report"),
        (("--baseline", "{old}"), "make it again with `harness report RUN --format json`"),
        (("--baseline", "{wrong}"), "measures[0]: value is not a number"),
        (("--baseline", "{unit}"), "measures[0]: unknown unit 'feet'"),
        (("--baseline", "{empty}", "--no-diff"), "exclude each other"),
        (("--junit", "{nowhere}/x.xml"), "cannot write"),
        (("--junit", ""), "--junit: that is no file"),
    ],
)
def test_mistakes_are_exit_two(
    healthy: Path, tmp_path: Path, options: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"metric": "p50", "unit": "ns", "value": "5"}
    files: dict[str, object] = {
        "list": [],
        "old": {"format": "harness-report/1", "run": {"id": "x"}},
        "wrong": {"format": "harness-report/1", "run": {}, "conditions": {}, "measures": [row]},
        "unit": {"format": "harness-report/1", "run": {}, "conditions": {}, "measures": [{**row, "unit": "feet"}]},
    }
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    (tmp_path / "empty.json").write_text("")
    names = {name: str(tmp_path / f"{name}.json") for name in (*files, "empty")}
    names["nowhere"] = str(tmp_path / "nowhere")
    assert gate(healthy, *(option.format_map(names) for option in options)) == EXIT_USAGE
    assert says in capsys.readouterr().err


def test_nothing_expected_is_no_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = record(simulate(App(rounds=1)), tmp_path)
    assert gate(run) == EXIT_USAGE
    assert "nothing is expected of it" in capsys.readouterr().err


def test_junit(leaking: Path, tmp_path: Path) -> None:
    assert gate(leaking, "--junit", str(tmp_path / "out.xml")) == EXIT_EXPECTATION
    (suite,) = JUnitXml.fromfile(str(tmp_path / "out.xml"))
    assert (suite.tests, suite.failures, suite.errors) == (3, 1, 0)


def test_on_github(
    leaking: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert gate(leaking, "--ci") == EXIT_EXPECTATION
    said = capsys.readouterr()
    assert said.out == "", "one stream, so that the fence holds"
    first, *lines = said.err.splitlines()
    token = re.fullmatch(r"::stop-commands::([0-9a-f]{32})", first)
    assert token
    end = lines.index(f"::{token[1]}::")
    assert not [line for line in lines[:end] if line.lstrip().startswith("::")]
    path = leaking.parent / "test.yaml"
    assert lines[end + 1].startswith(f"::error title=not met%3A verdict is healthy,file={path},line=5::leak")
    assert len(lines) == end + 2
    assert summary.read_text().startswith("before\n### 1 of 2 expectations not met")


def test_elsewhere_ci_prints_no_commands(
    leaking: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    assert gate(leaking, "--ci") == EXIT_EXPECTATION
    assert "::" not in capsys.readouterr().out
    assert not (tmp_path / "summary.md").exists()


def test_a_summary_that_cannot_be_written_is_a_warning(
    healthy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", os.fspath(tmp_path / "nowhere" / "summary.md"))
    assert gate(healthy, "--ci") == EXIT_OK
    assert "warning: cannot append the job summary" in capsys.readouterr().err


def test_formats_of_a_report(leaking: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke(["report", str(leaking), "--format", "github"]) == 0
    assert capsys.readouterr().out.startswith("### 1 of 2 expectations not met")
    assert cli.invoke(["report", str(leaking), "--format", "junit"]) == 0
    assert JUnitXml.fromstring(capsys.readouterr().out.encode())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--expect", "pek_pss < 5 MiB"), "'pek_pss' is not a metric (did you mean 'peak_pss'?)"),
        (("--expect", "p99 < 1s of endpoint hoem"), "no request is called 'hoem' (did you mean 'home'?)"),
        (("--baseline", "nowhere"), "for the first run, which has nothing to be compared with, give --no-diff instead"),
        (("--baseline", "test.yaml"), "test.yaml"),
    ],
)
def test_a_run_does_not_start_with_such_mistakes(
    tmp_path: Path,
    options: tuple[str, ...],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test.yaml").write_text(_SCENARIO.replace("launch: app", "launch: touch started"))
    assert cli.invoke(["run", "test.yaml", *options]) == EXIT_USAGE
    assert says in capsys.readouterr().err
    assert not (tmp_path / "started").exists()
    assert not (tmp_path / "runs").exists()


def test_a_mistake_in_a_scenario_has_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "test.yaml"
    path.write_text(_SCENARIO + "  - diff(peek_pss) < 5 %\n  - p99 < 1s of endpoint hoem\n")
    assert cli.invoke(["validate", str(path)]) == EXIT_USAGE
    said = capsys.readouterr().err
    assert f"{path}:8: " in said
    assert "did you mean 'peak_pss'?" in said
    assert f"{path}:9: no request is called 'hoem' (did you mean 'home'?)" in said


def test_every_line_in_the_documentation_is_an_expectation() -> None:
    text = (Path(__file__).parents[3] / "docs" / "gate.md").read_text(encoding="utf-8")
    shown = re.findall(r"--expect '([^']+)'", text)
    shown += [
        line for block in re.findall(r"^expect:\n((?:  - .*\n)+)", text, re.MULTILINE) for line in block.splitlines()
    ]
    shown += re.findall(r"run\.expect\(\"([^\"]+)\", \"([^\"]+)\"\)", text)[0]
    assert len(shown) >= 6
    assert all(parse_expectation(line.removeprefix("  - ")) for line in shown)


def test_the_json_report_keeps_to_its_schema(leaking: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke(["report", str(leaking), "--format", "json", "-o", str(tmp_path / "r.json")]) == 0
    document = json.loads((tmp_path / "r.json").read_bytes())
    capsys.readouterr()
    assert cli.invoke(["schema", "report"]) == 0
    jsonschema.validate(document, json.loads(capsys.readouterr().out))
    assert document["measures"]
    assert document["conditions"]
    assert document["unjudged"]
