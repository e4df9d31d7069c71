"""Values recorded tick by tick are seen, all and exactly, by plain SQL and by the reader: at once, after a kill, at the end."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import runpy
import shutil
import signal
import sqlite3
import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import RunError
from harness.model.objects import ObjectCount
from harness.model.process import ProcessInfo, ProcessKey
from harness.model.run import RunManifest, RunStatus
from harness.store import layout
from harness.store.chunk import INT64_MAX, INT64_MIN
from harness.store.reader import read_run
from harness.store.samples import SPAN
from harness.store.writer import Recorder

KEYS = [ProcessKey("", 100 + n, 5) for n in range(3)]
MANIFEST = RunManifest(
    layout.FORMAT, "id", "0", "shop", "shop.yaml", {}, {}, "any", 0, 0, None, RunStatus.RECORDING, "", {}
)
Name = tuple[str, ProcessKey | None]
Points = dict[Name, list[tuple[int, int]]]


@pytest.fixture
def run_directory(tmp_path: Path) -> Path:
    return layout.new_run_directory(tmp_path / "runs", "20260101-000000", "shop")


def recorder_of(run_directory: Path) -> Recorder:
    recorder = Recorder(run_directory)
    recorder.manifest(MANIFEST)
    for key in KEYS:
        recorder.process(ProcessInfo(key, 1, "worker", "worker", 0, "app", 0, 0, 0, None))
    return recorder


class Machine:
    """Something to record: constants, counters, jitter, jumps over the whole range, values that are not read at each tick."""

    def __init__(self, seed: int = 1) -> None:
        self._rng = random.Random(seed)
        self._counter = self._level = 0
        self.written: Points = {}

    def rows(self, t_ns: int) -> list[tuple[str, ProcessKey | None, int]]:
        rng, key = self._rng, KEYS[0]
        self._counter += rng.randrange(300)
        self._level += rng.choice([0, 0, 0, 4096, -4096, 10 ** rng.randrange(12)])
        rows: list[tuple[str, ProcessKey | None, int]] = [
            ("constant", None, 7), ("ramp", None, t_ns * 3), ("counter", key, self._counter), ("level", key, self._level),
            ("level", KEYS[1], self._counter),
        ]  # fmt: skip
        if rng.random() < 0.1:
            rows.append(("walked", key, self._level))
        if t_ns % 50 == 0:
            rows.append(("slow", None, self._counter))
        if t_ns < 500 or rng.random() < 0.002:
            rows.append(("rare", None, rng.randrange(INT64_MIN, INT64_MAX + 1)))
        for metric, process, value in rows:
            self.written.setdefault((metric, process), []).append((t_ns, value))
        return rows


def by_sql(run_directory: Path) -> Points:
    """As any program sees it that knows SQL."""
    found: Points = {}
    sql = (
        "SELECT metric, pid, t_ns, value FROM series LEFT JOIN process ON process.id = process_id"
        " JOIN sample ON series_id = series.id ORDER BY series.id, t_ns"
    )
    uri = f"{(run_directory / layout.DATABASE).as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as db:
        for metric, pid, t_ns, value in db.execute(sql):
            process = None if pid is None else ProcessKey("", pid, 5)
            found.setdefault((metric, process), []).append((t_ns, value))
    return found


def by_reader(run_directory: Path) -> Points:
    series = read_run(run_directory).series
    return {name: list(zip(s.t_ns.tolist(), s.values.tolist(), strict=True)) for name, s in series.items()}


def count(run_directory: Path, sql: str) -> int:
    with contextlib.closing(sqlite3.connect(run_directory / layout.DATABASE)) as db:
        return int(db.execute(sql).fetchone()[0])


def test_a_plain_connection_sees_every_committed_value_while_the_run_is_written(run_directory: Path) -> None:
    recorder, machine = recorder_of(run_directory), Machine()
    for tick in range(4 * SPAN):
        recorder.samples(tick * 10, machine.rows(tick * 10))
        if tick % 61 == 0:
            recorder.commit()
            assert by_sql(run_directory) == machine.written
            assert by_reader(run_directory) == machine.written
    recorder.close()
    assert by_sql(run_directory) == by_reader(run_directory) == machine.written
    assert count(run_directory, "SELECT count(*) FROM sample_tail") == 0
    assert count(run_directory, "SELECT count(*) FROM chunk WHERE base IS NULL") == 0


def test_the_tail_stays_short_and_its_pages_are_used_again(run_directory: Path) -> None:
    recorder, machine = recorder_of(run_directory), Machine()
    pages = []
    for tick in range(12 * SPAN):
        recorder.samples(tick * 10, machine.rows(tick * 10))
        if tick % SPAN == SPAN - 1:
            recorder.commit()
            assert count(run_directory, "SELECT count(DISTINCT tick_id) FROM sample_tail") <= SPAN + 16
            pages.append(count(run_directory, "PRAGMA page_count"))
    assert pages[-1] - pages[2] < 2 * 9  # 9 series: chunks only, no more room for the tail
    recorder.close()


@given(
    st.lists(st.tuples(st.integers(1, 200), st.integers(0, 5), st.sampled_from([1, 1, 3, 8, 200])), max_size=6),
    st.integers(0, 2**32),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_any_sequence_comes_back(stretches: list[tuple[int, int, int]], seed: int, reopened: bool) -> None:
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as parent:
        run_directory = layout.new_run_directory(Path(parent), "s", "x")
        recorder = recorder_of(run_directory)
        written: Points = {}
        t_ns, value = -5, 0
        for length, kind, every in stretches:
            for tick in range(length):
                t_ns += rng.randrange(1, 10**9)
                rows: list[tuple[str, ProcessKey | None, int]] = [("always", None, tick)]
                if rng.randrange(every) == 0:
                    moves = (0, 1, rng.randrange(-50, 50), rng.choice((0, 0, 10**6)), rng.randrange(-(10**15), 10**15))
                    value = value + moves[kind] if kind < 5 else rng.randrange(INT64_MIN, INT64_MAX + 1)
                    value = max(INT64_MIN, min(INT64_MAX, value))
                    rows.append(("some", KEYS[0], value))
                recorder.samples(t_ns, rows)
                for metric, process, number in rows:
                    written.setdefault((metric, process), []).append((t_ns, number))
            if reopened:
                recorder.close()
                recorder = Recorder(run_directory, existing=True)
        recorder.commit()
        assert by_sql(run_directory) == by_reader(run_directory) == written
        recorder.close()
        assert by_sql(run_directory) == by_reader(run_directory) == written


@pytest.mark.parametrize("committed", [5, SPAN - 1, 3 * SPAN + 17])
def test_kill_nine_loses_only_what_was_not_committed(run_directory: Path, committed: int) -> None:
    ready, say_ready = os.pipe()
    child = os.fork()
    if child == 0:
        recorder, machine = recorder_of(run_directory), Machine()
        for tick in range(committed + SPAN // 2):  # what follows the commit moves values from the tail into chunks
            recorder.samples(tick * 10, machine.rows(tick * 10))
            if tick == committed - 1:
                recorder.commit()
        os.write(say_ready, b"x")
        signal.pause()
    assert os.read(ready, 1) == b"x"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(ready)
    os.close(say_ready)

    machine = Machine()
    for tick in range(committed):
        machine.rows(tick * 10)
    assert by_sql(run_directory) == by_reader(run_directory) == machine.written

    recorder = Recorder(run_directory, existing=True)
    for tick in range(committed, committed + 2 * SPAN):
        recorder.samples(tick * 10, machine.rows(tick * 10))
    recorder.commit()
    assert by_sql(run_directory) == by_reader(run_directory) == machine.written
    recorder.close()
    assert by_sql(run_directory) == by_reader(run_directory) == machine.written


def test_the_last_value_of_an_instant_counts(run_directory: Path) -> None:
    recorder = recorder_of(run_directory)
    for tick in range(SPAN + 3):
        recorder.samples(tick, [("level", None, 1), ("other", None, tick)])
        recorder.samples(tick, [("level", None, 2)])
        recorder.samples(tick, [("level", None, 3), ("level", None, tick * tick)])
    recorder.commit()
    expected = [(tick, tick * tick) for tick in range(SPAN + 3)]
    assert by_sql(run_directory)["level", None] == by_reader(run_directory)["level", None] == expected
    recorder.close()
    assert by_sql(run_directory)["level", None] == by_reader(run_directory)["level", None] == expected


def test_unchanged_and_not_read_are_told_apart(run_directory: Path) -> None:
    recorder = recorder_of(run_directory)
    for tick in range(3 * SPAN):
        rows: list[tuple[str, ProcessKey | None, int]] = [("read", None, 5)]
        recorder.samples(tick, rows if tick % 7 else [*rows, ("not always read", None, 5)])
    recorder.close()
    found = by_sql(run_directory)
    assert found["read", None] == [(tick, 5) for tick in range(3 * SPAN)]
    assert found["not always read", None] == [(tick, 5) for tick in range(0, 3 * SPAN, 7)]
    assert by_reader(run_directory) == found


def test_lanes_have_instants_of_their_own(run_directory: Path) -> None:
    recorder = recorder_of(run_directory)
    for tick in range(2 * SPAN):
        recorder.samples(tick * 10, [("sampled", None, tick)])
        recorder.samples(tick * 10 - 3, [("load.lag", None, tick)], lane="load")
    recorder.close()
    found = by_sql(run_directory)
    assert found["sampled", None] == [(tick * 10, tick) for tick in range(2 * SPAN)]
    assert found["load.lag", None] == [(tick * 10 - 3, tick) for tick in range(2 * SPAN)]
    assert by_reader(run_directory) == found
    again = Recorder(run_directory, existing=True)
    with pytest.raises(ValueError, match="lane load"):
        again.samples(10**6, [("load.lag", None, 1)])
    with pytest.raises(ValueError, match="only rise"):
        again.samples(2 * SPAN * 10 - 13, [("load.lag", None, 1)], lane="load")
    again.close()
    assert by_sql(run_directory) == found


def test_no_instant_goes_back(run_directory: Path) -> None:
    recorder = recorder_of(run_directory)
    recorder.samples(10, [("level", None, 1)])
    with pytest.raises(ValueError, match="only rise"):
        recorder.samples(9, [("level", None, 2)])
    recorder.close()
    assert by_reader(run_directory) == {("level", None): [(10, 1)]}


def recycle(recorder: Recorder, pids: range, t_ns: int, lane: str = "sampler") -> int:
    """Short-lived workers one after the other, with their last values; returns the time afterwards."""
    for pid in pids:
        info = ProcessInfo(ProcessKey("", pid, 5), 1, "worker", "worker", 0, "app", 0, 0, 0, None)
        recorder.process(info)
        for _ in range(3):
            t_ns += 10
            recorder.samples(t_ns, [(f"m{k}", info.key, pid * k) for k in range(40)], lane=lane.format(pid))
        recorder.process(dataclasses.replace(info, ended_ns=t_ns))
        t_ns += 10
        recorder.samples(t_ns, [("last", info.key, pid), ("machine", None, t_ns)])
    for _ in range(3 * SPAN):
        t_ns += 10
        recorder.samples(t_ns, [("machine", None, t_ns)])
    return t_ns


@pytest.mark.parametrize("lane", ["sampler", "fast.{}"])
def test_workers_that_are_recycled_all_day_take_no_memory(run_directory: Path, lane: str) -> None:
    recorder = recorder_of(run_directory)
    t_ns = recycle(recorder, range(1000, 1010), 0, lane)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        recycle(recorder, range(2000, 2050), t_ns, lane)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 50 * 4096, "its 41 series would take 15 KB"
    recorder.close()
    found = by_sql(run_directory)
    assert found == by_reader(run_directory)
    for pid in (*range(1000, 1010), *range(2000, 2050)):
        key = ProcessKey("", pid, 5)
        assert [value for _, value in found["m7", key]] == [7 * pid] * 3
        assert [value for _, value in found["last", key]] == [pid]


@pytest.mark.parametrize("lane", ["sampler", "fast.{}"])
def test_who_is_heard_of_again_after_its_end_goes_on(run_directory: Path, lane: str) -> None:
    recorder = recorder_of(run_directory)
    key = ProcessKey("", 1000, 5)
    t_ns = recycle(recorder, range(1000, 1001), 0, lane)
    for value in (8, 9):
        t_ns += 10
        recorder.samples(t_ns, [("m7", key, value)], lane=lane.format(1000))
    recorder.close()
    found = by_sql(run_directory)
    assert found == by_reader(run_directory)
    assert [value for _, value in found["m7", key]] == [7000, 7000, 7000, 8, 9]


@pytest.mark.parametrize("value", [INT64_MIN - 1, INT64_MAX + 1])
def test_a_number_without_64_bits_is_refused_and_harms_no_other(run_directory: Path, value: int) -> None:
    recorder = recorder_of(run_directory)
    recorder.samples(10, [("level", None, INT64_MIN), ("other", None, INT64_MAX)])
    with pytest.raises(OverflowError):
        recorder.samples(20, [("level", None, value)])
    recorder.samples(30, [("level", None, INT64_MAX), ("other", None, INT64_MIN)])
    recorder.close()
    assert by_sql(run_directory) == by_reader(run_directory) == {
        ("level", None): [(10, INT64_MIN), (30, INT64_MAX)],
        ("other", None): [(10, INT64_MAX), (30, INT64_MIN)],
    }  # fmt: skip


def test_the_log_does_not_grow_under_readers(run_directory: Path) -> None:
    """Readers come and go all the time; one stays for long, and when it is gone, so is what it kept from being folded in."""
    recorder, machine = recorder_of(run_directory), Machine()
    log = run_directory / (layout.DATABASE + "-wal")
    sizes: list[int] = []

    def ticks(numbers: range) -> Iterator[int]:
        for tick in numbers:
            recorder.samples(tick * 10, machine.rows(tick * 10))
            recorder.commit()
            count(run_directory, "SELECT max(value) FROM sample WHERE series_id = 2")
            sizes.append(log.stat().st_size)
            yield tick

    list(ticks(range(600)))
    assert max(sizes) < 6 << 20  # SQLite folds it in at 1000 pages of 4 KiB
    with contextlib.closing(sqlite3.connect(run_directory / layout.DATABASE, isolation_level=None)) as slow:
        slow.execute("BEGIN")
        slow.execute("SELECT count(*) FROM tick").fetchone()
        list(ticks(range(600, 1500)))
        grown = sizes[-1]
    list(ticks(range(1500, 1900)))
    assert sizes[-1] < grown
    assert sizes[-1] <= 4 << 20
    recorder.close()
    assert by_reader(run_directory) == machine.written


def test_only_the_series_asked_for_are_read(run_directory: Path) -> None:
    """SQLite merges the view into the query: no value of another series is decoded, whatever the query does with them."""
    recorder_of(run_directory).close()
    queries = [
        "SELECT t_ns, value FROM sample WHERE series_id = 5",
        "SELECT pid, max(value) FROM series JOIN process ON process.id = process_id JOIN sample ON series_id = series.id"
        " WHERE metric = 'process.memory.pss' GROUP BY pid",
        "SELECT value FROM sample JOIN series ON series.id = series_id LEFT JOIN process ON process.id = process_id"
        " WHERE metric = 'system.meminfo.MemFree' AND t_ns > 5 ORDER BY t_ns",
    ]
    with contextlib.closing(sqlite3.connect(run_directory / layout.DATABASE)) as db:
        for query in queries:
            plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {query}")]
            assert "SEARCH chunk USING PRIMARY KEY (series_id=?)" in plan, plan
            assert not [line for line in plan if line.startswith(("SCAN chunk", "MATERIALIZE", "CO-ROUTINE"))]


def test_a_run_of_the_first_format_is_still_read_and_finished(run_directory: Path) -> None:
    """One row per value; no lanes, no chunks, no objects, no facts."""
    recorder_of(run_directory).close()
    with contextlib.closing(sqlite3.connect(run_directory / layout.DATABASE)) as db:
        for view in ("sample", "object_count"):
            db.execute(f"DROP VIEW {view}")
        for table in ("lane", "tick", "series", "sample_tail", "chunk", "position", "object_tally", "object_type"):
            db.execute(f"DROP TABLE {table}")
        db.executescript(
            "CREATE TABLE series (id INTEGER PRIMARY KEY, metric TEXT NOT NULL, process_id INTEGER REFERENCES process,"
            " UNIQUE (metric, process_id));"
            "CREATE TABLE sample (series_id INTEGER NOT NULL, t_ns INTEGER NOT NULL, value INTEGER NOT NULL,"
            " PRIMARY KEY (series_id, t_ns)) WITHOUT ROWID;"
            "INSERT INTO series VALUES (1, 'level', 1), (2, 'constant', NULL), (3, 'never', NULL);"
            "INSERT INTO sample VALUES (1, 10, 5), (1, 20, -6), (2, 10, 7);"
            "DELETE FROM meta WHERE key = 'facts';"
            "UPDATE meta SET value = 'harness-run/1' WHERE key = 'format';"
        )
    recorder = Recorder(run_directory, existing=True)
    recorder.status(RunStatus.INTERRUPTED, "killed", None)
    recorder.close()
    run = read_run(run_directory)
    assert (run.manifest.status, run.manifest.facts, run.object_counts) == (RunStatus.INTERRUPTED, {}, [])
    assert by_reader(run_directory) == {("level", KEYS[0]): [(10, 5), (20, -6)], ("constant", None): [(10, 7)]}


def test_objects_and_facts_come_back(run_directory: Path) -> None:
    recorder = recorder_of(run_directory)
    recorder.facts({"thp": "madvise", "overcommit": 1})
    recorder.object_counts(10, KEYS[1], "python", 4, [("dict", 5, 600), ("app.Cart'; --", 1, INT64_MAX)])
    recorder.object_counts(10, KEYS[1], "python", 4, [("dict", 6, 700)])
    recorder.close()
    recorder = Recorder(run_directory, existing=True)
    recorder.facts({"thp": "always", "libc": "glibc 2.36"})
    recorder.object_counts(20, KEYS[0], "php", 1, [("dict", 2, 80)])
    recorder.manifest(MANIFEST)  # written again at the end of a run: takes nothing away
    recorder.close()
    run = read_run(run_directory)
    assert run.manifest.facts == {"thp": "always", "overcommit": 1, "libc": "glibc 2.36"}
    assert run.object_counts == [
        ObjectCount(KEYS[1], 10, "python", "app.Cart'; --", 1, INT64_MAX, 4),
        ObjectCount(KEYS[1], 10, "python", "dict", 6, 700, 4),
        ObjectCount(KEYS[0], 20, "php", "dict", 2, 80, 1),
    ]


def test_damaged_rows_are_one_clear_error(run_directory: Path, tmp_path: Path) -> None:
    recorder, machine = recorder_of(run_directory), Machine()
    for tick in range(200):
        recorder.samples(tick * 10, machine.rows(tick * 10))
    recorder.close()
    damages = (
        "UPDATE chunk SET n = 1000000000",
        "UPDATE chunk SET text = text || 'x'",
        "UPDATE series SET lane_id = 5",
        "DELETE FROM tick WHERE id = 7",
        "DELETE FROM tick WHERE id > 50",
    )
    for number, damage in enumerate(damages):
        damaged = shutil.copytree(run_directory, tmp_path / str(number))
        with contextlib.closing(sqlite3.connect(damaged / layout.DATABASE)) as db:
            assert db.execute(damage).rowcount > 0
            db.commit()
        with pytest.raises(RunError, match="unreadable run"):
            read_run(damaged)


def test_a_watch_of_a_day_fits_into_150_mb(tmp_path: Path) -> None:
    """Twenty minutes of the benchmark's machine, scaled up; bytes, not time. `bench/store.py` writes the whole day."""
    bench = runpy.run_path(str(Path(__file__).parents[3] / "bench" / "store.py"))
    watch = bench["Watch"]()
    ours = bench["Ours"](tmp_path, watch)
    values, _, _ = bench["fill"](ours, watch, 1200)
    assert values > 1_200_000
    free = 4096 * count(ours.run, "PRAGMA freelist_count")  # what the tail took; it takes no more after a day
    assert (ours.path.stat().st_size - free) * 72 + free < 150_000_000
