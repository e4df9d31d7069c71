"""``harness agent``: a directory to mount into a container, or one on another host."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from harness.cli import invoke


def test_a_directory_with_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / "agent"
    assert invoke(["agent", str(directory), "--inside", "/harness"]) == 0
    lines = (directory / "agent.env").read_text().splitlines()
    variables = dict(line.split("=", 1) for line in lines)
    assert stat.S_IMODE((directory / "agent.env").stat().st_mode) == 0o600
    for name in ("PYTHONPATH", "HARNESS_RECORDS", "HARNESS_RESULTS"):
        inside = Path(variables[name])
        assert inside.is_relative_to("/harness")
        assert (directory / inside.relative_to("/harness")).exists()
    assert (directory / Path(variables["PYTHONPATH"]).relative_to("/harness") / "sitecustomize.py").is_file()
    assert len(variables["HARNESS_TOKEN"]) == 32
    assert variables["HARNESS_TOKEN"] not in capsys.readouterr().out


@pytest.mark.parametrize("inside", ["harness", "/", "/a/../b", "/a\nb"])
def test_places_that_are_none(tmp_path: Path, inside: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["agent", str(tmp_path / "agent"), "--inside", inside]) == 2
    assert "no place in a container" in capsys.readouterr().err
    assert not (tmp_path / "agent").exists()


def test_nothing_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").write_text("x")
    assert invoke(["agent", str(tmp_path), "--inside", "/harness"]) == 2
    assert "not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_runtime_that_nobody_knows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["agent", str(tmp_path / "agent"), "--inside", "/harness", "--runtime", "cobol"]) == 2
    assert "cobol" in capsys.readouterr().err
    assert not (tmp_path / "agent").exists()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["ssh://web-1"], "names no directory"),
        (["ssh://web-1/"], "names no directory"),
        (["ssh://web-1/opt/../etc"], "names no directory"),
        (["ssh://web-1/opt/$(id)"], "names no directory"),
        (["ssh://-oProxyCommand=id/opt/agent"], "is no address of a host"),
        (["ssh://web-1/opt/agent", "--inside", "harness"], "no place in a container"),
        (["agent"], "where will the container see the directory"),
    ],
)
def test_what_is_no_directory_for_it_is_said(
    words: list[str],
    complaint: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert invoke(["agent", *words]) == 2
    assert complaint in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
