"""``harness profile show``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import invoke

CAPTURES = Path(__file__).parents[2] / "fixtures" / "captures"


def test_it_shows_a_profile(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["profile", "show", str(CAPTURES / "xdebug" / "small.cachegrind.gz"), "--limit", "3"]) == 0
    out = capsys.readouterr().out
    assert "Xdebug profile (cachegrind)" in out
    assert "note: memory is what the heap grew by" in out
    assert "ClassLoader.php:575" in out


def test_as_json_by_another_value(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--value", "inuse_objects", "--sort", "inclusive", "--limit", "2", "--json"]
    assert invoke(["profile", "show", str(CAPTURES / "memprof" / "app.callgrind"), *command]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["format"] == "memprof"
    assert [each["function"] for each in found["functions"]] == ["root", "main"]


def test_an_unknown_value_is_answered_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["profile", "show", str(CAPTURES / "xhprof" / "no-builtins.json"), "--value", "mem\x1b[2J"]) == 2
    error = capsys.readouterr().err
    assert "it has time" in error
    assert "\x1b" not in error


@pytest.mark.parametrize("name", ["there is no such file", ".", "unknown", "broken", "fifo"])
def test_what_cannot_be_shown_is_one_error(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("unknown").write_bytes(b"\x7fELF\x1b[2J")
    Path("broken").write_bytes(b"events: \x1b[2J \x1b[2J\n")
    os.mkfifo("fifo")
    assert invoke(["profile", "show", name]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert "Traceback" not in captured.err
    assert "\x1b" not in captured.err
    assert name != "unknown" or "Xdebug trace" in captured.err  # what is known
    assert name != "broken" or "named twice" in captured.err


def test_hostile_names_reach_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "evil \x1b]0;x\x07"
    path.write_bytes(b"version: 1\nevents: a\x1b[31m\nfl=\x1b[2J\x9b\nfn=\x1b]52;c;x\x07\xe2\x80\xae\n1 5\n")
    assert invoke(["profile", "show", str(path)]) == 0
    out = capsys.readouterr().out
    assert all(c.isprintable() or c == "\n" for c in out)
    assert "\\x1b]52" in out


_SCARCE = """
import resource, sys
from pathlib import Path
from harness.cli import invoke
large, small = sys.argv[1:]
assert invoke(["profile", "show", small]) == 0  # imports and libraries are there
pages = int(Path("/proc/self/statm").read_text().split()[0])
most = pages * resource.getpagesize() + (24 << 20)
resource.setrlimit(resource.RLIMIT_AS, (most, most))
sys.exit(invoke(["profile", "show", large]))
"""


def test_too_little_memory_is_one_error(tmp_path: Path) -> None:
    small = CAPTURES / "xdebug" / "edge.cachegrind"
    large = tmp_path / "large"
    large.write_bytes(small.read_bytes() + b"\n\nfl=(1)" + b"x" * (50 << 20))
    argv = [sys.executable, "-c", _SCARCE, str(large), str(small)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"error: cannot read {large}: there is not enough memory for it here\n"
