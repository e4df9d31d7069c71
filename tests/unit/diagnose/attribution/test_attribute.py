from __future__ import annotations

import math
from dataclasses import replace

import pytest
from timelines import SIX, App, Endpoint, simulate, six

from harness.correlate.build import correlate
from harness.diagnose.attribution import Attribution, Driver, attribute_private, attribute_shared
from harness.diagnose.pool import pools_of


def split(app: App, *, shared: bool = False) -> Attribution:
    (pool,) = pools_of(correlate(simulate(app)))
    return attribute_shared(pool) if shared else attribute_private(pool)


@pytest.mark.parametrize("seed", range(6))
def test_the_interval_covers_what_each_endpoint_really_keeps(seed: int) -> None:
    leaks = six(item={"leak_bytes": 6000}, login={"leak_bytes": 3000})
    truth = {"item": 6000, "login": 3000}
    found = split(App(endpoints=leaks, with_blocks=False, idle_s=2, seed=seed))
    assert found.observations == 324, "four workers, eighty blocks and a stretch without traffic"
    for endpoint in found.endpoints:
        assert endpoint.ci95[0] <= truth.get(endpoint.endpoint, 0) <= endpoint.ci95[1]
    assert found.leading()[0].endpoint == "item"
    assert {e.endpoint for e in found.leading()} <= truth.keys()
    assert found.explained == pytest.approx(1, abs=0.15)


def test_nothing_is_proven_in_a_healthy_application() -> None:
    found = split(App(with_blocks=False))
    assert found.dominant is None
    assert found.leading() == []
    assert found.reason


def test_a_warm_up_of_one_endpoint_is_not_its_leak() -> None:
    """The cache behind ``item`` fills in the first two rounds and then stays."""
    raw = simulate(App(endpoints=six(item={"leak_bytes": 20_000}), rounds=8, with_blocks=False))
    times = sorted({w.floor_ns for w in raw.windows if w.floor_ns is not None})
    freeze = [w.floor_ns for w in raw.windows if w.block is None and w.round == 1][-1]
    assert freeze in times
    series = dict(raw.series)
    for (metric, key), old in raw.series.items():
        if metric == "process.memory.pss_anon":
            stop = int(old.values[old.t_ns <= freeze][-1])
            series[metric, key] = type(old)(metric, key, old.t_ns, old.values.clip(max=stop))
    fields = {name: getattr(raw, name) for name in type(raw).__dataclass_fields__}
    (pool,) = pools_of(correlate(type(raw)(**{**fields, "series": series})))
    found = attribute_private(pool)
    assert found.dominant is None
    assert "second half is not certain" in found.reason


def test_requests_count_by_the_worker_that_answered_them() -> None:
    found = split(App(endpoints=six(cart_add={"leak_bytes": 10_240}), with_blocks=False))
    assert found.dominant is not None
    assert found.dominant.endpoint == "cart_add"
    assert found.dominant.requests == 800
    assert found.dominant.share == pytest.approx(1, abs=0.1)


def test_live_allocations_per_request_are_free_of_the_response_that_is_still_held() -> None:
    endpoints = tuple(
        Endpoint(e.name, leak_blocks=5 if e.name == "item" else 0, level_blocks=300 * i) for i, e in enumerate(SIX)
    )
    found = split(App(endpoints=endpoints))
    per_request = {e.endpoint: e.blocks_per_request for e in found.endpoints}
    for name, estimate in per_request.items():
        assert estimate is not None
        mean, half_width = estimate
        assert half_width < 2.5
        assert abs(mean - (5 if name == "item" else 0)) <= 1.5 * half_width


def test_requests_that_did_not_run_alone_are_left_out() -> None:
    found = split(App(concurrency=2))
    assert all(e.blocks_per_request is None for e in found.endpoints)


def test_shared_memory_is_split_by_the_pool() -> None:
    found = split(App(endpoints=six(about={"shared_bytes": 3000}), records="none"), shared=True)
    assert found.dominant is not None
    assert found.dominant.endpoint == "about"
    assert found.dominant.bytes_per_request == pytest.approx(3000, rel=0.02)


def test_endpoints_that_always_come_together_are_not_told_apart() -> None:
    found = split(App(blocks=1, endpoints=six(about={"shared_bytes": 3000})), shared=True)
    assert found.dominant is None
    assert "in the same proportions all the time" in found.reason
    assert all(math.isinf(e.ci95[1]) for e in found.endpoints)


@pytest.mark.parametrize(
    ("app", "reason"),
    [
        (App(records="none", restarts={0: (4,)}), "could be tied"),
        (App(blocks=1, restarts={i: tuple(range(8)) for i in range(4)}), "no worker lived"),
        (App(rounds=4, blocks=1, workers=1), "too few"),
    ],
)
def test_why_nothing_can_be_said(app: App, reason: str) -> None:
    found = split(app)
    assert found.endpoints == ()
    assert reason in found.reason


