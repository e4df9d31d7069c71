"""The pytest fixture as somebody else's tests use it, in a pytest of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml
from processes import free_port

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

SERVER = Path(__file__).parents[1] / "programs" / "plain_server.py"
# What must not be in a session that does not use the fixture.
HEAVY = ("numpy", "pydantic", "httpx", "yaml", "click", "harness.analysis", "harness.session", "harness.cli")


def run(directory: Path, *options: str, code: int = 0) -> str:
    """pytest in ``directory``; what it said."""
    argv = [str(Path(sys.executable).with_name("pytest")), "-p", "no:cacheprovider", "-W", "error", *options]
    environ = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    done = subprocess.run(argv, cwd=directory, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A directory of tests with a scenario, beside a package that is called as ours is."""
    directory = tmp_path / "suite"
    (directory / "harness").mkdir(parents=True)
    (directory / "harness" / "__init__.py").write_text("raise RuntimeError('this is not the package')\n")
    (directory / "tests").mkdir()
    port = free_port()
    scenario = {
        "name": "tiny",
        "target": {"launch": f"{sys.executable} {SERVER} {port}", "ready": f"http://127.0.0.1:{port}/ok"},
        "requests": [{"name": "ok", "get": "/ok"}],
        "load": {"rounds": 7, "requests_per_round": 20, "blocks": 1, "warmup_rounds": 1, "settle": "50ms"},
        "profile": "none",
        "expect": ["errors == 0"],
    }
    (directory / "tests" / "memory.yaml").write_text(yaml.safe_dump(scenario, sort_keys=False))
    return directory


def test_the_package_brings_it() -> None:
    (found,) = entry_points(group="pytest11", name="harness")
    assert found.value == "harness.pytest_plugin"


def test_a_team_needs_four_lines(suite: Path) -> None:
    (suite / "tests" / "test_memory.py").write_text(
        "def test_memory(harness_run):\n"
        '    before, run = harness_run("memory.yaml"), harness_run("memory.yaml")\n'
        "    run.expect()\n"
        '    run.expect("errors == 0", "p50 < 10s of endpoint ok")\n'
        '    run.expect("diff(peak_pss) < 50 %", baseline=before.directory / "report.json")\n'
    )
    said = run(suite, "tests", "--import-mode=importlib", "-rP", "--harness-out", "kept", "--junit-xml", "out.xml")
    assert "1 passed" in said
    assert "Captured harness call" in said, "the verdict is in the test's report"
    kept = sorted((suite / "kept").iterdir())
    assert len(kept) == 2
    assert json.loads((kept[1] / "report.json").read_text())["run"]["status"] == "complete"
    rows = ET.parse(suite / "out.xml").findall("testsuite/testcase/properties/property")
    properties = {row.attrib["name"]: row.attrib["value"] for row in rows}
    assert properties["harness_run"] == str(kept[1])
    assert set(properties) == {"harness_run", "harness_verdict"}


def test_what_is_not_met_fails_the_test_in_words(suite: Path) -> None:
    (suite / "tests" / "test_memory.py").write_text(
        "import pytest\n"
        "@pytest.fixture\n"
        "def run(harness_run):\n"
        '    return harness_run("memory.yaml")\n'
        "def test_memory(run):\n"
        "    for line in ('errors == 0', 'peak_pss < 1 KiB'):\n"
        "        run.expect(line)\n"
        "def test_nothing(harness_run):\n"
        '    harness_run("nowhere.yaml")\n'
    )
    (suite / "tests" / "test_mistake.py").write_text(
        "from harness.pytest_plugin import RecordedRun\n"
        "def test_mistake():\n"
        '    RecordedRun(None, None).expect("no leek")\n'
    )
    said = run(suite, "tests", "--import-mode=importlib", code=1)
    assert "3 failed" in said
    assert "✗ peak_pss < 1 KiB – " in said
    assert "gate: failed, 1 of 1 not met" in said
    assert "run.expect(line)" in said, "the line of the test is shown"
    assert "nowhere.yaml ended with exit code 2" in said
    assert "nowhere.yaml: cannot be read" in said
    assert "ValueError: 'leek' is not a cause (did you mean 'leak'?)" in said


def test_tests_without_it_pay_nothing(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "import sys\n"
        "def pytest_sessionfinish():\n"
        f"    found = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "    ours = sorted(name for name in sys.modules if name.partition('.')[0] in ('harness', 'adapters'))\n"
        "    print('\\nheavy:', found, 'ours:', ours)\n"
    )
    (tmp_path / "test_other.py").write_text("def test_other():\n    pass\n")
    said = run(tmp_path, "-s")
    assert "heavy: [] ours: ['harness', 'harness.pytest_plugin']" in said
