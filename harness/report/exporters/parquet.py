"""Parquet, packed with zstd, one file a table of `harness.report.tables`. Needs the package pyarrow (extra ``parquet``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.model.report import Report
from harness.plugins.exports import Part, RunExport
from harness.report.sink import Sink
from harness.report.tables import BATCH_ROWS, BOOL, FLOAT, INT, TEXT, Batch, Constant, Table, tables

if TYPE_CHECKING:
    from types import ModuleType


def parts(report: Report) -> Iterator[Part]:
    """A file a table. Raises UsageError without pyarrow."""
    arrow = _arrow()
    for table in tables(report):
        yield Part(f"{table.name}.parquet", _pieces(arrow, table))


def written(table: Table) -> Iterator[bytes]:
    """One table as a file. Raises UsageError without pyarrow."""
    return _pieces(_arrow(), table)


def _arrow() -> ModuleType:
    try:
        arrow = import_module("pyarrow")  # 100 MB that only this format needs
        import_module("pyarrow.parquet")
    except ImportError as error:
        raise UsageError("the parquet format needs pyarrow", hint="pip install 'profiling-harness[parquet]'") from error
    return arrow


def _pieces(arrow: ModuleType, table: Table) -> Iterator[bytes]:
    kinds = {
        INT: arrow.int64(),
        FLOAT: arrow.float64(),
        BOOL: arrow.bool_(),
        TEXT: arrow.dictionary(arrow.int32(), arrow.string()),
    }
    schema = arrow.schema([(name, kinds[kind]) for name, kind in table.columns])
    out = Sink()
    numbers = [name for name, kind in table.columns if kind == INT]
    writer = arrow.parquet.ParquetWriter(
        out,
        schema,
        compression="zstd",
        version="2.6",
        use_dictionary=[name for name, kind in table.columns if kind == TEXT],
        # Times and sizes are close to those before them: differences take a third of the room.
        column_encoding=dict.fromkeys(numbers, "DELTA_BINARY_PACKED"),
        store_schema=False,
    )
    with writer:
        for columns in _columns(arrow, table, schema):
            writer.write_table(arrow.table(columns, schema=schema))
            yield out.taken()
    yield out.taken()


def _columns(arrow: ModuleType, table: Table, schema: Any) -> Iterator[Sequence[Any]]:
    """Columns of at most about `BATCH_ROWS` rows each."""
    if table.batches is None:
        rows = table.rows()
        while chunk := list(islice(rows, BATCH_ROWS)):
            cells = zip(*chunk, strict=True)
            yield [arrow.array(list(column), type=field.type) for column, field in zip(cells, schema, strict=True)]
        return
    waiting: list[tuple[int, Batch]] = []
    count = 0
    for size, batch in table.batches():
        waiting.append((size, batch))
        count += size
        if count >= BATCH_ROWS:
            yield _merged(arrow, waiting, schema)
            waiting, count = [], 0
    if waiting:
        yield _merged(arrow, waiting, schema)


def _merged(arrow: ModuleType, batches: Sequence[tuple[int, Batch]], schema: Any) -> Sequence[Any]:
    """Batches one after the other: column by column, constants as one entry of a dictionary."""
    columns = []
    for number, field in enumerate(schema):
        pieces = []
        for size, batch in batches:
            column = batch[number]
            pieces.append(
                _same(arrow, column.value, size, field) if isinstance(column, Constant) else arrow.array(column)
            )
        joined = arrow.chunked_array(pieces, type=field.type)
        columns.append(joined.unify_dictionaries() if arrow.types.is_dictionary(field.type) else joined)
    return columns


def _same(arrow: ModuleType, value: int | str | None, size: int, field: Any) -> Any:
    if not arrow.types.is_dictionary(field.type):
        return arrow.repeat(arrow.scalar(value, type=field.type), size)
    index = arrow.repeat(arrow.scalar(None if value is None else 0, type=arrow.int32()), size)
    return arrow.DictionaryArray.from_arrays(index, arrow.array([] if value is None else [value], type=arrow.string()))


EXPORT = RunExport(
    "parquet", "parquet", "tables as Parquet, packed with zstd", "DuckDB, pandas, polars", parts, several=True
)
