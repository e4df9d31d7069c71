"""PHP's benchmarks run, with whatever profilers are installed, and print their tables."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def rows() -> dict[str, list[str]]:
    """Cells of all tables by their first cell, of a quick run."""
    done = subprocess.run(
        [sys.executable, CHECKOUT / "bench" / "php", "--quick"],
        cwd="/", capture_output=True, text=True, check=False, timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines() if line[:1] == "|"
    ]
    return {first: rest for first, *rest in cells}


def test_the_agent_is_timed_within_requests(rows: dict[str, list[str]]) -> None:
    begin, end, both = (float(cell.split()[0]) for cell in rows["an empty script"][:3])
    assert 0 < begin < both
    assert 0 < end < both
    assert float(rows["one append to a file"][0]) > float(rows["an empty function"][0])


def test_everybody_has_a_row(rows: dict[str, list[str]]) -> None:
    always = [
        "nothing",
        "our agent",
        "php-fpm's access log",
        "our agent and the access log",
        "Xdebug, profile, triggered",
    ]
    for name in (*always, "Excimer, heap every ms", "tideways_xhprof, idle"):
        assert re.match(r"[0-9]+\.[0-9]+\Z|not installed: ", rows[name][0]), rows[name]
    assert not any(rows[name][0].startswith("not installed") for name in always)
    assert rows["nothing"][1] == "1.00"
    assert float(rows["Xdebug, profile, triggered"][-1]) > 0, "files were written"
