"""Where the rows of a run lie in a dataset: ``TABLE/host=.../scenario=.../version=.../day=.../KEY.parquet``. Pure.

That is the layout that Hive began and DuckDB, ClickHouse, Spark, Dask and Arrow read: values are percent-encoded, an unknown one
is ``__HIVE_DEFAULT_PARTITION__``. Names come from targets, so nothing of them is a path before it is encoded.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from urllib.parse import quote, unquote

FORMAT = "harness-fleet/1"
MARKER = "harness-fleet.json"
KEYS = ("host", "scenario", "version", "day")
UNKNOWN = "__HIVE_DEFAULT_PARTITION__"
PROFILE_TABLES = ("functions", "totals", "profiles")  # of `harness.fleet.bulk`, partitioned by source
RUNS = "runs"  # written last: a run whose row is not there is not in the dataset

_LETTERS = 60  # of a value; encoded at most twelve times that is bytes, and a name of a file may have 255
_NAME = re.compile(r"[A-Za-z0-9._-]{1,80}-[0-9a-f]{16}")
_PLAIN = re.compile(r"[^A-Za-z0-9._-]+")
_MOST_ENCODED = 200
_PART = re.compile(rf"({'|'.join(PROFILE_TABLES)})/source=[A-Za-z0-9._%~-]{{1,240}}/part-[0-9]{{6}}\.parquet")


@dataclass(frozen=True, slots=True)
class Partition:
    """One value for each of `KEYS`; None: not known. ``day`` is that of the run's begin in UTC."""

    host: str | None
    scenario: str | None
    version: str | None
    day: date

    @property
    def path(self) -> str:
        """``host=.../scenario=.../version=.../day=...``."""
        values = (self.host, self.scenario, self.version, self.day.isoformat())
        return "/".join(f"{key}={encoded(value)}" for key, value in zip(KEYS, values, strict=True))


@dataclass(frozen=True, slots=True)
class Stored:
    """One file of a dataset: ``path`` is relative to the dataset, ``key`` names the run."""

    table: str
    partition: Partition
    key: str
    path: str


def encoded(value: str | None) -> str:
    """A value as one part of a path: ASCII letters, digits, ``-``, ``_`` and dots that are not first, the rest as ``%XX``.

    What is very long is cut and ends in a hash of all of it, so that different values stay different.
    """
    if value is None or value == "":
        return UNKNOWN
    text = value.encode("utf-8", "replace").decode()
    found = _quoted(text)
    if text == UNKNOWN or len(found) > _MOST_ENCODED or len(text) > 4 * _LETTERS:
        short = text[:_LETTERS]
        while len(_quoted(short)) > _MOST_ENCODED - 20:
            short = short[:-1]
        found = f"{_quoted(short)}~{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    return found


def _quoted(text: str) -> str:
    found = quote(text, safe="").replace("~", "%7E")
    return "%2E" + found[1:] if found.startswith(".") else found


def decoded(part: str) -> str | None:
    """The value again."""
    return None if part == UNKNOWN else unquote(part, errors="replace")


def key_of(run_id: str, host: str | None, started_wall_ns: int) -> str:
    """The name of a run's files. Two hosts may begin runs of one name in one second, so the name alone is not enough."""
    whole = hashlib.sha256(f"{run_id}\0{host or ''}\0{started_wall_ns}".encode("utf-8", "replace")).hexdigest()
    return f"{_PLAIN.sub('-', run_id[:80]).strip('.-') or 'run'}-{whole[:16]}"


def day_of(wall_ns: int) -> date:
    """The day in UTC of a time in ns since 1970."""
    return datetime.fromtimestamp(wall_ns // 1_000_000_000, UTC).date()


def path_of(table: str, partition: Partition, key: str) -> str:
    """Relative to the dataset."""
    return f"{table}/{partition.path}/{key}.parquet"


def stored_at(path: str) -> Stored | None:
    """What a file of a dataset is by its path relative to it; None for a file that is none of ours."""
    table, *parts, name = path.split("/")
    key = name.removesuffix(".parquet")
    if len(parts) != len(KEYS) or key == name or not _NAME.fullmatch(key):
        return None
    values = []
    for wanted, part in zip(KEYS, parts, strict=True):
        found, equals, value = part.partition("=")
        if found != wanted or not equals:
            return None
        values.append(decoded(value))
    try:
        day = date.fromisoformat(values[3] or "")
    except ValueError:
        return None
    return Stored(table, Partition(values[0], values[1], values[2], day), key, path)


def part_path(table: str, source: str, number: int) -> str:
    """Where a part of the profiles of one source lies."""
    return f"{table}/source={encoded(source)}/part-{number:06}.parquet"


def is_part(path: str) -> bool:
    """Whether a file is a part of some source."""
    return _PART.fullmatch(path) is not None


@dataclass(frozen=True, slots=True)
class Choice:
    """Which runs a query is about; None: all. ``since`` and ``until`` are the first and the last day."""

    host: str | None = None
    scenario: str | None = None
    version: str | None = None
    since: date | None = None
    until: date | None = None

    def takes(self, partition: Partition) -> bool:
        """Whether runs of that partition are meant. The SQL of a query says the same again."""
        return (
            self.host in (None, partition.host)
            and self.scenario in (None, partition.scenario)
            and self.version in (None, partition.version)
            and (self.since is None or partition.day >= self.since)
            and (self.until is None or partition.day <= self.until)
        )


def complete(files: Iterable[Stored]) -> Iterator[Stored]:
    """Files of runs whose row is there, and which lie where that row says: what a killed or unfinished addition left is not."""
    files = list(files)
    there = {(file.key, file.partition) for file in files if file.table == RUNS}
    yield from (file for file in files if (file.key, file.partition) in there)
