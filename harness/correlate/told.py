"""Requests that somebody else's program sent: all that is known of them is what the target recorded.

Each record becomes a request with the record's times, so its latency is what the application took, without the time in
queues before it. It belongs to the round in which it began; what began in none (a readiness probe, a health check between rounds)
is not of this traffic.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace

from harness.correlate.join import ACCESS_LOG, Joined
from harness.correlate.lifetimes import Lifetimes
from harness.model.event import Window
from harness.model.span import PhaseName, RequestRecord, Span
from harness.model.timeline import JoinedSpan, JoinMethod

_PHASES = (PhaseName.WARMUP, PhaseName.ROUNDS, PhaseName.PROBES)
_MAX_ENDPOINTS = 500
_OTHERS = "(other requests)"
_UNNAMED = "(without a name)"
# Parts of a path that name one thing of many: numbers, UUIDs, and digests of at least 16 hexadecimal digits.
_ONE_OF_MANY = re.compile(
    r"\d+|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{16,}", re.IGNORECASE
)


def add_told(
    joined: Joined, records: Sequence[RequestRecord], windows: Sequence[Window], lifetimes: Lifetimes, *, rounds: bool
) -> Joined:
    """``joined`` and the requests that records alone tell of. ``rounds``: windows are rounds, and not slices of time."""
    ours = {j.span.span_id for j in joined.spans}
    names = _Names()
    found = _Windows(windows)
    told = []
    for record in sorted(_timed(records), key=lambda r: r.start_ns or 0):
        if record.span_id in ours:
            continue
        window = found.at(record.start_ns or 0)
        if window is not None:
            span = _span(record, window, names.of(record.name), rounds=rounds)
            worker = lifetimes.find(record.pid, span.start_ns, record.host)
            told.append(JoinedSpan(span, worker, JoinMethod.NONE if worker is None else JoinMethod.RECORD, record))
    return replace(
        joined,
        spans=(*joined.spans, *told),
        unmatched_records=joined.unmatched_records - len(told),
        unseen_pids=joined.unseen_pids + sum(j.worker is None for j in told),
    )


def endpoint_of(name: str) -> str:
    """The endpoint behind a record's name: ``GET /item/17?x=1`` is ``GET /item/{}``."""
    path = name.partition("?")[0]
    return "/".join("{}" if _ONE_OF_MANY.fullmatch(part) else part for part in path.split("/")) or _UNNAMED


class _Names:
    """Endpoints by records' names, no more than `_MAX_ENDPOINTS`."""

    def __init__(self) -> None:
        self._endpoints: dict[str, str] = {}
        self._known: set[str] = set()

    def of(self, name: str) -> str:
        found = self._endpoints.get(name)
        if found is None:
            found = endpoint_of(name)
            if found not in self._known and len(self._known) >= _MAX_ENDPOINTS:
                return _OTHERS
            self._known.add(found)
            self._endpoints[name] = found
        return found


def _timed(records: Sequence[RequestRecord]) -> Iterator[RequestRecord]:
    """One record for each request: an access log says again what an agent has said, and says no monotonic time."""
    return (r for r in records if r.source != ACCESS_LOG and r.start_ns is not None and r.end_ns is not None)


class _Windows:
    """Rounds, or slices, by time."""

    def __init__(self, windows: Sequence[Window]) -> None:
        whole = (w for w in windows if w.block is None and w.phase in _PHASES)
        self._windows = sorted(whole, key=lambda w: w.start_ns)
        self._starts = [w.start_ns for w in self._windows]

    def at(self, t_ns: int) -> Window | None:
        place = bisect_right(self._starts, t_ns) - 1
        if place < 0:
            return None
        window = self._windows[place]
        return window if window.end_ns is None or t_ns <= window.end_ns else None


def _span(record: RequestRecord, window: Window, endpoint: str, *, rounds: bool) -> Span:
    start_ns, end_ns = record.start_ns or 0, record.end_ns or 0
    number = record.sequence if record.sequence is not None else start_ns
    return Span(
        span_id=record.span_id or f"{record.pid & 0xFFFFFF:06x}{number & 0xFFFFFFFFFF:010x}",
        endpoint=endpoint,
        phase=window.phase,
        round=window.round if rounds else None,
        block=None,
        user=0,
        intended_ns=None,
        start_ns=start_ns,
        end_ns=end_ns,
        status=record.status,
        error=None,
        body_bytes=0,
        failed_checks=("status",) if record.status is not None and record.status >= 400 else (),
    )
