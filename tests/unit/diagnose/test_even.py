from __future__ import annotations

from dataclasses import replace

import pytest
from cases import judged
from timelines import App, six

from harness.diagnose.even import cuts, falling, uneven
from harness.model.finding import Cause

DYING = App(
    endpoints=six(cart_add={"leak_bytes": 8192, "leak_blocks": 5}),
    flows=True,
    rounds=12,
    slice_s=30,
    parts=4,
    requests=1200,
    last_requests=40,
    allocators=True,
    blocks_at_floors=True,
    live_noise_bytes=3000,
    collected=dict.fromkeys(range(4), 0),
)


@pytest.mark.parametrize(
    ("work", "expected"),
    [([], False), ([100, 100, 100], False), ([20, 8, 14], False), ([1000, 750, 990], False), ([1000, 600, 300], True)],
)
def test_uneven_is_more_than_chance_and_more_than_a_little(work: list[int], expected: bool) -> None:
    assert uneven(work) is expected


def test_falling_compares_the_ends() -> None:
    assert falling([900, 800, 500, 300, 200, 100])
    assert not falling([100, 200, 300, 500, 800, 900])
    assert not falling([900, 800, 700, 700, 600, 500])


def test_stretches_have_about_the_same_work() -> None:
    work = [300, 300, 300, 300, 200, 200, 200, 200, 100, 100, 100, 100]
    ends = cuts(work, most=8, least=4)
    assert ends is not None
    assert len(ends) >= 6
    assert ends[-1] == len(work) - 1
    sums = [sum(work[a + 1 : b + 1]) for a, b in zip([-1, *ends], ends, strict=False)]
    assert sum(sums) == sum(work)
    assert max(sums) <= 2 * min(sums)


def test_without_enough_floors_nothing_can_be_cut() -> None:
    assert cuts([1000, 10, 10, 10, 10, 10, 10, 10], most=7, least=6) is None
    assert cuts([], most=7, least=6) is None
    assert cuts([0, 0, 0], most=3, least=2) is None


@pytest.mark.parametrize(("first", "last"), [(1200, 40), (1200, 600), (120, 1200)])
def test_a_leak_is_judged_by_its_work_when_traffic_comes_unevenly(first: int, last: int) -> None:
    """By equal time it looked like a cache that has filled, and was called healthy with high confidence."""
    app = replace(DYING, requests=first, last_requests=last)
    found = judged(app)
    assert found.verdict.cause is Cause.LEAK_OBJECTS
    (pool,), finding = found.pools, found.findings[0]
    assert pool.rounds != pool.slices
    assert (pool.rounds[0], pool.rounds[-1].floor_ns) == (pool.slices[0], pool.slices[-1].floor_ns)
    assert finding.subject.endpoint == "cart_add"
    assert finding.growth.bytes_per_request == pytest.approx(8192, rel=0.05)
    assert "requests came unevenly" in next(e.text for e in finding.evidence if e.signal == "slices.even")
    rate = (first + last) / 2 / 30
    assert finding.growth.bytes_per_hour == pytest.approx(rate / 6 * 8192 * 3600, rel=0.15)


def test_an_application_that_keeps_nothing_is_healthy_however_traffic_comes() -> None:
    found = judged(replace(DYING, endpoints=six(), last_requests=120)).findings[0]
    assert found.cause is Cause.HEALTHY
    assert "slices.even" in {e.signal for e in found.evidence}
    assert judged(replace(DYING, endpoints=six(), requests=240, last_requests=1200)).verdict.cause is Cause.HEALTHY


def test_where_floors_are_too_few_traffic_that_dies_away_is_no_proof_of_health() -> None:
    found = judged(replace(DYING, parts=1, rounds=8)).verdict
    assert found.cause is Cause.INCONCLUSIVE
    assert "requests became ever fewer" in found.summary


def test_growth_with_time_is_found_though_stretches_of_equal_work_are_not_equally_long() -> None:
    app = replace(DYING, endpoints=six(), bytes_per_second=20_000, last_requests=400)
    finding = judged(app).findings[0]
    assert finding.cause is Cause.LEAK
    assert finding.subject.endpoint is None
    assert "as time goes by" in finding.summary
    assert finding.growth.bytes_per_hour == pytest.approx(4 * 20_000 * 3600, rel=0.1)
