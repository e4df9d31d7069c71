from __future__ import annotations

from dataclasses import replace

import pytest
from cases import causes, findings, judged
from timelines import App, six

from harness.diagnose.rules.pool.leak_generations import RULE
from harness.model.finding import Cause, Confidence

REPLACED = {worker: tuple(range(1 + worker % 2, 8, 2)) for worker in range(4)}
RECYCLED = App(endpoints=six(login={"leak_bytes": 10_240}), restarts=REPLACED, with_blocks=False)


def test_fires_where_every_life_grows_although_the_pool_does_not() -> None:
    [found] = findings(RULE, RECYCLED)
    assert found.cause is Cause.LEAK
    assert found.confidence is Confidence.MEDIUM
    assert found.subject.endpoint == "login"
    assert found.growth.bytes_per_request == pytest.approx(10_240, rel=0.15)
    assert "replaces its workers" in found.summary
    assert causes(RECYCLED) == {Cause.LEAK}


def test_what_grows_with_time_in_every_life_is_not_put_down_to_requests() -> None:
    """Many lives, four at a time: the rate is that of four, less what nobody could observe of the youngest."""
    alike = App(flows=True, rounds=12, parts=4, slice_s=30, requests=1200, most_requests=700, with_blocks=False)
    [found] = findings(RULE, replace(alike, allocators=True, live_noise_bytes=3000, bytes_per_second=30_000))
    assert "each worker grows for as long as it lives: all of them together by about " in found.summary
    assert "a second, requests or not" in found.summary
    assert found.growth.bytes_per_request is None
    assert found.growth.bytes_per_hour == pytest.approx(4 * 30_000 * 3600, rel=0.2)


@pytest.mark.parametrize(
    "app",
    [replace(RECYCLED, endpoints=six()), replace(RECYCLED, restarts={})],
    ids=["replaced without a leak", "a leak without replacement"],
)
def test_stays_quiet(app: App) -> None:
    assert not findings(RULE, app)


def test_without_enough_data_it_says_nothing() -> None:
    blind = replace(RECYCLED, records="none")
    assert not findings(RULE, blind)
    assert judged(blind).verdict.cause is Cause.INCONCLUSIVE
