"""What a query over a dataset is. Pure.

``mapped`` runs over any share of the files of one table and keeps few rows and columns; ``reduced`` runs once over the rows of
all shares, as the table ``mapped``. An embedded engine runs both as one statement, a cluster runs the first on its workers.
``judge`` then says what SQL cannot: statistics over the rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from harness.errors import UsageError
from harness.fleet.partitions import KEYS, Choice

Value = str | int | float | bool | date | None
Row = Mapping[str, Value]


class Kind(StrEnum):
    """How a column is shown. AMOUNT has the unit that the row's ``unit`` names."""

    TEXT = "text"
    COUNT = "count"
    NUMBER = "number"
    SHARE = "share"
    BYTES = "bytes"
    NS = "ns"
    WHEN = "when"  # ns since 1970
    AMOUNT = "amount"
    CHANGE = "change"  # an amount with its sign


@dataclass(frozen=True, slots=True)
class Column:
    """``name`` in rows and JSON, ``title`` in tables; an empty title: not shown there."""

    name: str
    title: str
    kind: Kind = Kind.TEXT


@dataclass(frozen=True, slots=True)
class Judged:
    """``notes``: what a reader must know beside the rows, as sentences."""

    rows: Sequence[Row]
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Query:
    """``mapped`` has the places ``{source}`` and ``{where}``: the files of ``table``, and which runs are meant.

    ``partitions``: the keys in the paths of its files, by which rows can be chosen.
    """

    name: str
    title: str
    table: str
    mapped: str
    reduced: str
    columns: tuple[Column, ...]
    judge: Callable[[Sequence[Row]], Judged] = lambda rows: Judged(tuple(rows))
    partitions: tuple[str, ...] = KEYS


_PARAMETER = re.compile(r"\$([a-z]+)")
_WHERE = {
    "host": "host = $host",
    "scenario": "scenario = $scenario",
    "version": "version = $version",
    "since": "day >= $since",
    "until": "day <= $until",
}
_KEY_OF = {"since": "day", "until": "day"}


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL with named parameters, and their values. Nothing that a user or a target wrote is part of the text."""

    sql: str
    parameters: Mapping[str, object]


def mapped_statement(query: Query, choice: Choice, files: Sequence[str]) -> Statement:
    """The first half over these files. UsageError when its rows cannot be chosen like that."""
    chosen = {name: value for name in _WHERE if (value := getattr(choice, name)) is not None}
    unknown = next((name for name in chosen if _KEY_OF.get(name, name) not in query.partitions), None)
    if unknown is not None:
        raise UsageError(f"the query {query.name} cannot choose by {unknown}: its rows have none")
    where = " AND ".join(["true", *(_WHERE[name] for name in chosen)])
    sql = query.mapped.format(source=_source(query.partitions), where=where)
    return Statement(sql, {"files": list(files), **chosen})


def _source(partitions: Sequence[str]) -> str:
    types = ", ".join(f"'{key}': {'DATE' if key == 'day' else 'VARCHAR'}" for key in partitions)
    return f"read_parquet($files, union_by_name = true, hive_partitioning = true, hive_types = {{{types}}})"


def whole_statement(query: Query, choice: Choice, files: Sequence[str]) -> Statement:
    """Both halves as one statement."""
    first = mapped_statement(query, choice, files)
    return Statement(f"WITH mapped AS (\n{first.sql}\n)\n{query.reduced}", first.parameters)


def shown(statement: Statement) -> str:
    """The statement for people to run elsewhere: values written out as SQL literals."""
    filled = _PARAMETER.sub(lambda found: literal(statement.parameters[found[1]]), statement.sql)
    return filled + ";"


def literal(value: object) -> str:
    """An SQL literal."""
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    if isinstance(value, date):
        return f"DATE '{value.isoformat()}'"
    return "'" + str(value).replace("'", "''") + "'"
