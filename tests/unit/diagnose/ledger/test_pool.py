"""The pool's ledger: sums to the byte, and slopes by exact counters."""

from __future__ import annotations

from dataclasses import replace

from timelines import App, Endpoint, simulate

from harness.correlate.build import correlate
from harness.diagnose.growth import Shape
from harness.diagnose.ledger.parts import SUMMANDS, parts_of
from harness.diagnose.ledger.pool import PartGrowth, part_growth, summed
from harness.diagnose.pool import PoolView, pools_of

ENDPOINTS = (Endpoint("home"), Endpoint("item", leak_bytes=4096, native_bytes=8192, mapped_bytes=16384))
APP = App(endpoints=ENDPOINTS, allocators=True)


def pool_of(app: App) -> PoolView:
    (pool,) = pools_of(correlate(simulate(app)))
    return pool


def growth_of(app: App) -> dict[str, PartGrowth]:
    return {found.part: found for found in part_growth(pool_of(app))}


def test_the_pools_parts_add_up_to_its_pss_to_the_byte() -> None:
    pool = pool_of(APP)
    for floor in pool.floors.values():
        total = summed(parts_of(point.values, pool.runtime) for point in floor.values())
        pss = [point.values["process.memory.pss"] or 0 for point in floor.values()]
        assert total["pss"] == sum(pss)
        assert sum(total[name] or 0 for name in SUMMANDS) == sum(pss)


def test_what_one_process_does_not_know_is_unexplained_of_the_pool() -> None:
    known = parts_of({"process.memory.pss": 100, "process.memory.pss_file": 40}, "any")
    unknown = parts_of({"process.memory.pss": 50}, "any")
    unmeasured = parts_of({}, "any")
    total = summed([known, unknown, unmeasured])
    assert (total["pss"], total["files"], total["unexplained"], total["live"]) == (150, 40, 110, None)
    assert summed([unmeasured])["pss"] is None


def test_every_process_has_its_parts_at_every_round() -> None:
    pool = pool_of(APP)
    assert set(pool.parts) == set(pool.stable_all)
    assert {len(parts) for parts in pool.parts.values()} == {len(pool.rounds)}
    levels = pool.part_levels("exact_live")
    assert levels is not None
    assert levels[0] == sum(pool.parts[key][0].exact_live or 0 for key in pool.stable)
    assert pool.part_levels("stacks") is not None
    assert pool_of(replace(APP, allocators=False)).part_levels("exact_live") is None


def test_each_part_grows_by_what_was_put_there() -> None:
    found = growth_of(APP)
    hits = APP.requests / 2
    for part, size in (("live_runtime", 4096), ("live_native", 8192), ("live", 12288), ("other_native", 16384)):
        assert found[part].exact
        assert found[part].growth.shape is Shape.LINEAR, part
        assert abs(found[part].growth.per_round / (hits * size) - 1) < 0.02, part
    assert found["held"].growth.shape is Shape.FLAT
    assert not found["files"].exact
    assert found["files"].growth.shape is Shape.FLAT


def test_a_part_that_nobody_knows_or_has_is_not_there() -> None:
    assert set(growth_of(replace(APP, allocators=False))) == {"files", "shared"}
    assert "stacks" not in growth_of(APP)  # no process has any
