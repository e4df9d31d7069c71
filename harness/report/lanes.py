"""Requests and lifecycle of a run as viewers of traces want them: for each process stretches that do not overlap. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.model.event import Event
from harness.model.process import ProcessKey
from harness.model.timeline import JoinedSpan, Timeline
from harness.report.when import Clocks, marked


@dataclass(frozen=True, slots=True)
class Placed:
    """A request: lane of its process, counted from 0, and when it was worked on, ns on the run's clock.

    ``inside``: begin and end are those its process recorded; else those of the sender, which include waiting for a free worker.
    """

    joined: JoinedSpan
    lane: int
    start_ns: int
    end_ns: int
    inside: bool


def placed(timeline: Timeline) -> Mapping[ProcessKey | None, Sequence[Placed]]:
    """All requests by the process that answered them (None: not known), each list by lane and begin."""
    groups: dict[ProcessKey | None, list[tuple[int, int, str, bool, JoinedSpan]]] = {}
    for joined in timeline.spans:
        start, end, inside = _worked_on(joined)
        groups.setdefault(joined.worker, []).append((start, end, joined.span.span_id, inside, joined))
    found: dict[ProcessKey | None, list[Placed]] = {}
    for key in sorted(groups, key=lambda k: (k is not None, k or ProcessKey("", 0, 0))):
        rows = sorted(groups[key], key=lambda row: row[:3])
        numbers = lanes((start, end) for start, end, *_ in rows)
        all_placed = [
            Placed(joined, lane, start, end, inside)
            for lane, (start, end, _, inside, joined) in zip(numbers, rows, strict=True)
        ]
        found[key] = sorted(all_placed, key=lambda p: (p.lane, p.start_ns, p.end_ns))
    return found


def lanes(stretches: Iterable[tuple[int, int]]) -> Iterator[int]:
    """The lane of each (start, end), which come by start: the lowest where nothing else is going on."""
    busy: list[tuple[int, int]] = []  # (end, lane)
    free: list[int] = []
    used = 0
    for start, end in stretches:
        while busy and busy[0][0] <= start:
            heapq.heappush(free, heapq.heappop(busy)[1])
        if free:
            lane = heapq.heappop(free)
        else:
            lane, used = used, used + 1
        heapq.heappush(busy, (end, lane))
        yield lane


def lifecycle(timeline: Timeline) -> Sequence[Event]:
    """The run's events by time, and births and deaths of processes within the run that have none. Where there are several hosts,
    each says how far its time may be off, and whether its order is known (`harness.report.when`)."""
    begin = timeline.manifest.started_ns
    clocks = Clocks(timeline)
    there = {(event.kind, event.process) for event in timeline.events}
    found = list(timeline.events)
    for worker in timeline.workers:
        info = worker.info
        for kind, at in (("process.start", info.born_ns), ("process.exit", info.ended_ns)):
            if at is not None and at >= begin and (kind, info.key) not in there:
                found.append(clocks.event(kind, info.key, at, info.comm))
    found.sort(key=lambda event: (event.t_ns, event.kind, str(event.process)))
    return marked(found) if clocks else found


def _worked_on(joined: JoinedSpan) -> tuple[int, int, bool]:
    span, record = joined.span, joined.record
    end = max(span.start_ns, span.end_ns)
    if record is None or record.start_ns is None or record.end_ns is None:
        return span.start_ns, end, False
    sound = span.start_ns <= record.start_ns <= record.end_ns <= end
    return (record.start_ns, record.end_ns, True) if sound else (span.start_ns, end, False)
