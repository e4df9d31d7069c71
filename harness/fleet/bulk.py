"""Thousands of profile files at once: each is read by its format's reader on Dask, and becomes rows of a dataset.

Tables, partitioned by ``source`` (the directory that was read): ``profiles`` (a file), ``totals`` (what the tool itself totals)
and ``functions`` (what each function cost, by value). Reading a directory again replaces what it gave before.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import UsageError
from harness.fleet.cluster import carried_out
from harness.fleet.dataset import Dataset
from harness.fleet.partitions import PROFILE_TABLES, encoded, part_path
from harness.model.profile import Profile
from harness.plugins.formats import FileFormat, head_of, recognised
from harness.plugins.registry import load_formats
from harness.report.exporters.parquet import written
from harness.report.tables import BOOL, INT, TEXT, Cell, Table
from harness.report.words import clean

BATCH_FILES = 50
DEFAULT_TOP = 500
_MOST_PROBLEMS = 20
_TEXT_LETTERS = 1_000
_INT64 = 2**63

_COLUMNS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "profiles": (
        ("profile", TEXT), ("format", TEXT), ("tool", TEXT), ("size_bytes", INT), ("modified_unix_ns", INT),
        ("complete", BOOL), ("functions", INT), ("problem", TEXT),
    ),
    "totals": (("profile", TEXT), ("name", TEXT), ("value", INT)),
    "functions": (
        ("profile", TEXT), ("value", TEXT), ("unit", TEXT), ("function", TEXT), ("file", TEXT), ("line", INT),
        ("calls", INT), ("self", INT), ("inclusive", INT),
    ),
}  # fmt: skip
_Rows = dict[str, list[tuple[Cell, ...]]]


@dataclass(frozen=True, slots=True)
class Batch:
    """Some files below ``root``. ``top``: so many functions are kept of each profile, by each of its values."""

    root: str
    names: tuple[str, ...]
    top: int


@dataclass(frozen=True, slots=True)
class Parsed:
    """``tables``: Parquet by table. ``problems``: files that look like profiles and could not be read; ``foreign``: others."""

    tables: Mapping[str, bytes]
    profiles: int
    foreign: int
    problems: Sequence[str]


@dataclass(slots=True)
class Bulk:
    """What became of all files. ``problems``: the first of those that could not be read."""

    files: int = 0
    profiles: int = 0
    foreign: int = 0
    unread: int = 0
    problems: list[str] = field(default_factory=list)


def bulk(
    directory: Path,
    dataset: Dataset,
    *,
    top: int = DEFAULT_TOP,
    scheduler: str | None = None,
    processes: bool = True,
    workers: int | None = None,
) -> Bulk:
    """Read every file below a directory (links are not followed) into the dataset.

    With a ``scheduler`` its workers must see the directory under the same path. UsageError for what is no directory.
    """
    root = directory.absolute()
    if not root.is_dir():
        raise UsageError(f"{clean(str(directory))} is no directory")
    names = tuple(_names(str(root)))
    batches = [Batch(str(root), names[start : start + BATCH_FILES], top) for start in range(0, len(names), BATCH_FILES)]
    source, done = source_of(root), Bulk(files=len(names))
    for number, parsed in enumerate(carried_out(parse, batches, scheduler, processes=processes, workers=workers)):
        if isinstance(parsed, str):
            _lost(done, batches[number], parsed)
            tables = _tables({})
        else:
            _count(done, parsed)
            tables = parsed.tables
        for table, data in tables.items():
            dataset.storage.write(part_path(table, source, number), data)
    for table in PROFILE_TABLES:
        current = {part_path(table, source, number) for number in range(len(batches))}
        for name in dataset.storage.names(f"{table}/source={encoded(source)}"):
            if name not in current:
                dataset.storage.remove(name)
    return done


def source_of(root: Path) -> str:
    """The name of a directory with a hash of its path: another of that name is another source."""
    return f"{clean(root.name) or 'root'}-{hashlib.sha256(os.fsencode(root)).hexdigest()[:8]}"


def _names(root: str) -> Iterator[str]:
    for directory, below, files in os.walk(root):
        below.sort()
        for name in sorted(files):
            path = os.path.join(directory, name)  # noqa: PTH118  # thousands of them
            if os.path.isfile(path) and not os.path.islink(path):  # noqa: PTH113, PTH114
                yield os.path.relpath(path, root)


def _lost(done: Bulk, batch: Batch, why: str) -> None:
    done.unread += len(batch.names)
    if len(done.problems) < _MOST_PROBLEMS:
        done.problems.append(f"{clean(batch.names[0])} and {len(batch.names) - 1} more: {clean(why)}")


def _count(done: Bulk, parsed: Parsed) -> None:
    done.profiles += parsed.profiles
    done.foreign += parsed.foreign
    done.unread += len(parsed.problems)
    done.problems += parsed.problems[: _MOST_PROBLEMS - len(done.problems)]


# --- in a worker ----------------------------------------------------------------------------------------------------


def parse(batch: Batch) -> Parsed:
    """Read a batch. Whatever a file holds, the others are read."""
    formats = load_formats()
    rows: _Rows = {table: [] for table in PROFILE_TABLES}
    profiles = foreign = 0
    problems = []
    for name in batch.names:
        try:
            found = recognised(head_of(Path(batch.root, name)), formats)
            if len(found) != 1:
                foreign += 1
                continue
            profile = found[0].read(Path(batch.root, name))
        except (OSError, ValueError, MemoryError) as error:
            why = clean(str(error) or type(error).__name__, _TEXT_LETTERS)
            problems.append(f"{clean(name)}: {why}")
            rows["profiles"].append(_file_row(batch, name, None, None, why))
            continue
        profiles += 1
        _add(rows, batch, name, found[0], profile)
    return Parsed(_tables(rows), profiles, foreign, problems)


def _add(rows: _Rows, batch: Batch, name: str, format_: FileFormat, profile: Profile) -> None:
    shown = _text(name)
    rows["profiles"].append(_file_row(batch, name, format_, profile, None))
    rows["totals"] += [(shown, _text(total), _int(value)) for total, value in sorted(profile.totals.items())]
    for column, kind in enumerate(profile.value_types):
        costs = sorted(profile.functions, key=lambda cost: (-abs(cost.self_values[column]), cost.frame))
        for cost in costs[: batch.top]:
            frame = profile.frames[cost.frame]
            rows["functions"].append((
                shown, _text(kind.name), _text(kind.unit), _text(frame.function), _text(frame.file), _int(frame.line),
                _int(cost.calls), _int(cost.self_values[column]), _int(cost.inclusive_values[column]),
            ))  # fmt: skip


def _file_row(
    batch: Batch, name: str, format_: FileFormat | None, profile: Profile | None, problem: str | None
) -> tuple[Cell, ...]:
    size, modified = _size_and_time(Path(batch.root, name))
    return (
        _text(name), None if format_ is None else format_.name, None if profile is None else _text(profile.tool), size,
        modified, None if profile is None else profile.complete, None if profile is None else len(profile.functions),
        problem,
    )  # fmt: skip


def _size_and_time(path: Path) -> tuple[int | None, int | None]:
    try:
        state = path.stat()
    except OSError:
        return None, None
    return state.st_size, state.st_mtime_ns


def _text(text: str) -> str | None:
    return clean(text, _TEXT_LETTERS) or None


def _int(value: int | None) -> int | None:
    """What a column can hold; a number of a hostile file that is larger is not known."""
    return value if value is not None and -_INT64 <= value < _INT64 else None


def _tables(rows: Mapping[str, Sequence[tuple[Cell, ...]]]) -> Mapping[str, bytes]:
    return {name: b"".join(written(_table(name, rows.get(name, ())))) for name in PROFILE_TABLES}


def _table(name: str, rows: Sequence[tuple[Cell, ...]]) -> Table:
    return Table(name, _COLUMNS[name], lambda: iter(rows))
