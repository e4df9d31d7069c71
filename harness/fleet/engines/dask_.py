"""Dask: the first half of a query on many workers, each over its share of the files, the second half here.

The statements are those of the engine ``duckdb``, carried out by DuckDB in each worker, so the answers are the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.errors import UsageError
from harness.fleet.cluster import carried_out
from harness.fleet.engines.duckdb_ import arrow_of, connected, executed, rows_of
from harness.fleet.partitions import Choice
from harness.fleet.query import Query, Row, Statement, mapped_statement
from harness.fleet.storage import needed
from harness.report.words import clean

_LEAST_FILES = 100  # of a share: to open one is less work than to send it


def answer(query: Query, choice: Choice, files: Sequence[str], scheduler: str | None) -> Sequence[Row]:
    """All rows of the query. UsageError for files that cannot be read, and for a scheduler that does not answer."""
    if not files:
        return []
    shares = shared_out(files)
    statements = [mapped_statement(query, choice, share) for share in shares]
    parts = carried_out(_part, list(zip(statements, shares, strict=True)), scheduler)
    arrow = needed("pyarrow", "the engine dask")
    tables = []
    for part in parts:
        if isinstance(part, str):
            raise UsageError(part)
        tables.append(arrow.ipc.open_stream(part).read_all())
    with connected([]) as connection:
        try:
            mapped = arrow.concat_tables(tables)
        except arrow.ArrowException as error:  # their columns are not the same ones
            raise UsageError(f"the dataset cannot be read: {clean(str(error), 500)}") from error
        connection.register("mapped", mapped)
        return rows_of(executed(connection, Statement(query.reduced, {})))


def shared_out(files: Sequence[str]) -> list[Sequence[str]]:
    """Shares of at least `_LEAST_FILES` files and at most a hundred shares, in order."""
    size = max(_LEAST_FILES, math.ceil(len(files) / 100))
    return [files[start : start + size] for start in range(0, len(files), size)]


def _part(task: tuple[Statement, Sequence[str]]) -> bytes | str:
    """In a worker: the rows of one share as an Arrow stream, or why there are none."""
    statement, files = task
    arrow = needed("pyarrow", "the engine dask")
    try:
        with connected(files) as connection:
            found = arrow_of(connection, statement)
    except UsageError as error:
        return str(error)
    sink = arrow.BufferOutputStream()
    with arrow.ipc.new_stream(sink, found.schema) as stream:
        stream.write_table(found)
    data: bytes = sink.getvalue().to_pybytes()
    return data
