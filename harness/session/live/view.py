"""A snapshot as lines for a terminal. Pure: the same snapshot, size and style give the same lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.report.terminal import Ink, fit, width
from harness.session.live.history import Bin
from harness.session.live.sparkline import ASCII_BLOCKS, BLOCKS, bounds, sparkline
from harness.session.live.state import GaugeLine, PoolLine, ProcessLine, Snapshot
from harness.targets.detect import printable
from harness.units import format_bytes, format_duration

_NAME_COLUMNS = 24
_GAP = "  "
_LEAST_SPARK, _MOST_SPARK = 8, 60
_PROCESSES = 6
_EVENTS = 4
_EARLY = 3
_FIXED_LINES = 4  # title, two headings, sampler
_NEAR, _VERY_NEAR = 0.7, 0.9  # of the way to a guard rail
_WHOLE_FROM = 100  # requests a second, from which on tenths say nothing
_WARN_SHARE = 0.01  # growth of more than this part a minute is coloured


@dataclass(frozen=True, slots=True)
class Style:
    """What the terminal can show."""

    unicode: bool = True
    colour: bool = False


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of the table; ``bins`` None leaves out sparkline and bounds, an empty one their content."""

    name: str
    count: str
    value: str
    change: str
    bins: tuple[Bin | None, ...] | None = None
    unit: str = "bytes"
    lowest: bool = False
    ink: Ink | None = None


