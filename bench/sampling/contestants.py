"""Who is compared, and how each is run: real commands, and loops in C and Python that do the same reads.

A turn of a contestant is a run of so many ticks. What a process-sample costs is the difference between a run of many ticks and
a run of one, so the start of a program is not in it.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from commands import HERE, Done, run
from sampler import DEFAULT, EVERYTHING, sampling
from tree import Tree

from harness.sampling.protocol import COLUMNS


class Turn(NamedTuple):
    """One run."""

    cpu_s: float
    samples: int  # rows of processes of the tree
    full: int  # those of them with a value of PSS (RSS, where that is all there is) read in that tick


class Contestant(NamedTuple):
    """One way to sample a tree."""

    name: str
    reads: str  # what a row holds, in the table's words
    turn: Callable[[Tree, int, float], Turn]  # (tree, ticks, seconds between ticks)
    missing: str = ""  # why it cannot take part here, and how that is changed
    # Can be told no shorter interval than a second, is told the time to run, or does some things once a second.
    whole_seconds: bool = False
    budgeted: bool = False  # reads an idle process every 10 s: needs many ticks to show what it costs


def all_full(done: Done, samples: int) -> Turn:
    return Turn(done.cpu_s, samples, samples)


def counted(done: Done) -> Turn:
    """A loop that prints numbers of samples."""
    return all_full(done, sum(map(int, done.output.split())))


def with_pss(ticks: list[dict[str, Any]], columns: list[str], cpu_s: float) -> Turn:
    pss = columns.index("process.memory.pss")
    rows = [values for tick in ticks for _, _, values in tick["p"]]
    return Turn(cpu_s, len(rows), sum(values[pss] is not None for values in rows))


def by_c(program: Path) -> Contestant:
    """The yardstick; needs to be told the pids."""

    def turn(tree: Tree, ticks: int, interval_s: float) -> Turn:
        return counted(run([str(program), "fixed", str(ticks), str(int(interval_s * 1e9)), *map(str, tree.pids)]))

    return Contestant("C loop", "PSS, USS", turn)


def by_sweeper(budget_percent: float = EVERYTHING) -> Contestant:
    """Our sweep without its process."""

    def turn(tree: Tree, ticks: int, interval_s: float) -> Turn:
        arguments = [str(ticks), str(interval_s), str(tree.root), str(budget_percent)]
        done = run([sys.executable, str(HERE / "sweep_loop.py"), *arguments])
        messages = map(json.loads, done.output.splitlines())
        return with_pss([m for m in messages if m["k"] == "tick"], list(COLUMNS), done.cpu_s)

    budgeted = budget_percent == DEFAULT
    name = "harness sweep, default budget" if budgeted else "harness sweep"
    return Contestant(name, "PSS, USS, and more; system", turn, budgeted=budgeted)


def by_sampler(budget_percent: float = EVERYTHING, look: bool = False) -> Contestant:
    """Our sampler as it is run; looking into runtimes is more than the others do."""

    def turn(tree: Tree, ticks: int, interval_s: float) -> Turn:
        with sampling(tree.root, interval_s, budget_percent, look) as sampler:
            taken = list(sampler.ticks(ticks))
        return with_pss(taken, sampler.columns, sampler.cpu_s)

    budgeted = budget_percent == DEFAULT
    name = "harness sampler, default budget" if budgeted else "harness sampler"
    if look:
        name += ", looks into CPython"
    return Contestant(name, "PSS, USS, and more; system", turn, whole_seconds=True, budgeted=budgeted)


def by_psutil() -> Contestant:
    def turn(tree: Tree, ticks: int, interval_s: float) -> Turn:
        arguments = [str(ticks), str(interval_s), str(tree.root)]
        return counted(run([sys.executable, str(HERE / "psutil_loop.py"), *arguments]))

    return Contestant("psutil loop", "PSS, USS, RSS, VMS", turn, module_missing("psutil"))


def by_procpath() -> Contestant:
    def turn(tree: Tree, ticks: int, interval_s: float) -> Turn:
        with tempfile.TemporaryDirectory(prefix="harness-bench-") as directory:
            database = Path(directory, "out.sqlite")
            options = ["-f", "stat,smaps_rollup", "-i", str(interval_s), "-r", str(ticks), "-p", str(tree.root)]
            done = run([sys.executable, "-m", "procpath", "record", *options, "-d", str(database)])
            connection = sqlite3.connect(database)
            marks = ",".join("?" * len(tree.pids))
            query = f"select count(*), count(nullif(smaps_rollup_pss, 0)) from record where stat_pid in ({marks})"
            samples, full = connection.execute(query, tree.pids).fetchone()
            connection.close()
        return Turn(done.cpu_s, samples, full)

    return Contestant("procpath record", "stat, all of smaps_rollup", turn, module_missing("procpath"))


def by_psrecord() -> Contestant:
    def turn(tree: Tree, ticks: int, interval_s: float) -> Turn:
        with tempfile.TemporaryDirectory(prefix="harness-bench-") as directory:
            log = Path(directory, "log.csv")
            duration = (ticks - 0.05) * interval_s  # it drifts, and never runs ahead
            options = [
                "--include-children",
                "--log-format",
                "csv",
                "--interval",
                str(interval_s),
                "--duration",
                str(duration),
            ]
            done = run([sys.executable, "-m", "psrecord", str(tree.root), *options, "--log", str(log)])
            with log.open(newline="") as rows:
                samples = sum(int(row["nproc"]) for row in csv.DictReader(rows))
        return all_full(done, samples)

    return Contestant("psrecord", "sum of RSS only", turn, module_missing("psrecord"), whole_seconds=True)


def by_mprof() -> Contestant:
    def turn(tree: Tree, ticks: int, interval_s: float) -> Turn:
        with tempfile.TemporaryDirectory(prefix="harness-bench-") as directory:
            out = Path(directory, "out.dat")
            options = [
                "--include-children",
                "--backend",
                "psutil_pss",
                "-T",
                str(interval_s),
                "-t",
                str(ticks * int(interval_s)),
            ]
            argv = [sys.executable, "-m", "mprof", "attach", *options, "-o", str(out), str(tree.root)]
            done = run(argv, cwd=Path(directory))
            lines = out.read_text().splitlines()
        return all_full(done, sum(line.startswith("MEM ") for line in lines) * len(tree.pids))

    # With --multiprocess it would read PSS of the master only, and RSS of the others.
    return Contestant(
        "mprof attach", "sum of PSS", turn, module_missing("mprof", "memory-profiler"), whole_seconds=True
    )


def by_smem() -> Contestant:
    """No recorder: a command a tick."""

    def turn(tree: Tree, ticks: int, _: float) -> Turn:
        argv = ["smem", "-H", "-c", "pid pss uss rss", "-P", tree.mark]
        turns = [run(argv) for _ in range(ticks)]
        pids = set(map(str, tree.pids))
        samples = sum(line.split()[0] in pids for done in turns for line in done.output.splitlines())
        return all_full(Done(sum(done.cpu_s for done in turns), ""), samples)

    return Contestant("smem, started each tick", "PSS, USS, RSS", turn, command_missing("smem", "smem"))


def by_pidstat() -> Contestant:
    def turn(tree: Tree, ticks: int, interval_s: float) -> Turn:
        done = run(["pidstat", "-r", "-h", "-H", "-p", ",".join(map(str, tree.pids)), str(int(interval_s)), str(ticks)])
        rows = [line.split() for line in done.output.splitlines() if line[:1].isdigit()]
        return all_full(done, len(rows))

    missing = command_missing("pidstat", "sysstat")
    return Contestant("pidstat -r", "RSS only", turn, missing, whole_seconds=True)


def module_missing(name: str, package: str = "") -> str:
    if importlib.util.find_spec(name) is not None:
        return ""
    return f"not installed: pip install {package or name} (or the `bench` extra)"


def command_missing(name: str, package: str) -> str:
    return "" if shutil.which(name) else f"not installed: apt install {package}"


def commands(program: Path) -> list[Contestant]:
    """Everybody, as whole processes."""
    return [
        by_c(program), by_sampler(), by_sampler(DEFAULT), by_sampler(DEFAULT, look=True), by_psutil(), by_procpath(),
        by_mprof(), by_smem(), by_psrecord(), by_pidstat(),
    ]  # fmt: skip


def loops(program: Path) -> list[Contestant]:
    """Those that can do ticks back to back."""
    return [by_c(program), by_sweeper(), by_sweeper(DEFAULT), by_psutil()]
