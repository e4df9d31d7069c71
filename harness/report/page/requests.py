"""The requests as a block: one row each, ordered by start. Times in µs since the start of the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.model.span import PhaseName, RequestRecord
from harness.model.timeline import JoinedSpan, Timeline
from harness.report.page.blocks import Block

if TYPE_CHECKING:
    from numpy.typing import NDArray

PHASES = tuple(PhaseName)
_FAILED, _PROFILED, _DELTA, _PEAK = 1, 2, 4, 8
_TEXTS = 200
_TEXT_CAP = 300


def ordered(timeline: Timeline) -> list[JoinedSpan]:
    """The order of rows in the block."""
    return sorted(timeline.spans, key=lambda j: (j.span.start_ns, j.span.span_id))


def endpoint_names(timeline: Timeline) -> list[str]:
    """Endpoints as the block numbers them."""
    return list(dict.fromkeys(j.span.endpoint for j in ordered(timeline)))


def requests_block(timeline: Timeline, profiled: frozenset[str]) -> str:
    """All requests; ``profiled`` holds the span ids that have a profile."""
    rows = ordered(timeline)
    start = timeline.manifest.started_ns
    workers = {w.info.key: i for i, w in enumerate(timeline.workers)}
    endpoints = _Names()
    troubles = _Names(_TEXTS)
    block = Block()
    spans = [j.span for j in rows]
    deltas = [_delta(j.record) for j in rows]
    peaks = [_peak(j.record) for j in rows]
    columns: dict[str, list[int] | NDArray[np.int64]] = {
        "start": _microseconds([s.start_ns - start for s in spans]),
        "duration": _microseconds([s.end_ns - s.start_ns for s in spans]),
        "waited": _microseconds([0 if s.intended_ns is None else s.start_ns - s.intended_ns for s in spans]),
        "endpoint": [endpoints.number(s.endpoint) for s in spans],
        "worker": [-1 if j.worker is None else workers.get(j.worker, -1) for j in rows],
        "status": [s.status or 0 for s in spans],
        "phase": [PHASES.index(s.phase) for s in spans],
        "round": [-1 if s.round is None else s.round for s in spans],
        "flags": [
            (0 if s.ok else _FAILED)
            | (_PROFILED if s.span_id in profiled else 0)
            | (0 if d is None else _DELTA)
            | (0 if p is None else _PEAK)
            for s, d, p in zip(spans, deltas, peaks, strict=True)
        ],
        "delta": [d or 0 for d in deltas],
        "peak": [p or 0 for p in peaks],
        "trouble": [troubles.number(_trouble(j)) for j in rows],
    }
    header = {"names": {name: block.column(column) for name, column in columns.items()}}
    return block.encode({**header, "endpoints": endpoints.texts, "troubles": troubles.texts})


def _microseconds(values: Sequence[int]) -> NDArray[np.int64]:
    return np.asarray(values, dtype=np.int64) // 1000


def _delta(record: RequestRecord | None) -> int | None:
    """What the worker gained over the request in bytes, where its agent wrote both ends down."""
    if record is None:
        return None
    before, after = record.values.get("rss_start_bytes"), record.values.get("rss_end_bytes")
    return None if before is None or after is None else max(-(2**50), min(2**50, after - before))


def _peak(record: RequestRecord | None) -> int | None:
    """The most memory the request held, in bytes, where its runtime counts that."""
    peak = None if record is None else record.values.get("peak_bytes")
    return None if peak is None else max(0, min(2**50, peak))


def _trouble(joined: JoinedSpan) -> str:
    span = joined.span
    if span.error is not None:
        return span.error
    return f"checks failed: {', '.join(span.failed_checks)}" if span.failed_checks else ""


class _Names:
    """Texts by number; beyond ``limit`` different ones the last stands for all others."""

    def __init__(self, limit: int = 100_000) -> None:
        self.texts: list[str] = []
        self._numbers: dict[str, int] = {}
        self._limit = limit

    def number(self, text: str) -> int:
        known = self._numbers.get(text)
        if known is not None:
            return known
        if len(self.texts) >= self._limit:
            return self._limit - 1
        self.texts.append("(others)" if len(self.texts) == self._limit - 1 else text[:_TEXT_CAP])
        self._numbers[text] = len(self.texts) - 1
        return len(self.texts) - 1