def render(snapshot: Snapshot, columns: int, rows: int, style: Style | None = None) -> list[str]:
    """At most ``rows`` lines of at most ``columns`` columns, colours aside.

    What matters most comes first and is cut last: pools, traffic, the machine, what the rounds say, the guard rails, the
    sampler's cost, single processes, events.
    """
    style = style or Style()
    pools = [_pool_row(line) for line in snapshot.pools]
    traffic = _traffic_rows(snapshot)
    machine = [_gauge_row(line) for line in snapshot.machine]
    said = [*_early(snapshot), *_rails(snapshot)]
    others = _FIXED_LINES + len(traffic) + len(machine) + len(said)
    pools = pools[: max(1, rows - others)]
    spare = max(0, rows - others - len(pools))
    events = _tail(snapshot, min(_EVENTS, spare // 3))
    processes = [_process_row(p) for p in _chosen(snapshot, min(_PROCESSES, spare - len(events) - 1))]
    table = [
        _Row("pool", "alive", "size", "per min", (), ink=Ink.BOLD),
        *pools,
        *traffic,
        *([_Row("process", "pid", "size", "per min", ink=Ink.BOLD)] if processes else []),
        *processes,
        _Row("machine", "", "", "", ink=Ink.BOLD),
        *machine,
    ]
    lines = [
        (_heading(snapshot), Ink.BOLD),
        *_table(table, columns, style, f"last {format_duration(snapshot.span_ns)}"),
        *said,
        (_cost(snapshot), Ink.FAINT),
        *((text, _event_ink(text)) for text in events),
    ]
    return [_finish(text, ink, columns, style) for text, ink in lines[:rows]]


# --- rows -----------------------------------------------------------------------------------------------------------


def _heading(snapshot: Snapshot) -> str:
    status = printable(snapshot.status, 200)
    return f"{printable(snapshot.title)}: {format_duration(snapshot.elapsed_ns)}{', ' + status if status else ''}"


def _pool_row(line: PoolLine) -> _Row:
    count = str(line.alive) if line.measured == line.alive else f"{line.measured}/{line.alive}"
    size = "ended" if line.alive == 0 else f"{line.metric} {format_bytes(line.size)}"
    ink = Ink.RED if line.alive == 0 else _growth_ink(line.size, line.per_minute)
    return _Row(printable(line.name), count, size, _change(line.per_minute), line.bins, ink=ink)


def _process_row(line: ProcessLine) -> _Row:
    size = f"{line.metric} {format_bytes(line.size)}"
    ink = _growth_ink(line.size, line.per_minute)
    return _Row(printable(line.name, 32), str(line.pid), size, _change(line.per_minute), ink=ink)


def _gauge_row(line: GaugeLine) -> _Row:
    return _Row(line.name, "", _value(line.value, line.unit), "", line.bins, line.unit, line.lowest)


def _traffic_rows(snapshot: Snapshot) -> list[_Row]:
    if not snapshot.traffic:
        return []
    rows = [_Row("traffic", "", "", "", ink=Ink.BOLD), *(_gauge_row(line) for line in snapshot.traffic)]
    if snapshot.sent is not None:
        sent, failed, dropped = snapshot.sent
        rows.append(_Row("failed", "", f"{failed} of {sent}", "", ink=Ink.RED if failed else None))
        if dropped:
            rows.append(_Row("dropped", "", str(dropped), "", ink=Ink.RED))
    return rows


def _early(snapshot: Snapshot) -> list[tuple[str, Ink | None]]:
    """What the rounds so far say; no verdict."""
    return [
        (f"so far: {printable(pool)} {words}", Ink.YELLOW if words.startswith("grows") else Ink.FAINT)
        for pool, words in snapshot.early[:_EARLY]
    ]


def _rails(snapshot: Snapshot) -> list[tuple[str, Ink | None]]:
    """The guard rails in one line; coloured where one is near."""
    if not snapshot.rails:
        return []
    nearest = max((rail.used for rail in snapshot.rails if rail.used is not None), default=0.0)
    ink = Ink.RED if nearest >= _VERY_NEAR else Ink.YELLOW if nearest >= _NEAR else Ink.FAINT
    return [("guard: " + "; ".join(f"{rail.name} {rail.seen} ({rail.limit})" for rail in snapshot.rails), ink)]


def _chosen(snapshot: Snapshot, most: int) -> list[ProcessLine]:
    if len(snapshot.processes) < 2:
        return []  # the pool's own line says the same
    return sorted(snapshot.processes[: max(0, most)], key=lambda p: (-p.size, p.pid))


def _cost(snapshot: Snapshot) -> str:
    percent = "" if snapshot.sampler_percent is None else f"{snapshot.sampler_percent:.2f} % of one CPU, "
    sweeps = "1 sweep" if snapshot.ticks == 1 else f"{snapshot.ticks} sweeps"
    return f"sampler: {percent}{sweeps}, {snapshot.late} late, {snapshot.missed} missed"


def _tail(snapshot: Snapshot, most: int) -> list[str]:
    events = snapshot.events[-most:] if most > 0 else ()
    return [f"{format_duration(t_ns)}: {printable(text, 200)}" for t_ns, text in events]


def _event_ink(text: str) -> Ink:
    return Ink.RED if "(OOM)" in text else Ink.FAINT


def _growth_ink(size: float | None, per_minute: float | None) -> Ink | None:
    if size is None or per_minute is None or per_minute <= _WARN_SHARE * size:
        return None
    return Ink.YELLOW


def _change(per_minute: float | None) -> str:
    return "..." if per_minute is None else format_bytes(per_minute, sign=True)


def _value(value: float | None, unit: str) -> str:
    if value is None:
        return "unknown"
    if unit == "percent":
        return f"{value:.1f} %"
    if unit == "per second":
        return f"{value:.1f}/s" if value < _WHOLE_FROM else f"{value:.0f}/s"
    if unit == "ns":
        return format_duration(value)
    return format_bytes(value) + ("/s" if unit == "bytes/s" else "")


# --- layout ---------------------------------------------------------------------------------------------------------


def _table(
    rows: Sequence[_Row], columns: int, style: Style, spark_title: str
) -> Iterable[tuple[str, Ink | None]]:  # fmt: skip
    """Columns as wide as their widest cell; the sparkline gets the rest: without its bounds, or none, where that is little."""
    name_columns = min(_NAME_COLUMNS, max(width(row.name) for row in rows))
    cells = [(row.count, row.value, row.change) for row in rows]
    widths = [max(width(cell[i]) for cell in cells) for i in range(3)]
    labels = [_bounds(row) for row in rows]
    label_columns = max(map(width, labels))
    left = columns - name_columns - sum(widths) - 3 * len(_GAP)
    spark_columns = min(_MOST_SPARK, left - label_columns - 2 * len(_GAP))
    if spark_columns < _LEAST_SPARK:
        labels, spark_columns = [""] * len(rows), min(_MOST_SPARK, left - len(_GAP))
    for row, cell, label in zip(rows, cells, labels, strict=True):
        parts = [fit(row.name, name_columns), *(" " * (w - width(c)) + c for c, w in zip(cell, widths, strict=True))]
        if spark_columns >= _LEAST_SPARK and row.bins is not None:
            blocks = BLOCKS if style.unicode else ASCII_BLOCKS
            line = sparkline(row.bins, spark_columns, blocks=blocks, lowest=row.lowest)
            shown = line if row.bins or row.ink is not Ink.BOLD else spark_title
            parts += [fit(shown, spark_columns), label]
        yield _GAP.join(parts).rstrip(), row.ink


def _bounds(row: _Row) -> str:
    seen = bounds(row.bins) if row.bins else None
    if seen is None:
        return ""
    low, high = (_value(value, row.unit) for value in seen)
    number, _, unit = low.partition(" ")
    return f"{number if unit == high.partition(' ')[2] else low}..{high}"


def _finish(text: str, ink: Ink | None, columns: int, style: Style) -> str:
    if not style.unicode:  # before it is cut: a mark that takes no column becomes one that does
        text = text.replace("…", "~").encode("ascii", "replace").decode()
    line = fit(text, max(1, columns)).rstrip()
    if not style.unicode:
        line = line.replace("…", "~")
    return f"{ink}{line}{Ink.RESET}" if style.colour and ink is not None and line else line
