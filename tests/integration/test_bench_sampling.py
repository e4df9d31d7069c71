"""The sampler's benchmarks run, against real trees and whatever peers are installed, and print their tables."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

CHECKOUT = Path(__file__).parents[2]
# What each part must print a row for; peers that are not installed have one too.
ROWS = {
    "cost": (
        "C loop", "harness sweep", "harness sampler", "harness sampler, default budget", "psutil loop", "procpath record",
        "mprof attach", "smem, started each tick", "psrecord", "pidstat -r",
    ),
    "budget": ("default budget, 1 %", "no budget"),
    "latency": ("off", "default budget", "PSS in every tick"),
    "scaling": ("C loop", "harness sweep", "psutil loop"),
}  # fmt: skip


def bench(*arguments: str | Path, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = None if path is None else {"PATH": path}
    return subprocess.run(
        [sys.executable, CHECKOUT / "bench" / "sampling", *arguments],
        cwd="/", env=environment, capture_output=True, text=True, check=False, timeout=250,
    )  # fmt: skip


def rows(output: str) -> dict[str, list[str]]:
    """Cells of all tables by their first cell."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in output.splitlines() if line[:1] == "|"]
    return {first: rest for first, *rest in cells}


@pytest.mark.parametrize("part", ROWS)
def test_a_quick_run_prints_its_table(part: str) -> None:
    done = bench("--quick", part)
    assert done.returncode == 0, done.stderr
    found = rows(done.stdout)
    assert set(ROWS[part]) <= set(found)
    for name in ROWS[part]:
        numbers = [cell for cell in found[name] if re.match(r"-?[0-9]+(\.[0-9]+)?( |$)", cell)]
        assert numbers or any(cell.startswith("not installed: ") for cell in found[name]), found[name]


def test_ours_and_the_yardstick_read_every_process_in_every_tick() -> None:
    done = bench("--quick", "cost")
    found = rows(done.stdout)
    assert {found[name].count("100 %") for name in ("C loop", "harness sweep", "harness sampler")} == {1}


def test_tables_go_into_a_page_between_their_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- bench scaling -->\nold | \\1\n<!-- end -->\nafter\n")
    done = bench("--quick", "scaling", "--update", page)
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    assert text.startswith("before\n<!-- bench scaling -->\n")
    assert text.endswith("\n<!-- end -->\nafter\n")
    assert "old" not in text
    assert "harness sweep" in text


def test_a_page_without_a_place_is_an_error_and_stays_as_it_was(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing here\n")
    done = bench("--quick", "scaling", "--update", page)
    assert done.returncode == 1
    assert "no place for scaling" in done.stderr
    assert page.read_text() == "nothing here\n"


def test_without_a_compiler_it_says_what_to_install(tmp_path: Path) -> None:
    done = bench("--quick", "cost", path=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == "error: the C loop that everything is compared with needs a C compiler: apt install gcc\n"


def test_an_unknown_part_is_named() -> None:
    done = bench("--quick", "everything")
    assert done.returncode == 2
    assert "no part is called everything" in done.stderr
