"""Everybody reads a profile, as a process of their own, in turns."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from contestants import HERE, YARDSTICK, Contestant, contestants
from sample import make
from tables import spread, table


class Plan(NamedTuple):
    """How much of it: pages of the large profile and of the medium one, loops in a page."""

    large: int
    medium: int
    loops: int
    turns: int


class Programs(NamedTuple):
    """Compiled for the benchmark; ``sample``: a profile of the user's to read in place of the large one."""

    directory: Path
    timed: Path
    one_pass: Path
    sample: Path | None


class Run(NamedTuple):
    """One reading."""

    seconds: float
    cpu_s: float
    rss_mib: float


@contextmanager
def programs(sample: Path | None) -> Iterator[Programs]:
    """Raises RuntimeError without a C compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise RuntimeError("the C program that is the upper bound needs a C compiler: apt install gcc")
    with tempfile.TemporaryDirectory(prefix="harness-bench-") as scratch:
        made = [Path(scratch, name) for name in ("timed", "one_pass")]
        for program in made:
            subprocess.run([compiler, "-O2", "-o", program, HERE / f"{program.name}.c"], check=True)
        yield Programs(Path(scratch), *made, sample)


def _run(timed: Path, contestant: Contestant, profile: Path) -> Run:
    argv = [timed, *contestant.argv, profile]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    ns, cpu_ns, status, rss_kib = map(int, done.stdout.split())
    if status:
        raise RuntimeError(f"{contestant.name} ended with {status}: {done.stderr[-1000:]}")
    return Run(ns / 1e9, cpu_ns / 1e9, rss_kib / 1024)


def _shape(one_pass: Path, profile: Path) -> str:
    counted = subprocess.run([one_pass, "edges", profile], capture_output=True, text=True, check=True).stdout.strip()
    return f"{profile.stat().st_size / 1e6:.1f} MB, {counted}"


def report(plan: Plan, given: Programs) -> str:
    """The table."""
    large, medium = given.sample or given.directory / "large", given.directory / "medium"
    if given.sample is None:
        make(large, plan.large, plan.loops)
    make(medium, plan.medium, plan.loops)
    everybody = contestants(given.one_pass)
    present = [contestant for contestant in everybody if not contestant.missing]
    runs: dict[str, list[Run]] = {contestant.name: [] for contestant in present}
    for profile in (large, medium):
        profile.read_bytes()  # into the page cache
    for turn in range(plan.turns):
        for contestant in present if turn % 2 == 0 else reversed(present):
            if not contestant.slow or turn == 0:
                runs[contestant.name].append(_run(given.timed, contestant, medium if contestant.slow else large))
    large_mb = large.stat().st_size / 1e6
    rows = []
    for contestant in everybody:
        if contestant.missing:
            rows.append([contestant.name, contestant.gives, f"not installed: {contestant.missing}", "", "", "", "", ""])
            continue
        size_mb = (medium if contestant.slow else large).stat().st_size / 1e6
        own = runs[contestant.name]
        # of the same turn
        pairs = list(zip(runs[YARDSTICK], own, strict=False))
        ratios = [yard.seconds / run.seconds * size_mb / large_mb for yard, run in pairs]
        cpu_ratios = [yard.cpu_s / run.cpu_s * size_mb / large_mb for yard, run in pairs]
        digits = 3 if max(ratios) > 0.02 else 5
        rows.append(
            [
                contestant.name,
                contestant.gives,
                "medium" if contestant.slow else "large",
                spread([run.seconds for run in own], 3),
                f"{size_mb / statistics.median(run.seconds for run in own):.{0 if size_mb > 50 else 1}f}",
                spread(ratios, digits),
                spread(cpu_ratios, digits),
                f"{max(run.rss_mib for run in own):.0f}",
            ]
        )
    head = ["reader", "gives", "profile", "s", "MB/s", f"speed, x {YARDSTICK}", "by CPU time", "peak RSS, MiB"]
    return (
        f"Large profile: {_shape(given.one_pass, large)}. Medium: {_shape(given.one_pass, medium)}. "
        f"{plan.turns} turns on the large one, one on the medium one:\n\n{table(head, rows)}"
    )
