from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from timelines import App, Endpoint, simulate

from harness.correlate.build import correlate
from harness.diagnose.attribution import attribute_private
from harness.diagnose.attribution.garbage import garbage_of
from harness.diagnose.attribution.observations import observe_workers
from harness.diagnose.attribution.split import Rows, split_growth
from harness.diagnose.pool import PoolView, pools_of
from harness.model.span import PhaseName

# One keeps small containers, one leaves garbage in cycles behind, the others do neither.
MIXED = (
    Endpoint("audit", leak_bytes=1500, leak_containers=12),
    Endpoint("tree", cycles=25),
    *(Endpoint(f"plain{i}", cycles=1) for i in range(6)),
)


def pool_of(seed: int, *, collector: bool = True) -> PoolView:
    app = App(
        endpoints=MIXED, workers=2, blocks=5, requests=1000, allocators=True, collector=collector, live_noise_bytes=500,
        idle_s=2, with_blocks=False, seed=seed,
    )  # fmt: skip
    (pool,) = pools_of(correlate(simulate(app)))
    return pool


@pytest.mark.parametrize("seed", range(4))
def test_garbage_that_waits_hides_nothing_and_is_blamed_on_nobody(seed: int) -> None:
    found = attribute_private(pool_of(seed))
    (audit,) = found.leading()
    assert audit.endpoint == "audit"
    assert audit.bytes_per_request == pytest.approx(1500, rel=0.05)
    assert audit.ci95[0] <= 1500 * 1.01
    assert audit.ci95[1] >= 1500 * 0.99


def test_without_the_collectors_counters_the_error_is_much_larger() -> None:
    seen = observe_workers(pool_of(1))
    assert seen is not None
    assert seen.live is not None
    assert seen.garbage is not None
    rows = Rows(seen.counts, seen.seconds, seen.live, seen.life, seen.moment)
    blind = split_growth(rows, 32_768).endpoints[seen.endpoints.index("audit")]
    aware = attribute_private(pool_of(1)).leading()[0]
    assert blind.high - blind.low > 3 * (aware.ci95[1] - aware.ci95[0])


def reading(count0: int, collections: int, count1: int = 0) -> dict[str, int | None]:
    name = "runtime.python.gc"
    return {
        f"{name}.count0": count0,
        f"{name}.count1": count1,
        f"{name}.collections0": collections,
        f"{name}.collections1": 0,
        f"{name}.collections2": 0,
        f"{name}.threshold0": 700,
    }


def test_requests_since_the_last_collection_are_interpolated() -> None:
    rows = [
        (reading(0, 0), reading(350, 0)),
        (reading(350, 0), reading(200, 1)),  # 550 containers made, 200 of them since
        (reading(200, 1), reading(300, 4)),
    ]
    found = garbage_of(rows, [0, 0, 0], np.array([[10.0], [11.0], [22.0]]))
    assert found is not None
    assert found.collector[:, 0].tolist() == [350, -150, 100]
    waiting = np.cumsum(found.waiting[:, 0])
    assert waiting.tolist() == pytest.approx([10, 11 * 200 / 550, 22 * 300 / 2200])


def test_each_life_begins_anew() -> None:
    rows = [(reading(0, 0), reading(300, 3)), (reading(0, 0), reading(100, 3))]
    found = garbage_of(rows, [0, 1], np.array([[10.0], [22.0]]))
    assert found is not None
    assert found.waiting[1, 0] == pytest.approx(22 * 100 / 2200)


def test_a_collector_that_hardly_runs_or_was_not_read_is_no_help() -> None:
    counts = np.array([[10.0], [10.0]])
    assert garbage_of([(reading(0, 0), reading(300, 1)), (reading(300, 1), reading(9, 2))], [0, 0], counts) is None
    assert garbage_of([(reading(0, 0), {}), (reading(300, 1), reading(9, 9))], [0, 0], counts) is None
    assert garbage_of([], [], np.zeros((0, 1))) is None


def test_what_was_answered_in_the_warm_up_only_is_in_no_column() -> None:
    """Its requests since the last collection were once counted as those of the endpoint that happened to be the last."""
    app = App(endpoints=MIXED, workers=2, blocks=5, requests=300, allocators=True, collector=True)
    raw = simulate(app)
    warm = [
        replace(s, endpoint="warmed") if s.phase is PhaseName.WARMUP and s.endpoint == "tree" else s for s in raw.spans
    ]
    plain, renamed = (observe_workers(pools_of(correlate(r))[0]) for r in (raw, replace(raw, spans=warm)))
    assert plain is not None
    assert renamed is not None
    assert plain.garbage is not None
    assert renamed.garbage is not None
    assert renamed.endpoints == plain.endpoints
    others = [i for i, name in enumerate(plain.endpoints) if name != "tree"]
    assert np.array_equal(renamed.garbage.waiting[:, others], plain.garbage.waiting[:, others])
    assert not np.array_equal(renamed.garbage.waiting, plain.garbage.waiting)


def test_workers_that_answered_nothing_but_the_warm_up_are_no_crash() -> None:
    raw = simulate(App(endpoints=MIXED, workers=2, blocks=5, requests=300, allocators=True, collector=True))
    warm = [s for s in raw.spans if s.phase is PhaseName.WARMUP]
    seen = observe_workers(pools_of(correlate(replace(raw, spans=warm)))[0])
    assert seen is not None
    assert seen.endpoints == ()
