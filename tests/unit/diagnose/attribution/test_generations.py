from __future__ import annotations

import math

import pytest
from timelines import App, simulate, six

from harness.correlate.build import correlate
from harness.diagnose.attribution import GenerationGrowth, attribute_generations, attribute_private
from harness.diagnose.pool import PoolView, pools_of

RECYCLED = App(most_requests=300, young=2_000_000, with_blocks=False, idle_s=2)


def pool_of(**changes: object) -> PoolView:
    fields = {name: getattr(RECYCLED, name) for name in App.__dataclass_fields__}
    (pool,) = pools_of(correlate(simulate(App(**{**fields, **changes}))))
    return pool


def growth(**changes: object) -> GenerationGrowth:
    found = attribute_generations(pool_of(**changes))
    assert found is not None
    return found


@pytest.mark.parametrize("allocators", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_a_leak_under_max_requests_is_found_with_its_endpoint(allocators: bool, seed: int) -> None:
    pool = pool_of(endpoints=six(item={"leak_bytes": 20_480}), allocators=allocators, live_noise_bytes=2000, seed=seed)
    assert len(pool.stable) < 2
    found = attribute_generations(pool)
    assert found is not None
    assert found.grows
    assert found.reason == ""
    assert found.ci95[0] <= found.bytes_per_request <= found.ci95[1]
    assert found.bytes_per_request == pytest.approx(20_480 / 6, rel=0.05)
    assert found.late == pytest.approx(found.early, rel=0.3)
    assert found.lives > 10
    assert found.replaced > 5
    named = attribute_private(pool).dominant
    assert named is not None
    assert named.endpoint == "item"
    assert named.ci95[0] <= 20_480 <= named.ci95[1]


@pytest.mark.parametrize("seed", range(3))
def test_workers_that_warm_up_again_and_again_do_not_leak(seed: int) -> None:
    found = growth(seed=seed)
    assert not found.grows
    assert "not certain" in found.reason


@pytest.mark.parametrize("requests", [20, 80, 300])
def test_a_cache_that_fills_in_every_generation_is_no_leak(requests: int) -> None:
    found = growth(extra=lambda n: 5e6 * (1 - math.exp(-n / requests)), allocators=True)
    assert not found.grows
    assert found.early > found.late


def test_workers_that_live_throughout_are_observed_as_well() -> None:
    found = growth(most_requests=None, endpoints=six(item={"leak_bytes": 20_480}))
    assert found.grows
    assert (found.lives, found.replaced) == (4, 0)


def test_nothing_is_said_of_lives_too_short_to_be_observed_or_of_requests_of_nobody() -> None:
    assert attribute_generations(pool_of(most_requests=15, blocks=1)) is None
    assert attribute_generations(pool_of(records="none")) is None
