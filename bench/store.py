"""What a long watch costs on disk and in CPU: our store beside one row per value and beside one row per process and tick.

    python bench/store.py [--hours 24] [--naive-hours 1] [--out DIR]

Simulates `harness watch` of 50 processes at 1 s as fast as the writer takes it: 12 busy workers (memory and faults jitter, page
tables walked at about every eighth tick, as under the default budget), 38 idle helpers, 16 columns each; about 200 metrics of the
system; a runtime family of 25 counters for 20 of the processes. Every value goes through the real `Recorder`, committed each
second. Two other ways to keep the same values are written in the same run for the first ``--naive-hours`` and scaled up: a table
with one row per value (what harness-run/1 did), and a table with one row per process and tick, the 16 columns and nothing else
(procpath's way; the system and the runtimes, which it does not know, are left out). If duckdb is installed, size and load time of
the values of the first as Parquet are printed as well. Prints, asserts nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import itertools
import random
import resource
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np

from harness.model.process import ProcessInfo, ProcessKey
from harness.model.run import RunManifest, RunStatus
from harness.store import layout
from harness.store.reader import read_run
from harness.store.writer import Recorder

PROCESSES, BUSY, WITH_RUNTIME = 50, 12, 20
PAGE = 4096
SECOND = 1_000_000_000
MIB = 1 << 20
COUNTED = ("memory.rss", "memory.swap", "memory.hwm", "threads", "fds", "faults.minor", "faults.major", "cpu")
WALKED = (
    "memory.pss", "memory.uss", "memory.pss_anon", "memory.pss_file", "memory.pss_shmem", "memory.shared_dirty",
    "memory.anon_huge", "memory.swap_pss",
)  # fmt: skip
Found = TypeVar("Found")
Rows = list[tuple[str, ProcessKey | None, int]]


class Process:
    """A worker whose memory breathes with its requests, or a helper that does next to nothing."""

    def __init__(self, number: int, rng: random.Random) -> None:
        self.key = ProcessKey("", 1000 + number, 5000 + number)
        self._rng, self._busy, self._runtime = rng, number < BUSY, number < WITH_RUNTIME
        self._anon = rng.randrange(5_000, 30_000)  # pages
        self._file = rng.randrange(1_000, 6_000)
        self._minor, self._cpu, self._high, self._fds = self._anon, 0, 0, 12
        self._next_walk = rng.randrange(8)
        self._counters = [rng.randrange(10**6) for _ in range(25)]

    def rows(self, tick: int) -> Iterator[tuple[str, int]]:
        rng = self._rng
        active = rng.random() < (0.9 if self._busy else 0.02)
        if active:
            moved = int(rng.gauss(0, 60 if self._busy else 2))
            self._anon = min(60_000, max(5_000, self._anon + moved))
            self._minor += abs(moved) + rng.randrange(40)
            self._cpu += rng.randrange(1, 40 if self._busy else 3)
            self._fds = 12 + rng.randrange(4)
        rss = self._anon + self._file
        self._high = max(self._high, rss)
        pages = (rss, 0, self._high)
        yield from zip(
            COUNTED, (*(n * PAGE for n in pages), 1, self._fds, self._minor, 3, self._cpu * 10_000_000), strict=True
        )
        if tick >= self._next_walk:
            self._next_walk = tick + rng.choice((7, 8, 8, 8, 9))
            anon, shared = self._anon * PAGE, self._file * PAGE // 7 + (rng.randrange(64) * 1024 if active else 0)
            values = (anon + shared, anon, anon, shared, 0, 65536, 0, 0)
            yield from zip(WALKED, values, strict=True)
        if self._runtime:
            yield from self._heap(active)

    def _heap(self, active: bool) -> Iterator[tuple[str, int]]:
        """Ten numbers that move with the work, five that step now and then, ten that hardly move."""
        rng, numbers = self._rng, self._counters
        if active:
            for k in range(5):
                numbers[k] += rng.randrange(50 * 10**k // 10 + 2)
            for k in range(5, 10):
                numbers[k] = max(0, numbers[k] + 16 * int(rng.gauss(0, 1_000)))
            if rng.random() < 0.05:
                numbers[10 + rng.randrange(5)] += 1
        for k, number in enumerate(numbers):
            yield f"heap.{k}", number


class System:
    """meminfo (54 lines, half of them at rest), vmstat (64), buddyinfo (33) and slab (50, every 5 s)."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._meminfo = [rng.randrange(1 << 22) for _ in range(54)]  # kB
        self._vmstat = [rng.randrange(10**7) for _ in range(64)]
        self._buddy = [rng.randrange(2_000) for _ in range(33)]
        self._slab = [rng.randrange(10**4) * PAGE for _ in range(50)]

    def rows(self, tick: int) -> Iterator[tuple[str, int]]:
        rng = self._rng
        for k in range(27):
            self._meminfo[k] = max(0, self._meminfo[k] + 4 * int(rng.gauss(0, (300, 40, 3)[k % 3])))
        for k in range(20):
            self._vmstat[k] += rng.randrange((2_000, 60, 3, 2)[k % 4])
        for k in range(22):
            self._buddy[k] = max(0, self._buddy[k] + int(rng.gauss(0, 40 / (1 + k % 11))))
        for family, values, unit in (
            ("meminfo", self._meminfo, 1024),
            ("vmstat", self._vmstat, 1),
            ("buddyinfo", self._buddy, 1),
        ):
            for k, value in enumerate(values):
                yield f"system.{family}.{k}", value * unit
        if tick % 5 == 0:
            for k in range(0, 50, 2):
                self._slab[k] = max(0, self._slab[k] + PAGE * int(rng.gauss(0, 2)))
            for k, value in enumerate(self._slab):
                yield f"system.slab.{k}", value


