"""Copies of the process, in programs of their own: each case is in tests/programs/python_snapshots.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[3] / "programs" / "python_snapshots.py"


def run(case: str) -> str:
    """What it printed, once nobody holds its output any more."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(PROGRAM), case], capture_output=True, text=True, check=False, timeout=100
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize(
    "case",
    [
        "answers",
        "unread",
        "read_late",
        "reasons",
        "reported",
        "files",
        "signals",
        "sigchld",
        "ignored",
        "collections",
        "threads",
        "refusals",
    ],
)
def test_the_application_is_not_touched(case: str) -> None:
    assert run(case) == "fine\n"


def test_the_end_of_the_application_is_seen_while_a_copy_works() -> None:
    pid, word = run("orphaned").split()
    assert word == "fine"
    os.kill(int(pid), signal.SIGKILL)  # ProcessLookupError if it had ended
