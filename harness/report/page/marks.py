"""What happened at an instant: births, ends, kills, floors, collections, trims, profiled requests; a row for each kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from harness.model.event import (
    CONTAINER_EXIT,
    CONTAINER_OOM,
    CONTAINER_PROCESS,
    CONTAINER_START,
    PROBE_COLLECT,
    PROBE_COLLECT_AGAIN,
    PROBE_TRIM,
    Event,
)
from harness.model.host import Moment, moment_of, unordered
from harness.model.process import host_key
from harness.model.report import Report
from harness.model.timeline import Timeline
from harness.report.when import Clocks, before, in_words, noticed
from harness.report.words import clean

ROWS = ("born", "ended", "OOM kills", "floors", "collections", "trims", "profiled", "other")
CAP = 2_000  # of each row
_TEXT = 300
_ROW_OF = {
    PROBE_COLLECT: "collections", PROBE_COLLECT_AGAIN: "collections", PROBE_TRIM: "trims", CONTAINER_START: "born",
    CONTAINER_EXIT: "ended",
}  # fmt: skip
_KNOWN = (
    "process.exit",
    "process.start",
    "profiled.request",
    CONTAINER_PROCESS,
)  # have rows of their own, or are no news


@dataclass(frozen=True, slots=True)
class Mark:
    """``row`` is a name of `ROWS`; ``end_ns`` is None for an instant. ``text`` is clean. ``place``: the host whose clock says
    when, "" for the one that recorded; ``within_ns``: by how much that may be off, None where nobody knows."""

    row: str
    t_ns: int
    end_ns: int | None
    text: str
    place: str = ""
    within_ns: int | None = 0


def marks(report: Report) -> tuple[list[Mark], list[str]]:
    """Marks in order of time, and a sentence for each row that holds more than `CAP`: of those every n-th is kept. What has no
    order against something on another host says so."""
    found = sorted(_all(report, Clocks(report.timeline)), key=lambda m: (m.t_ns, ROWS.index(m.row), m.text))
    if report.timeline.hosts:
        unknown = unordered([Moment(m.t_ns, m.place, m.within_ns) for m in found])
        found = [_without_order(mark) if number in unknown else mark for number, mark in enumerate(found)]
    kept: list[Mark] = []
    said: list[str] = []
    for row in ROWS:
        members = [m for m in found if m.row == row]
        every = -(-len(members) // CAP) or 1
        if every > 1:
            said.append(f"{row}: one in {every} of {len(members)} is shown.")
        kept += members[::every]
    return sorted(kept, key=lambda m: (m.t_ns, ROWS.index(m.row), m.text)), said


def _without_order(mark: Mark) -> Mark:
    doubt = f" ({in_words(mark.within_ns, unknown=True)})"
    return replace(mark, text=clean(mark.text, _TEXT - len(doubt)) + doubt)


def _all(report: Report, clocks: Clocks) -> Iterator[Mark]:
    timeline = report.timeline
    yield from _lives(timeline, clocks)
    yield from _kills(timeline, clocks)
    for window in timeline.windows:
        if window.floor_ns is not None:
            where = " ".join(
                f"{name} {n}" for name, n in (("round", window.round), ("block", window.block)) if n is not None
            )
            yield _at(
                clocks, clocks.first, "floors", window.floor_ns, f"floor of {window.phase.value} {where}".rstrip()
            )
    for joined in timeline.spans:
        runs = None if joined.record is None else joined.record.values.get("gc_runs")
        if runs:
            span = joined.span
            text = f"{runs} collector {'run' if runs == 1 else 'runs'} during {clean(span.endpoint, 120)}"
            yield Mark("collections", span.start_ns, None, text)
    spans = {j.span.span_id: j.span for j in timeline.spans}
    for view in report.profiles:
        taken = spans.get(view.artifact.span_id or "")
        text = f"{clean(view.artifact.tool, 60)}: {clean(view.artifact.endpoint or 'unknown endpoint', 120)}"
        begin, end = (view.artifact.t_ns, None) if taken is None else (taken.start_ns, taken.end_ns)
        yield Mark("profiled", begin, end, text)
    for event in timeline.events:
        if event.kind not in _KNOWN:
            moment = moment_of(event)
            text = clean((event.text or event.kind) + noticed(event), _TEXT)
            yield Mark(_row_of(event), event.t_ns, None, text, moment.place, moment.within_ns)


def _at(clocks: Clocks, place: str, row: str, t_ns: int, text: str) -> Mark:
    return Mark(row, t_ns, None, text, place, clocks.moment(t_ns, place).within_ns)


def _row_of(event: Event) -> str:
    """A kill that the group's counter shows has a mark from there already."""
    if event.kind == CONTAINER_OOM and event.attributes.get("told_by") != "group":
        return "OOM kills"
    return _ROW_OF.get(event.kind, "other")


def _lives(timeline: Timeline, clocks: Clocks) -> Iterator[Mark]:
    told = {e.process: e.text for e in timeline.events if e.kind == "process.exit" and e.process is not None}
    for worker in timeline.workers:
        info = worker.info
        host, name = info.key.host, f"{clean(str(info.key), 80)} ({clean(info.pool, 60)})"
        if info.born_ns > timeline.manifest.started_ns:
            yield _at(clocks, host, "born", info.born_ns, f"{name} was born")
        if info.ended_ns is not None:
            text = clean(told.get(info.key) or f"{name} ended", _TEXT)
            yield _at(clocks, host, "ended", info.ended_ns, text)


def _kills(timeline: Timeline, clocks: Clocks) -> Iterator[Mark]:
    """What the counters of the groups say, of whichever host."""
    for (metric, process), series in timeline.series.items():
        whole = process is None or process == host_key(process.host)
        if not whole or not (metric.startswith("cgroup.") and metric.endswith(".memory.events.oom_kill")):
            continue
        pool = clean(metric.removeprefix("cgroup.").removesuffix(".memory.events.oom_kill"), 60)
        steps = np.diff(series.values)
        for index in np.flatnonzero(steps > 0).tolist():
            since_ns, t_ns = series.t_ns[index : index + 2].tolist()
            text = f"the kernel killed {int(steps[index])} in the cgroup of {pool}{before(t_ns - since_ns)}"
            yield _at(clocks, clocks.place(metric, process), "OOM kills", t_ns, text)