def test_rare_endpoints_beyond_the_limit_are_lumped_together() -> None:
    many = tuple(Endpoint(f"e{i:03}", weight=5 if i < 3 else 1) for i in range(80))
    found = split(App(endpoints=many, requests=400, rounds=7, with_blocks=False))
    assert len(found.endpoints) == 65
    assert found.endpoints[-1].endpoint == "(other endpoints)"


def test_an_endpoint_is_not_named_by_noise_against_what_single_requests_show() -> None:
    """Pages alone would name ``about`` here; the count of live allocations is exact, and grows with ``login``."""
    noisy = App(
        endpoints=six(login={"leak_bytes": 8000, "leak_blocks": 4}),
        noise_bytes=200e3,
        seed=55,
        requests=600,
        blocks=10,
        warmup=1,
    )
    found = split(noisy)
    assert found.dominant is None
    assert "live allocations certainly grow around single requests to login, and not around those" in found.reason


# -- requests that come as they please -------------------------------------------------------------------------------------

FLOW = App(flows=True, rounds=12, warmup=1, requests=1500, allocators=True, live_noise_bytes=3000, with_blocks=False)


def test_chance_tells_endpoints_apart_where_nobody_arranged_the_mix() -> None:
    """Which worker gets which request is chance, so no two of them have answered the same in a slice."""
    for seed in range(4):
        found = split(replace(FLOW, endpoints=six(item={"leak_bytes": 2048}), seed=seed))
        assert found.dominant is not None, found.reason
        assert found.dominant.endpoint == "item"
        assert found.dominant.ci95[0] <= 2048 <= found.dominant.ci95[1]
        assert found.observations == 44, "four workers, eleven slices: nobody looked between the warm-up and the first"


def test_a_drifting_share_does_not_make_an_endpoint_guilty_of_what_fills_meanwhile() -> None:
    drifting = tuple(replace(e, last_weight={"item": 0.3, "about": 3.0}.get(e.name)) for e in SIX)
    for seed in range(4):
        app = replace(FLOW, endpoints=drifting, extra=lambda n: 4e6 * (1 - math.exp(-n / 2000)), seed=seed)
        assert not split(app).leading()


def test_caches_that_fill_while_traffic_grows_are_no_endpoints() -> None:
    """The worker that has answered more than the others is further on, and between so many floors that shows."""
    rising = replace(FLOW, parts=4, slice_s=30, requests=500, last_requests=1500)
    for seed in range(2):
        found = split(replace(rising, extra=lambda n: 4e6 * (1 - math.exp(-n / 1000)), seed=seed))
        assert not any(e.proven for e in found.endpoints)


def test_growth_with_time_is_told_by_workers_that_answer_more_than_others() -> None:
    for seed in range(2):
        found = split(replace(FLOW, bytes_per_second=30_000, seed=seed))
        assert found.driven.by is Driver.TIME
        assert found.dominant is None
    assert split(replace(FLOW, endpoints=six(item={"leak_bytes": 2048}))).driven.by is not Driver.TIME


ONE = replace(FLOW, workers=1, parts=4, slice_s=40)  # requests come at a rate that never changes


def test_one_worker_tells_endpoints_apart_by_what_changes_from_one_floor_to_the_next() -> None:
    for seed in range(3):
        found = split(replace(ONE, endpoints=six(item={"leak_bytes": 2048}), seed=seed))
        assert found.dominant is not None, found.reason
        assert found.dominant.endpoint == "item"
        assert found.driven.by is Driver.UNKNOWN


def test_one_worker_does_not_tell_time_from_requests_that_come_evenly() -> None:
    drifting = tuple(replace(e, last_weight={"item": 0.3, "about": 3.0}.get(e.name)) for e in SIX)
    for seed in range(3):
        found = split(replace(ONE, endpoints=drifting, bytes_per_second=30_000, seed=seed))
        assert not found.leading()
        assert found.driven.by is Driver.UNKNOWN
        assert "every request does" not in found.reason


def test_a_few_stretches_of_one_worker_tell_nothing_apart() -> None:
    found = split(replace(FLOW, workers=1, rounds=8, endpoints=six(item={"leak_bytes": 2048})))
    assert found.dominant is None
    assert "cannot be told apart" in found.reason


def test_single_requests_lead_to_an_endpoint_where_workers_as_wholes_tell_nothing() -> None:
    alone = replace(FLOW, workers=1, rounds=8, with_blocks=True, blocks_at_floors=True)
    found = split(replace(alone, endpoints=six(item={"leak_bytes": 2048, "leak_blocks": 40})))
    assert found.dominant is None
    assert "around single requests to item live allocations rise by 4" in found.reason
    assert "single requests" not in split(replace(alone, extra=lambda n: 500.0 * n)).reason
