"""The GitHub action: its file by GitHub's schema, its scripts by running them as a runner does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from junitparser import JUnitXml
from processes import free_port

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
ACTION = ROOT / ".github" / "actions" / "gate" / "action.yml"
DOCUMENT: dict[str, Any] = yaml.safe_load(ACTION.read_text(encoding="utf-8"))
STEPS: list[dict[str, Any]] = DOCUMENT["runs"]["steps"]
SERVER = Path(__file__).parents[1] / "programs" / "plain_server.py"
SECRET = "hunter2-q8Zr4tWm1x"


def check_schema(name: str, path: Path) -> None:
    argv = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", name, str(path)]
    said = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr


def test_it_is_an_action() -> None:
    check_schema("vendor.github-actions", ACTION)


def test_the_example_in_the_documentation_is_a_workflow(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "gate.md").read_text(encoding="utf-8")
    example = next(block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "jobs:" in block)
    assert len(example.splitlines()) <= 11
    (tmp_path / "workflow.yml").write_text(f"on: push\n{example}")
    check_schema("vendor.github-workflows", tmp_path / "workflow.yml")
    (used,) = (step for step in yaml.safe_load(example)["jobs"]["memory"]["steps"] if "harness" in step.get("uses", ""))
    assert used["uses"].endswith(f"/{ACTION.parent.relative_to(ROOT)}@main")
    assert set(used["with"]) <= set(DOCUMENT["inputs"])


def test_the_documentation_lists_every_input_and_output() -> None:
    text = (ROOT / "docs" / "gate.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([\w-]+)` \|([^|]*)\|", text, re.MULTILINE))
    assert {name: rows.get(name, "missing").strip(" `") for name in DOCUMENT["inputs"]} == {
        name: about.get("default", "") for name, about in DOCUMENT["inputs"].items()
    }
    assert all(f"`{name}`" in text for name in DOCUMENT["outputs"])


def test_no_script_holds_an_expression() -> None:
    """An input in a script would be code of whoever opens a pull request."""
    scripts = [step["run"] for step in STEPS if "run" in step]
    assert len(scripts) == 3
    assert not [script for script in scripts if "${{" in script]


@dataclass(frozen=True, slots=True)
class Runner:
    """Does what GitHub's runner does with a composite action, as far as ours needs it."""

    directory: Path
    inputs: Mapping[str, str]
    outputs: dict[str, dict[str, str]]

    def value(self, text: str) -> str:
        def of(match: re.Match[str]) -> str:
            place = match[1].split(".")
            if place[0] == "inputs":
                return self.inputs.get(place[1], DOCUMENT["inputs"][place[1]].get("default", ""))
            return self.outputs.get(place[1], {}).get(place[3], "")

        return re.sub(r"\$\{\{\s*([\w.-]+)\s*\}\}", of, text)

    def step(self, step: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
        name = step["id"]
        told = self.directory / f"output-{name}"
        told.touch()
        given = {key: self.value(text) for key, text in step.get("env", {}).items()}
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV", "HARNESS"))}
        environ = {
            **kept,
            "RUNNER_TEMP": str(self.directory / "temp"),
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTION_PATH": str(ACTION.parent),
            "GITHUB_OUTPUT": str(told),
            "GITHUB_STEP_SUMMARY": str(self.directory / f"summary-{name}"),
            **given,
        }
        script = self.directory / f"{name}.sh"
        script.write_text(step["run"])
        argv = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]
        done = subprocess.run(argv, cwd=self.directory, env=environ, capture_output=True, text=True, check=False)
        self.outputs[name] = dict(line.split("=", 1) for line in told.read_text().splitlines())
        return done


def test_its_scripts_do_what_they_say(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "temp").mkdir()
    scenario = {
        "name": "gated",
        "target": {
            "launch": f"{sys.executable} {SERVER} {port}",
            "ready": f"http://127.0.0.1:{port}/ok",
            "env": {"API_TOKEN": SECRET},
        },
        "requests": [{"name": "ok", "get": "/ok"}],
        "load": {"rounds": 7, "requests_per_round": 20, "blocks": 1, "warmup_rounds": 1, "settle": "50ms"},
        "profile": "none",
        "expect": ["errors == 0"],
    }
    (tmp_path / "memory.yaml").write_text(yaml.safe_dump(scenario, sort_keys=False))
    expect = f"peak_pss < 1 KiB\n\n  p50 < 10s of endpoint ok\n$(touch {tmp_path}/injected)'\"; true\n"
    install, run, pack = (step for step in STEPS if "run" in step)
    runner = Runner(tmp_path, {"scenario": "memory.yaml", "expect": expect, "python": sys.executable}, {})

    done = runner.step(install)
    assert done.returncode == 0, done.stdout + done.stderr
    done = runner.step(run)
    assert done.returncode == 2, "a line that is no expectation is told before anything starts"
    assert "is not an expectation" in done.stderr
    assert runner.outputs["run"] == {"exit-code": "2", "run": "", "report": ""}
    assert not (tmp_path / "injected").exists()

    runner = Runner(
        tmp_path, {**runner.inputs, "expect": expect.splitlines()[0]}, {"install": runner.outputs["install"]}
    )
    done = runner.step(run)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "::error title=not met%3A peak_pss < 1 KiB::" in done.stderr
    assert "expectations not met" in (tmp_path / "summary-run").read_text()
    outputs = runner.outputs["run"]
    assert outputs["exit-code"] == "1"
    assert (tmp_path / outputs["report"]).read_bytes().startswith(b"<!doctype html>")
    (suite,) = JUnitXml.fromfile(str(tmp_path / "harness-junit.xml"))
    assert (suite.tests, suite.failures, suite.errors) == (3, 1, 0)

    done = runner.step(pack)
    assert done.returncode == 0, done.stdout + done.stderr
    kept = Path(runner.outputs["pack"]["directory"])
    assert sorted(path.name for path in kept.iterdir()) == ["report.html", "report.json", "run.zip"]
    assert not [path.name for path in kept.iterdir() if SECRET.encode() in path.read_bytes()]
    assert json.loads((kept / "report.json").read_bytes())["expectations"][1]["passed"] is False

    # The first run's report is enough to compare the second with.
    compared = {"expect": "diff(peak_pss) < 50 %", "baseline": str(kept / "report.json"), "junit": ""}
    runner = Runner(tmp_path, {"scenario": "memory.yaml", **compared}, {"install": runner.outputs["install"]})
    done = runner.step(run)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 met" in done.stderr

    # Two gates in one job: each keeps its own run.
    done = runner.step(pack)
    assert done.returncode == 0, done.stdout + done.stderr
    assert Path(runner.outputs["pack"]["directory"]) != kept
