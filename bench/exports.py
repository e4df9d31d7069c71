"""Size and time of every export: a run of 1e6 samples and 1e5 requests, and a profile with a call tree of 2e5 nodes.

    python bench/exports.py [--samples 1000000] [--requests 100000] [--nodes 200000]

The run is made up: 50 series of memory that move in pages, requests on 8 workers. Each format is written to a file in a process
of its own, so that memory is its own. Prints, asserts nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from reports import MIB, SECOND, START, leak_report
from tables import machine, table

from harness.cli.exporting import write_directory, write_file
from harness.model.profile import CallNode, Frame, Profile, ValueType
from harness.model.report import Report
from harness.model.run import Series
from harness.plugins.registry import load_profile_exports, load_run_exports

METRICS = ("pss", "rss", "uss", "pss_anon", "pss_file", "swap")


def large_report(samples: int, requests: int) -> Report:
    """The report of tests/support/reports.py, with so many samples and requests instead of its own."""
    base = leak_report(workers=8)
    rng = np.random.default_rng(5)
    keys = [worker.info.key for worker in base.timeline.workers]
    count = max(1, samples // (len(keys) * len(METRICS)))
    times = START + np.arange(count, dtype=np.int64) * (60 * SECOND // count)
    series = {}
    for key in keys:
        for metric in METRICS:
            values = 80 * MIB + np.cumsum(rng.integers(-4, 5, count)) * 4096
            name = f"process.memory.{metric}"
            series[name, key] = Series(name, key, times, values.astype(np.int64))
    template = [joined for joined in base.timeline.spans if joined.worker is not None]
    spans = []
    for number in range(requests):
        joined = template[number % len(template)]
        start = START + number * 60 * SECOND // requests
        length = int(rng.integers(200_000, 4_000_000))
        span = dataclasses.replace(
            joined.span, span_id=f"{number + 1:016x}", start_ns=start, end_ns=start + length, intended_ns=None
        )
        record = joined.record and dataclasses.replace(
            joined.record, start_ns=start + 1000, end_ns=start + length - 1000
        )
        spans.append(dataclasses.replace(joined, span=span, record=record))
    return dataclasses.replace(base, timeline=dataclasses.replace(base.timeline, series=series, spans=tuple(spans)))


def large_profile(nodes: int) -> Profile:
    """A random tree of so many calls of 2,000 functions, time and bytes."""
    rng = np.random.default_rng(5)
    parents = [-1, *(int(rng.integers(0, number)) for number in range(1, nodes))]
    own = rng.integers(1, 5_000, (2, nodes)).tolist()
    whole = [list(own[0]), list(own[1])]
    for node in range(nodes - 1, 0, -1):
        for values in whole:
            values[parents[node]] += values[node]
    tree = tuple(
        CallNode(n % 2_000, parents[n], 1, (own[0][n], own[1][n]), (whole[0][n], whole[1][n])) for n in range(nodes)
    )
    frames = tuple(
        Frame(f"Shop\\Module{n % 40}->method{n}", f"/srv/shop/src/Module{n % 40}.php", n) for n in range(2_000)
    )
    kinds = (ValueType("time", "ns", "time"), ValueType("inuse_space", "bytes", "still held"))
    return Profile(tool="made up", value_types=kinds, frames=frames, tree=tree)


def measured(kind: str, name: str, subject: Report | Profile, suffix: str = "") -> tuple[str, ...]:
    """A row of the table: name, bytes, seconds, memory that was added."""
    results: multiprocessing.Queue[tuple[float, int, int]] = multiprocessing.get_context("fork").Queue()
    worker = multiprocessing.get_context("fork").Process(target=_work, args=(kind, name, subject, suffix, results))
    worker.start()
    seconds, size, memory = results.get()
    worker.join()
    return (f"{name}{suffix}", f"{size / 1e6:.2f} MB", f"{seconds:.2f} s", f"{memory / 1e6:.0f} MB")


def _work(kind: str, name: str, subject: Report | Profile, suffix: str, results: multiprocessing.Queue) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory)
        begin = time.perf_counter()
        if kind == "run":
            run_export = next(each for each in load_run_exports() if each.name == name)
            parts = run_export.parts(subject)
            if run_export.several:
                write_directory(out, parts)
            else:
                (part,) = parts
                write_file(out / f"export{suffix}", part.pieces)
        else:
            export = next(each for each in load_profile_exports() if each.name == name)
            value = None if export.values is None else export.values(subject)[0]
            write_file(out / "export", (export.write(subject, value),))
        seconds = time.perf_counter() - begin
        size = sum(path.stat().st_size for path in out.iterdir())
    results.put((seconds, size, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--nodes", type=int, default=200_000)
    options = parser.parse_args()
    print(machine(), "\n")
    report = large_report(options.samples, options.requests)
    samples = sum(series.t_ns.size for series in report.timeline.series.values())
    rows = [measured("run", export.name, report) for export in load_run_exports()]
    rows.append(measured("run", "chrome-trace", report, ".gz"))
    print(table((f"a run, {samples} samples, {options.requests} requests", "size", "time", "memory"), rows), "\n")
    profile = large_profile(options.nodes)
    rows = [measured("profile", export.name, profile) for export in load_profile_exports()]
    print(table((f"a profile, {options.nodes} calls, two values", "size", "time", "memory"), rows))


if __name__ == "__main__":
    main()
