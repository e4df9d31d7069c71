"""Measure the comparison itself: false alarms, power, and how often it cannot tell.

python bench/compare.py                              print all tables
python bench/compare.py --update docs/compare.md     write them into the document (about four minutes of one core)

Seeded: the same version says the same every time. Runs are made up (tests/support/timelines.py); levels differ by 1 % from run to
run and latencies by a third, as those of real ones do. More memory and slower answers are the same runs, multiplied.
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
LEVELS = (
    "floor_own",
    "peak_own",
    "floor_pss",
    "peak_pss",
    "end_pss",
    "pss_p50",
    "pss_p95",
    "pss_p99",
    "peak_worker_pss",
)
LATENCIES = ("p50", "p90", "p95", "p99")
KEPT = 4000  # bytes a request to one of six endpoints keeps in the leaking base


def run(seed: int, *, noise: float = 20_000, **changes: object) -> RunFacts:
    """One recording of the same application."""
    rng = np.random.default_rng((7, seed))
    size = int(LEVEL * (1 + LEVEL_DEVIATION * rng.standard_normal()))
    app = App(seed=seed, level_bytes=size, noise_bytes=noise, requests=500, blocks=5, **changes)  # type: ignore[arg-type]
    facts = facts_of(report_on(simulate(app), Path("made-up")))
    named = replace(facts, name=replace(facts.name, id=f"run-{seed}"))
    return multiplied(named, LATENCIES, math.exp(LATENCY_DEVIATION * rng.standard_normal()))


def multiplied(facts: RunFacts, metrics: Sequence[str], factor: float) -> RunFacts:
    """The same run with so much more of something."""
    measures = tuple(
        replace(m, value=m.value * factor, low=m.low and m.low * factor, high=m.high and m.high * factor)
        if m.metric in metrics and m.value is not None
        else m
        for m in facts.measures
    )
    return replace(facts, measures=measures)


def leaking(seed: int, kept: int) -> RunFacts:
    return run(seed, endpoints=six(cart_add={"leak_bytes": kept}))


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


def pairs_of(base: Sequence[RunFacts], head: Sequence[RunFacts], each: int) -> list[Comparison]:
    return [compare(b, h) for b, h in zip(grouped(base, each), grouped(head, each), strict=False)]


def comparisons(same: Sequence[RunFacts]) -> Iterator[str]:
    pairs = len(same) // 2
    first, second = same[:pairs], same[pairs:]
    yield "| case | pass / fail / cannot tell | something differs | found |"
    yield "|---|---|---|---|"
    for each in (1, 3, 5):
        yield row(f"the same, {each} against {each}", pairs_of(first, second, each), None)
    yield row("the same, 5 against 1", [compare(g[:5], g[5:]) for g in grouped(same, 6)], None)
    noisy = [run(20_000 + seed, noise=200_000) for seed in range(pairs // 2)]
    yield row("the same, ten times the noise, 1 against 1", sides(noisy, 1), None)
    leaks = [leaking(30_000 + seed, KEPT) for seed in range(pairs // 2)]
    yield row(f"both leak {KEPT} B a request to one endpoint, 1 against 1", sides(leaks, 1), None)
    few = pairs // 4
    for factor in (1.5, 2):
        more = [leaking(40_000 + int(1000 * factor) + seed, int(KEPT * factor)) for seed in range(few)]
        found = pairs_of(leaks, more, 1)
        yield row(
            f"the leak is {factor:g} times as large, 1 against 1: of the pool",
            found,
            worse("retained_bytes_per_request"),
        )
        yield row("– of the endpoint", found, worse("retained_bytes_per_request", "cart_add"))
    found = pairs_of(first, leaks, 1)
    yield row("the leak is new, 1 against 1: of the pool", found, worse("retained_bytes_per_request"))
    yield row("– of the endpoint", found, worse("retained_bytes_per_request", "cart_add"))
    for level in (1.03, 1.06, 1.1):
        larger = [multiplied(each, LEVELS, level) for each in second]
        for each in (1, 3):
            name = f"{100 * (level - 1):.0f} % more memory, {each} against {each}"
            yield row(name, pairs_of(first, larger, each), worse("floor_own"))
    slower = [multiplied(each, LATENCIES, 3) for each in second]
    for each in (1, 3, 5):
        yield row(f"three times as slow, {each} against {each}", pairs_of(first, slower, each), worse("p50"))


def drifts(same: Sequence[RunFacts]) -> Iterator[str]:
    yield "| case | pass / fail / cannot tell | – | found |"
    yield "|---|---|---|---|"
    for n in (5, 6, 8, 12):
        found = [drift(runs) for runs in grouped(same, n)]
        yield row(
            f"the same {n} times", found, lambda d: any(r.answer in (Answer.WORSE, Answer.BETTER) for r in d.rows)
        )
    for n in (5, 6, 8, 12):
        found = [drift([multiplied(each, LEVELS, 1.03**i) for i, each in enumerate(runs)]) for runs in grouped(same, n)]
        yield row(f"3 % more memory each run, {n} runs", found, worse("floor_own"))
    for n in (6, 8, 12):
        after = n * 2 // 3
        found = [
            drift([multiplied(each, LEVELS, 1.1 if i >= after else 1) for i, each in enumerate(runs)])
            for runs in grouped(same, n)
        ]
        yield row(f"10 % more memory from run {after + 1} on, {n} runs", found, worse("floor_own"))
        placed = sum(any(r.metric == "floor_own" and r.step_after == after - 1 for r in d.rows) for d in found)
        yield f"| – the step is put between run {after} and {after + 1} | – | – | {placed} of {len(found)} |"


def document(pairs: int) -> str:
    same = [run(seed) for seed in range(2 * pairs)]
    parts = [
        "### Two sides", "", *comparisons(same), "",
        "### Runs in order", "", "*Found*, where all are the same, is that something is said to drift.", "", *drifts(same), "",
    ]  # fmt: skip
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", type=Path, help="document to write the tables into")
    parser.add_argument("--pairs", type=int, default=200)
    arguments = parser.parse_args()
    text = document(arguments.pairs)
    if arguments.update is None:
        print(text)
        return
    page = arguments.update.read_text(encoding="utf-8")
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    arguments.update.write_text(f"{before}{BEGIN}\n{text}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
