"""The version of the application, as the command line says it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.cli.versions import versioned
from harness.errors import UsageError
from harness.scenario.reader import read_scenario
from harness.scenario.schema import Scenario

TEXT = """name: shop
version: 1.4.2
target: {launch: "true", ready: "http://127.0.0.1:1/"}
requests: [{name: home, get: /}]
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    (tmp_path / "shop.yaml").write_text(TEXT)
    return read_scenario(tmp_path / "shop.yaml")


def test_the_scenario_says_it(scenario: Scenario) -> None:
    assert versioned(scenario, None, describe=False).version == "1.4.2"
    assert scenario.to_data()["version"] == "1.4.2"


def test_the_command_line_says_another(scenario: Scenario) -> None:
    other = versioned(scenario, "2.0-rc1+g12ab", describe=False)
    assert other.version == "2.0-rc1+g12ab"
    assert other.source is scenario.source, "positions are still known"


@pytest.mark.parametrize("version", ["", "a b", "../x", "x" * 65, "1\n", "-1", "ü"])
def test_what_is_no_version(scenario: Scenario, version: str) -> None:
    with pytest.raises(UsageError, match="is no version"):
        versioned(scenario, version, describe=False)


def test_git_describes_it(scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for argv in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"],
        ["tag", "release/7"],
    ):
        subprocess.run(["git", *argv], check=True)
    assert versioned(scenario, None, describe=True).version == "release-7"
    with pytest.raises(UsageError, match="two versions"):
        versioned(scenario, "1", describe=True)


def test_no_repository(scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(UsageError, match="git describe"):
        versioned(scenario, None, describe=True)
