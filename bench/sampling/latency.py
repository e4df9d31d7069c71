"""What sampling does to the latency of a service with 2 GiB in use: off, default budget, and PSS in every tick, in turns."""

from __future__ import annotations

import contextlib
import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from commands import HERE, run
from sampler import DEFAULT, EVERYTHING, sampling
from tables import spread, table

OFF, BUDGET, EVERY = "off", "default budget", "PSS in every tick"
ORDER = (OFF, BUDGET, OFF, EVERY)


class Plan(NamedTuple):
    """How much of it."""

    memory_mib: int
    rate: int  # requests a second
    seconds: int  # a segment
    turns: int  # of off, budget, off, every tick
    interval_s: float = 1.0


class Segment(NamedTuple):
    """Latencies in ms."""

    p50: float
    p99: float
    p999: float
    worst: float


@contextlib.contextmanager
def serving(memory_mib: int) -> Iterator[tuple[int, int]]:
    """(pid, port) of the service."""
    argv = [sys.executable, "-I", "-S", str(HERE / "server.py"), str(memory_mib)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            yield server.pid, int(server.stdout.readline())
        finally:
            server.stdin.close()


def rollup_ms(pid: int) -> float:
    """How long one smaps_rollup holds the service's mmap lock: the shortest of some readings."""
    times_ns = []
    for _ in range(7):
        before_ns = time.monotonic_ns()
        Path(f"/proc/{pid}/smaps_rollup").read_bytes()
        times_ns.append(time.monotonic_ns() - before_ns)
    return min(times_ns) / 1e6


def segment(pid: int, port: int, plan: Plan, condition: str) -> Segment:
    """One segment of load. The sampler's first sweep, which reads everything, is before it."""
    with contextlib.ExitStack() as stack:
        if condition != OFF:
            budget_percent = DEFAULT if condition == BUDGET else EVERYTHING
            sampler = stack.enter_context(sampling(pid, plan.interval_s, budget_percent))
            next(sampler.ticks(1))
        argv = [sys.executable, "-I", "-S", str(HERE / "client.py"), str(port), str(plan.rate), str(plan.seconds)]
        found = sorted(int(line) / 1e6 for line in run(argv).output.split())
    last = len(found) - 1
    return Segment(*(found[round(q * last)] for q in (0.5, 0.99, 0.999, 1.0)))


def report(plan: Plan) -> str:
    """All conditions and the shifts between them, as Markdown."""
    with serving(plan.memory_mib) as (pid, port):
        walk_ms = rollup_ms(pid)
        segment(pid, port, plan._replace(seconds=max(1, plan.seconds // 4)), OFF)  # warm-up
        rounds = [[segment(pid, port, plan, condition) for condition in ORDER] for _ in range(plan.turns)]
        last = segment(pid, port, plan, OFF)
    found = [s for one in rounds for s in one] + [last]
    by_condition = {
        name: [s for i, s in enumerate(found) if ORDER[i % len(ORDER)] == name] for name in (OFF, BUDGET, EVERY)
    }
    # Each segment with sampling against the mean of the two without around it; each off against the next off.
    shifts = {
        name: [
            found[i].p99 - (found[i - 1].p99 + found[i + 1].p99) / 2
            for i in range(1, len(found) - 1, 2)
            if ORDER[i % len(ORDER)] == name
        ]
        for name in (BUDGET, EVERY)
    }
    offs = by_condition[OFF]
    noise = [b.p99 - a.p99 for a, b in itertools.pairwise(offs)]
    body = [
        [
            name,
            spread([s.p50 for s in segments]),
            spread([s.p99 for s in segments]),
            spread([s.p999 for s in segments]),
            f"{max(s.worst for s in segments):.1f}",
            "" if name == OFF else spread(shifts[name]),
        ]
        for name, segments in by_condition.items()
    ]
    return "\n\n".join(
        [
            f"One process with {plan.memory_mib} MiB in use, {plan.rate} requests a second, open loop, segments of "
            f"{plan.seconds} s, {plan.turns} turns of {', '.join(ORDER)}; sampler at {plan.interval_s:g} s; nothing pinned:",
            table(["sampler", "p50 ms", "p99 ms", "p99.9 ms", "worst ms", "shift of p99 ms"], body),
            f"Noise, from one segment without sampling to the next: p99 differs by {statistics.median(map(abs, noise)):.2f} ms "
            f"(median), at most {max(map(abs, noise)):.2f} ms. "
            f"One reading of this process's smaps_rollup takes {walk_ms:.1f} ms.",
        ]
    )
