"""The ledger's tables."""

from __future__ import annotations

from dataclasses import replace

import pytest
from timelines import App, Endpoint, simulate

from harness.analysis.ledger import ledger_rows, part_growth_rows, sharing_rows
from harness.correlate.build import correlate
from harness.diagnose.pool import pools_of
from harness.model.run import Series
from harness.model.timeline import Timeline

APP = App(endpoints=(Endpoint("home", native_bytes=4096),), allocators=True, rounds=8, warmup=1, requests=60, blocks=2)
PARTS = ("live", "allocator_held", "other_native", "image", "file", "shared", "stacks", "thp", "unexplained")


def timeline(app: App = APP) -> Timeline:
    return correlate(simulate(app))


def test_a_row_per_process_and_round_whose_parts_add_up() -> None:
    rows, _ = ledger_rows(timeline())
    assert len(rows) == 5 * 9
    assert {row.phase for row in rows} == {"warmup", "rounds"}
    for row in rows:
        assert sum(getattr(row, name) or 0 for name in PARTS) == row.pss
        assert row.live == (row.live_runtime or 0) + (row.live_native or 0)
        assert row.allocator_held == sum(row.held_by.values())
        assert row.source == "outside"
    assert (rows[0].file, rows[0].shared) == (5_000_000, 200_000)


def test_what_is_not_known_is_said() -> None:
    (row, *_), _ = ledger_rows(timeline(replace(APP, allocators=False)))
    assert (row.live, row.allocator_held, row.stacks, row.thp, row.other_native, row.source) == (None,) * 6
    assert row.pss is not None
    assert row.unexplained == row.pss - 5_200_000


def test_a_pool_is_the_sum_of_its_processes_to_the_byte() -> None:
    rows, pools = ledger_rows(timeline())
    assert len(pools) == 9
    for pool in pools:
        members = [row for row in rows if row.t_ns == pool.t_ns]
        assert (pool.pool, pool.processes) == ("app", 5)
        assert pool.pss == sum(row.pss or 0 for row in members)
        assert sum(pool.parts[name] or 0 for name in PARTS) == pool.pss
        assert pool.parts["live"] == sum(row.live or 0 for row in members)


def test_what_is_swapped_out_is_beside_pss() -> None:
    raw = simulate(APP)
    swapped = {
        ("process.memory.swap_pss", key): Series(
            "process.memory.swap_pss", key, series.t_ns, series.values * 0 + 1_000_000
        )
        for (name, key), series in raw.series.items()
        if name == "process.memory.pss"
    }
    found = correlate(replace(raw, series={**raw.series, **swapped}))
    rows, pools = ledger_rows(found)
    assert rows[0].swap == 1_000_000
    assert sum(getattr(rows[0], name) or 0 for name in PARTS) == rows[0].pss
    assert pools[0].parts["swap"] == 5_000_000
    assert pools[0].pss == sum(row.pss or 0 for row in rows if row.t_ns == pools[0].t_ns)


def test_a_proxy_beside_the_application_has_nobodys_memory_without_its_runtime() -> None:
    raw = simulate(APP)
    series = {key: found for key, found in raw.series.items() if not key[0].startswith("runtime.python")}
    (row, *_), _ = ledger_rows(correlate(replace(raw, series=series)))
    assert row.other_native is None
    beside = replace(raw.manifest, unmeasured_pools=("app",))
    (row, *_), _ = ledger_rows(correlate(replace(raw, series=series, manifest=beside)))
    assert row.other_native is not None


def test_growth_of_the_parts() -> None:
    rows = {row.part: row for row in part_growth_rows(pools_of(timeline()))}
    assert {"live", "live_native", "allocator_held", "file"} <= set(rows)
    native = rows["live_native"]
    assert (native.pool, native.exact, native.shape) == ("app", True, "linear")
    assert native.bytes_per_round == pytest.approx(60 * 4096, rel=0.01)
    assert native.interval is not None
    assert native.last - native.first == 7 * 60 * 4096
    short = {row.part: row for row in part_growth_rows(pools_of(timeline(replace(APP, rounds=2))))}
    assert (short["live_native"].bytes_per_round, short["live_native"].interval) == (None, None)
    assert short["live_native"].shape == "short"


def test_forked_workers() -> None:
    rows = sharing_rows(timeline(replace(APP, metrics=("pss", "uss", "shared_dirty"))))
    assert [row.generation for row in rows] == [0, 1, 2, 3]
    assert all(len(row.points) > 2 and row.unshared == 0 for row in rows)
