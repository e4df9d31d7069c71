"""Rises of the high-water marks, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from harness.model.highwater import HighWater
from harness.report.page.tables import Cell, Column, number, table, text
from harness.report.peak_words import blamed
from harness.report.when import Clocks, plus_minus
from harness.units import format_bytes

_COLUMNS = (
    Column("Process"),
    Column("Time", numeric=True),
    Column("Phase"),
    Column("RSS peak", numeric=True, hint="the most it ever had resident, from then on, shared pages in full"),
    Column("Rise", numeric=True),
    Column(
        "Stayed",
        numeric=True,
        hint="what of the rise was still resident when all requests of that part of the round had ended",
    ),
    Column("Blamed on"),
)


def peaks(rises: Sequence[HighWater], start_ns: int, clocks: Clocks) -> str:
    """The table; nothing where no mark rose by much."""
    if not rises:
        return ""
    title = "Rises of the high-water mark: the most memory (RSS) that a process ever had"
    return f"<h3>{title}</h3>{table('t-peaks', title, _COLUMNS, [_row(rise, start_ns, clocks) for rise in rises])}"


def _row(rise: HighWater, start_ns: int, clocks: Clocks) -> tuple[Cell, ...]:
    """Where a request is named, the time is that of its sender."""
    at = (rise.started_ns if rise.started_ns is not None else rise.t_ns) - start_ns
    within_ns = 0 if rise.started_ns is not None else clocks.moment(rise.t_ns, rise.process.host).within_ns
    return (
        text(str(rise.process)),
        number(at / 1e9, f"{at / 1e9:.1f} s" + ("" if within_ns == 0 else f" {plus_minus(within_ns)}")),
        text(rise.phase),
        number(rise.mark, format_bytes(rise.mark)),
        number(rise.rise, format_bytes(rise.rise)),
        number(rise.kept, "–" if rise.kept is None else format_bytes(rise.kept)),
        text(blamed(rise)),
    )
