from __future__ import annotations

import pytest
from timelines import App, Endpoint, simulate, six

from harness.correlate.build import correlate
from harness.diagnose.attribution import Attribution, Driver, attribute_private
from harness.diagnose.pool import pools_of


def split(app: App) -> Attribution:
    (pool,) = pools_of(correlate(simulate(app)))
    return attribute_private(pool)


@pytest.mark.parametrize("allocators", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_what_grows_without_requests_goes_with_time_and_no_endpoint_is_blamed(allocators: bool, seed: int) -> None:
    app = App(
        bytes_per_second=60_000, idle_s=3, allocators=allocators, live_noise_bytes=2000, with_blocks=False, seed=seed
    )
    found = split(app)
    assert found.driven.by is Driver.TIME
    assert found.driven.idle_s == pytest.approx(3.3, abs=0.1)
    assert found.driven.ci95 is not None
    assert found.driven.ci95[0] <= 1.02
    assert found.driven.ci95[1] >= 0.98
    assert found.driven.bytes_per_second == pytest.approx(4 * 60_000, rel=0.25), "of all four workers"
    assert found.dominant is None
    assert found.leading() == []
    assert "grows with time" in found.reason


@pytest.mark.parametrize("seed", range(3))
def test_a_leak_goes_with_requests(seed: int) -> None:
    found = split(App(endpoints=six(item={"leak_bytes": 8000}), idle_s=3, with_blocks=False, seed=seed))
    assert found.driven.by is Driver.REQUESTS
    assert found.dominant is not None
    assert found.dominant.endpoint == "item"


def test_a_leak_beside_growth_with_time_keeps_its_own_size() -> None:
    leaks = six(item={"leak_bytes": 8000})
    found = split(
        App(
            endpoints=leaks,
            bytes_per_second=60_000,
            idle_s=3,
            allocators=True,
            live_noise_bytes=2000,
            with_blocks=False,
        )
    )
    (item,) = found.leading()
    assert item.endpoint == "item"
    assert item.ci95[0] <= 8000 <= item.ci95[1]
    assert found.driven.time_share is not None
    assert 0.3 < found.driven.time_share < 0.8


def test_without_any_difference_between_requests_and_time_nothing_is_said() -> None:
    one = (Endpoint("only", leak_bytes=4000),)
    found = split(App(endpoints=one, workers=1, blocks=1, rounds=12, with_blocks=False))
    assert found.driven.by is Driver.UNKNOWN
    assert "went the same way" in found.driven.reason
    assert found.driven.time_share is None


def test_no_growth_is_driven_by_nothing() -> None:
    found = split(App(idle_s=3, with_blocks=False))
    assert found.driven.by is Driver.UNKNOWN
