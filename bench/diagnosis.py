"""Measure the diagnosis itself: false alarms, power, coverage of its intervals, and speed. Seeded: every run says the same.

python bench/diagnosis.py            all, about four minutes of one core
python bench/diagnosis.py speed      one part: trend, curves, runs or speed
"""

from __future__ import annotations

import math
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from timelines import App, simulate, six

from harness.correlate.build import correlate
from harness.diagnose.engine import diagnose
from harness.diagnose.growth import Shape, Yardstick, judge
from harness.diagnose.stats import trend
from harness.model.finding import Confidence
from harness.model.run import RawRun, Series

YARD = Yardstick(floor=96_000, quantum=1 << 20, doubt=1 << 20)


def wander(n: int, phi: float, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """AR(1) noise; a random walk with steps of ``sigma`` for phi = 1."""
    noise = rng.standard_normal(n) * sigma
    if phi == 1:
        return np.cumsum(noise)
    y = np.empty(n)
    y[0] = noise[0]
    for i in range(1, n):
        y[i] = phi * y[i - 1] + math.sqrt(1 - phi * phi) * noise[i]
    return y


def measure_trend() -> None:
    """False positives of the trend test, nominal 2.5 % one-sided."""
    rng = np.random.default_rng(1)
    print("\ntrend test, false positives (nominal 2.5 %)\n  phi    n=8   n=60  n=180")
    for phi in (0.0, 0.5, 0.8, 0.95):
        rates = [np.mean([trend(wander(n, phi, 1, rng)).z > 1.96 for _ in range(400)]) for n in (8, 60, 180)]
        print(f"  {phi:4.2f}" + "".join(f"  {100 * r:4.1f}%" for r in rates))


def measure_curves() -> None:
    """Verdicts on the floors of a pool, without the rest of a run."""
    rng = np.random.default_rng(2)
    print("\nfloors of a healthy pool, 1000 each: called growing / slowing or settled / unclear / flat")
    for phi in (0.0, 0.5, 0.8, 0.95, 1.0):
        for rounds in (7, 8, 12):
            counts = Counter(judge(1e8 + wander(rounds, phi, 1e6, rng), YARD).shape for _ in range(1000))
            dying = counts[Shape.SLOWING] + counts[Shape.SETTLED]
            row = (counts[Shape.LINEAR], dying, counts[Shape.UNCLEAR], counts[Shape.FLAT])
            print(f"  phi {phi:4.2f}  {rounds:2} rounds  " + " / ".join(f"{100 * c / 1000:5.1f}%" for c in row))
    print("\na steady leak in multiples of the MDL, 300 each, 8 rounds: called growing / flat")
    for multiple in (0.5, 1.0, 1.5, 2.0, 3.0):
        for phi in (0.0, 0.5, 1.0):
            counts = Counter()
            for _ in range(300):
                noise = 1e8 + wander(8, phi, 2e6, rng)
                leak = multiple * judge(noise, YARD).mdl_per_round
                counts[judge(noise + leak * np.arange(8), YARD).shape] += 1
            print(
                f"  {multiple:3.1f} MDL  phi {phi:3.1f}  {counts[Shape.LINEAR] / 3:5.1f}% / {counts[Shape.FLAT] / 3:5.1f}%"
            )
    print("\na cache filling geometrically, increment times q a round (first 8 MB, noise 0.1 MB), 200 each")
    for q in (0.3, 0.5, 0.7, 0.8, 0.9, 0.95):
        fill = np.cumsum([0, *(8e6 * q**i for i in range(7))])
        counts = Counter(judge(1e8 + fill + wander(8, 0.3, 1e5, rng), YARD).shape.value for _ in range(200))
        print(f"  q {q:4.2f}  " + ", ".join(f"{name} {n / 2:.0f}%" for name, n in counts.most_common()))


def measure_runs() -> None:
    """Whole simulated runs of 4 workers and 6 endpoints, through correlation and diagnosis."""

    def verdicts(
        count: int, make: Callable[[int], App]
    ) -> tuple[Counter[str], list[tuple[float | None, str | None, bool]]]:
        causes: Counter[str] = Counter()
        details = []
        for seed in range(count):
            found = diagnose(correlate(simulate(make(seed))))
            first = found.findings[0]
            causes[first.cause.value] += 1
            covered = first.growth.ci95 is not None and first.growth.ci95[0] <= 8000 <= first.growth.ci95[1]
            confident = first.confidence is Confidence.HIGH
            causes["(high confidence)"] += confident
            details.append((first.growth.bytes_per_request, first.subject.endpoint, covered))
        return causes, details

    small = {"requests": 240, "blocks": 6, "warmup": 1}
    print("\nwhole runs, healthy, 100 each")
    for noise, phi in ((20e3, 0.5), (200e3, 0.5), (200e3, 1.0), (1e6, 0.8)):
        causes, _ = verdicts(100, lambda seed, n=noise, p=phi: App(noise_bytes=n, phi=p, seed=seed, **small))
        print(f"  noise {noise / 1e3:5.0f} kB per worker, phi {phi:3.1f}: {dict(causes.most_common())}")
    print("\nwhole runs, 8000 B kept by each request to 1 of 6 endpoints, 100 each")
    for noise, blocks in ((20e3, True), (20e3, False), (60e3, True)):
        causes, details = verdicts(
            100,
            lambda seed, n=noise, b=blocks: App(
                endpoints=six(login={"leak_bytes": 8000, "leak_blocks": 4}),
                noise_bytes=n,
                with_blocks=b,
                seed=seed,
                **{**small, "requests": 600},
            ),
        )
        named = [d for d in details if d[1] == "login"]
        wrong = sum(d[1] not in ("login", None) for d in details)
        errors = [abs((d[0] or 0) - 8000) / 8000 for d in named]
        print(
            f"  noise {noise / 1e3:3.0f} kB, counts {blocks!s:5}: {dict(causes.most_common())}; endpoint right {len(named)}, "
            f"wrong {wrong}, within 15 % {sum(e <= 0.15 for e in errors)}, interval covers {sum(d[2] for d in named)}"
        )


def measure_speed() -> None:
    """A run of 1e6 samples, 1e5 requests and records."""
    raw = _widen(
        simulate(App(endpoints=six(login={"leak_bytes": 8000, "leak_blocks": 4}), requests=10_000, rounds=8, workers=8))
    )
    samples = sum(s.t_ns.size for s in raw.series.values())
    began = time.perf_counter()
    timeline = correlate(raw)
    joined = time.perf_counter()
    found = diagnose(timeline)
    done = time.perf_counter()
    print(
        f"\nspeed: {samples:,} samples, {len(raw.spans):,} requests: correlate {joined - began:.2f} s, "
        f"diagnose {done - joined:.2f} s ({found.verdict.cause}, {found.findings[0].subject.endpoint})"
    )


def _widen(raw: RawRun) -> RawRun:
    """The same run sampled far more often: points between the sweeps that only the report's charts would use."""
    per_series = 1_000_000 // len(raw.series)
    series = {}
    for key, old in raw.series.items():
        t = np.union1d(old.t_ns, np.linspace(old.t_ns[0], old.t_ns[-1], per_series, dtype=np.int64))
        values = old.values[np.searchsorted(old.t_ns, t, side="right") - 1]
        series[key] = Series(old.metric, old.process, t, values)
    fields = {name: getattr(raw, name) for name in RawRun.__dataclass_fields__}
    return RawRun(**{**fields, "series": series})


PARTS = {"trend": measure_trend, "curves": measure_curves, "runs": measure_runs, "speed": measure_speed}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
