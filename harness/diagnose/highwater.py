"""Which request raised the high-water mark of a process: the most memory it ever had resident, which the kernel keeps for us.

The mark (VmHWM) never falls, so between two readings it only says that something needed that much, not what. The requests that
the process worked on in between are the candidates. One is named when it was the only one, when its record in the target says
that it took the memory, or when every time the mark rose a request to that endpoint was among the candidates, and hardly ever
else; otherwise nobody is named.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.model.highwater import Clue, HighWater
from harness.model.process import ProcessKey, Role
from harness.model.span import PhaseName
from harness.model.timeline import JoinedSpan, Timeline, Worker

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

_MARK, _RESIDENT = "process.memory.hwm", "process.memory.rss"
_LEAST_BYTES, _LEAST_SHARE = 2 * 1024 * 1024, 0.05  # of the mark before: what growth by pages does not reach
_STANDS_OUT = 4.0  # times the usual rise of the process: a leak raises the mark all the time, by nobody in particular
_MOST_OF_IT = 0.5
_MOST = 3  # of a process
_RARELY = 0.3
_PEAK = "peak_bytes"  # PHP: the most that one request had from the heap


def high_water(timeline: Timeline) -> tuple[HighWater, ...]:
    """Rises of all workers during warm-up and measured rounds, in order of time; the largest three of each process."""
    clocks = {clock.host.name: clock for clock in timeline.hosts}
    spans: dict[ProcessKey, list[JoinedSpan]] = defaultdict(list)
    for joined in timeline.spans:
        if joined.worker is not None:
            spans[joined.worker].append(joined)
    found: list[HighWater] = []
    for worker in timeline.workers:
        marks = timeline.series.get((_MARK, worker.info.key))
        if worker.role is Role.WORKER and marks is not None and marks.t_ns.size > 1:
            clock = clocks.get(worker.info.key.host)
            slack_ns = 0 if clock is None else clock.most(int(marks.t_ns[0]), int(marks.t_ns[-1]))
            if slack_ns is not None:  # where the clock was never read, no request can be said to have been in flight
                found += _of_process(timeline, worker, spans.get(worker.info.key, []), slack_ns)
    return tuple(sorted(found, key=lambda h: (h.t_ns, h.process)))


def _of_process(timeline: Timeline, worker: Worker, spans: Sequence[JoinedSpan], slack_ns: int) -> list[HighWater]:
    """``slack_ns``: how far the times of its host may be off against those of requests."""
    key = worker.info.key
    marks = timeline.series[_MARK, key]
    times, values = marks.t_ns, marks.values
    phases = _phases(timeline, times, key.host)
    drained = sorted(timeline.swept_at(floor.t_ns, key.host) for floor in timeline.floors if floor.process == key)
    rises = np.diff(values, prepend=values[:1])
    measured = np.array([phase is not None for phase in phases])
    usual = float(np.median(rises[measured & (rises > 0)])) if (measured & (rises > 0)).any() else 0.0
    least = np.maximum(_LEAST_BYTES, _LEAST_SHARE * (values - rises))
    outstanding = measured & (rises >= least)
    if int((rises[measured] > 0).sum()) > _MOST:
        outstanding &= rises >= _STANDS_OUT * usual
    chosen = np.flatnonzero(outstanding)
    chosen = np.sort(chosen[np.argsort(-rises[chosen], kind="stable")][:_MOST])
    if not chosen.size:
        return []
    flights = _Flights(spans, times, slack_ns)
    repeated = flights.always_there(chosen.tolist(), np.flatnonzero(measured).tolist())
    return [
        _explained(
            HighWater(
                process=key,
                pool=worker.info.pool,
                phase=phases[at] or "",
                since_ns=int(times[at - 1]),
                t_ns=int(times[at]),
                mark=int(values[at]),
                rise=int(rises[at]),
                kept=_kept(timeline, key, int(times[at - 1]), int(times[at]), int(rises[at]), drained),
                candidates=len(flights.between(at)),
            ),
            flights.between(at),
            repeated,
        )
        for at in chosen.tolist()
    ]


def _phases(timeline: Timeline, times: Ints, host: str) -> list[str | None]:
    """Of each reading on a host: the measured phase it lies in; None outside, where tools and probes take memory too."""
    found: list[str | None] = [None] * times.size
    for window in timeline.windows:
        if window.phase not in (PhaseName.WARMUP, PhaseName.ROUNDS) or window.block is not None:
            continue
        end = window.floor_ns if window.floor_ns is not None else window.end_ns
        if end is None:
            continue
        first, last = np.searchsorted(times, [window.start_ns, timeline.swept_at(end, host) + 1])
        for at in range(max(1, int(first)), int(last)):
            found[at] = window.phase.value
    return found


def _kept(
    timeline: Timeline, key: ProcessKey, since_ns: int, t_ns: int, rise: int, drained: Sequence[int]
) -> int | None:
    """How much more was resident than before until all requests had ended (the next of ``drained``), at the least; at most the
    rise. While the request still runs its memory is in use, which says nothing about what stays."""
    resident = timeline.series.get((_RESIDENT, key))
    ended_ns = next((floor_ns for floor_ns in drained if floor_ns >= t_ns), None)
    if resident is None or ended_ns is None:
        return None
    before, at, ended = np.searchsorted(resident.t_ns, [since_ns, t_ns, ended_ns], side="right") - 1
    if before < 0 or resident.t_ns[at] < since_ns or resident.t_ns[ended] < t_ns:
        return None
    return max(0, min(rise, int(resident.values[at : ended + 1].min() - resident.values[before])))


class _Flights:
    """Which requests of one process may have been in flight between which readings."""

    def __init__(self, spans: Sequence[JoinedSpan], times: Ints, slack_ns: int) -> None:
        self._by_reading: dict[int, list[JoinedSpan]] = defaultdict(list)
        starts = np.array([s.span.start_ns for s in spans], dtype=np.int64)
        ends = np.array([s.span.end_ns for s in spans], dtype=np.int64)
        first, last = np.searchsorted(times, starts - slack_ns), np.searchsorted(times, ends + slack_ns)
        for joined, low, high in zip(spans, first.tolist(), last.tolist(), strict=True):
            for at in range(low, high + 1):
                self._by_reading[at].append(joined)

    def between(self, at: int) -> list[JoinedSpan]:
        """In flight between reading ``at`` and the one before it."""
        return self._by_reading.get(at, [])

    def always_there(self, rises: Iterable[int], readings: Sequence[int]) -> str | None:
        """The one endpoint that had a request in flight at every rise, of two at least, and seldom otherwise."""
        there = [self._endpoints(at) for at in rises]
        if len(there) < 2:
            return None
        always = set.intersection(*there)
        others = [self._endpoints(at) for at in readings if at not in set(rises)]
        seldom = Counter(name for names in others for name in names & always)
        guilty = [name for name in always if seldom[name] <= _RARELY * len(others)]
        return guilty[0] if len(guilty) == 1 else None

    def _endpoints(self, at: int) -> set[str]:
        return {joined.span.endpoint for joined in self.between(at)}


def _explained(found: HighWater, candidates: Sequence[JoinedSpan], repeated: str | None) -> HighWater:
    guilty = _by_record(candidates, found.rise)
    if guilty is not None:
        return _named(found, guilty, Clue.RECORD)
    if len(candidates) == 1:
        return _named(found, candidates[0], Clue.ALONE)
    endpoints = {joined.span.endpoint for joined in candidates}
    name = next(iter(endpoints)) if len(endpoints) == 1 else repeated
    return found if name is None else _replace(found, name, None, None, Clue.ENDPOINT)


def _named(found: HighWater, guilty: JoinedSpan, clue: Clue) -> HighWater:
    return _replace(found, guilty.span.endpoint, guilty.span.span_id, guilty.span.start_ns, clue)


def _replace(found: HighWater, endpoint: str, span_id: str | None, started_ns: int | None, clue: Clue) -> HighWater:
    return dataclasses.replace(found, endpoint=endpoint, span_id=span_id, started_ns=started_ns, clue=clue)


def _by_record(candidates: Sequence[JoinedSpan], rise: int) -> JoinedSpan | None:
    """The one whose record says that it took at least half of the rise: resident memory that it left behind, or what the heap
    of PHP held above what it held for the others."""
    taken = {
        index: _taken(joined.record.values) for index, joined in enumerate(candidates) if joined.record is not None
    }
    peaks = [
        v for joined in candidates if joined.record is not None and (v := joined.record.values.get(_PEAK)) is not None
    ]
    usual = float(np.median(peaks)) if len(peaks) > 1 else 0.0
    for index, joined in enumerate(candidates):
        peak = None if joined.record is None else joined.record.values.get(_PEAK)
        if peak is not None and len(peaks) > 1:
            taken[index] = max(taken.get(index, 0.0), peak - usual)
    guilty = [index for index, size in taken.items() if size >= _MOST_OF_IT * rise]
    return candidates[guilty[0]] if len(guilty) == 1 else None


def _taken(values: Mapping[str, int | None]) -> float:
    before, after = values.get("rss_start_bytes"), values.get("rss_end_bytes")
    return 0.0 if before is None or after is None else float(after - before)
