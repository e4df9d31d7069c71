"""What the page's blocks hold: series on shared instants, holes, requests, profiles."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from block_reader import read
from reports import (
    HOSTILE,
    SECOND,
    START,
    call_profile,
    curve_profile,
    empty_report,
    hostile_report,
    leak_report,
    object_profile,
    single_sample_report,
)

from harness.model.profile import CallNode, CurvePoint, Holder, HolderChain, ObjectGroup, Peak, Profile
from harness.model.report import PoolLedgerRow, Report
from harness.model.run import Series
from harness.model.span import PhaseName
from harness.model.timeline import Timeline
from harness.report.page.profiles import CHAIN_CAP, CURVE_CAP, OBJECT_CAP, PATH_CAP, fold, profile_block, thinned
from harness.report.page.requests import ordered, requests_block
from harness.report.page.series import drawn, encode
from harness.report.page.series import thinned as thinned_series


def report_of(timeline: Timeline) -> Report:
    return dataclasses.replace(empty_report(), timeline=timeline)


def decoded(timeline: Timeline) -> tuple[dict[str, Any], list[list[int]]]:
    return read(encode(drawn(report_of(timeline)), timeline.manifest.started_ns))


def entry(header: dict[str, Any], metric: str, process: int | None = None) -> dict[str, int]:
    found = [e for e in header["series"] if e["metric"] == metric and e["process"] == process]
    assert len(found) == 1
    result: dict[str, int] = found[0]
    return result


def test_values_and_times_come_back_exactly() -> None:
    timeline = leak_report(requests_per_round=4).timeline
    header, columns = decoded(timeline)
    worker = timeline.workers[1]
    series = timeline.series["process.memory.pss", worker.info.key]
    found = entry(header, "process.memory.pss", 1)
    assert [v * found["scale"] for v in columns[found["values"]]] == series.values.tolist()
    base = columns[header["bases"][found["base"]]["column"]]
    index = (
        range(found["first"], found["first"] + series.t_ns.size) if found["index"] is None else columns[found["index"]]
    )
    assert [base[i] for i in index] == ((series.t_ns - START) // 1000).tolist()


def test_a_stall_of_the_sampler_leaves_an_instant_without_values() -> None:
    timeline = leak_report(requests_per_round=4).timeline
    header, columns = decoded(timeline)
    base = np.array(columns[header["bases"][0]["column"]])
    inside = base[(base > 40.2e6) & (base < 42.8e6)]
    assert inside.size == 1
    found = entry(header, "system.meminfo.MemAvailable")
    assert found["index"] is not None
    assert int(np.searchsorted(base, inside[0])) not in columns[found["index"]]


def test_floors_between_regular_sweeps_make_no_holes() -> None:
    regular = np.arange(40) * SECOND
    floors = np.concatenate([regular[10:30] + SECOND // 3, regular[10:30] + SECOND // 2, regular[10:30] + SECOND // 4])
    times = START + np.sort(np.concatenate([regular, floors]))
    metric = "system.meminfo.Slab"
    series = {(metric, None): Series(metric, None, times, np.ones(times.size, dtype=np.int64))}
    header, columns = decoded(dataclasses.replace(empty_report().timeline, series=series))
    assert len(columns[header["bases"][0]["column"]]) == times.size
    assert entry(header, metric)["index"] is None


def test_swap_is_a_rate_in_bytes_and_never_negative() -> None:
    timeline = empty_report().timeline
    times = START + np.array([0, 1, 2]) * SECOND
    counter = Series("system.vmstat.pswpout", None, times, np.array([100, 110, 5]))
    found = drawn(report_of(dataclasses.replace(timeline, series={(counter.metric, None): counter})))
    assert [d.metric for d in found] == ["derived.swap_out"]
    assert found[0].values.tolist() == [10 * 4096, 0]


def test_free_blocks_are_summed_over_zones() -> None:
    timeline = leak_report(requests_per_round=4).timeline
    order0 = next(d for d in drawn(report_of(timeline)) if d.metric == "buddy.0")
    zones = [timeline.series[f"system.buddyinfo.0.{z}.0", None].values for z in ("Normal", "DMA32")]
    assert order0.values.tolist() == (zones[0] + zones[1]).tolist()


def test_latency_percentiles_are_observed_values() -> None:
    timeline = leak_report().timeline
    observed = {j.span.latency_ns for j in timeline.spans}
    p50, p99 = (next(d for d in drawn(report_of(timeline)) if d.metric == f"latency.{p}") for p in ("p50", "p99"))
    assert set(p50.values.tolist()) <= observed
    assert (p50.values <= p99.values).all()
    assert p99.values.max() == max(observed)


def test_thinned_series_keep_least_and_most_of_each_stretch() -> None:
    report = leak_report(requests_per_round=4)
    every = drawn(report)
    total = sum(d.t_ns.size for d in every)
    assert thinned_series(every, total) == (every, 1)
    fewer, stretch = thinned_series(every, total // 4)
    assert stretch == 10  # two points for ten sweeps
    assert sum(d.t_ns.size for d in fewer) <= total // 4 + 4 * len(every)
    for before, after in zip(every, fewer, strict=True):
        assert (after.metric, after.process, after.pool) == (before.metric, before.process, before.pool)
        assert (np.diff(after.t_ns) > 0).all()
        assert set(after.values.tolist()) <= set(before.values.tolist())
        assert after.values.max() == before.values.max()
        assert after.values.min() == before.values.min()


def test_the_ledger_has_a_line_for_each_part_that_is_known() -> None:
    base = leak_report(requests_per_round=4)
    parts: dict[str, int | None] = {"live": 5, "stacks": None, "unexplained": -3}
    rows = [PoolLedgerRow("app", PhaseName.ROUNDS, n, START + n * SECOND, 1, 9, parts) for n in (2, 1)]
    rows.append(PoolLedgerRow("gone", PhaseName.ROUNDS, 1, START, 1, 9, parts))
    found = [d for d in drawn(dataclasses.replace(base, pool_ledger=rows)) if d.metric.startswith("ledger.")]
    assert [(d.metric, d.pool, d.values.tolist()) for d in found] == [
        ("ledger.live", 0, [5, 5]),
        ("ledger.unexplained", 0, [-3, -3]),
    ]
    header, _ = read(encode(found, START))
    assert header["bases"][0]["holes"] == []


def test_cgroups_are_drawn_once_and_without_limits_that_are_none() -> None:
    times = START + np.arange(2) * SECOND
    values = {
        "a.memory.current": [1, 2],
        "b.memory.current": [1, 2],
        "a.memory.max": [2**62, 2**62],
        "b.memory.max": [9, 9],
    }
    series = {(f"cgroup.{n}", None): Series(f"cgroup.{n}", None, times, np.array(v)) for n, v in values.items()}
    found = drawn(report_of(dataclasses.replace(empty_report().timeline, series=series)))
    assert [d.metric for d in found] == ["cgroup.a.memory.current", "cgroup.b.memory.max"]


def test_runs_with_nothing_and_with_one_sample_encode() -> None:
    assert decoded(empty_report().timeline) == ({"bases": [], "series": []}, [])
    header, columns = decoded(single_sample_report().timeline)
    assert columns[entry(header, "process.memory.pss", 0)["values"]] == [1]


def test_requests_are_rows_in_order_of_start() -> None:
    timeline = leak_report(requests_per_round=8).timeline
    profiled = timeline.spans[-1].span.span_id
    header, columns = read(requests_block(timeline, frozenset({profiled})))
    names = header["names"]
    assert isinstance(names, dict)
    rows = ordered(timeline)
    column = {name: columns[number] for name, number in names.items()}
    assert column["start"] == sorted(column["start"])
    assert column["duration"] == [(j.span.end_ns - j.span.start_ns) // 1000 for j in rows]
    assert [bool(f & 2) for f in column["flags"]] == [j.span.span_id == profiled for j in rows]
    assert [bool(f & 4) for f in column["flags"]] == [j.record is not None for j in rows]
    workers = [w.info.key for w in timeline.workers]
    assert column["worker"] == [-1 if j.worker is None else workers.index(j.worker) for j in rows]


def test_memory_deltas_a_target_made_up_stay_within_what_a_page_can_hold() -> None:
    timeline = leak_report(requests_per_round=4).timeline
    first = next(j for j in timeline.spans if j.record is not None)
    assert first.record is not None
    record = dataclasses.replace(first.record, values={"rss_start_bytes": -(2**62), "rss_end_bytes": 2**62})
    changed = dataclasses.replace(timeline, spans=(dataclasses.replace(first, record=record),))
    header, columns = read(requests_block(changed, frozenset()))
    assert columns[header["names"]["delta"]] == [2**50]


def test_a_request_without_response_says_why() -> None:
    header, columns = read(requests_block(hostile_report().timeline, frozenset()))
    assert set(columns[header["names"]["status"]]) == {0}
    assert header["troubles"] == [HOSTILE]


def test_a_profile_keeps_tree_costs_and_notes() -> None:
    profile = call_profile()
    header, columns = read(profile_block(profile))
    assert columns[header["tree"]["parent"]] == [-1, 0, 1, 2, 1]
    assert columns[header["tree"]["inclusive"][1]] == [n.inclusive_values[1] for n in profile.tree]
    assert header["notes"] == list(profile.notes)


def test_folding_keeps_the_largest_nodes_and_their_callers() -> None:
    tree = [
        CallNode(0, -1, 1, (0,), (1,)),  # clamped: less than its callees
        CallNode(1, 0, 1, (0,), (50,)),
        CallNode(2, 0, 1, (0,), (2,)),
        CallNode(3, 1, 1, (40,), (40,)),
    ]
    kept = fold(tree, 2)
    assert [(n.frame, n.parent) for n in kept] == [(0, -1), (1, 0), (3, 1)]
    assert fold(tree, 4) is tree


def test_the_curve_its_peak_and_the_collector_come_back_exactly() -> None:
    profile = curve_profile()
    header, columns = read(profile_block(profile))
    curve = header["curve"]
    assert columns[curve["offset"]] == [p.offset_ns for p in profile.curve]
    assert columns[curve["bytes"]] == [p.bytes for p in profile.curve]
    assert [curve["labels"][k] for k in columns[curve["label"]]] == [p.label for p in profile.curve]
    assert header["peak"] == [7_000_000, 1_410_000, [0, 1, 2]]
    assert header["collections"] == [
        [6_500_000, "Shop\\Cart->add", 10_000, 10_001, 1_500_000, 1_400_000, 900_000]
    ]  # fmt: skip


def test_a_long_curve_keeps_its_spikes_and_a_deep_stack_its_ends() -> None:
    flat = [CurvePoint(k, 1000 + k % 7, "") for k in range(3 * CURVE_CAP)]
    flat[7_777] = CurvePoint(7_777, 10**9, "spike")
    flat[11_111] = CurvePoint(11_111, 1, "dip")
    kept = thinned(flat, CURVE_CAP)
    assert len(kept) <= CURVE_CAP
    assert {flat[7_777], flat[11_111]} <= set(kept)
    assert [p.offset_ns for p in kept] == sorted(p.offset_ns for p in kept)
    profile = Profile("t", (), curve=tuple(flat), peak=Peak(1, 2, tuple(range(PATH_CAP + 50))))
    header, columns = read(profile_block(profile))
    assert max(columns[header["curve"]["bytes"]]) == 10**9
    assert header["notes"] == [f"The curve shows the lowest and highest of {len(flat)} moments, {len(kept)} in all."]
    stack = header["peak"][2]
    assert (stack[0], stack[-1], stack.count(-1), len(stack)) == (0, PATH_CAP + 49, 1, PATH_CAP + 1)


def test_objects_and_holders_keep_what_is_unknown() -> None:
    header, _ = read(profile_block(object_profile()))
    assert header["objects"][2] == ["_io.BufferedReader", [1, None]]
    assert header["holders"][1] == [
        "shop.models.Order",
        2,
        [["frame of worker_loop in shop/queue.py", "pending"], ["collections.deque", ""], ["shop.models.Order", ""]],
    ]


def test_objects_and_holders_are_capped_and_it_is_said() -> None:
    steps = tuple(Holder(f"step {n}" + "x" * 900, "v" * 900) for n in range(PATH_CAP + 9))
    profile = Profile(
        "growth",
        (),
        objects=tuple(ObjectGroup("o" * 900, ()) for _ in range(OBJECT_CAP + 1)),
        holders=tuple(HolderChain("k" * 900, 1, steps if n == 0 else ()) for n in range(CHAIN_CAP + 1)),
    )
    header, _ = read(profile_block(profile))
    assert (len(header["objects"]), len(header["holders"])) == (OBJECT_CAP, CHAIN_CAP)
    assert header["notes"] == [
        f"Only the first {OBJECT_CAP} of {OBJECT_CAP + 1} types of objects are shown.",
        f"Only the first {CHAIN_CAP} of {CHAIN_CAP + 1} paths of references are shown.",
    ]
    path = header["holders"][0][2]
    assert len(path) == PATH_CAP
    assert path[PATH_CAP // 2] == ["… 10 more …", ""]
    assert path[PATH_CAP // 2 + 1][0].startswith(f"step {PATH_CAP // 2 + 10}x")
    assert path[-1][0].startswith(f"step {PATH_CAP + 8}x")
    assert max(len(text) for step in path for text in step) == 500
    assert len(header["objects"][0][0]) == len(header["holders"][0][0]) == 500