class Watch:
    """The watched machine, tick by tick, the same for whoever records it."""

    def __init__(self) -> None:
        rng = random.Random(1)
        self.processes = [Process(number, rng) for number in range(PROCESSES)]
        self._system, self._rng = System(rng), rng

    def ticks(self, seconds: int) -> Iterator[tuple[int, Rows]]:
        names: dict[str, str] = {}
        cpu_ns = 0
        for tick in range(seconds):
            rows: Rows = [
                (names.setdefault(name, "process." + name), process.key, value)
                for process in self.processes
                for name, value in process.rows(tick)
            ]
            rows += [(name, None, value) for name, value in self._system.rows(tick)]
            spent_ns = 8_000_000 + self._rng.randrange(2_000_000)
            cpu_ns += spent_ns
            rows += [("sampler.tick", None, spent_ns), ("sampler.late", None, self._rng.randrange(200_000)),
                     ("sampler.missed", None, 0), ("sampler.cpu", None, cpu_ns)]  # fmt: skip
            yield tick * SECOND + self._rng.randrange(200_000), rows


class Ours:
    """The real recorder."""

    name = "harness-run/2"

    def __init__(self, directory: Path, watch: Watch) -> None:
        self.run = layout.new_run_directory(directory, "bench", "watch")
        self.path = self.run / layout.DATABASE
        self._recorder = Recorder(self.run)
        self._recorder.manifest(
            RunManifest(layout.FORMAT, "bench", "0", "watch", "", {}, {}, "any", 0, 0, None, RunStatus.COMPLETE, "", {})
        )
        for process in watch.processes:
            self._recorder.process(ProcessInfo(process.key, 1, "worker", "worker", 0, "pool", 0, 0, 0, None))

    def write(self, t_ns: int, rows: Rows) -> None:
        self._recorder.samples(t_ns, rows)
        self._recorder.commit()

    def close(self) -> None:
        self._recorder.close()


class OneRowPerValue:
    """The table of harness-run/1, in the same mode of SQLite."""

    name = "one row per value"
    ddl = (
        "CREATE TABLE sample (series_id INTEGER NOT NULL, t_ns INTEGER NOT NULL, value INTEGER NOT NULL,"
        " PRIMARY KEY (series_id, t_ns)) WITHOUT ROWID"
    )
    insert = "INSERT OR REPLACE INTO sample VALUES (?,?,?)"

    def __init__(self, directory: Path) -> None:
        self.path = directory / f"{type(self).__name__}.sqlite"
        self.db = sqlite3.connect(self.path, isolation_level=None)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=NORMAL")
        self.db.execute(self.ddl)
        self._ids: dict[tuple[str, ProcessKey | None], int] = {}
        self.values = 0

    def rows(self, t_ns: int, rows: Rows) -> list[tuple[float | None, ...]]:
        ids = self._ids
        return [(ids.setdefault((metric, key), len(ids) + 1), t_ns, value) for metric, key, value in rows]

    def write(self, t_ns: int, rows: Rows) -> None:
        self.db.execute("BEGIN")
        found = self.rows(t_ns, rows)
        self.db.executemany(self.insert, found)
        self.values += sum(len(row) - row.count(None) - 2 for row in found)
        self.db.execute("COMMIT")

    def close(self) -> None:
        self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.db.close()


class OneRowPerProcess(OneRowPerValue):
    """Procpath's way: the time as a REAL, the pid, a column for each number; here the 16 that we have."""

    name = "one row per process (processes only)"
    columns = (*COUNTED, *WALKED)
    ddl = (
        "CREATE TABLE record (record_id INTEGER PRIMARY KEY, ts REAL NOT NULL, pid INTEGER,"
        f" {', '.join(f'c{k} INTEGER' for k in range(16))})"
    )
    insert = f"INSERT INTO record VALUES (NULL,?,?{',?' * 16})"

    def rows(self, t_ns: int, rows: Rows) -> list[tuple[float | None, ...]]:
        found = []
        for key, group in itertools.groupby(rows, lambda row: row[1]):
            if key is not None:
                values = {metric: value for metric, _, value in group}
                found.append((t_ns / SECOND, key.pid, *(values.get("process." + name) for name in self.columns)))
        return found


