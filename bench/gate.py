"""How often a line of ``expect:`` passes, fails, or cannot be told, on made-up runs whose growth is known.

python bench/gate.py                          print the table
python bench/gate.py --update docs/gate.md    write it into the document (about five minutes of one core)

Seeded: the same version says the same every time.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from tables import table
from timelines import App, simulate, six

from harness.analysis.baseline import baseline_of
from harness.analysis.expectations import judge
from harness.analysis.pipeline import report_on
from harness.model.report import Report

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
NOWHERE = Path("/nonexistent")
NOISES = {"quiet": 20_000, "noisy": 200_000}  # standard deviation of a worker's memory from floor to floor, in bytes
LEAKS = (0, 6_000, 12_000)  # bytes that each request to one of six endpoints keeps
SHARES = (0.5, 0.8, 1.0, 1.25, 2.0)  # of the true growth: the limit


def report(leak: int, noise: int, seed: int) -> Report:
    endpoints = six(cart_add={"leak_bytes": leak}) if leak else six()
    return report_on(simulate(App(endpoints=endpoints, noise_bytes=noise, seed=seed)), NOWHERE)


def lines(leak: int) -> Iterator[tuple[str, str, str]]:
    """(line, what it is called in the table, what is true)."""
    yield "no leak", "`no leak`", "failed" if leak else "passed"
    if leak:
        for share in SHARES:
            limit = round(leak / 6 * share)
            truth = "passed" if share > 1 else "failed" if share < 1 else "neither"
            yield f"retained_bytes_per_request < {limit} B", f"growth `<` {share:g} x what it is", truth
    else:
        yield "retained_bytes_per_request < 1 KiB", "growth `<` 1 KiB a request", "passed"
    yield "diff(growth_per_round) < 100 KiB", "`diff` of growth `<` 100 KiB a round, against the same", "passed"
    yield "diff(peak_pss) < 5 %", "`diff(peak_pss) < 5 %`, against the same", "passed"


def measured(runs: int) -> str:
    rows = []
    for name, noise in NOISES.items():
        counts: dict[tuple[str, str, str], Counter[bool | None]] = defaultdict(Counter)
        for leak in LEAKS:
            what = f"{leak / 6:.0f} B a request" if leak else "nothing"
            for seed in range(runs):
                head, base = report(leak, noise, seed), report(leak, noise, 100_000 + seed)
                baseline = replace(baseline_of(base, "base"), run="base")
                asked = list(lines(leak))
                for (_, called, truth), result in zip(
                    asked, judge(head, [line for line, _, _ in asked], [baseline]), strict=True
                ):
                    counts[what, called, truth][result.passed] += 1
        for (what, called, truth), found in counts.items():
            share = [f"{100 * found[answer] / runs:.0f} %" for answer in (True, False, None)]
            rows.append([f"{name}, keeps {what}", called, truth, *share])
    return table(["made-up run", "line", "true is", "passed", "failed", "cannot tell"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100, help="pairs of runs a row")
    parser.add_argument("--update", type=Path, metavar="FILE", help="write the table into this document")
    options = parser.parse_args()
    text = f"{options.runs} pairs of runs a row.\n\n{measured(options.runs)}"
    print(text)
    if options.update:
        page = options.update.read_text(encoding="utf-8")
        between = re.compile(f"{BEGIN}.*{END}", re.DOTALL)
        options.update.write_text(between.sub(lambda _: f"{BEGIN}\n{text}\n{END}", page), encoding="utf-8")


if __name__ == "__main__":
    main()
