"""Rules of the user's on the command line and in scenarios: mistakes are exit 2 before anything starts, each with its place."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness import cli
from harness.errors import EXIT_USAGE

WRONG = "rules:\n  - id: ours\n    causes: [leek]\n"


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    directory = tmp_path / "our-rules"
    directory.mkdir()
    (directory / "wrong.yaml").write_text(WRONG)
    return directory


def scenario(directory: Path, extra: str = "") -> Path:
    """One that leaves a trace when its target is started."""
    path = directory / "shop.yaml"
    path.write_text(
        f'name: shop\n{extra}target: {{launch: "{sys.executable} -c \'open(\\"started\\", \\"w\\")\'", url: \'http://127.0.0.1:9/\'}}\n'
        "requests: [{name: home, get: /}]\n"
    )
    return path


@pytest.mark.parametrize("command", ["validate", "run"])
def test_rules_named_in_a_scenario_are_checked_with_it(
    command: str, wrong: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = scenario(tmp_path, "prescriptions: [our-rules]\n")
    assert cli.invoke([command, str(path)]) == EXIT_USAGE
    said = capsys.readouterr().err
    assert f"{wrong}/wrong.yaml:3: causes: 'leek' is not known (did you mean 'leak'?)" in said
    assert f"{wrong}/wrong.yaml:2: 'action' is missing" in said
    assert not (tmp_path / "runs").exists()


def test_rules_named_on_the_command_line_too(
    wrong: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.invoke(["run", str(scenario(tmp_path)), "--prescriptions", str(wrong)]) == EXIT_USAGE
    assert "wrong.yaml:3: causes: 'leek' is not known" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
    assert cli.invoke(["run", str(scenario(tmp_path)), "--prescriptions", str(tmp_path / "nowhere")]) == EXIT_USAGE
    assert "nowhere: cannot be read: No such file or directory" in capsys.readouterr().err
