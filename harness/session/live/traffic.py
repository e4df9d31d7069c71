"""What the load generator does right now, in numbers for people. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.model.span import Span

WINDOW_NS = 10_000_000_000


@dataclass(frozen=True, slots=True)
class Traffic:
    """Over the last ten seconds: requests a second and latency in ns; since the start: how many were sent, failed, dropped.

    None where no request ended in that time.
    """

    t_ns: int
    per_second: float | None
    p50_ns: int | None
    p99_ns: int | None
    sent: int
    failed: int
    dropped: int


def traffic_of(recent: Iterable[Span], now_ns: int, sent: int, failed: int, dropped: int) -> Traffic:
    """``recent``: the latest spans, oldest first. They may reach back less far than ten seconds; the rate allows for it."""
    spans = [span for span in recent if span.end_ns > now_ns - WINDOW_NS]
    if not spans:
        return Traffic(now_ns, None, None, None, sent, failed, dropped)
    latencies = sorted(span.latency_ns for span in spans)
    since_ns = min(span.start_ns for span in spans)
    seconds = max(now_ns - since_ns, 1) / 1e9
    return Traffic(
        t_ns=now_ns,
        per_second=len(spans) / seconds,
        p50_ns=latencies[len(latencies) // 2],
        p99_ns=latencies[int(len(latencies) * 0.99)],
        sent=sent,
        failed=failed,
        dropped=dropped,
    )
