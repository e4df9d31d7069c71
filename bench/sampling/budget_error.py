"""What the default budget costs and what error it causes in integrated PSS, on a tree that changes.

A C loop reads PSS of all processes several times a second: the reference, integrated by trapezoids. The sampler watches the
same tree at the same time; its values are integrated as the report uses them (harness/report/pools.py): each process counts
with its latest value, from its first one until it was last seen. What the interval alone would do is taken from the reference
at the sampler's own instants; the rest is the budget's.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sampler import DEFAULT, EVERYTHING, Sampler, sampling
from tables import spread, table
from tree import Shape, running

Key = tuple[int, int]
Floats = NDArray[np.float64]
Curve = tuple[Floats, Floats]  # s, bytes


class Plan(NamedTuple):
    """How much of it."""

    shape: Shape
    seconds: int
    interval_s: float
    reference_hz: int
    turns: int


class Watched(NamedTuple):
    """What a sampler said of one process: a value a sweep that saw it."""

    t_s: Floats
    pss: Floats  # NaN where it was not read
    rss: Floats


class Result(NamedTuple):
    """One turn. Errors are in percent of the reference's integral."""

    cpu_percent: float
    per_thousand_s: float
    read_percent: float
    interval_percent: float  # of the pool, had PSS been read in every sweep
    errors: dict[
        str, tuple[float, float, float, float]
    ]  # by method: pool, worst process, median process, mean distance


def latest(one: Watched) -> Floats:
    """As the report counts: the latest value."""
    known = np.maximum.accumulate(np.where(np.isnan(one.pss), -1, np.arange(one.pss.size)))
    return np.where(known >= 0, one.pss[known], np.nan)


def lines(one: Watched) -> Floats:
    """Straight lines between values, the last one kept."""
    read = ~np.isnan(one.pss)
    return np.where(np.isnan(latest(one)), np.nan, np.interp(one.t_s, one.t_s[read], one.pss[read]))


def with_rss(one: Watched) -> Floats:
    """The latest value plus what RSS has changed by since; never below 0."""
    then = latest(one._replace(pss=np.where(np.isnan(one.pss), np.nan, one.rss)))
    return np.maximum(0.0, latest(one) + one.rss - then)


METHODS: dict[str, Callable[[Watched], Floats]] = {
    "latest value": latest, "straight lines": lines, "latest value + change of RSS": with_rss
}  # fmt: skip


def steps(t_s: Floats, values: Floats) -> float:
    """Integral of values that hold until the next one; nothing where there is none yet."""
    return float(np.sum(np.diff(t_s) * np.nan_to_num(values[:-1])))


def trapezoids(curve: Curve, begin_s: float, end_s: float) -> float:
    """Integral of straight lines between the values. A process lived half a reading longer at both ends, on average."""
    t, v = curve
    half_s = float(np.median(np.diff(t))) / 2 if t.size > 1 else 0.0
    t, v = np.concatenate([[t[0] - half_s], t, [t[-1] + half_s]]), np.concatenate([v[:1], v, v[-1:]])
    begin_s, end_s = max(begin_s, t[0]), min(end_s, t[-1])
    if end_s <= begin_s:
        return 0.0
    inner = (t > begin_s) & (t < end_s)
    at = np.concatenate([[begin_s], t[inner], [end_s]])
    return float(np.trapezoid(np.interp(at, t, v), at))


def reference_of(output: str) -> dict[Key, Curve]:
    """PSS by process from what the C loop printed."""
    rows: dict[Key, list[tuple[float, float]]] = defaultdict(list)
    for line in output.splitlines():
        t_ns, pid, start, pss_kb, _ = map(int, line.split())
        if pss_kb:
            rows[pid, start].append((t_ns / 1e9, pss_kb * 1024.0))
    return {key: (np.array([t for t, _ in r]), np.array([v for _, v in r])) for key, r in rows.items()}


def watched_of(sampler: Sampler, ticks: Sequence[dict[str, Any]]) -> dict[Key, Watched]:
    """The sampler's rows by process."""
    rows: dict[Key, list[tuple[float, float, float]]] = defaultdict(list)
    for tick in ticks:
        rss = sampler.column(tick, "process.memory.rss")
        for key, pss in sampler.column(tick, "process.memory.pss").items():
            rows[key].append((tick["t"] / 1e9, *(np.nan if v is None else float(v) for v in (pss, rss[key]))))
    return {key: Watched(*np.array(r).T) for key, r in rows.items() if not all(np.isnan(pss) for _, pss, _ in r)}


