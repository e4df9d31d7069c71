"""Measure the diagnosis itself: false alarms, power, coverage of its intervals, wrong names, and speed.

python bench/diagnosis.py                                 print all tables
python bench/diagnosis.py trend noise                     some of them; --list names them
python bench/diagnosis.py --update docs/statistics.md     write the document (about five minutes of one core)

Seeded: the same version says the same every time. Speed is printed only.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from floors import MB, MIB, Make, Rates, decay, drift, in_pieces, leaking, noise, rates, sawtooth, staircase
from timelines import App, simulate, six

from harness.correlate.build import correlate
from harness.diagnose.engine import diagnose
from harness.diagnose.growth import Shape
from harness.diagnose.stats import mean_test, minimum_detectable_slope, student_t_quantile, trend
from harness.diagnose.steps import steps
from harness.model.finding import Cause, Confidence, Finding
from harness.model.run import RawRun, Series

ROUNDS = (8, 12, 20)
QUIET = 0.1 * MB  # noise of a floor that is hardly there: shapes are told apart by their curve
LEAK = 1 * MB
SHAPES = "growing / slowing / settled / unclear / flat"


@dataclass(frozen=True)
class Table:
    """A table of the document with what it means."""

    title: str
    text: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def percent(value: float) -> str:
    return f"{value:.1f} %"


def five(found: Rates) -> str:
    """``93.0 / 3.7 / 0.3 / 3.0 / 0``, in per cent."""
    order = (Shape.LINEAR, Shape.SLOWING, Shape.SETTLED, Shape.UNCLEAR, Shape.FLAT)
    return " / ".join(f"{found.percent(shape):.1f}".removesuffix(".0") for shape in order)


def by_rounds(
    cases: Sequence[tuple[str, Callable[[int], Make], float]], runs: int, seed: int
) -> tuple[tuple[str, ...], ...]:
    """A row for each case: (name, maker for so many rounds, leak that is in it)."""
    return tuple(
        (name, *(five(rates(make(n), runs, seed, leak)) for n in ROUNDS)) for name, make, leak in cases
    )  # fmt: skip


HEAD = ("case", *(f"{n} rounds" for n in ROUNDS))


def table_trend() -> Table:
    rng = np.random.default_rng(1)
    rows = []
    for phi in (0.0, 0.5, 0.8, 0.95, 1.0):
        row = [100 * np.mean([trend(noise(n, phi, 1, rng)).z > 1.96 for _ in range(400)]) for n in (8, 20, 60, 180)]
        rows.append(("random walk" if phi == 1 else f"AR(1) {phi:g}", *(percent(value) for value in row)))
    return Table(
        "The trend test",
        "Mann-Kendall, corrected for the lag-1 autocorrelation of what is left after taking the slope out. How often "
        "it calls noise "
        "rising; nominal 2.5 % (one-sided), 400 series each. For a random walk it is no test at all, and with eight "
        "values it is too "
        "bold from 0.95 on: that is why it is printed and never decides.",
        ("noise", "n = 8", "20", "60", "180"),
        tuple(rows),
    )


def table_increments() -> Table:
    rng = np.random.default_rng(2)
    rows = []
    kinds: tuple[tuple[str, Callable[[int], np.ndarray]], ...] = (
        *((f"levels AR(1) {phi:g}", lambda n, p=phi: noise(n, p, 1, rng)) for phi in (0.0, 0.5, 0.95)),
        ("random walk", lambda n: noise(n, 1, 1, rng)),
        *((f"increments AR(1) {phi:g}", lambda n, p=phi: drift(n, p, 1, rng)) for phi in (0.3, 0.5, 0.8)),
    )
    for name, make in kinds:
        row = []
        for n in ROUNDS:
            needed = student_t_quantile(0.995, n - 2)
            row.append(100 * np.mean([mean_test(np.diff(make(n))).t >= needed for _ in range(4000)]))
        rows.append((name, *(f"{value:.2f} %" for value in row)))
    return Table(
        "The test of the increments",
        "Student's test of the mean increment, which decides: how often it calls noise rising. Nominal 0.5 % "
        "(one-sided), 4000 series "
        "each. It holds for a random walk, the hardest noise there is whose steps do not depend on each other. It "
        "does not hold "
        "where increments do: noise that goes the same way for several rounds is growth for as long as it does. The "
        "other "
        "conditions (the size of the increments, quanta) take away some of these, see below.",
        ("noise", *(f"{n} rounds" for n in ROUNDS)),
        tuple(rows),
    )


def table_noise() -> Table:
    cases: list[tuple[str, Callable[[int], Make], float]] = []
    for sigma in (0.05 * MB, 0.2 * MB, 1 * MB):
        for phi in (0.0, 0.5, 0.95, 1.0):
            name = "random walk, steps of" if phi == 1 else f"AR(1) {phi:g}, deviation"
            cases.append((f"{name} {sigma / MB:g} MB", lambda n, p=phi, s=sigma: lambda r: noise(n, p, s, r), 0.0))
    cases += [
        (f"increments AR(1) {phi:g}, 1 MB", lambda n, p=phi: lambda r: drift(n, p, MB, r), 0.0) for phi in (0.5, 0.8)
    ]
    return Table(
        "Healthy noise",
        f"What is said of a pool that does not grow: {SHAPES}, in per cent of 500 series each. The yardstick is that "
        f"of four workers: "
        "96 kB a round, quanta of 1 MiB.",
        HEAD,
        by_rounds(cases, 500, 3),
    )


def table_leaks() -> Table:
    rows = []
    for multiple in (0.5, 1.0, 1.5, 2.0, 3.0):
        for phi, name in ((0.0, "AR(1) 0"), (0.5, "AR(1) 0.5"), (1.0, "random walk")):
            row = [f"{multiple:g} MDL, {name}"]
            for n in ROUNDS:
                found, _ = leaking(n, phi, 2 * MB, multiple, 300, 4)
                row.append(
                    f"{found.percent(Shape.LINEAR):.0f} / {found.percent(Shape.FLAT, Shape.SETTLED):.1f} / "
                    f"{found.blind}"
                )
            rows.append(tuple(row))
    return Table(
        "Leaks in multiples of the MDL",
        "A steady leak beside noise of 2 MB: called growing / called healthy (flat or settled), in per cent of 300 "
        "series each / how many "
        "of these were healthy with a printed MDL below the leak, which should be none. The rest is unclear or "
        "slowing. At 1 MDL "
        "the first number is the power of the printed MDL, said to be about 90 %.",
        HEAD,
        tuple(rows),
    )


def table_warm_up() -> Table:
    def quiet(curve: Callable[[int], np.ndarray]) -> Callable[[int], Make]:
        return lambda n: lambda r: curve(n) + noise(n, 0.3, QUIET, r)

    cases: list[tuple[str, Callable[[int], Make], float]] = [
        (f"cache, each increment {q:g} of the one before", quiet(lambda n, q=q: decay(n, 8 * MB, q)), 0.0)
        for q in (0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
    ]
    for share, name in ((0.25, "a quarter"), (0.5, "half"), (0.75, "three quarters")):
        fill = lambda n, s=share: 4 * MB * np.minimum(np.arange(n), round(s * n))  # noqa: E731  # one line of the table
        cases.append((f"bounded cache, full after {name} of the rounds", quiet(fill), 0.0))
    cases += [
        ("bounded cache, full before the last round", quiet(lambda n: 4 * MB * np.minimum(np.arange(n), n - 2)), 0.0),
        ("grows with the logarithm of time", quiet(lambda n: 10 * MB * np.log1p(np.arange(n))), 0.0),
        ("grows with the root of time", quiet(lambda n: 5 * MB * np.sqrt(np.arange(n))), 0.0),
    ]
    for q in (0.3, 0.5, 0.7):
        for first in (8 * MB, 30 * MB):
            both = lambda n, q=q, f=first: decay(n, f, q) + LEAK * np.arange(n)  # noqa: E731
            cases.append((f"warm-up ({q:g}, first {first / MB:g} MB) and a leak of 1 MB a round", quiet(both), LEAK))
    return Table(
        "Caches that fill, and leaks behind a warm-up",
        f"{SHAPES}, in per cent of 200 series each, noise 0.1 MB. A cache that still fills is never healthy, and one "
        f"that fills by 5 % less "
        "a round is growth for eight rounds (medium confidence at most). A leak behind a warm-up is slowing until "
        "enough rounds "
        "follow the decay, then growing.",
        HEAD,
        by_rounds(cases, 200, 5),
    )


def table_steps() -> Table:
    def at(share: float, size: float, sigma: float) -> Callable[[int], Make]:
        return lambda n: lambda r: size * (np.arange(n) > round(share * (n - 2))) + noise(n, 0.3, sigma, r)

    cases: list[tuple[str, Callable[[int], Make], float]] = [
        (f"one step of {size / MB:g} MB {where}, noise {sigma / MB:g} MB", at(share, size, sigma), 0.0)
        for size, sigma in ((20 * MB, 0.1 * MB), (20 * MB, MB), (3 * MB, 0.3 * MB))
        for share, where in ((0, "first"), (0.5, "half way"), (1, "last"))
    ]
    cases += [
        (f"{jumps} steps", lambda n, j=jumps: lambda r: staircase(n, j, r) + noise(n, 0.3, QUIET, r), 0.0)
        for jumps in (2, 3)
    ]
    cases += [
        (
            f"{jumps} step{'s' * (jumps > 1)} and a leak of 1 MB a round",
            lambda n, j=jumps: lambda r: staircase(n, j, r) + LEAK * np.arange(n) + noise(n, 0.3, QUIET, r),
            LEAK,
        )
        for jumps in (1, 2, 3)
    ]
    return Table(
        "Steps",
        f"{SHAPES}, in per cent of 200 series each. One step is an event. Several are no slope, but they may be a "
        f"leak that shows in "
        "large pieces, so they are unclear; a leak beside them is found.",
        HEAD,
        by_rounds(cases, 200, 6),
    )


def table_false_steps() -> Table:
    rng = np.random.default_rng(7)
    rows = []
    for phi, name in ((0.0, "AR(1) 0"), (0.95, "AR(1) 0.95"), (1.0, "random walk")):
        found = [100 * np.mean([bool(steps(noise(n, phi, 1, rng)).steps) for _ in range(2000)]) for n in ROUNDS]
        rows.append((name, *(f"{value:.2f} %" for value in found)))
    return Table(
        "Steps in noise", "How often noise is said to have a step, 2000 series each.", ("noise", *HEAD[1:]), tuple(rows)
    )


def table_sawtooth() -> Table:
    def tooth(amplitude: float, period: Callable[[int], float], leak: float = 0.0) -> Callable[[int], Make]:
        return lambda n: lambda r: sawtooth(n, amplitude, period(n), r) + leak * np.arange(n) + noise(n, 0.3, QUIET, r)

    cases: list[tuple[str, Callable[[int], Make], float]] = [
        (f"{amplitude / MB:g} MB, collected every {period:g} rounds", tooth(amplitude, lambda _, p=period: p), 0.0)
        for amplitude in (2 * MB, 10 * MB)
        for period in (2.3, 3.7, 6.5)
    ]
    cases += [
        ("10 MB, collected once in the run", tooth(10 * MB, lambda n: 0.9 * n), 0.0),
        ("10 MB, collected once in two such runs", tooth(10 * MB, lambda n: 2.0 * n), 0.0),
        ("2 MB every 3.7 rounds and a leak of 1 MB a round", tooth(2 * MB, lambda _: 3.7, LEAK), LEAK),
        ("10 MB every 3.7 rounds and a leak of 1 MB a round", tooth(10 * MB, lambda _: 3.7, LEAK), LEAK),
    ]
    return Table(
        "Garbage that is collected now and then",
        f"{SHAPES}, in per cent of 200 series each. Floors alone cannot tell garbage that is not collected within the "
        f"run from a leak: "
        "asking for a collection can (`probe.collect`), and without it confidence is medium at most.",
        HEAD,
        by_rounds(cases, 200, 8),
    )


def table_pieces() -> Table:
    cases: list[tuple[str, Callable[[int], Make], float]] = [
        (
            f"{leak:g} MiB a round in pieces of {piece} MiB",
            lambda n, leak=leak, p=piece: lambda r: in_pieces(n, leak * MIB, p * MIB, r) + noise(n, 0.3, 0.02 * MB, r),
            leak * MIB,
        )
        for piece in (1, 2)
        for leak in (0.3, 0.5, 0.8, 1.5)
    ]
    return Table(
        "Leaks that show in pieces",
        f"{SHAPES}, in per cent of 200 series each, judged with a quantum of 1 MiB. With eight rounds the MDL is at "
        f"least 3/7 MiB, with "
        "twelve 3/11.",
        HEAD,
        by_rounds(cases, 200, 9),
    )


def table_intervals() -> Table:
    rows = []
    for phi, name in ((0.0, "AR(1) 0"), (0.5, "AR(1) 0.5"), (0.95, "AR(1) 0.95"), (1.0, "random walk")):
        cover = [100 * leaking(n, phi, 2 * MB, 2.0, 300, 10)[1] for n in ROUNDS]
        rng = np.random.default_rng(11)
        fits = [trend(noise(60, phi, 1, rng) + 0.1 * np.arange(60)) for _ in range(300)]
        long = 100 * np.mean([fit.low <= 0.1 <= fit.high for fit in fits])
        rows.append((name, *(percent(value) for value in cover), percent(float(long))))
    return Table(
        "Coverage of intervals",
        "How often the 95 % interval of the growth per round holds the true one: of leaks of 2 MDL that were called "
        "growing, 300 series "
        "each; last column: Sen's interval alone, 60 values.",
        ("noise", *HEAD[1:], "n = 60, Sen"),
        tuple(rows),
    )


def table_long_mdl() -> Table:
    rng = np.random.default_rng(12)
    rows = []
    for phi in (0.0, 0.5, 0.8):
        row = []
        for n in (60, 180):
            slope = minimum_detectable_slope(1, n, phi)
            row.append(
                100 * np.mean([trend(noise(n, phi, 1, rng) + slope * np.arange(n)).z > 1.96 for _ in range(300)])
            )
        rows.append((f"AR(1) {phi:g}", *(percent(value) for value in row)))
    return Table(
        "Power of the trend test at its own MDL",
        "`minimum_detectable_slope` for 90 % power, 300 series each. The correction for autocorrelation costs some of "
        "it.",
        ("noise", "n = 60", "n = 180"),
        tuple(rows),
    )


SMALL = {"requests": 240, "blocks": 6, "warmup": 1}
LARGE = {"requests": 600, "blocks": 10, "warmup": 1}


def verdicts(count: int, make: Callable[[int], App]) -> list[Finding]:
    """The first finding of each run."""
    return [diagnose(correlate(simulate(make(seed)))).findings[0] for seed in range(count)]


def is_leak(finding: Finding) -> bool:
    return finding.cause is Cause.LEAK or finding.cause.value.startswith("leak.")


def table_healthy_runs() -> Table:
    rows = []
    for kilobytes, phi in ((20, 0.5), (200, 0.5), (200, 1.0), (1000, 0.8)):
        found = verdicts(60, lambda seed, s=kilobytes * 1e3, p=phi: App(noise_bytes=s, phi=p, seed=seed, **SMALL))
        causes = Counter(finding.cause.value for finding in found)
        name = "random walk" if phi == 1 else f"AR(1) {phi:g}"
        told = ", ".join(f"{cause} {number}" for cause, number in causes.most_common())
        rows.append((f"{kilobytes} kB a worker, {name}", str(sum(map(is_leak, found))), told))
    return Table(
        "Whole runs that do not leak",
        "Four workers, six endpoints, eight rounds; 60 runs each, through correlation and diagnosis.",
        ("noise", "called a leak", "verdicts"),
        tuple(rows),
    )


def table_endpoints() -> Table:
    rows = []
    for kilobytes in (20, 60, 200):
        for kept in (2000, 8000):
            found = verdicts(
                60,
                lambda seed, s=kilobytes * 1e3, k=kept: App(
                    endpoints=six(login={"leak_bytes": k, "leak_blocks": 4}), noise_bytes=s, seed=seed, **LARGE
                ),
            )
            named = [f for f in found if f.subject.endpoint == "login"]
            wrong = sum(f.subject.endpoint not in ("login", None) for f in found)
            held = sum(f.growth.ci95 is not None and f.growth.ci95[0] <= kept <= f.growth.ci95[1] for f in named)
            near = sum(abs((f.growth.bytes_per_request or 0) - kept) <= 0.15 * kept for f in named)
            sure = sum(f.confidence is Confidence.HIGH for f in found)
            rows.append(
                (f"{kept} B, {kilobytes} kB a worker", str(sum(map(is_leak, found))), str(len(named)), str(wrong),
                 f"{near} of {len(named)}", f"{held} of {len(named)}", str(sure))
            )  # fmt: skip
    return Table(
        "Which endpoint",
        "One of six endpoints keeps so much; four workers, eight rounds of 600 requests in ten blocks, AR(1) 0.5; 60 "
        "runs each. A wrong name "
        "would be the worst of these; no name is given where it is not certain.",
        (
            "kept by each request, noise",
            "called a leak",
            "endpoint right",
            "wrong",
            "within 15 %",
            "interval holds it",
            "high confidence",
        ),
        tuple(rows),
    )


def table_none_to_blame() -> Table:
    alike = six(**{name: {"leak_bytes": 2000} for name in ("home", "search", "item", "cart_add", "login", "about")})
    cases: tuple[tuple[str, Callable[[int], App]], ...] = (
        ("every request keeps 2000 B, whatever the endpoint", lambda seed: App(endpoints=alike, seed=seed, **LARGE)),
        (
            "a worker keeps 100 kB a second, whatever is asked",
            lambda seed: App(bytes_per_second=100_000, seed=seed, **LARGE),
        ),
    )
    rows = []
    for name, make in cases:
        found = verdicts(60, make)
        blamed = sum(f.subject.endpoint is not None for f in found)
        rows.append((name, str(sum(map(is_leak, found))), str(blamed)))
    return Table(
        "Growth that is no endpoint's",
        "60 runs each, noise 20 kB a worker: how often an endpoint is blamed all the same.",
        ("case", "called a leak", "an endpoint blamed"),
        tuple(rows),
    )


TABLES: dict[str, Callable[[], Table]] = {
    "trend": table_trend,
    "increments": table_increments,
    "noise": table_noise,
    "leaks": table_leaks,
    "warm-up": table_warm_up,
    "steps": table_steps,
    "false-steps": table_false_steps,
    "sawtooth": table_sawtooth,
    "pieces": table_pieces,
    "intervals": table_intervals,
    "long-mdl": table_long_mdl,
    "healthy-runs": table_healthy_runs,
    "endpoints": table_endpoints,
    "none-to-blame": table_none_to_blame,
}

INTRODUCTION = """# How often the diagnosis is wrong

