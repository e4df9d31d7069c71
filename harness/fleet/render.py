"""The answer of a query as a table for people or as JSON. Pure; names come from targets, so each passes through `clean`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime

from harness.compare.words import amount
from harness.fleet.query import Column, Judged, Kind, Query, Row, Value
from harness.model.measure import Unit
from harness.report.terminal import fit, width
from harness.report.words import clean, known

FORMAT = "harness-fleet-answer/1"
_WIDEST = 44
_LONGEST = 2_000
_RIGHT = frozenset(Kind) - {Kind.TEXT, Kind.WHEN}


def text(query: Query, found: Judged, limit: int) -> str:
    """A table with the first ``limit`` rows, and what is to be said below it; ends in a newline."""
    lines = list(_table(query, found.rows[:limit])) if found.rows else ["no rows"]
    more = len(found.rows) - limit
    if more > 0:
        lines.append(f"... and {more} more; see --limit")
    lines += [f"! {note}" for note in found.notes]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def document(query: Query, found: Judged, limit: int) -> str:
    """One JSON object, schema in ``fleet.schema.json``: numbers as they are, unknown is null."""
    names = [column.name for column in query.columns]
    rows = [{name: _plain(row.get(name)) for name in names} for row in found.rows[:limit]]
    whole = {
        "format": FORMAT,
        "query": query.name,
        "rows": rows,
        "more_rows": max(0, len(found.rows) - limit),
        "notes": list(found.notes),
    }
    return json.dumps(whole, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _plain(value: Value) -> object:
    if isinstance(value, float):
        return known(value)
    if isinstance(value, str):
        return clean(value, _LONGEST)
    return value.isoformat() if isinstance(value, date) else value


def _table(query: Query, rows: Sequence[Row]) -> Iterator[str]:
    columns = [column for column in query.columns if column.title]
    cells = [[column.title for column in columns], *([_cell(column, row) for column in columns] for row in rows)]
    sizes = [min(_WIDEST, max(width(line[i]) for line in cells)) for i in range(len(columns))]
    for line in cells:
        parts = []
        for column, size, cell in zip(columns, sizes, line, strict=True):
            room = " " * (size - width(cell))
            parts.append(room + cell if column.kind in _RIGHT else fit(cell, size))
        yield "  ".join(parts)


def _cell(column: Column, row: Row) -> str:
    value = row.get(column.name)
    if value is None:
        return "–"
    if isinstance(value, int | float):
        return clean(_number(column.kind, float(value), row))
    return clean(str(value))


def _number(kind: Kind, value: float, row: Row) -> str:
    match kind:
        case Kind.WHEN:
            return _when(value / 1e9)
        case Kind.AMOUNT | Kind.CHANGE:
            return amount(value, _unit(row), sign=kind is Kind.CHANGE)
        case Kind.BYTES:
            return amount(value, Unit.BYTES)
        case Kind.NS:
            return amount(value, Unit.NS)
        case Kind.SHARE:
            return amount(value, Unit.RATIO)
        case Kind.COUNT:
            return f"{value:.0f}"
        case _:
            return f"{value:.4g}"


def _when(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError, OSError):  # no year of a calendar
        return "–"


def _unit(row: Row) -> Unit:
    unit = row.get("unit")
    return Unit(unit) if isinstance(unit, str) and unit in set(Unit) else Unit.COUNT
