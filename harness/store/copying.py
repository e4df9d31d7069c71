"""Copy the database of a run row by row into a new file, and tell whether a file from elsewhere is one of ours.

A new file holds nothing but the rows that were put into it: no free pages, no write-ahead log, no table that this version does
not know.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.errors import RunError, one_line
from harness.store import layout
from harness.store.chunk import LONGEST
from harness.store.reader import opened
from harness.store.schema import SCHEMA

Row = tuple[Any, ...]
_ORDER = {"sample_tail": "tick_id, series_id", "chunk": "series_id, first_tick", "object_tally": "process_id, t_ns, type_id",
          "meta": "key", "missing": "signal", "tail": "file"}  # fmt: skip
_NO_ROOM = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_TRUNCATE})
_MADE_WITH_THE_SCHEMA = "position"
_LATEST_NS = 2**62  # in the year 2116
_DIGITS = len(str(_LATEST_NS))
_MOST_VALUES = 1_000_000_000  # 8 GB as arrays: ten days of 50 processes


def copy_run(
    run_directory: Path,
    target: Path,
    rewrite: Mapping[str, Callable[[Row], Row | None]],
    more: Mapping[str, Iterable[Row]] = MappingProxyType({}),
) -> None:
    """Write the run's database as the new file ``target``. ``rewrite``: for a table, what to make of each row (its columns in the
    order of the schema); None leaves it out; tables that are not named are copied as they are. ``more``: for a table, further
    rows. Raises RunError, and OSError when there is no room for the file."""
    with opened(run_directory) as source:
        (found,) = source.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
        if found != layout.FORMAT:
            raise RunError(f"{run_directory}: cannot be copied: its format is {found!r}", hint="record it again")
        db = sqlite3.connect(target, isolation_level=None)
        try:
            db.executescript(f"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; BEGIN; {SCHEMA}")
            for table, columns in _tables(db).items():
                if table != _MADE_WITH_THE_SCHEMA:
                    _copy(source, db, table, columns, rewrite.get(table))
                    db.executemany(_insert(table, columns), more.get(table, ()))
            db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode in _NO_ROOM:  # not the run's fault
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target)) from error
            raise
        finally:
            db.close()


def _copy(
    source: sqlite3.Connection,
    db: sqlite3.Connection,
    table: str,
    columns: Mapping[str, str],
    rewrite: Callable[[Row], Row | None] | None,
) -> None:
    order = _ORDER.get(table, "rowid")
    rows: Iterable[Row] = source.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {order}")  # noqa: S608  # of our schema
    if rewrite is not None:
        rows = (new for row in rows if (new := rewrite(row)) is not None)
    db.executemany(_insert(table, columns), rows)


def _insert(table: str, columns: Mapping[str, str]) -> str:
    return f"INSERT INTO {table} VALUES ({','.join('?' * len(columns))})"  # noqa: S608  # of our schema


def check_database(path: Path) -> None:
    """Raises RunError unless the file is a database with exactly our tables and views, values of the declared types in every
    row, times that a clock may show, and no more values than can be held in memory. It may come from anybody."""
    try:
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)
        try:
            db.execute("PRAGMA trusted_schema=OFF")
            db.execute("PRAGMA cell_size_check=ON")
            sound = _schema(db) == _schema(_fresh()) and _typed(db)
            timed = not sound or _timed(db)
        finally:
            db.close()
    except (sqlite3.Error, OverflowError, UnicodeDecodeError, MemoryError) as error:
        raise RunError(f"the database in it is damaged: {one_line(error)}") from error
    if not sound:
        raise RunError("the database in it is not a run of this version", hint="use the version that made it")
    if not timed:
        raise RunError("a time in it is none that a clock shows")


def _fresh() -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.executescript(SCHEMA)
    return db


def _schema(db: sqlite3.Connection) -> list[Row]:
    return sorted(db.execute("SELECT type, name, coalesce(sql, '') FROM sqlite_master"))


def _tables(db: sqlite3.Connection) -> dict[str, dict[str, str]]:
    """By table, its columns with their declared types."""
    names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY rowid")]
    return {name: {row[1]: row[2] for row in db.execute(f"PRAGMA table_info({name})")} for name in names}


def _typed(db: sqlite3.Connection) -> bool:
    for table, columns in _tables(db).items():
        wrong = " OR ".join(f"typeof({name}) NOT IN ('{kind.lower()}', 'null')" for name, kind in columns.items())
        if db.execute(f"SELECT 1 FROM {table} WHERE {wrong} LIMIT 1").fetchone():  # noqa: S608  # names of our own schema
            return False
    (values, longest) = db.execute("SELECT coalesce(sum(n), 0), coalesce(max(n), 0) FROM chunk").fetchone()
    (least, positions) = db.execute("SELECT min(i), count(*) FROM position").fetchone()
    return bool(values <= _MOST_VALUES and longest <= LONGEST and least == 0 and positions == LONGEST)


def _timed(db: sqlite3.Connection) -> bool:
    """Whether every time can be added to any other, and any taken from it, in 64 bits."""
    for table, columns in _tables(db).items():
        wrong = " OR ".join(f"{name} NOT BETWEEN 0 AND {_LATEST_NS}" for name in columns if name.endswith("_ns"))
        if wrong and db.execute(f"SELECT 1 FROM {table} WHERE {wrong} LIMIT 1").fetchone():  # noqa: S608  # names of our own schema
            return False
    told = db.execute("SELECT key, value FROM meta WHERE key IN ('started_ns', 'started_wall_ns', 'ended_ns')")
    return all(_is_time(value) or (key == "ended_ns" and not value) for key, value in told)


def _is_time(text: str) -> bool:
    return len(text) <= _DIGITS and text.isdecimal() and int(text) <= _LATEST_NS
