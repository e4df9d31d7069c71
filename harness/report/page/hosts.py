"""The hosts and containers of a run, and how those that do the same work compare: tables that need no script."""

from __future__ import annotations

from collections.abc import Sequence

from harness.model.host import Sibling, Siblings
from harness.model.report import Report
from harness.report import words
from harness.report.page.tables import Cell, Column, esc, number, table, text
from harness.report.places import ContainerRow, HostRow, container_rows, drift_words, host_rows, line_words, lives_words
from harness.report.when import plus_minus
from harness.units import format_bytes

_MOST = 500  # rows of a table
_WITHIN = {None: "never read", 0: "recorded here"}
_GROWS = {True: ("✗ grows", "bad"), False: ("✓ does not grow", "good"), None: ("? cannot be told", "warn")}
_BLIND = ("? would not have shown", "warn")


def hosts(report: Report) -> str:
    """The section; nothing for processes of this machine alone."""
    machines, containers = host_rows(report.timeline), container_rows(report.timeline)
    if not machines and not containers:
        return ""
    title = "Hosts and containers" if machines and containers else "Hosts" if machines else "Containers"
    content = (
        "".join(f'<p class="lead">{esc(each.text, 1000)}</p>' for each in report.siblings)
        + _siblings(report.siblings)
        + _machines(machines)
        + _containers(containers)
    )
    return f'<section id="hosts" aria-labelledby="h-hosts"><h2 id="h-hosts">{title}</h2>{content}</section>'


def _siblings(compared: Sequence[Siblings]) -> str:
    rows = [(each, sibling) for each in compared for sibling in each.hosts]
    if not rows:
        return ""
    versions = any(sibling.named_version for _, sibling in rows)
    images = any(sibling.image for _, sibling in rows)
    requests = any(sibling.requests_per_round for _, sibling in rows)
    columns = (
        Column("Host or container"),
        Column("Role"),
        *([Column("Version")] if versions else []),
        *([Column("Image")] if images else []),
        Column("Growth", hint="of its workers together, by their floors"),
        Column("Bytes a round", numeric=True),
        Column("95 % interval", numeric=True),
        Column("Ruled out from", numeric=True, hint="growth by so much a round would have shown there"),
        *([Column("Bytes a request", numeric=True)] if requests else []),
    )
    cells = [
        _sibling(each, sibling, versions=versions, images=images, requests=requests) for each, sibling in rows[:_MOST]
    ]
    return table("t-siblings", "Hosts and containers of one role compared", columns, cells)


def _sibling(compared: Siblings, sibling: Sibling, *, versions: bool, images: bool, requests: bool) -> tuple[Cell, ...]:
    word, level = _BLIND if sibling.host in compared.blind else _GROWS[sibling.grows]
    least = words.known(sibling.least_seen)
    rate = words.known(sibling.bytes_per_round)
    low, high = sibling.interval or (None, None)
    each = None if rate is None or not sibling.requests_per_round else rate / sibling.requests_per_round
    return (
        text(sibling.host),
        text(compared.role),
        *([text(sibling.named_version or "–")] if versions else []),
        *([text(sibling.image or "–")] if images else []),
        Cell(f'<span class="{level}">{word}</span>'),
        number(rate, "–" if rate is None else words.signed_bytes(rate)),
        number(low, "–" if sibling.interval is None else f"{words.size(low)} to {words.size(high)}"),
        number(least, "–" if least is None else words.size(least)),
        *([number(each, "–" if each is None else words.signed_bytes(each))] if requests else []),
    )


def _machines(rows: Sequence[HostRow]) -> str:
    if not rows:
        return ""
    versions = any(row.version for row in rows)
    columns = (
        Column("Host"),
        Column("Role"),
        *([Column("Version")] if versions else []),
        Column("Part of the application"),
        Column("System"),
        Column(
            "Times right within", numeric=True, hint="how well its clock is known against that of the recording machine"
        ),
        Column("Drift", numeric=True, hint="how much faster its clock went"),
        Column("Line", hint="the connection to it; what is sampled meanwhile is kept there"),
        Column("Sweeps missed", numeric=True),
    )
    cells = [_machine(row, versions=versions) for row in rows[:_MOST]]
    notes = ["Events on two machines that are closer together than that have no order that is known."]
    if len(rows) > 1:
        notes.append(f"The kernel and the memory of {rows[0].name} are judged; those of the others are only recorded.")
    return table("t-hosts", "Hosts", columns, cells) + f'<p class="lead">{esc(" ".join(notes), 400)}</p>'


def _machine(row: HostRow, *, versions: bool) -> tuple[Cell, ...]:
    down = line_words(row)
    return (
        text(row.name),
        text(row.role),
        *([text(row.version or "–")] if versions else []),
        text("yes" if row.measured else "no, only watched"),
        text(row.system or "unknown"),
        number(row.within_ns, _WITHIN.get(row.within_ns) or plus_minus(row.within_ns)),
        number(row.drift_ppm, drift_words(row) or "–"),
        Cell(f'<span class="warn">{esc(down)}</span>' if row.downs else esc(down), row.down_ns / 1e9),
        number(row.missed, "–" if row.missed is None else words.grouped(row.missed)),
    )


def _containers(rows: Sequence[ContainerRow]) -> str:
    if not rows:
        return ""
    elsewhere, versions = any(row.host for row in rows), any(row.version for row in rows)
    columns = (
        Column("Container"),
        *([Column("Host")] if elsewhere else []),
        Column("Role"),
        *([Column("Version")] if versions else []),
        Column("Image"),
        Column("Part of the application"),
        Column("Memory limit", numeric=True),
        Column("Charged at most", numeric=True, hint="to its group in any sweep, page cache and all"),
        Column("Lives", numeric=True, hint="generations: one more than it was started anew"),
        Column("Killed for lack of memory", numeric=True),
        Column("What became of it"),
    )
    cells = [
        (
            text(row.name),
            *([text(row.host or "this machine")] if elsewhere else []),
            text(row.role),
            *([text(row.version or "–")] if versions else []),
            text(row.image or "unknown"),
            text("yes" if row.measured else "no, only watched"),
            number(row.limit, "none" if row.limit is None else format_bytes(row.limit)),
            number(row.peak, "–" if row.peak is None else format_bytes(row.peak)),
            number(row.generations, str(row.generations)),
            Cell(f'<span class="bad">{row.kills}</span>' if row.kills else "0", row.kills),
            text(lives_words(row), 300),
        )
        for row in rows[:_MOST]
    ]
    return table("t-containers", "Containers", columns, cells)
