"""Measure which endpoint is blamed, with what bytes and what interval, on made-up runs of ten endpoints. Seeded.

python bench/endpoints.py            all cases, 300 runs each: about a quarter of an hour of two cores
python bench/endpoints.py 60 recycled    60 runs of the cases whose name holds the word
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from timelines import App, Endpoint, simulate

from harness.correlate.build import correlate
from harness.diagnose.attribution import Attribution, attribute_private
from harness.diagnose.pool import pools_of

USUAL = App(workers=4, rounds=8, blocks=5, warmup=1, requests=1000, idle_s=2, with_blocks=False)
LIVE = replace(USUAL, allocators=True, live_noise_bytes=3000)
GARBAGE = replace(LIVE, collector=True)
# Requests come as they please, 10 minutes at 40/s.
FLOW = replace(LIVE, flows=True, rounds=12, requests=2000, idle_s=0)
PARTS = replace(FLOW, parts=4)


def _filling(requests: int) -> float:
    """Bytes in the caches of a worker: 4 MB when they are full, two thirds of that after 2000 requests."""
    return 4e6 * (1 - math.exp(-requests / 2000))


Leaks = Mapping[int, Mapping[str, int]]


@dataclass(frozen=True)
class Case:
    """An application, and what some of its ten endpoints keep (index -> fields of `timelines.Endpoint`)."""

    name: str
    app: App
    leaks: Leaks = field(default_factory=dict)
    cycles: int = 0  # containers of garbage that a request to the last endpoint leaves behind
    drift: Mapping[int, float] = field(
        default_factory=dict
    )  # weights that some endpoints have in the end; 1 at the start

    def run(self, seed: int) -> tuple[Attribution, dict[str, float]]:
        """The split, and what each endpoint keeps in truth."""
        endpoints = [Endpoint(f"e{i}", **self.leaks.get(i, {})) for i in range(10)]
        endpoints[-1] = replace(endpoints[-1], cycles=self.cycles)
        for index, weight in self.drift.items():
            endpoints[index] = replace(endpoints[index], last_weight=weight)
        (pool,) = pools_of(correlate(simulate(replace(self.app, endpoints=tuple(endpoints), seed=seed))))
        truth = {e.name: (e.leak_bytes + e.native_bytes + e.mapped_bytes) / e.every for e in endpoints}
        return attribute_private(pool), truth


ONE = {3: {"leak_bytes": 1024}}
CASES = (
    Case("healthy, pages", USUAL),
    Case("healthy, live bytes", LIVE),
    Case("1 KiB, live bytes, 2 workers", replace(LIVE, workers=2), ONE),
    Case("1 KiB, live bytes, 4 workers", LIVE, ONE),
    Case("1 KiB, live bytes, 8 workers", replace(LIVE, workers=8), ONE),
    Case("1 KiB, pages, 2000 requests a round", replace(USUAL, requests=2000), ONE),
    Case("2 KiB, pages", USUAL, {3: {"leak_bytes": 2048}}),
    Case("4 KiB, pages that wander like a random walk", replace(USUAL, phi=1.0), {3: {"leak_bytes": 4096}}),
    Case("4 KiB by mmap", LIVE, {3: {"mapped_bytes": 4096}}),
    Case("8 KiB and 1 KiB, live bytes", LIVE, {3: {"leak_bytes": 8192}, 5: {"leak_bytes": 1024}}),
    Case("20 and 5 kB, pages", USUAL, {3: {"leak_bytes": 20_000}, 5: {"leak_bytes": 5000}}),
    Case("1.5 kB in 12 containers beside garbage", GARBAGE, {3: {"leak_bytes": 1500, "leak_containers": 12}}, 25),
    Case("200 KiB in one of 100 requests", replace(USUAL, with_blocks=True),
         {3: {"leak_bytes": 204_800, "leak_blocks": 400, "every": 100}}),
    Case("6 kB, recycled after 300 requests", replace(LIVE, most_requests=300, young=2_000_000), {3: {"leak_bytes": 6000}}),
    Case("30 kB/s with time, pages", replace(USUAL, bytes_per_second=30_000)),
    Case("30 kB/s with time, live bytes", replace(LIVE, bytes_per_second=30_000)),
    Case("both: 30 kB/s and 4 KiB", replace(LIVE, bytes_per_second=30_000), {3: {"leak_bytes": 4096}}),
    Case("flow, healthy, live bytes", FLOW),
    Case("flow, 1 KiB, live bytes", FLOW, ONE),
    Case("flow, 1 KiB, live bytes, mix drifts", FLOW, ONE, drift={3: 0.3, 5: 3.0}),
    Case("flow, 1 KiB, one worker, a floor a slice", replace(FLOW, workers=1), ONE),
    Case("flow, 1 KiB, one worker", replace(PARTS, workers=1), ONE),
    Case("flow, 1 KiB, endpoints with a worker each", replace(PARTS, routed=True), ONE),
    Case("flow, 30 kB/s in one worker, endpoints with a worker each",
         replace(PARTS, routed=True, bytes_per_second=30_000, in_first_only=True)),
    Case("flow, 4 KiB, pages", replace(FLOW, allocators=False), {3: {"leak_bytes": 4096}}),
    Case("flow, 1.5 kB in 12 containers beside garbage", replace(FLOW, collector=True),
         {3: {"leak_bytes": 1500, "leak_containers": 12}}, 25),
    Case("flow, 30 kB/s with time, mix drifts", replace(FLOW, bytes_per_second=30_000), drift={3: 0.3, 5: 3.0}),
    Case("flow, caches fill, mix drifts", replace(FLOW, extra=_filling), drift={3: 0.3, 5: 3.0}),
)  # fmt: skip


def _run(index: int, seed: int) -> tuple[Attribution, dict[str, float]]:
    """In a process of its own; cases hold functions, which cannot be sent there."""
    return CASES[index].run(seed)


def measure(case: Case, runs: int, workers: ProcessPoolExecutor) -> str:
    """A row of the table."""
    guilty = {f"e{i}" for i in case.leaks}
    named, driven, missed, covered, near = Counter[str](), Counter[str](), 0, [], []
    others = wrong = 0
    for found, truth in workers.map(partial(_run, CASES.index(case)), range(runs), chunksize=5):
        proven = {e.endpoint for e in found.leading()}
        named["none" if found.dominant is None else found.dominant.endpoint] += 1
        wrong += found.dominant is not None and found.dominant.endpoint not in guilty
        driven[found.driven.by.value] += 1
        missed += not guilty <= proven
        others += bool(proven - guilty)
        for e in found.endpoints:
            if e.endpoint in guilty:
                covered.append(e.ci95[0] <= truth[e.endpoint] <= e.ci95[1])
                near.append(abs(e.bytes_per_request / truth[e.endpoint] - 1) <= 0.15)
    percent = partial(_percent, runs)
    shares = "– | – | –" if not guilty else f"{percent(runs - missed)} | {_mean(covered)} | {_mean(near)}"
    told = " / ".join(percent(driven[by]) for by in ("requests", "time", "unknown"))
    return f"| {case.name} | {percent(runs - named['none'] - wrong)} | {percent(wrong)} | {percent(others)} | {shares} | {told} |"


def _percent(runs: int, count: int) -> str:
    return f"{100 * count / runs:.3g} %"


def _mean(values: list[bool]) -> str:
    return f"{100 * float(np.mean(values)):.3g} %"


def main(arguments: list[str]) -> None:
    """The table, in Markdown."""
    runs = int(arguments.pop(0)) if arguments and arguments[0].isdigit() else 300
    columns = ("run", "named right", "named wrong", "another proven", "all proven", "interval covers", "within 15 %")
    print(f"| {' | '.join(columns)} | driven by requests / time / unknown |")
    print("|---|---|---|---|---|---|---|---|")
    with ProcessPoolExecutor(2) as workers:
        for case in CASES:
            if not arguments or any(word in case.name for word in arguments):
                print(measure(case, runs, workers), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
