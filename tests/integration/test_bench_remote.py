"""The benchmark of sampling over SSH runs, and prints its table."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

CHECKOUT = Path(__file__).parents[2]


def test_every_part_has_a_row() -> None:
    argv = [sys.executable, CHECKOUT / "bench" / "remote.py", "--quick"]
    done = subprocess.run(argv, cwd="/", capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stderr
    for part in (
        "here: sampler",
        "here: session",
        "over SSH: sampler",
        "over SSH: keeper",
        "over SSH: link",
        "over SSH: sshd",
    ):
        assert re.search(rf"^\| {part} +\| +\d+\.\d{{3}} \|$", done.stdout, re.MULTILINE), done.stdout
    assert re.search(r"pays \d+\.\d\d times what", done.stdout)
