"""DuckDB in this process: the default engine. It reads the files where they are, local ones by itself, others by fsspec."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from harness.errors import UsageError
from harness.fleet.partitions import Choice
from harness.fleet.query import Query, Row, Statement, whole_statement
from harness.fleet.storage import needed
from harness.report.words import clean


def answer(query: Query, choice: Choice, files: Sequence[str], scheduler: str | None) -> Sequence[Row]:
    """All rows of the query. UsageError for files that cannot be read, and for a scheduler, which this engine has not."""
    if scheduler is not None:
        raise UsageError("the engine duckdb has no scheduler", hint="use --engine dask")
    if not files:
        return []
    with connected(files) as connection:
        return rows_of(executed(connection, whole_statement(query, choice, files)))


@contextmanager
def connected(files: Sequence[str]) -> Iterator[Any]:
    """A connection that can read these files and loads nothing from elsewhere."""
    duckdb = needed("duckdb", "a query over many runs")
    connection = duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false"})
    try:
        for protocol in sorted({file.partition("://")[0] for file in files if "://" in file}):
            connection.register_filesystem(needed("fsspec", "a dataset of many runs").filesystem(protocol))
        yield connection
    finally:
        connection.close()


def executed(connection: Any, statement: Statement) -> Any:
    """The result of a statement. UsageError with DuckDB's own words when a file is damaged or gone."""
    with _readable():
        return connection.execute(statement.sql, dict(statement.parameters))


def arrow_of(connection: Any, statement: Statement) -> Any:
    """The same as an Arrow table."""
    with _readable():
        return connection.sql(statement.sql, params=dict(statement.parameters)).to_arrow_table()


@contextmanager
def _readable() -> Iterator[None]:
    duckdb = needed("duckdb", "a query over many runs")
    try:
        yield
    except (duckdb.Error, OSError) as error:
        raise UsageError(f"the dataset cannot be read: {clean(str(error), 500)}") from error


def rows_of(result: Any) -> list[Row]:
    """Rows by the names of their columns."""
    names = [column[0] for column in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