This file is written by `python bench/diagnosis.py --update docs/statistics.md`, with the version of the diagnosis beside it.
Everything is made up and seeded: floors and whole runs whose truth is known, so that a share of wrong answers can be counted.
What is measured on real applications is another matter ([specimens](accuracy.md)). How a verdict is reached:
[diagnosis](diagnosis.md).

Words: a *series* is what is judged, the floors of a pool after each round. *growing* is a steady growth that becomes a
finding; *slowing* still grows, ever less, and is inconclusive; *settled* grew at first and has stopped; *unclear* moves more
than it can be judged by, and is inconclusive; *flat* does not grow by as much as the printed MDL. Settled and flat are
healthy, or a warm-up.

With 300 series a count of 0 means less than 1 % (with 95 % confidence), with 500 less than 0.6 %, with 60 less than 5 %.
"""

WEAKNESSES = """## What it gets wrong, and knows it

- Noise that goes one way for most of the run is growth for as long as it does: increments that depend on each other (0.8 from
  one round to the next) are called growing in nine of a hundred runs of eight rounds, in five with twelve, and in one with
  twenty. More rounds are the remedy.
- Garbage that is collected less than once in a run is the same to floors. The diagnosis asks the runtime for a collection
  where it can, and is never sure where it cannot.
- Several steps without a slope between them are unclear for good: they may be events, or a leak that shows in large pieces.
- One floor that is wrong by 10 MB hides a leak of 1 MB a round in eight rounds. The printed MDL then is far above the leak,
  and healthy is refused because of it.
