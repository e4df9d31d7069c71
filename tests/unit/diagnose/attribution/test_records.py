from __future__ import annotations

import pytest
from timelines import App, Endpoint, simulate

from harness.correlate.build import correlate
from harness.diagnose.attribution import attribute_private
from harness.diagnose.attribution.observations import observe_workers
from harness.diagnose.attribution.records import kept_by_endpoint, weighed
from harness.diagnose.pool import PoolView, pools_of


def pool_of(guilty: Endpoint, **changes: object) -> PoolView:
    endpoints = (*(Endpoint(f"e{i}") for i in range(9)), guilty)
    settings: dict[str, object] = {"workers": 4, "blocks": 5, "requests": 1000, "warmup": 1, "idle_s": 2}
    (pool,) = pools_of(correlate(simulate(App(endpoints=endpoints, **{**settings, **changes}))))  # type: ignore[arg-type]
    return pool


RARELY = Endpoint("rarely", leak_bytes=204_800, leak_blocks=400, every=100)


@pytest.mark.parametrize("seed", range(4))
def test_a_leak_in_one_request_of_a_hundred_is_found_by_the_records(seed: int) -> None:
    pool = pool_of(RARELY, seed=seed)
    found = attribute_private(pool)
    assert found.dominant is not None
    assert found.dominant.endpoint == "rarely"
    assert found.dominant.keeping_share == pytest.approx(0.01, rel=0.3)
    assert found.dominant.ci95[0] <= 2048 <= found.dominant.ci95[1]
    assert found.dominant.bytes_per_request == pytest.approx(2048, rel=0.25), "it happened eight times"
    assert found.dominant.requests == 800
    assert [e.endpoint for e in found.leading()] == ["rarely"]


def test_the_few_stand_for_all_in_the_blocks_in_which_they_were() -> None:
    pool = pool_of(RARELY)
    seen, kept = observe_workers(pool), kept_by_endpoint(pool)
    assert seen is not None
    assert sum(kept["rarely"].keeping.values()) == 8
    rather = weighed(seen, kept, seen.endpoints)
    assert rather is not None
    column = seen.endpoints.index("rarely")
    assert rather.counts[:, column].sum() == pytest.approx(seen.counts[:, column].sum())
    assert 4 <= (rather.counts[:, column] > 0).sum() <= 8
    others = [c for c in range(10) if c != column]
    assert (rather.counts[:, others] == seen.counts[:, others]).all()
    assert weighed(seen, kept, [n for n in seen.endpoints if n != "rarely"]) is None


def test_what_keeps_something_in_every_request_does_not_do_so_rarely() -> None:
    pool = pool_of(Endpoint("always", leak_bytes=4096, leak_blocks=30))
    kept = kept_by_endpoint(pool)["always"]
    assert kept.keeping_share is None
    assert kept.certain
    assert kept.mean == pytest.approx(30, abs=3)
    assert attribute_private(pool).leading()[0].keeping_share is None


def test_with_others_in_flight_a_change_belongs_to_nobody() -> None:
    pool = pool_of(RARELY, concurrency=2)
    assert kept_by_endpoint(pool) == {}
    assert all(e.blocks_per_request is None for e in attribute_private(pool).endpoints)
