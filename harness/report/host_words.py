"""What the short reports say about runs on several hosts and in containers."""

from __future__ import annotations

from harness.model.host import Siblings
from harness.model.report import Report
from harness.report import words
from harness.report.places import (
    ContainerRow,
    HostRow,
    clock_words,
    container_rows,
    host_rows,
    line_words,
    lives_words,
)
from harness.units import format_bytes, format_duration

_MOST = 12  # lines of each kind


def host_lines(report: Report) -> tuple[str, ...]:
    """How hosts of one role compare, then a line each; empty for a run on this machine alone."""
    rows = host_rows(report.timeline)
    lines = [words.clean(each.text, 600) for each in report.siblings]
    lines += [_host(row) for row in rows[:_MOST]]
    if len(rows) > _MOST:
        lines.append(f"{len(rows) - _MOST} more hosts, listed in the full report")
    if rows:
        lines.append("events on two machines that are closer together than that have no order that is known")
    return tuple(lines)


def container_lines(report: Report) -> tuple[str, ...]:
    """A line each; empty where the target is in no container."""
    rows = container_rows(report.timeline)
    lines = [_container(row) for row in rows[:_MOST]]
    return (
        (*lines, f"{len(rows) - _MOST} more containers, listed in the full report")
        if len(rows) > _MOST
        else tuple(lines)
    )


def places_brief(report: Report) -> str | None:
    """All of it in one line: where it ran, what to know of it. None for processes of this machine alone."""
    hosts, containers = host_rows(report.timeline), container_rows(report.timeline)
    counts = [words.counted(len(hosts), "host")] if hosts else []
    counts += [words.counted(len(containers), "container")] if containers else []
    if not counts:
        return None
    parts = [" and ".join(counts)]
    parts += [_who_grows(each) for each in report.siblings if each.differ]
    parts += [f"none of {each.role} grows" for each in report.siblings if all(h.grows is False for h in each.hosts)]
    read = [row.within_ns for row in hosts if row.within_ns is not None]
    if hosts:
        unread = len(hosts) - len(read)
        parts.append(
            f"{words.counted(unread, 'clock')} never read" if unread else f"clocks ± {format_duration(max(read))}"
        )
    down = [row for row in hosts if row.downs]
    if down:
        longest = max(down, key=lambda row: row.down_ns)
        parts.append(f"the line to {longest.name} {line_words(longest)}")
    kills = sum(row.kills for row in containers)
    again = sum(row.generations - 1 for row in containers)
    parts += [words.counted(kills, "kill") + " for lack of memory"] if kills else []
    parts += [words.counted(again, "restart")] if again else []
    return words.clean("; ".join(parts), 400)


def _who_grows(siblings: Siblings) -> str:
    """``of web, only web-2 grows``, where all others certainly do less; else who does."""
    names, others = ", ".join(siblings.differ), [h for h in siblings.hosts if h.host not in siblings.differ]
    grow = "grows" if len(siblings.differ) == 1 else "grow"
    if all(h.grows is False for h in others):
        return f"of {siblings.role}, only {names} {grow}"
    still = [h.host for h in others if h.grows is False]
    return f"of {siblings.role}, {names} {grow}, {', '.join(still)} {'does' if len(still) == 1 else 'do'} not"


def _host(row: HostRow) -> str:
    about = [
        row.role,
        *([f"version {row.version}"] if row.version else []),
        *([] if row.measured else ["only watched"]),
    ]
    system = f" on {row.system}" if row.system else ""
    if row.within_ns == 0:  # this machine, which needs no line
        return f"{row.name} ({', '.join(about)}){system}: the machine that recorded"
    missed = f"; {words.counted(row.missed, 'sweep')} missed" if row.missed else ""
    return f"{row.name} ({', '.join(about)}){system}: {clock_words(row)}; line {line_words(row)}{missed}"


def _container(row: ContainerRow) -> str:
    about = [
        row.role,
        *([f"version {row.version}"] if row.version else []),
        *([] if row.measured else ["only watched"]),
    ]
    limit = "no memory limit" if row.limit is None else f"at most {format_bytes(row.limit)}"
    limit += "" if row.peak is None else f", took up to {format_bytes(row.peak)}"
    image = f", image {row.image}" if row.image else ""
    kills = f"; {words.counted(row.kills, 'kill')} for lack of memory" if row.kills else ""
    return f"{row.name}{f' on {row.host}' if row.host else ''} ({', '.join(about)}){image}: {limit}; {lives_words(row)}{kills}"
