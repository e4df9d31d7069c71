"""Tying each request to the process that answered it: by facts, strongest first, never by guess.

1. A record written inside the target that carries the request's span id, and overlaps the request in time.
2. The process id in the name of a profile the request left behind.
3. A line of the FPM access log with the span id.
4. Pid and time, only where an agent's records carry no span ids at all (a proxy dropped the header): the record began
   while exactly one request was under way, and no other record began during that request.

That an application has only one process proves nothing: somebody else may own the port.

A record names a pid; the process is the one that had the pid while the request was under way (`Lifetimes`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.correlate.lifetimes import Lifetimes
from harness.model.host import HOST
from harness.model.process import ProcessKey
from harness.model.profile import Artifact
from harness.model.span import RequestRecord, Span
from harness.model.timeline import JoinedSpan, JoinMethod

ACCESS_LOG = "fpm-access-log"


@dataclass(frozen=True, slots=True)
class Joined:
    """All requests with what is known of them, and what did not fit.

    ``jobs``: records without a span id where a command of this run feeds the target; they are not among ``unmatched_records``.
    ``ambiguous``: requests claimed by several processes. ``implausible``: records whose time or process contradicts the
    request they name. ``unseen_pids``: requests answered by a process the sampler never saw.
    """

    spans: tuple[JoinedSpan, ...]
    unmatched_records: int
    jobs: int
    ambiguous: int
    implausible: int
    unseen_pids: int


@dataclass(slots=True)
class _Tally:
    used_records: int = 0
    ambiguous: int = 0
    implausible: int = 0
    unseen_pids: int = 0


def join_spans(
    spans: Sequence[Span],
    records: Sequence[RequestRecord],
    artifacts: Sequence[Artifact],
    lifetimes: Lifetimes,
    *,
    fed: bool = False,
    slack_ns: int = 0,
) -> Joined:
    """Join every span; the result keeps the order of ``spans``. ``fed``: the spans are commands that hand work to the target.

    ``slack_ns``: by how much the times of spans and records can be off against each other, where their clocks are not the same.
    """
    tally = _Tally()
    by_agent = _by_span(r for r in records if r.source != ACCESS_LOG)
    by_log = _by_span(r for r in records if r.source == ACCESS_LOG)
    profiled = {
        a.span_id: (a.pid, str(a.attributes.get(HOST, "")))
        for a in artifacts
        if a.span_id is not None and a.pid is not None
    }
    joined: list[JoinedSpan | None] = []
    for span in spans:
        found = _from_records(span, by_agent.get(span.span_id), JoinMethod.SPAN_ID, lifetimes, tally, slack_ns)
        if found is None and span.span_id in profiled:
            pid, host = profiled[span.span_id]
            worker = lifetimes.find(pid, span.start_ns, host)
            found = None if worker is None else JoinedSpan(span, worker, JoinMethod.PROFILE, None)
        if found is None or found.worker is None:
            by_line = _from_records(span, by_log.get(span.span_id), JoinMethod.ACCESS_LOG, lifetimes, tally, slack_ns)
            found = by_line or found
        else:
            tally.used_records += len(by_log.get(span.span_id, ()))  # the same request, told a second time
        joined.append(found)
    _join_by_time(spans, joined, _without_span_ids(records), lifetimes, tally, slack_ns)
    complete = tuple(
        JoinedSpan(span, None, JoinMethod.NONE, None) if found is None else found
        for span, found in zip(spans, joined, strict=True)
    )
    jobs = _jobs(records, complete) if fed else 0
    unmatched = len(records) - tally.used_records - jobs
    return Joined(complete, unmatched, jobs, tally.ambiguous, tally.implausible, tally.unseen_pids)


def _jobs(records: Sequence[RequestRecord], joined: Sequence[JoinedSpan]) -> int:
    """Records of agents that name no request and were not joined by time."""
    nameless = sum(r.span_id is None and r.source != ACCESS_LOG for r in records)
    return nameless - sum(j.method is JoinMethod.PID_TIME for j in joined)


def _by_span(records: Iterable[RequestRecord]) -> Mapping[str, list[RequestRecord]]:
    result: dict[str, list[RequestRecord]] = defaultdict(list)
    for record in records:
        if record.span_id is not None:
            result[record.span_id].append(record)
    return result


def _from_records(
    span: Span,
    records: list[RequestRecord] | None,
    method: JoinMethod,
    lifetimes: Lifetimes,
    tally: _Tally,
    slack_ns: int,
) -> JoinedSpan | None:
    """The join by ``records``, all of which name this span; worker None when the process was never seen."""
    if not records:
        return None
    plausible = [r for r in records if _overlaps(span, r, slack_ns)]
    tally.implausible += len(records) - len(plausible)
    if not plausible:
        return None
    record = _outermost(plausible)
    if record is None:
        tally.ambiguous += 1
        return None
    tally.used_records += len(plausible)  # calls the application made to itself under the same header included
    worker = lifetimes.find(record.pid, _instant(span, record), record.host)
    if worker is None:
        tally.unseen_pids += 1
        return JoinedSpan(span, None, JoinMethod.NONE, record)
    return JoinedSpan(span, worker, method, record)


def _overlaps(span: Span, record: RequestRecord, slack_ns: int) -> bool:
    began_in_time = record.start_ns is None or record.start_ns <= span.end_ns + slack_ns
    ended_in_time = record.end_ns is None or record.end_ns >= span.start_ns - slack_ns
    return began_in_time and ended_in_time


def _outermost(records: Sequence[RequestRecord]) -> RequestRecord | None:
    """The record that encloses all others (an application may call itself with the header it got), or None."""
    if len(records) == 1:
        return records[0]
    if any(r.start_ns is None or r.end_ns is None for r in records):
        return records[0] if len({(r.host, r.pid) for r in records}) == 1 else None
    first = min(records, key=lambda r: (r.start_ns or 0, -(r.end_ns or 0)))
    encloses = all((first.end_ns or 0) >= (r.end_ns or 0) for r in records)
    return first if encloses or len({(r.host, r.pid) for r in records}) == 1 else None


def _instant(span: Span, record: RequestRecord) -> int:
    """When the process certainly lived: at the record's start, else in the middle of the request as its sender saw it."""
    return record.start_ns if record.start_ns is not None else (span.start_ns + span.end_ns) // 2


