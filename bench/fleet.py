"""How long questions to a fleet of many runs take, and whether the answers are right.

    python bench/fleet.py [--runs 1000] [--dataset DIR] [--engine duckdb] [--update docs/fleet.md]

Writes a dataset of made-up runs with known truth (tests/support/fleets.py: four scenarios on five hosts, night after night; one
version begins to leak on all of them, one scenario creeps) and asks each ready query three times, each time in a new process, as
a user would. Prints the fastest and the slowest of these, and what was found.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

import fleets

from harness.fleet.dataset import Dataset
from harness.fleet.partitions import PROFILE_TABLES
from harness.fleet.queries import QUERIES
from harness.fleet.tables import fleet_run

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
HOSTS = 5
REPEATS = 3
FIRST = {
    "drift": ("answer", "scenario", "what"),
    "versions": ("answer", "scenario", "what", "since"),
    "endpoints": ("scenario", "endpoint", "most_version"),
    "verdicts": ("scenario", "version", "cause"),
    "costs": ("scenario", "name"),
}  # columns of the first row


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


def table(place: str, runs: int, engine: str) -> Iterator[str]:
    """Lines of the document."""
    number, seconds = written(place, runs)
    files = list(Path(place).rglob("*.parquet"))
    size = sum(path.stat().st_size for path in files)
    yield f"{number} runs were written in {seconds:.0f} s: {len(files)} files, {size / 1e6:.0f} MB."
    yield f"The program alone starts in {min(started() for _ in range(REPEATS)):.2f} s. Three times each:"
    yield ""
    yield "| query | fastest | slowest | rows | the first says |"
    yield "|---|--:|--:|--:|---|"
    for query in QUERIES.values():
        if query.table in PROFILE_TABLES:
            continue
        times, answers = zip(*(asked(place, query.name, engine) for _ in range(REPEATS)), strict=True)
        rows = answers[0]["rows"]
        assert isinstance(rows, list)
        assert rows
        said = ", ".join(str(rows[0][name]) for name in FIRST[query.name])
        yield f"| `{query.name}` | {min(times):.2f} s | {max(times):.2f} s | {len(rows)} | {said} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--dataset", help="where to write it, and leave it; default: a temporary directory")
    parser.add_argument("--engine", default="duckdb")
    parser.add_argument("--update", type=Path, metavar="FILE", help="put the lines into this document")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = options.dataset or str(Path(temporary) / "fleet")
        lines = []
        for line in table(place, options.runs, options.engine):
            print(line, flush=True)
            lines.append(line)
    if options.update is not None:
        before, rest = options.update.read_text().split(BEGIN)
        options.update.write_text("\n".join([before + BEGIN, *lines, END + rest.split(END)[1]]))


if __name__ == "__main__":
    main()
