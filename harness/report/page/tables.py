"""Tables in plain HTML: readable without a script, sorted and filtered by it where there is one.

Every text passes through `esc`; cells carry their number in ``data-v`` so that sorting needs no parsing.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.report import words


def esc(text: str, limit: int = 200) -> str:
    """Text from anywhere, as HTML text or attribute value."""
    return html.escape(words.clean(text, limit).encode("utf-8", "replace").decode("utf-8"), quote=True)


@dataclass(frozen=True, slots=True)
class Cell:
    """``html`` is markup of ours around escaped text; ``value`` is what sorting goes by."""

    html: str
    value: float | None = None


def text(value: str, limit: int = 200) -> Cell:
    """A cell of text."""
    return Cell(esc(value, limit))


def number(value: float | None, shown: str) -> Cell:
    """A cell of a number and how people read it."""
    return Cell(esc(shown), words.known(value))


UP, DOWN = "ascending", "descending"


@dataclass(frozen=True, slots=True)
class Column:
    """``numeric`` columns are aligned right; ``hint`` explains it; ``sorted_``: rows are in its order (`UP`, `DOWN`)."""

    title: str
    numeric: bool = False
    hint: str = ""
    sorted_: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """``at``: seconds since the start of the run; the page hides the row when that lies outside the range it shows. ``key``: the
    number of what the row is about, by which the page finds what to count in that range."""

    cells: Sequence[Cell]
    at: float | None = None
    key: int | None = None


def table(identifier: str, caption: str, columns: Sequence[Column], rows: Iterable[Sequence[Cell] | Row]) -> str:
    """A table with a caption for screen readers, in a box that scrolls sideways when it must."""
    head = "".join(_head(c) for c in columns)
    body = "\n".join(_row(row if isinstance(row, Row) else Row(row), columns) for row in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{esc(caption)}"><table id="{identifier}" class="sortable">'
        f'<caption class="sr">{esc(caption)}</caption><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>'
    )


def _row(row: Row, columns: Sequence[Column]) -> str:
    at = "" if row.at is None else f' data-t="{row.at:.6f}"'
    key = "" if row.key is None else f' data-k="{row.key}"'
    return (
        f"<tr{at}{key}>"
        + "".join(
            _cell(cell, column, first=i == 0) for i, (cell, column) in enumerate(zip(row.cells, columns, strict=True))
        )
        + "</tr>"
    )


def _head(column: Column) -> str:
    title = f' title="{esc(column.hint)}"' if column.hint else ""
    kind = ' class="num"' if column.numeric else ""
    order = f' aria-sort="{column.sorted_}"' if column.sorted_ else ""
    return f'<th scope="col"{kind}{title}{order}>{esc(column.title)}</th>'


def _cell(cell: Cell, column: Column, *, first: bool) -> str:
    kind = ' class="num"' if column.numeric else ""
    value = "" if cell.value is None else f' data-v="{cell.value:.10g}"'
    return f'<th scope="row"{kind}{value}>{cell.html}</th>' if first else f"<td{kind}{value}>{cell.html}</td>"
