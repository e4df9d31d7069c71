"""The command group: help, laziness, and errors as exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from harness import cli, errors

HEAVY = (
    "httpx",
    "pydantic",
    "yaml",
    "numpy",
    "memory_profiler",
    "objgraph",
    "guppy",
    "psutil",
    "pyprof2calltree",
    "sqlite3",
)


def test_help_lists_every_command_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke(["--help"]) == 0
    out = capsys.readouterr().out
    for name, (_, text) in cli.COMMANDS.items():
        assert f"  {name} " in out
        assert text in out


@pytest.mark.parametrize("command", [["--help"], ["top", "--over", "0"], ["schema"]])
def test_a_full_disk_behind_stdout_is_an_error_of_one_line(command: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "harness", *command], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.stderr == "error: cannot write to standard output: No space left on device\n"
    assert done.returncode == errors.EXIT_USAGE


def test_help_imports_nothing_heavy() -> None:
    loaded = f"[m for m in {HEAVY!r} if m in sys.modules]"
    code = f"import sys, harness.cli as c; c.invoke(['--help']); print({loaded}, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_every_command_has_help_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert "Example" in out
    assert f"harness {name}" in out
    command = cli.group.get_command(click.Context(cli.group), name)
    assert command is not None
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts}"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError("m", hint="h"), 2),
        (errors.ScenarioError(("f:1: m",)), 2),
        (errors.RunError("m"), 2),
        (errors.TargetError("m"), 3),
        (errors.GuardRailError("m"), 4),
        (errors.HarnessError("m"), 5),
        (RuntimeError("boom"), 5),
        (KeyboardInterrupt(), 130),
    ],
)
def test_errors_become_exit_codes(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def fails() -> None:
        raise error

    monkeypatch.setattr(cli.LazyGroup, "get_command", lambda *_: fails)
    assert cli.invoke(["run"]) == code
    err = capsys.readouterr().err
    assert ("Traceback" in err) == isinstance(error, RuntimeError)
    assert "error:" in err or "interrupted" in err


def test_an_unknown_command_names_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke(["rnu"]) == 2
    assert "run" in capsys.readouterr().err


def test_a_directory_that_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke(["report", str(tmp_path)]) == 2
    assert "not a run" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [["report"], ["bundle"], ["export", "--format", "csv"], ["gate", "--expect", "no leak"]]
)
def test_a_name_that_no_file_can_have_is_an_error_of_one_line(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.invoke([*command, "a" * 300]) == errors.EXIT_USAGE
    said = capsys.readouterr().err
    assert said.splitlines() == [f"error: {'a' * 300}: File name too long"]


def test_an_error_that_quotes_a_target_cannot_write_to_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command()
    def loud() -> None:
        raise errors.TargetError("it said \x1b[2J\x9b\u202e\udc80", hint="two\nlines\x07")

    monkeypatch.setattr(cli.LazyGroup, "get_command", lambda *_: loud)
    assert cli.invoke(["run"]) == 3
    assert capsys.readouterr().err == "error: it said \\x1b[2J\\x9b\\x202e\\xdc80\n  two\nlines\\x07\n"