def pool_at(at_s: Floats, curves: Iterable[Curve]) -> Floats:
    """Sum of curves at these times; each counts between its first and last time."""
    total = np.zeros(at_s.size)
    for t, v in curves:
        total += np.nan_to_num(np.interp(at_s, t, v, left=0.0, right=0.0))
    return total


def errors(
    method: Callable[[Watched], Floats], watched: Mapping[Key, Watched], reference: Mapping[Key, Curve], at_s: Floats
) -> tuple[float, float, float, float]:
    """In percent: of the pool's integral, of the worst and the median process's, and the mean distance of the pool's curves."""
    truth = sum(trapezoids(curve, at_s[0], at_s[-1]) for curve in reference.values())
    curves = {key: (one.t_s, method(one)) for key, one in watched.items()}
    pool = 100 * (sum(steps(*curve) for curve in curves.values()) - truth) / truth
    single = []
    for key, (t, v) in curves.items():
        if key in reference and t[-1] - t[0] > (at_s[-1] - at_s[0]) / 4:  # short-lived ones count in the pool only
            true = trapezoids(reference[key], t[0], t[-1])
            single.append(100 * abs(steps(t, v) - true) / true)
    distance = np.abs(pool_at(at_s, curves.values()) - pool_at(at_s, reference.values()))[1:-1]
    return pool, max(single), float(np.median(single)), 100 * float(np.mean(distance)) * (at_s[-1] - at_s[0]) / truth


def turn(plan: Plan, program: Path, budget_percent: float) -> Result:
    """One run of the changing tree with a sampler and the reference."""
    count = int(plan.seconds / plan.interval_s) + 1
    readings = (plan.seconds + 2) * plan.reference_hz
    with running(plan.shape) as tree:
        argv = [str(program), "follow", str(readings), str(1_000_000_000 // plan.reference_hz), str(tree.root)]
        # Into a file: a pipe that nobody reads meanwhile is full after 20 s, and the reference would wait.
        with tempfile.TemporaryFile("w+") as output, subprocess.Popen(argv, stdout=output) as reader:
            with sampling(tree.root, plan.interval_s, budget_percent) as sampler:
                ticks = list(sampler.ticks(count))
            reader.wait()
            output.seek(0)
            reference = reference_of(output.read())
    watched = watched_of(sampler, ticks)
    at_s = np.array([tick["t"] / 1e9 for tick in ticks])
    complete = {
        key: one._replace(pss=np.interp(one.t_s, *reference[key])) for key, one in watched.items() if key in reference
    }
    values = [v for tick in ticks[1:] for v in sampler.column(tick, "process.memory.pss").values()]
    cpu_s = (ticks[-1]["cpu"] - ticks[0]["cpu"]) / 1e9
    return Result(
        cpu_percent=100 * cpu_s / (at_s[-1] - at_s[0]),
        per_thousand_s=1000 * cpu_s / len(values),
        read_percent=100 * sum(v is not None for v in values) / len(values),
        interval_percent=errors(latest, complete, reference, at_s)[0],
        errors={name: errors(method, watched, reference, at_s) for name, method in METHODS.items()},
    )


def report(plan: Plan, program: Path) -> str:
    """The default budget and no budget, in turns, as Markdown."""
    found: dict[str, list[Result]] = {"default budget, 1 %": [], "no budget": []}
    for _ in range(plan.turns):
        for name, budget_percent in zip(found, (DEFAULT, EVERYTHING), strict=True):
            found[name].append(turn(plan, program, budget_percent))
    costs = [
        [
            name,
            spread([r.cpu_percent for r in results]),
            spread([r.per_thousand_s for r in results], 3),
            spread([r.read_percent for r in results], 0) + " %",
            spread([r.interval_percent for r in results]) + " %",
            spread([r.errors["latest value"][0] - r.interval_percent for r in results]) + " %",
        ]
        for name, results in found.items()
    ]
    accounts = [
        [f"{name}: {method}", *(spread([r.errors[method][i] for r in results]) + " %" for i in range(4))]
        for name, results in found.items()
        for method in METHODS
    ]
    return "\n\n".join(
        [
            f"{plan.shape}, changing; {plan.seconds} s at {plan.interval_s:g} s, {plan.turns} turns each; "
            f"reference at {plan.reference_hz} Hz:",
            table(
                [
                    "",
                    "CPU, % of a core",
                    "CPU s per 1000 process-samples",
                    "PSS read in that tick",
                    "error of the pool from the interval",
                    "error of the pool from the budget",
                ],
                costs,
            ),
            "Error of integrated PSS by the way values between two readings are filled in (the report takes the latest value):",
            table(["", "pool", "worst process", "median process", "mean distance of the pool's curves"], accounts),
        ]
    )
