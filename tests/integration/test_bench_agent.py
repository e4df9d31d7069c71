"""The Python agent's benchmarks run, with every tool of ours and whatever stock tools are installed, and print their tables."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest
from python_envs import CACHE

from adapters.python.toolset import TOOLS

pytestmark = pytest.mark.integration

CHECKOUT = Path(__file__).parents[2]


def rows(part: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Cells of the table by their first cell, of a quick run."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(CACHE))
    done = subprocess.run(
        [sys.executable, CHECKOUT / "bench" / "agent", "--quick", part],
        cwd="/", capture_output=True, text=True, check=False, timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines() if line[:1] == "|"
    ]
    return {first: rest for first, *rest in cells}


def test_what_the_record_adds_is_measured_on_this_python(monkeypatch: pytest.MonkeyPatch) -> None:
    bare, recorded, *_, said = map(float, rows("record", monkeypatch)[platform.python_version()])
    assert 0 < bare < recorded
    assert 0 < said < 10_000


def test_every_tool_of_ours_and_every_stock_tool_has_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    found = rows("tools", monkeypatch)
    ours = ["the service alone", "our agent, request not profiled", *(f"our {name}" for name in TOOLS)]
    theirs = ["memory_profiler's decorator", "memray run", "tracemalloc from boot, 1 frame", "scalene run"]
    assert {*ours, *theirs} <= set(found)
    for name, (first, *_) in found.items():
        if name and not name.startswith("-"):
            assert re.match(r"[0-9]+\.[0-9]( |$)|not installed: ", first), (name, first)
    assert all("not installed" not in found[name][0] for name in ours)
