"""Measured requests beside others, in programs of their own: each case is in tests/programs/python_turns.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[3] / "programs" / "python_turns.py"


@pytest.mark.parametrize(
    "case",
    ["cancelled", "in_vain", "other_loop", "on_the_loop", "nested", "forked", "time_limit", "emptied", "no_name"],
)
def test_requests_beside_a_measured_one(case: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(PROGRAM), case], capture_output=True, text=True, check=False, timeout=100
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "fine\n")
