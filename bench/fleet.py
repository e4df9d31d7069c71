"""How long questions to a fleet of many runs take, and whether the answers are right.

    python bench/fleet.py [--runs 1000] [--dataset DIR] [--engine duckdb]

Writes a dataset of made-up runs with known truth (tests/support/fleets.py: four scenarios on five hosts, night after night; one
version begins to leak on all of them, one scenario creeps) and asks each ready query three times, each time in a new process, as
a user would. Prints the fastest and the slowest of these, with and without the start of the program, and what was found.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

import fleets

from harness.fleet.dataset import Dataset
from harness.fleet.queries import QUERIES
from harness.fleet.tables import fleet_run

HOSTS = 5
REPEATS = 3


def written(place: str, runs: int) -> tuple[int, float]:
    """How many runs, and seconds."""
    begin = time.perf_counter()
    dataset = Dataset(place, create=True)
    nights = max(10, runs // (HOSTS * len(fleets.SCENARIOS)))
    number = 0
    for report in fleets.fleet(HOSTS, nights):
        number += dataset.add(fleet_run(report)).new
    return number, time.perf_counter() - begin


def asked(place: str, query: str, engine: str) -> tuple[float, dict[str, object]]:
    """Seconds of the whole command, and its answer."""
    argv = [sys.executable, "-m", "harness", "fleet", place, query, "--json", "--engine", engine]
    begin = time.perf_counter()
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return time.perf_counter() - begin, json.loads(done.stdout)


def started() -> float:
    """Seconds of a command that asks nothing."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-m", "harness", "fleet", "--list"], capture_output=True, check=True)
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--dataset", help="where to write it, and leave it; default: a temporary directory")
    parser.add_argument("--engine", default="duckdb")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = options.dataset or str(Path(temporary) / "fleet")
        number, seconds = written(place, options.runs)
        files = list(Path(place).rglob("*.parquet"))
        size = sum(path.stat().st_size for path in files)
        print(f"{number} runs written in {seconds:.1f} s: {len(files)} files, {size / 1e6:.1f} MB")
        start = min(started() for _ in range(REPEATS))
        print(f"the program itself starts in {start:.2f} s\n\n| query | fastest, s | slowest, s | rows | first row |")
        print("|---|--:|--:|--:|---|")
        for query in QUERIES:
            times, answers = zip(*(asked(place, query, options.engine) for _ in range(REPEATS)), strict=True)
            rows = answers[0]["rows"]
            assert isinstance(rows, list)
            first = json.dumps({k: v for k, v in rows[0].items() if v is not None}) if rows else ""
            print(f"| {query} | {min(times):.2f} | {max(times):.2f} | {len(rows)} | {first} |")


if __name__ == "__main__":
    main()
