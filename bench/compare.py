"""Measure the comparison itself: false alarms, power, and how often it cannot tell.

python bench/compare.py                              print all tables
python bench/compare.py --update docs/compare.md     write them into the document (about ten minutes of one core)

Seeded: the same version says the same every time. Runs are made up (tests/support/timelines.py); levels differ by 1 % from
run to run and latencies by a third, as those of real ones do.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from timelines import App, simulate, six

from harness.analysis.pipeline import report_on
from harness.compare.drift import drift
from harness.compare.engine import compare
from harness.compare.facts import RunFacts, facts_of
from harness.compare.model import Answer, Comparison, Drift, Outcome, Weight

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
LEVEL = 40_000_000
LEVEL_DEVIATION = 0.01  # between runs of one program
LATENCY_DEVIATION = 0.3  # of the logarithm
LATENCIES = ("p50", "p90", "p95", "p99")
KEPT = 4000  # bytes a request to one of six endpoints keeps in the leaking base


def run(seed: int, *, level: float = 1.0, slower: float = 1.0, noise: float = 20_000, **changes: object) -> RunFacts:
    """One recording of the same application. ``level`` and ``slower``: what it has more of, as a factor."""
    rng = np.random.default_rng((7, seed))
    size = int(LEVEL * level * (1 + LEVEL_DEVIATION * rng.standard_normal()))
    factor = slower * math.exp(LATENCY_DEVIATION * rng.standard_normal())
    app = App(seed=seed, level_bytes=size, noise_bytes=noise, requests=500, blocks=5, **changes)  # type: ignore[arg-type]
    facts = facts_of(report_on(simulate(app), Path("made-up")))
    measures = tuple(
        replace(m, value=m.value * factor, low=m.low and m.low * factor, high=m.high and m.high * factor)
        if m.metric in LATENCIES and m.value is not None
        else m
        for m in facts.measures
    )
    return replace(facts, name=replace(facts.name, id=f"run-{seed}"), measures=measures)


def leaking(seed: int, kept: int, noise: float = 20_000) -> RunFacts:
    return run(seed, noise=noise, endpoints=six(cart_add={"leak_bytes": kept}))


def grouped(runs: Sequence[RunFacts], size: int) -> Iterator[Sequence[RunFacts]]:
    """Without overlap."""
    for start in range(0, len(runs) - size + 1, size):
        yield runs[start : start + size]


def sides(runs: Sequence[RunFacts], each: int) -> list[Comparison]:
    return [compare(group[:each], group[each:]) for group in grouped(runs, 2 * each)]


def alarm(found: Comparison) -> bool:
    """Whether anything that decides is said to differ, though nothing does."""
    return any(r.weight is not Weight.TELLS and r.answer in (Answer.WORSE, Answer.BETTER) for r in found.rows)


def row(name: str, found: Sequence[Comparison | Drift], right: Callable[[Comparison | Drift], bool] | None) -> str:
    count = Counter(each.outcome for each in found)
    alarms = sum(alarm(each) for each in found if isinstance(each, Comparison)) if right is None else None
    told = f"{alarms} of {len(found)}" if alarms is not None else "–"
    seen = "–" if right is None else f"{sum(map(right, found))} of {len(found)}"
    outcomes = " / ".join(str(count[o]) for o in (Outcome.PASS, Outcome.FAIL, Outcome.UNKNOWN))
    return f"| {name} | {outcomes} | {told} | {seen} |"


def worse(metric: str, endpoint: str | None = None) -> Callable[[Comparison | Drift], bool]:
    """Whether the quantity is said to be worse: of the endpoint, or of the pool."""

    def told(found: Comparison | Drift) -> bool:
        return any(
            r.metric == metric and r.answer is Answer.WORSE and (endpoint is None or r.endpoint == endpoint)
            for r in found.rows
        )

    return told


def comparisons(pairs: int) -> Iterator[str]:
    yield "| case | pass / fail / cannot tell | something differs | found |"
    yield "|---|---|---|---|"
    same = [run(seed) for seed in range(2 * pairs)]
    yield row("the same, 1 run against 1", sides(same, 1), None)
    yield row("the same, 3 against 3", sides(same, 3), None)
    yield row("the same, 5 against 5", sides(same, 5), None)
    yield row("the same, 5 against 1", [compare(g[:5], g[5:]) for g in grouped(same, 6)], None)
    noisy = [run(20_000 + seed, noise=200_000) for seed in range(pairs)]
    yield row("the same, ten times the noise, 1 against 1", sides(noisy, 1), None)
    base = [leaking(30_000 + seed, KEPT) for seed in range(pairs // 2)]
    yield row(f"both leak {KEPT} B a request to one endpoint, 1 against 1", sides(base, 1), None)
    few = pairs // 4
    for factor in (1.5, 2, 3):
        head = [leaking(40_000 + int(1000 * factor) + seed, int(KEPT * factor)) for seed in range(few)]
        found = [compare([b], [h]) for b, h in zip(base, head, strict=False)]
        name = f"the leak is {factor:g} times as large, 1 against 1"
        yield row(f"{name}: pool", found, worse("retained_bytes_per_request"))
        yield row(f"{name}: endpoint", found, worse("retained_bytes_per_request", "cart_add"))
    head = [leaking(60_000 + seed, KEPT) for seed in range(few)]
    yield row("a leak is new, 1 against 1: endpoint", [compare([b], [h]) for b, h in zip(same, head, strict=False)],
              worse("retained_bytes_per_request", "cart_add"))  # fmt: skip
    for level in (1.03, 1.06, 1.1):
        for each in (1, 3):
            larger = [run(int(70_000 * level) + seed, level=level) for seed in range(each * few)]
            found = [compare(b, h) for b, h in zip(grouped(same, each), grouped(larger, each), strict=False)]
            yield row(f"{100 * (level - 1):.0f} % more memory, {each} against {each}", found, worse("floor_pss"))
    for each in (3, 5):
        slow = [run(90_000 + seed, slower=3) for seed in range(each * few // 2)]
        found = [compare(b, h) for b, h in zip(grouped(same, each), grouped(slow, each), strict=False)]
        yield row(f"three times as slow, {each} against {each}", found, worse("p50"))


def drifts(series: int) -> Iterator[str]:
    yield "| case | pass / fail / cannot tell | something differs | found |"
    yield "|---|---|---|---|"
    for length in (5, 6, 8, 12):
        found = [drift([run(100_000 + 100 * s + i) for i in range(length)]) for s in range(series)]
        yield row(
            f"the same {length} times", found, lambda d: any(r.answer in (Answer.WORSE, Answer.BETTER) for r in d.rows)
        )
    for length in (5, 6, 8, 12):
        found = [drift([run(200_000 + 100 * s + i, level=1.03**i) for i in range(length)]) for s in range(series)]
        yield row(f"3 % more memory each run, {length} runs", found, worse("floor_pss"))
    for length in (6, 8, 12):
        after = length * 2 // 3
        found = [
            drift([run(300_000 + 100 * s + i, level=1.1 if i >= after else 1) for i in range(length)])
            for s in range(series)
        ]
        yield row(f"10 % more memory from run {after + 1} on, {length} runs", found, worse("floor_pss"))
        placed = sum(any(r.metric == "floor_pss" and r.step_after == after - 1 for r in d.rows) for d in found)
        yield f"| – the step is put between run {after} and {after + 1} | – | – | {placed} of {series} |"


def document(pairs: int, series: int) -> str:
    parts = [
        "### Two sides", "", *comparisons(pairs), "",
        "### Runs in order", "", "*Found*, where all are the same, is that something is said to drift.", "", *drifts(series), "",
    ]  # fmt: skip
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", type=Path, help="document to write the tables into")
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--series", type=int, default=40)
    arguments = parser.parse_args()
    text = document(arguments.pairs, arguments.series)
    if arguments.update is None:
        print(text)
        return
    page = arguments.update.read_text(encoding="utf-8")
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    arguments.update.write_text(f"{before}{BEGIN}\n{text}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
