"""Rows as text for a terminal of any size, or for a file. No control characters but the colours asked for."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from harness.report.terminal import Ink, fit, width
from harness.top.ledger import REST, WORDS, ledger
from harness.top.model import By, Growth, Row, Snapshot, Sum
from harness.units import compact_bytes, compact_duration, format_duration

_LEAST_NAME = 16  # columns of the last column before others are given up for it
_LEAST_ROWS = 5  # before what stands around the table is given up for them
_NOTABLE = 1 << 20  # bytes per minute from which growth is coloured


class Paper(NamedTuple):
    """What is written on. ``lines`` None = as many as there are; ``columns`` None = as wide as the text."""

    columns: int | None
    lines: int | None
    colour: bool


class _Column(NamedTuple):
    title: str
    cell: Callable[[Row], str]
    worth: int  # the lowest go first when the terminal is narrow


class _Line(NamedTuple):
    text: str
    ink: Ink | None = None


def render(snapshot: Snapshot, paper: Paper, *, limit: int | None = None, hint: str = "", keys: str = "") -> str:
    """The whole view, ending in a newline. ``hint``: what would make unreadable processes readable; ``keys``: a last line."""
    above = [*_head(snapshot, paper)]
    below = [*_foot(snapshot, paper, hint)]
    if keys:
        below.append(_Line(keys, Ink.FAINT))
    wanted = len(snapshot.rows) if limit is None else min(limit, len(snapshot.rows))
    room = wanted
    if paper.lines is not None:
        # Where there are few lines the rows come first: the machine's memory goes, then everything else.
        least = min(wanted, _LEAST_ROWS)
        for around in ((above, below), (above[:1], below), ([], [])):
            above, below = around
            room = paper.lines - len(above) - len(below) - 2  # table heading, totals
            if room >= least:
                break
        room = max(1, min(wanted, room))
    body = _table(snapshot, paper, room)
    lines = [*above, *body, *below]
    if paper.lines is not None:
        lines = lines[: paper.lines]
    return "".join(_cut(line, paper) + "\n" for line in lines)


def _cut(line: _Line, paper: Paper) -> str:
    text = clip(line.text, paper.columns)
    return f"{line.ink}{text}{Ink.RESET}" if paper.colour and line.ink is not None and text else text


def clip(text: str, columns: int | None) -> str:
    """The text in at most so many columns, not padded."""
    if columns is None or (text.isascii() and len(text) <= columns):
        return text.rstrip()
    return fit(text[: 2 * columns], columns).rstrip()  # `fit` measures again for every character it takes away


def _head(snapshot: Snapshot, paper: Paper) -> Iterator[_Line]:
    look, totals = snapshot.look, snapshot.totals
    clock = time.strftime("%H:%M:%S", time.localtime(look.wall_ns // 1_000_000_000))
    over = "" if snapshot.growth_over_ns is None else f", growth over {format_duration(snapshot.growth_over_ns)}"
    counted = f"{_processes(totals.processes)}{snapshot.selection and ' ' + snapshot.selection}"
    cost = f", looking took {format_duration(look.cpu_ns)} of CPU"
    yield _Line(f"{clock}  {counted}{over}{cost}", Ink.BOLD)
    info = look.meminfo
    if not info:
        yield _Line("memory: meminfo cannot be read")
        return
    names = (
        ("total", "MemTotal"), ("available", "MemAvailable"), ("free", "MemFree"), ("cached", "Cached"), ("slab", "Slab"),
        ("shmem", "Shmem"),
    )  # fmt: skip
    memory = "  ".join(f"{word} {compact_bytes(info.get(name))}" for word, name in names)
    yield from _wrapped(f"memory  {memory}{_swap(snapshot)}", paper)
    parts = ledger(look)
    if parts is not None:
        summands = [f"{compact_bytes(part.bytes)} {WORDS[part.id]}" for part in parts.parts]
        rest = f"{compact_bytes(parts.rest)} {WORDS[REST]}"
        yield from _wrapped(f"used {compact_bytes(parts.used)} = {' + '.join([*summands, rest])}", paper)


def _swap(snapshot: Snapshot) -> str:
    total, free = (snapshot.look.meminfo.get(name) for name in ("SwapTotal", "SwapFree"))
    if total is None or free is None:
        return ""
    return f"  swap {compact_bytes(total - free)} of {compact_bytes(total)}" if total else "  no swap"


def _foot(snapshot: Snapshot, paper: Paper, hint: str) -> Iterator[_Line]:
    missing = snapshot.totals.pss.missing
    if missing:
        text = (
            f"? PSS and USS of {_processes(missing)} may not be read"
            f" (RSS {compact_bytes(_unread_rss(snapshot))}, not in the totals marked +?)"
        )
        yield from _wrapped(f"{text}{hint and ': ' + hint}", paper, Ink.YELLOW)
    if any(row.stale for row in snapshot.rows):
        yield from _wrapped("~ PSS older than the last change: walks are kept within the budget", paper, Ink.FAINT)


def _unread_rss(snapshot: Snapshot) -> int:
    return sum(process.rss or 0 for process in snapshot.look.processes if process.pss is None)


def _wrapped(text: str, paper: Paper, ink: Ink | None = None) -> Iterator[_Line]:
    if paper.columns is None:
        yield _Line(text, ink)
        return
    for line in textwrap.wrap(text, max(paper.columns, 8), subsequent_indent="  ", max_lines=4, placeholder=" …"):
        yield _Line(line, ink)


def _processes(count: int) -> str:
    return f"{count} process" if count == 1 else f"{count} processes"


def _table(snapshot: Snapshot, paper: Paper, room: int) -> list[_Line]:
    rows = snapshot.rows[:room]
    left_out = len(snapshot.rows) - len(rows)
    if not rows:
        return [_Line(f"no process {snapshot.selection}")]
    totals = f"total{f' ({left_out} rows not shown)' if left_out else ''}: PSS adds up, RSS does not"
    columns = _columns(snapshot.by)
    cells = [[column.cell(row) for column in columns] for row in (*rows, snapshot.totals)]
    cells[-1] = [_total_cell(column, cell) for column, cell in zip(columns, cells[-1], strict=True)]
    widths = [max(width(c) for c in (column.title, *(r[i] for r in cells))) for i, column in enumerate(columns)]
    kept = _kept(columns, widths, paper.columns)
    heading = _line([columns[i].title for i in kept], [widths[i] for i in kept], _NAMES[snapshot.by])
    lines = [_Line(heading, Ink.BOLD)]
    for row, texts in zip(rows, cells, strict=False):
        notable = row.growth is not None and row.growth.bytes_per_minute >= _NOTABLE
        text = _line([texts[i] for i in kept], [widths[i] for i in kept], _name(row))
        lines.append(_Line(text, Ink.YELLOW if notable else None))
    lines.append(_Line(_line([cells[-1][i] for i in kept], [widths[i] for i in kept], totals), Ink.BOLD))
    return lines


def _line(cells: Sequence[str], widths: Sequence[int], name: str) -> str:
    return " ".join([*(" " * (w - width(cell)) + cell for cell, w in zip(cells, widths, strict=True)), name])


def _kept(columns: Sequence[_Column], widths: Sequence[int], available: int | None) -> list[int]:
    """Indices of the columns that leave room for the name; the first always stays."""
    kept = list(range(len(columns)))
    while available is not None and len(kept) > 1 and sum(widths[i] + 1 for i in kept) + _LEAST_NAME > available:
        kept.remove(min(kept, key=lambda i: columns[i].worth))
    return kept


def _name(row: Row) -> str:
    if row.by is By.CGROUP:
        return _short_ids(row.name)
    return row.name


def _short_ids(path: str) -> str:
    """``/docker/3f4a...64 digits...`` -> ``/docker/3f4a5b6c7d8e…``: what docker and podman print themselves."""
    words = []
    word = ""
    for character in path + "\0":
        if character in "0123456789abcdef":
            word += character
            continue
        words.append(word[:12] + "…" if len(word) >= 32 else word)
        words.append(character)
        word = ""
    return "".join(words[:-1])


def _columns(by: By) -> list[_Column]:
    return [
        _Column("PSS", lambda row: _sum(row.pss) + ("~" if row.stale else ""), 10),
        _Column("USS", lambda row: _sum(row.uss), 5),
        _Column("RSS", lambda row: _sum(row.rss), 7),
        _Column("SWAP", lambda row: _sum(row.swap), 4),
        _Column("GROWTH/MIN", lambda row: _growth(row.growth), 8),
        *([_Column("PROCS", lambda row: str(row.processes), 3)] if by is not By.PROCESS else []),
        _Column("THR", lambda row: "?" if row.threads.total is None else str(row.threads.total), 1),
        _Column("AGE", lambda row: compact_duration(row.age_ns), 2),
        *([_Column("USER", lambda row: clip(row.user or _several(row), 12), 6)] if by is not By.USER else []),
        *([_Column("PID", lambda row: str(row.pid), 9)] if by in {By.PROCESS, By.POOL} else []),
    ]


_NAMES = {By.PROCESS: "COMMAND", By.POOL: "POOL (ITS MASTER)", By.CGROUP: "CONTROL GROUP", By.USER: "USER"}


def _several(row: Row) -> str:
    return "?" if row.processes == 1 else "several"


def _total_cell(column: _Column, cell: str) -> str:
    return "" if column.title in {"USER", "PID", "AGE"} else cell


def _sum(value: Sum) -> str:
    """``?`` when nothing is known, ``1.5M+?`` when not all is."""
    if value.known is None:
        return "?"
    return compact_bytes(value.known) + ("+?" if value.missing else "")


def _growth(growth: Growth | None) -> str:
    """Measured on RSS where PSS cannot be read, which is marked."""
    if growth is None:
        return "-"
    return compact_bytes(growth.bytes_per_minute, sign=True) + {"pss": "", "rss": "r", "mixed": "*"}[growth.basis]