def _without_span_ids(records: Sequence[RequestRecord]) -> list[RequestRecord]:
    """Timed records of sources that never write a span id.

    Where some records of a source carry ids, one without is a request that somebody else sent, and must not be joined.
    """
    with_ids = {r.source for r in records if r.span_id is not None}
    return [r for r in records if r.source not in with_ids and r.start_ns is not None and r.end_ns is not None]


def _join_by_time(
    spans: Sequence[Span],
    joined: list[JoinedSpan | None],
    records: Sequence[RequestRecord],
    lifetimes: Lifetimes,
    tally: _Tally,
    slack_ns: int,
) -> None:
    """Fill the open places of ``joined`` where record and request point at each other and at nothing else, also if the times of
    records are off by ``slack_ns``."""
    if not records or not spans:
        return
    starts = np.array([s.start_ns for s in spans], dtype=np.int64)
    ends = np.array([s.end_ns for s in spans], dtype=np.int64)
    times = np.array([r.start_ns for r in records], dtype=np.int64)
    order_start, order_end = np.argsort(starts, kind="stable"), np.argsort(ends, kind="stable")
    begun = np.searchsorted(starts[order_start], times + slack_ns, side="right")
    over = np.searchsorted(ends[order_end], times - slack_ns, side="left")
    # With exactly one request open, its index is what is left when the finished indices are taken from the begun ones.
    begun_sum = np.concatenate([[0], np.cumsum(order_start)])
    over_sum = np.concatenate([[0], np.cumsum(order_end)])
    alone = np.flatnonzero(begun - over == 1)
    target = (begun_sum[begun] - over_sum[over])[alone]
    claims = np.bincount(target, minlength=len(spans))
    times_sorted = np.sort(times)
    first, last = (
        np.searchsorted(times_sorted, starts - slack_ns),
        np.searchsorted(times_sorted, ends + slack_ns, side="right"),
    )
    inside = last - first
    for record_index, span_index in zip(alone.tolist(), target.tolist(), strict=True):
        if joined[span_index] is not None or claims[span_index] != 1 or inside[span_index] != 1:
            continue
        span, record = spans[span_index], records[record_index]
        if record.status is not None and span.status is not None and record.status != span.status:
            continue
        worker = lifetimes.find(record.pid, times[record_index].item(), record.host)
        if worker is not None:
            joined[span_index] = JoinedSpan(span, worker, JoinMethod.PID_TIME, record)
            tally.used_records += 1


def requests_by_worker(spans: Sequence[JoinedSpan]) -> Mapping[ProcessKey, int]:
    """How many requests each process answered."""
    counts: dict[ProcessKey, int] = defaultdict(int)
    for joined in spans:
        if joined.worker is not None:
            counts[joined.worker] += 1
    return counts
