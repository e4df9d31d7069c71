"""The benchmark of senders runs, and prints its table."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

CHECKOUT = Path(__file__).parents[2]
SENDERS = ("built-in", "Locust, 1 worker", "Locust, 2 workers", "Locust alone, FastHttpUser", "ab", "wrk")


def test_every_sender_has_a_row() -> None:
    argv = [sys.executable, CHECKOUT / "bench" / "load", "--quick"]
    done = subprocess.run(argv, cwd="/", capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stderr
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in done.stdout.splitlines() if line[:1] == "|"]
    rows = {first: rest for first, *rest in cells}
    for name in SENDERS:
        assert all(re.match(r"-?[0-9]+(\.[0-9]+)?$", cell) for cell in rows[name]), (name, rows[name])
