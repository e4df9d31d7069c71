"""The recorder: the only writer of a run. Everything said to it is on disk after at most `COMMIT_EVERY_NS`.

Durability: WAL with synchronous=NORMAL survives the death of any process at once; a power cut may lose the last commits.
A full disk or a vanished directory raises `RecordingError`; what was committed before stays readable.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from harness.errors import EXIT_GUARD, HarnessError
from harness.model.event import Anchor, Event, Missing, Window
from harness.model.host import RunHost
from harness.model.process import ProcessInfo, ProcessKey
from harness.model.profile import Artifact
from harness.model.run import RunManifest, RunStatus
from harness.model.span import BootRecord, CostRecord, FloorRecord, PhaseName, RequestRecord, Span, ToolRecord
from harness.store import layout
from harness.store.samples import SampleWriter
from harness.store.schema import SCHEMA

COMMIT_EVERY_NS = 500_000_000
LOCK = ".recording"
_WAL_BYTES = 4 << 20  # kept of the write-ahead log when a long reader has let it grow


class RecordingError(HarnessError):
    """The run directory can no longer be written (disk full, permission, gone): as with a guard rail, the partial run is kept."""

    exit_code = EXIT_GUARD


def _database_errors(error: sqlite3.Error | OSError) -> RecordingError:
    return RecordingError(
        f"cannot write the run: {error}", hint="check free space and permissions of the output directory"
    )


class Recorder:
    """Open a new run directory for writing. Not thread-safe by design: one thread of one process records."""

    def __init__(self, run_directory: Path, *, existing: bool = False) -> None:
        self.path = run_directory
        self._processes: dict[ProcessKey, int] = {}
        self._endpoints: dict[str, int] = {}
        self._object_types: dict[tuple[str, str], int] = {}
        self._facts: dict[str, str | int] = {}
        self._committed_ns = 0
        self._broken = False
        self._lock = os.open(run_directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.close(os.open(run_directory / layout.DATABASE, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._db = sqlite3.connect(run_directory / layout.DATABASE, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute(f"PRAGMA journal_size_limit={_WAL_BYTES}")
            self._samples = SampleWriter(self._db, self._processes)
            if existing:
                self._load_ids()
            else:
                self._db.executescript(f"BEGIN;{SCHEMA}COMMIT;")
            self._db.execute("BEGIN")
        except (sqlite3.Error, OSError) as error:
            os.close(self._lock)
            raise _database_errors(error) from error

    def _load_ids(self) -> None:
        """Continue an interrupted run: learn the ids already given out."""
        for row in self._db.execute("SELECT id, host, pid, start_ticks FROM process"):
            self._processes[ProcessKey(row[1], row[2], row[3])] = row[0]
        for row in self._db.execute("SELECT id, name FROM endpoint"):
            self._endpoints[row[1]] = row[0]
        for (facts,) in self._db.execute("SELECT value FROM meta WHERE key = 'facts'"):
            self._facts.update(json.loads(facts))
        old = "SELECT 1 FROM meta WHERE key = 'format' AND value = ?"
        if self._db.execute(old, (layout.FORMAT_1,)).fetchone() is None:  # to an old run, no values can be added
            for row in self._db.execute("SELECT id, runtime, name FROM object_type"):
                self._object_types[row[1], row[2]] = row[0]
            self._samples.resume()

    # -- writing -------------------------------------------------------------------------------------------------------

    def manifest(self, manifest: RunManifest) -> None:
        """Write or rewrite the manifest."""
        values = {
            "format": manifest.format,
            "run_id": manifest.run_id,
            "tool_version": manifest.tool_version,
            "scenario_name": manifest.scenario_name,
            "scenario_path": manifest.scenario_path,
            "scenario": json.dumps(manifest.scenario),
            "host": json.dumps(manifest.host),
            "runtime": manifest.runtime,
            "started_wall_ns": str(manifest.started_wall_ns),
            "started_ns": str(manifest.started_ns),
            "ended_ns": "" if manifest.ended_ns is None else str(manifest.ended_ns),
            "status": manifest.status,
            "status_text": manifest.status_text,
            "costs": json.dumps(manifest.costs),
            "unmeasured_pools": json.dumps(manifest.unmeasured_pools),
        }
        self._many("INSERT OR REPLACE INTO meta VALUES (?,?)", list(values.items()))
        self.facts(manifest.facts)

    def facts(self, facts: Mapping[str, str | int]) -> None:
        """Record settings of kernel and allocator; what was recorded before under other names stays."""
        self._facts.update(facts)
        self._many("INSERT OR REPLACE INTO meta VALUES (?,?)", [("facts", json.dumps(self._facts))])

    def status(self, status: RunStatus, text: str, ended_ns: int | None) -> None:
        """Change how the run ended."""
        rows = [("status", status), ("status_text", text), ("ended_ns", "" if ended_ns is None else str(ended_ns))]
        self._many("INSERT OR REPLACE INTO meta VALUES (?,?)", rows)

    def unmeasured_pools(self, names: Sequence[str]) -> None:
        """Record which pools are not part of the application."""
        self._many("INSERT OR REPLACE INTO meta VALUES (?,?)", [("unmeasured_pools", json.dumps(names))])

    def hosts(self, hosts: Sequence[RunHost]) -> None:
        """Record which hosts are watched over a line."""
        self._many(
            "INSERT OR REPLACE INTO meta VALUES (?,?)", [("hosts", json.dumps([asdict(host) for host in hosts]))]
        )

    def costs(self, costs: Mapping[str, float | None]) -> None:
        """Record what measuring cost."""
        self._many("INSERT OR REPLACE INTO meta VALUES (?,?)", [("costs", json.dumps(costs))])

    def anchor(self, anchor: Anchor) -> None:
        self._many("INSERT INTO anchor VALUES (?,?,?)", [(anchor.host, anchor.monotonic_ns, anchor.wall_ns)])

    def open_window(self, window: Window) -> int:
        """Start a window; returns the id for `close_window`."""
        sql = "INSERT INTO window (phase, round, block, start_ns, end_ns, floor_ns) VALUES (?,?,?,?,?,?)"
        row = (window.phase, window.round, window.block, window.start_ns, window.end_ns, window.floor_ns)
        return self._one(sql, row)

    def close_window(self, identifier: int, end_ns: int, floor_ns: int | None) -> None:
        self._many("UPDATE window SET end_ns=?, floor_ns=? WHERE id=?", [(end_ns, floor_ns, identifier)])

    def replace_windows(self, phase: PhaseName, windows: Sequence[Window]) -> None:
        """These instead of all rounds of a phase, in one transaction; ids given out for the old ones mean nothing any more."""
        self._many("DELETE FROM window WHERE phase=? AND round IS NOT NULL", [(phase,)])
        for window in windows:
            self.open_window(window)

    def process(self, info: ProcessInfo) -> None:
        """Insert a process or update what may change: names on exec, last seen, end."""
        key = info.key
        known = self._processes.get(key)
        row = (info.ppid, info.comm, info.cmdline, info.uid, info.pool, info.last_seen_ns, info.ended_ns)
        if known is not None:
            sql = "UPDATE process SET ppid=?, comm=?, cmdline=?, uid=?, pool=?, last_seen_ns=?, ended_ns=? WHERE id=?"
            self._many(sql, [(*row, known)])
            if info.ended_ns is not None and not self._broken:
                self._end_of(key)
            return
        sql = (
            "INSERT INTO process (ppid, comm, cmdline, uid, pool, last_seen_ns, ended_ns, host, pid, start_ticks, born_ns,"
            " first_seen_ns) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"
        )
        born = (key.host, key.pid, key.start_ticks, info.born_ns, info.first_seen_ns)
        self._processes[key] = self._one(sql, (*row, *born))

    def _end_of(self, key: ProcessKey) -> None:
        try:
            self._samples.ended(key)
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def samples(self, t_ns: int, rows: Iterable[tuple[str, ProcessKey | None, int]], *, lane: str = "sampler") -> None:
        """Measured values of one instant: (metric, process or None, value). Values never measured are simply not there.

        ``lane`` names the source of the instants; those of one lane only rise, and a series belongs to one lane (ValueError).
        The same instant may be given again: the later value of a series counts. Values are 64-bit integers (OverflowError).
        """
        if self._broken:
            return
        try:
            self._samples.add(t_ns, rows, lane)
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def object_counts(
        self, t_ns: int, process: ProcessKey, runtime: str, every: int, rows: Sequence[tuple[str, int, int]]
    ) -> None:
        """What one walk of a heap met: (type, count, bytes). See `ObjectCount`; the same walk given again replaces."""
        if self._broken:
            return
        number = self._processes[process]
        tallies = [(number, t_ns, self._object_type(runtime, name), count, size, every) for name, count, size in rows]
        self._many("INSERT OR REPLACE INTO object_tally VALUES (?,?,?,?,?,?)", tallies)

    def spans(self, spans: Sequence[Span]) -> None:
        if self._broken:
            return
        sql = (
            "INSERT INTO span (span_id, endpoint_id, phase, round, block, user, intended_ns, start_ns, end_ns, status, error,"
            " body_bytes, failed_checks) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)"
        )
        rows = [
            (s.span_id, self._endpoint_id(s.endpoint), s.phase, s.round, s.block, s.user, s.intended_ns, s.start_ns, s.end_ns,
             s.status, s.error, s.body_bytes, json.dumps(s.failed_checks) if s.failed_checks else None)
            for s in spans
        ]  # fmt: skip
        self._many(sql, rows)

    def records(
        self,
        file: str,
        offset: int,
        found: Sequence[RequestRecord | BootRecord | ToolRecord | FloorRecord | CostRecord],
    ) -> None:
        """What was parsed from ``file`` up to ``offset``, and the offset, in one transaction. Floors become samples elsewhere:
        only the session knows which process of that pid it was. Costs of agents become one of the run's."""
        if self._broken:
            return
        requests, boots, tools = [], [], []
        for r in found:
            if isinstance(r, RequestRecord):
                requests.append((_source(r), r.pid, r.span_id, r.sequence, r.start_ns, r.end_ns, r.wall_end_ns, r.name, r.status,
                                 r.first_in_process, json.dumps(r.values)))  # fmt: skip
            elif isinstance(r, BootRecord):
                boots.append((_source(r), r.pid, r.ppid, r.t_ns, r.runtime_version, r.argv))
            elif isinstance(r, ToolRecord):
                tools.append((_source(r), r.pid, r.span_id, r.t_ns, r.tool, r.file, r.error, json.dumps(r.values)))
        sql = (
            "INSERT INTO record (source, pid, span_id, sequence, start_ns, end_ns, wall_end_ns, name, status, first_in_process,"
            " data) VALUES (?,?,?,?,?,?,?,?,?,?,?)"
        )
        self._many(sql, requests)
        self._many("INSERT INTO boot VALUES (?,?,?,?,?,?)", boots)
        self._many("INSERT INTO tool VALUES (?,?,?,?,?,?,?,?)", tools)
        self._many("INSERT OR REPLACE INTO tail VALUES (?,?)", [(file, offset)])

    def tails(self) -> dict[str, int]:
        """How far each record file has been read."""
        return dict(self._db.execute("SELECT file, offset FROM tail"))

    def event(self, event: Event) -> None:
        process = None if event.process is None else self._processes.get(event.process)
        row = (event.t_ns, event.kind, process, event.text, json.dumps(event.attributes))
        self._many("INSERT INTO event (t_ns, kind, process_id, text, attributes) VALUES (?,?,?,?,?)", [row])

    def artifact(self, a: Artifact) -> None:
        sql = (
            "INSERT INTO artifact (tool, adapter, path, status, span_id, endpoint, pid, t_ns, size_bytes, detail, attributes)"
            " VALUES (?,?,?,?,?,?,?,?,?,?,?)"
        )
        self._many(sql, [(a.tool, a.adapter, a.path, a.status, a.span_id, a.endpoint, a.pid, a.t_ns, a.size_bytes, a.detail,
                          json.dumps(a.attributes))])  # fmt: skip

    def missing(self, missing: Missing) -> None:
        """Record once per signal that it is not there; the first reason stays."""
        self._many("INSERT OR IGNORE INTO missing VALUES (?,?,?)", [(missing.signal, missing.reason, missing.costs)])

    # -- transactions --------------------------------------------------------------------------------------------------

    def tick(self, now_ns: int) -> None:
        """Commit if the last commit is older than `COMMIT_EVERY_NS`."""
        if now_ns - self._committed_ns >= COMMIT_EVERY_NS:
            self.commit()
            self._committed_ns = now_ns

    def commit(self) -> None:
        try:
            self._db.execute("COMMIT")
            self._db.execute("BEGIN")
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Commit, fold the write-ahead log into the database, release the run. Safe to call after an error, and twice."""
        if self._lock < 0:
            return
        try:
            if self._db.in_transaction:
                if not self._broken:  # else what is in memory may not be what is in the tables
                    self._samples.pack_all()
                self._db.execute("COMMIT")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise _database_errors(error) from error
        finally:
            self._db.close()
            os.close(self._lock)
            self._lock = -1

    def _one(self, sql: str, row: Sequence[object]) -> int:
        try:
            return int(self._db.execute(sql, row).lastrowid or 0)
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        try:
            self._db.executemany(sql, rows)
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _failed(self, error: sqlite3.Error) -> RecordingError:
        """What was written since the last commit may be gone with the statement that failed (sqlite.org/lang_transaction.html),
        and with it rows that what is in memory refers to. So from now on only what stands for itself is written: how the run
        ended, and events. The files that agents wrote are read by `harness report`, from where the last commit got to."""
        self._broken = True
        if not self._db.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("BEGIN")
        return _database_errors(error)

    def _object_type(self, runtime: str, name: str) -> int:
        found = self._object_types.get((runtime, name))
        if found is None:
            found = self._one("INSERT INTO object_type (runtime, name) VALUES (?,?)", (runtime, name))
            self._object_types[runtime, name] = found
        return found

    def _endpoint_id(self, name: str) -> int:
        found = self._endpoints.get(name)
        if found is None:
            found = self._one("INSERT INTO endpoint (name) VALUES (?)", (name,))
            self._endpoints[name] = found
        return found


def _source(record: RequestRecord | BootRecord | ToolRecord) -> str:
    """What wrote it, and where, if that is another host: ``python-agent@web-1``. What a target says is no host."""
    source = record.source.replace("@", "?")
    return f"{source}@{record.host}" if record.host else source


def is_recording(run_directory: Path) -> bool:
    """Whether a live recorder holds the run."""
    try:
        lock = os.open(run_directory / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False