def fill(writer: Ours | OneRowPerValue, watch: Watch, seconds: int) -> tuple[int, float, list[float]]:
    """(values, CPU seconds in the writer, CPU seconds of each tick, sorted), closed."""
    values, cpu_ns, pauses = 0, 0, []
    for t_ns, rows in watch.ticks(seconds):
        values += len(rows)
        before = time.process_time_ns()
        writer.write(t_ns, rows)
        took_ns = time.process_time_ns() - before
        cpu_ns += took_ns
        pauses.append(took_ns / 1e9)
    before = time.process_time_ns()
    writer.close()
    return values, (cpu_ns + time.process_time_ns() - before) / 1e9, sorted(pauses)


def timed(what: Callable[[], Found]) -> tuple[float, Found]:
    before = time.perf_counter()
    found = what()
    return time.perf_counter() - before, found


QUERIES = {
    "one series, all values": "SELECT count(*), sum(value) FROM sample WHERE series_id ="
    " (SELECT id FROM series WHERE metric = 'process.memory.rss' LIMIT 1)",
    "RSS of all processes, maximum of each": "SELECT count(*), max(peak) FROM (SELECT process_id, max(value) AS peak"
    " FROM series JOIN sample ON series_id = series.id WHERE metric = 'process.memory.rss' GROUP BY process_id)",
    "PSS of all processes at every walk": "SELECT count(*), max(pss) FROM (SELECT t_ns, sum(value) AS pss"
    " FROM series JOIN sample ON series_id = series.id WHERE metric = 'process.memory.pss' GROUP BY t_ns)",
}


def _first_row(db: sqlite3.Connection, sql: str) -> tuple[int, ...]:
    row: tuple[int, ...] = db.execute(sql).fetchone()
    return row


def report(writer: Ours | OneRowPerValue, seconds: int, values: int, cpu_s: float, pauses: list[float]) -> None:
    size = writer.path.stat().st_size
    print(
        f"{writer.name}: {seconds / 3600:g} h, {values:,} values, {size:,} bytes ({size / values:.2f} a value,"
        f" {size * 86400 / seconds / 1e6:.0f} MB a day); writing {cpu_s / values * 1e6:.2f} ms of CPU per 1000 values,"
        f" of which a tick takes {1000 * pauses[len(pauses) // 2]:.1f} ms, p99 {1000 * pauses[len(pauses) * 99 // 100]:.1f},"
        f" longest {1000 * pauses[-1]:.1f}"
    )


def duckdb_reference(directory: Path, naive: Path) -> None:
    try:
        duckdb = importlib.import_module("duckdb")
    except ImportError:
        print("duckdb: not installed")
        return
    target = directory / "sample.parquet"
    with contextlib.closing(sqlite3.connect(naive)) as db:
        table = np.fromiter(db.execute("SELECT * FROM sample"), np.dtype((np.int64, 3)))
    columns = {"series_id": table[:, 0].copy(), "t_ns": table[:, 1].copy(), "value": table[:, 2].copy()}
    duckdb.sql("SELECT * FROM columns ORDER BY series_id, t_ns").write_parquet(str(target), compression="zstd")
    del columns
    took, _ = timed(lambda: duckdb.sql(f"SELECT * FROM '{target}'").fetchnumpy())
    size = target.stat().st_size
    print(
        f"parquet (duckdb, zstd, written at the end): {size / len(table):.2f} bytes a value;"
        f" loaded {len(table) / took / 1e6:.1f} M values/s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--naive-hours", type=float, default=1)
    parser.add_argument("--out", type=Path, help="keep the databases here")
    options = parser.parse_args()
    seconds, naive_seconds = int(options.hours * 3600), int(min(options.hours, options.naive_hours) * 3600)
    with contextlib.ExitStack() as stack:
        directory = options.out or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="harness-bench-")))
        directory.mkdir(parents=True, exist_ok=True)
        watch = Watch()
        ours = Ours(directory, watch)
        report(ours, seconds, *fill(ours, watch, seconds))
        naive, wide = OneRowPerValue(directory), OneRowPerProcess(directory)
        for other in (naive, wide):
            _, cpu_s, pauses = fill(other, Watch(), naive_seconds)
            report(other, naive_seconds, other.values, cpu_s, pauses)

        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        took, run = timed(lambda: read_run(ours.run))
        loaded = sum(len(series.values) for series in run.series.values())
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print(
            f"read_run: {loaded:,} values in {took:.1f} s, {loaded / took / 1e6:.1f} M values/s;"
            f" peak memory grew by {grown / 1024:.0f} MiB"
        )
        with contextlib.closing(sqlite3.connect(naive.path)) as db:
            took, found = timed(
                lambda: sum(
                    len(db.execute("SELECT t_ns, value FROM sample WHERE series_id = ?", (k,)).fetchall())
                    for (k,) in db.execute("SELECT DISTINCT series_id FROM sample").fetchall()
                )
            )
            print(f"one row per value, read with fetchall: {found / took / 1e6:.1f} M values/s")
        with contextlib.closing(sqlite3.connect(f"file:{ours.path}?mode=ro", uri=True)) as db:
            for title, sql in QUERIES.items():
                took, answer = timed(functools.partial(_first_row, db, sql))
                print(f"SQL, {title}: {answer} in {took:.2f} s")
        duckdb_reference(directory, naive.path)


if __name__ == "__main__":
    main()
