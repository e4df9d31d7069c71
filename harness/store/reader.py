"""Read a run directory back: finished, interrupted, or still being recorded. Never writes into it."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import RunError, one_line
from harness.model.event import CONTAINER_PROCESS, INNER_PID, Anchor, Event, Missing, Window
from harness.model.objects import ObjectCount
from harness.model.process import ProcessInfo, ProcessKey
from harness.model.profile import Artifact, ArtifactStatus
from harness.model.run import RawRun, RunManifest, RunStatus, Series
from harness.model.span import BootRecord, PhaseName, RequestRecord, Span, ToolRecord
from harness.store import layout
from harness.store.hosts import attributes_of, hosts_of
from harness.store.samples import LANE_SHIFT

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from harness.store.unpack import Ticks

    Column = NDArray[np.int64]


def read_run(run_directory: Path) -> RawRun:
    """Everything in the run directory. Raises RunError when it is not a run of ours or cannot be read."""
    with opened(run_directory) as db:
        processes = {row[0]: _process(row) for row in db.execute(f"SELECT id, {_PROCESS} FROM process ORDER BY id")}  # noqa: S608  # constant
        keys = {number: info.key for number, info in processes.items()}
        manifest = _manifest(dict(db.execute("SELECT key, value FROM meta")))
        old = manifest.format == layout.FORMAT_1
        return RawRun(
            manifest=manifest,
            anchors=[
                Anchor(*row) for row in db.execute("SELECT host, monotonic_ns, wall_ns FROM anchor ORDER BY rowid")
            ],
            windows=[
                Window(PhaseName(row[0]), *row[1:])
                for row in db.execute("SELECT phase, round, block, start_ns, end_ns, floor_ns FROM window ORDER BY id")
            ],
            processes=list(processes.values()),
            series=_old_series(db, keys) if old else _series(db, keys),
            spans=list(_spans(db)),
            records=list(_records(db)),
            boots=[
                BootRecord(*(source, *row[1:], host))
                for row in db.execute("SELECT source, pid, ppid, t_ns, runtime_version, argv FROM boot")
                for source, host in [_written_by(row[0])]
            ],
            tools=[
                ToolRecord(*(source, *row[1:7], _counts(row[7]), host))
                for row in db.execute("SELECT source, pid, span_id, t_ns, tool, file, error, data FROM tool")
                for source, host in [_written_by(row[0])]
            ],
            events=[
                Event(row[0], row[1], keys.get(row[2]), row[3], attributes_of(row[4]))
                for row in db.execute("SELECT t_ns, kind, process_id, text, attributes FROM event ORDER BY t_ns, id")
            ],
            artifacts=list(_artifacts(db)),
            missing=[Missing(*row) for row in db.execute("SELECT signal, reason, costs FROM missing")],
            object_counts=[] if old else list(_object_counts(db, keys)),
        )


def read_manifest(run_directory: Path) -> RunManifest:
    """Only the manifest. Raises RunError."""
    with opened(run_directory) as db:
        return _manifest(dict(db.execute("SELECT key, value FROM meta")))


def read_processes(run_directory: Path) -> list[tuple[ProcessInfo, int | None]]:
    """Only the processes, each with the id that it has in its container; None: not known, or it is in none. Raises RunError."""
    with opened(run_directory) as db:
        told = db.execute("SELECT process_id, attributes FROM event WHERE kind = ?", (CONTAINER_PROCESS,))
        inner = {number: attributes_of(text).get(INNER_PID) for number, text in told}
        rows = db.execute(f"SELECT id, {_PROCESS} FROM process ORDER BY id").fetchall()  # noqa: S608  # constant
    found = [(_process(row), inner.get(row[0])) for row in rows]
    return [(info, pid if type(pid) is int else None) for info, pid in found]


def read_latest(run_directory: Path) -> dict[str, int]:
    """The latest instant of each lane that has one, by its name. Of runs of the present format. Raises RunError."""
    sql = "SELECT t_ns FROM tick WHERE tick.id >= lane.id << ? AND tick.id < (lane.id + 1) << ? ORDER BY tick.id DESC LIMIT 1"
    with opened(run_directory) as db:
        rows = db.execute(f"SELECT name, ({sql}) FROM lane", (LANE_SHIFT, LANE_SHIFT)).fetchall()  # noqa: S608  # constant
    return {name: t_ns for name, t_ns in rows if t_ns is not None}


@dataclass(frozen=True, slots=True)
class Names:
    """A run without its measurements: what it was, what took part, what was collected."""

    manifest: RunManifest
    pools: tuple[str, ...]
    programs: tuple[str, ...]
    endpoints: tuple[str, ...]
    artifacts: tuple[Artifact, ...]


def read_names(run_directory: Path) -> Names:
    """Only the names. Raises RunError."""
    with opened(run_directory) as db:
        return Names(
            manifest=_manifest(dict(db.execute("SELECT key, value FROM meta"))),
            pools=tuple(row[0] for row in db.execute("SELECT DISTINCT pool FROM process ORDER BY pool")),
            programs=tuple(row[0] for row in db.execute("SELECT DISTINCT comm FROM process ORDER BY comm")),
            endpoints=tuple(row[0] for row in db.execute("SELECT name FROM endpoint ORDER BY id")),
            artifacts=tuple(_artifacts(db)),
        )


@contextlib.contextmanager
def opened(run_directory: Path) -> Iterator[sqlite3.Connection]:
    """The run's database for reading, as one consistent view. Raises RunError, also for what goes wrong while it is read."""
    path = run_directory / layout.DATABASE
    if not path.is_file():
        raise RunError(
            f"{run_directory}: not a run (no {layout.DATABASE} in it)",
            hint="name a directory that `harness run` printed",
        )
    # A run on read-only media has no way to open the WAL: then read the database as it is.
    wal = path.with_name(path.name + "-wal")
    options = "mode=ro" if wal.exists() else "mode=ro&immutable=1" if not _writable(run_directory) else "mode=ro"
    try:
        db = sqlite3.connect(f"{path.absolute().as_uri()}?{options}", uri=True, isolation_level=None)
        try:
            db.execute("BEGIN")  # one consistent view, also while it is being written
            found = dict(db.execute("SELECT key, value FROM meta WHERE key='format'")).get("format")
            if found not in (layout.FORMAT, layout.FORMAT_1):
                raise RunError(
                    f"{run_directory}: format {found!r}, this version reads {layout.FORMAT!r} and {layout.FORMAT_1!r}",
                    hint="use the version that recorded it",
                )
            yield db
        finally:
            db.close()
    except (sqlite3.Error, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunError(
            f"{run_directory}: unreadable run: {one_line(error)}",
            hint="was it copied while being recorded, without its -wal file?",
        ) from error


def _writable(directory: Path) -> bool:
    return os.access(directory, os.W_OK)


def _manifest(meta: Mapping[str, str]) -> RunManifest:
    return RunManifest(
        format=meta["format"],
        run_id=meta["run_id"],
        tool_version=meta["tool_version"],
        scenario_name=meta["scenario_name"],
        scenario_path=meta["scenario_path"],
        scenario=_object(meta["scenario"]),
        host=_scalars(meta["host"]),
        runtime=meta["runtime"],
        started_wall_ns=_time(meta["started_wall_ns"]),
        started_ns=_time(meta["started_ns"]),
        ended_ns=_time(meta["ended_ns"]) if meta["ended_ns"] else None,
        status=RunStatus(meta["status"]),
        status_text=meta["status_text"],
        costs=_numbers(meta["costs"]),
        unmeasured_pools=_names(meta["unmeasured_pools"]),
        hosts=hosts_of(meta.get("hosts", "[]")),
        facts=_scalars(meta.get("facts", "{}")),
    )


def _object(text: str) -> dict[str, Any]:
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("what is an object of names and values is none")  # as what json raises
    return document


def _time(text: str) -> int:
    """ns, on a clock or since 1970, of which a calendar has a day."""
    found = int(text)
    if not 0 <= found < _INT64:
        raise ValueError("a time of the run is none")
    return found


def _names(text: str) -> tuple[str, ...]:
    document = json.loads(text)
    if not isinstance(document, list) or not all(isinstance(name, str) for name in document):
        raise ValueError("names of pools are none")
    return tuple(document)


def _plain(value: object) -> bool:
    """A number that exports can hold, or None."""
    return value is None or isinstance(value, float) or (isinstance(value, int) and -_INT64 <= value < _INT64)


def _numbers(text: str) -> dict[str, Any]:
    document = _object(text)
    if not all(map(_plain, document.values())):
        raise ValueError("what it cost is no number")
    return document


def _counts(text: str) -> dict[str, Any]:
    """What an agent counted; exports take whole numbers of 64 bits."""
    document = _object(text)
    for value in document.values():
        if value is not None and not (type(value) is int and -_INT64 <= value < _INT64):
            raise ValueError("what an agent counted is no number")
    return document


def _scalars(text: str) -> dict[str, Any]:
    document = _object(text)
    if not all(_plain(value) or isinstance(value, str) for value in document.values()):
        raise ValueError("a fact is neither a number nor a text")
    return document


_INT64 = 2**63
_PROCESS = "host, pid, start_ticks, ppid, comm, cmdline, uid, pool, born_ns, first_seen_ns, last_seen_ns, ended_ns"


def _process(row: tuple[Any, ...]) -> ProcessInfo:
    return ProcessInfo(ProcessKey(row[1], row[2], row[3]), *row[4:])


_Found = dict[tuple[str, "ProcessKey | None"], Series]


def _series(db: sqlite3.Connection, keys: Mapping[int, ProcessKey]) -> _Found:
    import numpy as np  # noqa: PLC0415  # 0.1 s that `harness report --help` need not pay

    from harness.store.unpack import COLUMNS, unpack  # noqa: PLC0415

    closed = f"SELECT {COLUMNS} FROM chunk WHERE series_id = ? AND base IS NOT NULL ORDER BY first_tick"  # noqa: S608  # constant
    tails = _tails(db)
    lanes = {number: _ticks(db, number) for (number,) in db.execute("SELECT id FROM lane").fetchall()}
    found: _Found = {}
    for number, metric, process_id, lane in db.execute(
        "SELECT id, metric, process_id, lane_id FROM series ORDER BY id"
    ):
        rows = db.execute(
            closed, (number,)
        ).fetchall()  # one series at a time: the rows take as much room as the arrays
        if rows or number in tails:
            ticks, values = unpack(rows, tails.get(number))
            if (values == values[0]).all():
                values = np.broadcast_to(values[:1].copy(), values.shape)
            process = keys.get(process_id)
            found[metric, process] = Series(metric, process, lanes[lane].at(ticks), values)
    return found


def _ticks(db: sqlite3.Connection, lane: int) -> Ticks:
    """The instants of a lane. Raises ValueError when some are gone."""
    import numpy as np  # noqa: PLC0415

    from harness.store.unpack import Ticks  # noqa: PLC0415

    within = (lane << LANE_SHIFT, (lane + 1) << LANE_SHIFT)
    numbers, t_ns = np.fromiter(
        db.execute("SELECT id, t_ns FROM tick WHERE id >= ? AND id < ? ORDER BY id", within), np.dtype((np.int64, 2))
    ).T  # fmt: skip
    if len(numbers) and numbers[-1] - numbers[0] != len(numbers) - 1:
        raise ValueError("ticks are missing")
    t_ns = np.ascontiguousarray(t_ns)
    t_ns.flags.writeable = False
    return Ticks(int(numbers[0]) if len(numbers) else 0, t_ns)


def _tails(db: sqlite3.Connection) -> dict[int, Column]:
    """By series, the rows (tick, value) that are not in chunks yet."""
    import numpy as np  # noqa: PLC0415

    sql = (
        "SELECT t.series_id, t.tick_id, t.value FROM sample_tail t JOIN chunk c ON c.series_id = t.series_id AND c.base IS NULL"
        " WHERE t.tick_id >= c.first_tick ORDER BY t.series_id, t.tick_id"
    )
    table: Column = np.fromiter(db.execute(sql), np.dtype((np.int64, 3)))
    starts = np.flatnonzero(np.diff(table[:, 0], prepend=-1))
    return {int(part[0, 0]): part[:, 1:] for part in np.split(table, starts[1:]) if len(part)}


def _old_series(db: sqlite3.Connection, keys: Mapping[int, ProcessKey]) -> _Found:
    """From harness-run/1, which has a row for each value."""
    import numpy as np  # noqa: PLC0415

    found: _Found = {}
    for number, metric, process_id in db.execute("SELECT id, metric, process_id FROM series ORDER BY id").fetchall():
        rows = db.execute("SELECT t_ns, value FROM sample WHERE series_id = ? ORDER BY t_ns", (number,)).fetchall()
        if rows:
            table: Column = np.array(rows, dtype=np.int64)
            process = keys.get(process_id)
            found[metric, process] = Series(metric, process, table[:, 0].copy(), table[:, 1].copy())
    return found


def _spans(db: sqlite3.Connection) -> Iterator[Span]:
    sql = (
        "SELECT span_id, name, phase, round, block, user, intended_ns, start_ns, end_ns, status, error, body_bytes, failed_checks"
        " FROM span JOIN endpoint ON endpoint.id = endpoint_id ORDER BY span.id"
    )
    for row in db.execute(sql):
        failed_checks = tuple(json.loads(row[12])) if row[12] else ()
        fields: tuple[Any, ...] = (*row[:2], PhaseName(row[2]), *row[3:12], failed_checks)
        yield Span(*fields)


def _records(db: sqlite3.Connection) -> Iterator[RequestRecord]:
    sql = (
        "SELECT source, pid, span_id, sequence, start_ns, end_ns, wall_end_ns, name, status, first_in_process, data"
        " FROM record ORDER BY id"
    )
    for row in db.execute(sql):
        first = None if row[9] is None else bool(row[9])
        source, host = _written_by(row[0])
        fields: tuple[Any, ...] = (source, *row[1:9], first, _counts(row[10]), host)
        yield RequestRecord(*fields)


def _written_by(source: str) -> tuple[str, str]:
    """What wrote a record, and the host it is on, if that is another one (``python-agent@web-1``)."""
    written, _, host = source.partition("@")
    return written, host


def _artifacts(db: sqlite3.Connection) -> Iterator[Artifact]:
    sql = (
        "SELECT tool, adapter, path, status, span_id, endpoint, pid, t_ns, size_bytes, detail, attributes"
        " FROM artifact ORDER BY id"
    )
    for row in db.execute(sql):
        yield Artifact(*(*row[:3], ArtifactStatus(row[3]), *row[4:10], attributes_of(row[10])))


def _object_counts(db: sqlite3.Connection, keys: Mapping[int, ProcessKey]) -> Iterator[ObjectCount]:
    sql = (
        "SELECT process_id, t_ns, runtime, type, count, bytes, every FROM object_count ORDER BY t_ns, process_id, type"
    )
    for row in db.execute(sql):
        yield ObjectCount(keys[row[0]], *row[1:])
