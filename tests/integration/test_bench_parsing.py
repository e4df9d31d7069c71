"""The benchmark of parsers runs on profiles it writes itself, with whatever peers are installed, and prints its table."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

CHECKOUT = Path(__file__).parents[2]
HERE = ("wc -l", "C, newlines byte by byte", "C, one pass, trusting", "ours, compiled, flat", "ours, compiled",
        "ours, in Python, flat", "ours, in Python", "callgrind_annotate")  # fmt: skip
PERHAPS = ("gprof2dot", "speedscope's importer")


def bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, CHECKOUT / "bench" / "parsing", "--quick", *arguments]
    return subprocess.run(argv, cwd="/", capture_output=True, text=True, check=False, timeout=250)


def rows(output: str) -> dict[str, list[str]]:
    """Cells of the table by their first cell."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in output.splitlines() if line[:1] == "|"]
    return {first: rest for first, *rest in cells}


def test_every_reader_has_a_row() -> None:
    done = bench()
    assert done.returncode == 0, done.stderr
    found = rows(done.stdout)
    for name in HERE:
        numbers = found[name][2:]
        assert all(re.match(r"[0-9]+(\.[0-9]+)?$", cell) for cell in numbers), (name, found[name])
    for name in PERHAPS:
        assert found[name][1] == "medium" or found[name][1].startswith("not installed: "), found[name]
    assert re.search(r"Large profile: [0-9.]+ MB, [1-9][0-9]{4} blocks, [0-9]+ edges", done.stdout)


def test_a_profile_of_the_users_is_read_in_place_of_the_large_one() -> None:
    sample = CHECKOUT / "tests" / "fixtures" / "captures" / "xdebug" / "edge.cachegrind"
    blocks = sample.read_bytes().count(b"\nfn=")
    done = bench("--sample", sample)
    assert done.returncode == 0, done.stderr
    assert f"Large profile: 0.0 MB, {blocks} blocks" in done.stdout


def test_a_profile_that_is_not_there_is_an_error() -> None:
    done = bench("--sample", "/nowhere")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