- Growth that sets in half way, or that gets faster, is unclear: its increments differ too much for a steady rate.
"""


def document(tables: Sequence[Table]) -> str:
    """The whole file."""
    parts = [INTRODUCTION]
    for table in tables:
        head = f"| {' | '.join(table.head)} |\n|{'---|' * len(table.head)}"
        body = "\n".join(f"| {' | '.join(row)} |" for row in table.rows)
        parts.append(f"## {table.title}\n\n{wrapped(table.text)}\n\n{head}\n{body}\n")
    return "\n".join([*parts, WEAKNESSES])


def wrapped(text: str, columns: int = 126) -> str:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > columns:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return "\n".join(lines)


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*TABLES, "speed", []], help="tables to print; all when left out")
    parser.add_argument("--update", type=Path, metavar="FILE", help="write the document instead")
    parser.add_argument("--list", action="store_true", help="the names of the tables")
    asked = parser.parse_args()
    if asked.list:
        print("\n".join([*TABLES, "speed"]))
    elif asked.update is not None:
        asked.update.write_text(document([make() for make in TABLES.values()]), encoding="utf-8")
    else:
        for part in asked.parts or [*TABLES, "speed"]:
            if part == "speed":
                measure_speed()
            else:
                table = TABLES[part]()
                print(f"\n{table.title}\n  " + " | ".join(table.head))
                print("\n".join("  " + " | ".join(row) for row in table.rows), flush=True)


if __name__ == "__main__":
    main()
