"""Which commands an overlay helps, and what it says when it cannot be made. Overlays that run: tests/integration."""

import os
import sys
from pathlib import Path

import pytest

from adapters.python import overlay
from adapters.python.interpreter import Command, resolve
from harness.errors import HarnessError


@pytest.mark.parametrize(
    ("kind", "flags", "answer"),
    [
        ("python", "I", True),
        ("python", "BE", True),
        ("python", "IS", False),
        ("python", "", False),
        ("pex", "I", False),
    ],
)
def test_it_helps_against_isolation_only(kind: str, flags: str, answer: bool) -> None:
    assert overlay.helps(Command("x", kind, ("x",), flags)) is answer


def test_the_interpreter_is_replaced_and_nothing_else() -> None:
    command = resolve(["env", "A=1", sys.executable, "-I", "-m", "app", "-x"], os.environ, None)
    assert overlay.argv(command, Path("/o/bin/python")) == ("env", "A=1", "/o/bin/python", "-I", "-m", "app", "-x")


def test_it_is_made_once_and_open_to_other_users(tmp_path: Path) -> None:
    command = resolve([sys.executable, "-I"], os.environ, None)
    before = os.umask(0o077)
    try:
        python = overlay.build(tmp_path, tmp_path / "b o'ot\N{LATIN SMALL LETTER E WITH ACUTE}", command, os.environ)
    finally:
        os.umask(before)
    assert python.exists()
    [pth] = tmp_path.rglob("harness.pth")
    for line in pth.read_text("ascii").splitlines():
        compile(line, str(pth), "exec")
    for path in (pth, *list(pth.parents)[: len(pth.relative_to(tmp_path).parts) - 1]):
        assert path.stat().st_mode & 0o005 >= 0o004, path
    made = pth.stat().st_mtime_ns
    assert overlay.build(tmp_path, tmp_path, command, os.environ) == python
    assert pth.stat().st_mtime_ns == made


def test_an_interpreter_that_prints_when_it_starts(tmp_path: Path) -> None:
    """A sitecustomize or a .pth file of its own may do so."""
    program = tmp_path / "python3"
    program.write_text(f'#!/bin/sh\necho welcome\nexec {sys.executable} "$@"\n')
    program.chmod(0o755)
    command = Command(str(program), "python", (str(program),), "I")
    assert overlay.build(tmp_path / "o", tmp_path, command, os.environ).exists()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("#!/bin/sh\necho no venv here >&2\nexit 3\n", "no venv here"),
        ("#!/bin/sh\nexit 3\n", "exit code 3"),
        ("#!/bin/sh\necho '[1]'\n", "not enough values"),
        ("#!/bin/sh\nmkdir -p $4/lib/python3.8/site-packages; echo '[1]'\n", "named no directories"),
    ],
)
def test_an_interpreter_that_cannot_make_one(tmp_path: Path, text: str, reason: str) -> None:
    program = tmp_path / "python3"
    program.write_text(text)
    program.chmod(0o755)
    with pytest.raises(HarnessError, match=reason) as caught:
        overlay.build(tmp_path / "o", tmp_path, Command(str(program), "python", (str(program),), "I"), os.environ)
    assert caught.value.hint is not None
    assert "overlay" in caught.value.hint
