"""CSV (RFC 4180, UTF-8, with a header, ``\\n``), one file a table of `harness.report.tables`.

Unknown is an empty cell. A text that a spreadsheet would take for a formula begins with an apostrophe: texts come from targets.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import islice

from harness.model.report import Report
from harness.plugins.exports import Part, RunExport
from harness.report.tables import BOOL, TEXT, Cell, Constant, Table, tables

_ROWS = 20_000
_FORMULA = (
    "=",
    "+",
    "-",
    "@",
    "\uff1d",
    "\uff0b",
    "\uff0d",
    "\uff20",
)  # and as wide letters, which Excel takes for the same


def parts(report: Report) -> Iterator[Part]:
    """A file a table."""
    for table in tables(report):
        yield Part(f"{table.name}.csv", _pieces(table))


def _pieces(table: Table) -> Iterator[bytes]:
    yield _lines([[name for name, _ in table.columns]])
    if table.batches is not None:
        yield from _batches(table)
        return
    kinds = [kind for _, kind in table.columns]
    rows = table.rows()
    while chunk := list(islice(rows, _ROWS)):
        yield _lines([[_cell(cell, kind) for cell, kind in zip(row, kinds, strict=True)] for row in chunk])


def _batches(table: Table) -> Iterator[bytes]:
    """Millions of rows of which most cells are equal: these are written once a batch, the numbers as they are."""
    assert table.batches is not None
    for size, batch in table.batches():
        template: list[str] = []
        columns: list[Sequence[object]] = []
        for column in batch:
            if isinstance(column, Constant):
                template.append(_field(column.value).replace("%", "%%"))
            else:
                template.append("%d")
                columns.append(column.tolist())
        line = ",".join(template) + "\n"
        for begin in range(0, size, _ROWS):
            end = begin + _ROWS
            rows = zip(*(column[begin:end] for column in columns), strict=True)
            yield "".join([line % row for row in rows]).encode("utf-8")


def _field(value: int | str | None) -> str:
    text = _cell(value, TEXT if isinstance(value, str) else "")
    return _lines([[text, ""]]).decode("utf-8")[:-2]  # without the comma and the line's end


def _cell(cell: Cell, kind: str) -> object:
    if cell is None:
        return ""
    if kind == BOOL:
        return "true" if cell else "false"
    if kind == TEXT and isinstance(cell, str) and cell.startswith(_FORMULA):
        return f"'{cell}"
    return repr(cell) if isinstance(cell, float) else cell


def _lines(rows: Sequence[Sequence[object]]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode("utf-8")


EXPORT = RunExport("csv", "csv", "tables as CSV", "DuckDB, pandas, spreadsheets", parts, several=True)
