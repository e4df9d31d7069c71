"""Rate and latency of the last ten seconds."""

from __future__ import annotations

import pytest

from harness.model.span import PhaseName, Span
from harness.session.live.traffic import Traffic, traffic_of

SECOND = 1_000_000_000
MS = 1_000_000


def span(start_ns: int, latency_ns: int) -> Span:
    identifier = f"{start_ns:016x}"
    return Span(identifier, "home", PhaseName.ROUNDS, 0, 0, 0, None, start_ns, start_ns + latency_ns, 200, None, 0, ())


def test_rate_and_latency_are_of_the_last_ten_seconds() -> None:
    old = [span(i * 10 * MS, 900 * MS) for i in range(100)]
    new = [span(20 * SECOND + i * 100 * MS, (1 + i) * MS) for i in range(100)]
    seen = traffic_of([*old, *new], 30 * SECOND, 200, 3, 1)
    assert seen.per_second == pytest.approx(10)
    assert (seen.p50_ns, seen.p99_ns) == (51 * MS, 100 * MS)
    assert (seen.sent, seen.failed, seen.dropped) == (200, 3, 1)


def test_spans_that_reach_back_less_far_do_not_lower_the_rate() -> None:
    seen = traffic_of([span(28 * SECOND + i * MS, MS) for i in range(2000)], 30 * SECOND, 2000, 0, 0)
    assert seen.per_second == pytest.approx(1000)


def test_without_requests_there_is_no_rate_and_no_latency() -> None:
    assert traffic_of([], 5, 0, 0, 0) == Traffic(5, None, None, None, 0, 0, 0)
    assert traffic_of([span(0, MS)], 30 * SECOND, 1, 0, 0).per_second is None
