"""Runs with known truth through correlation and diagnosis. The builder is tests/support/timelines.py."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from timelines import SIX, App, Endpoint, simulate, six

from harness.analysis.prescriptions import builtin_rules
from harness.correlate.build import correlate
from harness.diagnose.engine import Diagnosis, diagnose
from harness.diagnose.heap import heap_of
from harness.diagnose.prescribe.apply import advise
from harness.diagnose.prescribe.rule import merged
from harness.model.event import Window
from harness.model.finding import Cause, Confidence, Prescription
from harness.model.run import RawRun
from harness.model.span import PhaseName
from harness.report.words import growth_parts
from harness.units import format_bytes

RULES = merged([builtin_rules()])
LEAKS = {Cause.LEAK, Cause.LEAK_OBJECTS, Cause.LEAK_NATIVE}


def judged(app: App) -> Diagnosis:
    return diagnose(correlate(simulate(app)))


def advice(found: Diagnosis) -> Sequence[Prescription]:
    """What to do about the first finding, by the built-in rules."""
    return advise(found.pools[0].timeline, found.findings, found.pools, RULES).findings[0].prescriptions


def close(actual: float | None, truth: float, share: float = 0.15) -> bool:
    return actual is not None and abs(actual - truth) <= share * truth


def test_leak_of_objects_in_one_of_six_endpoints_is_named_and_measured() -> None:
    found = judged(App(endpoints=six(cart_add={"leak_bytes": 10_240, "leak_blocks": 5})))
    finding = found.findings[0]
    assert found.verdict.cause is Cause.LEAK_OBJECTS
    assert found.verdict.confidence is Confidence.HIGH
    assert finding.subject.endpoint == "cart_add"
    assert close(finding.growth.bytes_per_request, 10_240)
    low, high = finding.growth.ci95 or (0, 0)
    assert low <= 10_240 <= high
    assert "cart_add keeps about" in finding.summary
    assert finding.range_ns is not None


def test_objects_before_any_full_collection_may_be_garbage_in_cycles() -> None:
    found = judged(App(endpoints=six(cart_add={"leak_bytes": 10_240, "leak_blocks": 5}), gc_runs=0))
    assert found.verdict.cause is Cause.LEAK_OBJECTS
    assert found.verdict.confidence is Confidence.MEDIUM
    assert "gc.runs" in {e.signal for e in found.findings[0].evidence}


# One request in six keeps 5 blocks: 600 requests a round and 7 increments leave 3500, 875 in each of four workers.
LEAKING = App(endpoints=six(cart_add={"leak_bytes": 10_240, "leak_blocks": 5}), gc_runs=0)
EACH = 3500 // 4


def probe_of(found: Diagnosis) -> str:
    return next((e.text for e in found.findings[0].evidence if e.signal == "gc.probe"), "")


def test_a_collection_that_frees_next_to_nothing_rules_garbage_out() -> None:
    found = judged(replace(LEAKING, collected=dict.fromkeys(range(4), EACH // 20)))
    assert found.verdict.cause is Cause.LEAK_OBJECTS
    assert found.verdict.confidence is Confidence.HIGH
    assert "ruled out" in probe_of(found)
    assert "gc.runs" not in {e.signal for e in found.findings[0].evidence}, "what was not known then is known now"


@pytest.mark.parametrize("gc_runs", [0, 2])
def test_a_collection_that_frees_most_of_the_growth_makes_it_garbage_that_waits(gc_runs: int) -> None:
    """Also where many collections ran: a full one is rare while the heap is large."""
    found = judged(replace(LEAKING, gc_runs=gc_runs, collected=dict.fromkeys(range(4), round(EACH * 0.8))))
    assert found.verdict.cause is Cause.GC_DELAY
    assert not {f.cause for f in found.findings} & LEAKS
    assert "freed" in probe_of(found)


@pytest.mark.parametrize(("freed", "confidence"), [(0.2, Confidence.HIGH), (0.4, Confidence.MEDIUM)])
def test_a_collection_that_frees_a_part_leaves_doubt_where_the_part_is_large(
    freed: float, confidence: Confidence
) -> None:
    found = judged(replace(LEAKING, collected=dict.fromkeys(range(4), round(EACH * freed))))
    assert found.verdict.confidence is confidence
    assert f"at most {100 * freed:.0f} % of the growth was garbage" in probe_of(found)


@pytest.mark.parametrize("collected", [None, {}, {0: 0, 1: 0, 2: 0}])
def test_without_a_collection_in_every_worker_nothing_is_proved(collected: dict[int, int] | None) -> None:
    found = judged(replace(LEAKING, collected=collected))
    assert found.verdict.confidence is Confidence.MEDIUM
    assert probe_of(found) == ""
    assert "gc.runs" in {e.signal for e in found.findings[0].evidence}


def test_allocations_counted_at_floors_are_judged_where_records_have_none() -> None:
    """On a large heap an agent does not count them for every request."""
    app = replace(LEAKING, with_blocks=False)
    assert judged(app).verdict.cause is Cause.LEAK
    found = judged(replace(app, blocks_at_floors=True, collected=dict.fromkeys(range(4), EACH // 20)))
    assert found.verdict.cause is Cause.LEAK_OBJECTS
    assert found.verdict.confidence is Confidence.HIGH
    native = replace(app, endpoints=six(cart_add={"leak_bytes": 10_240}), blocks_at_floors=True)
    assert judged(native).verdict.cause is Cause.LEAK_NATIVE


def test_a_native_leak_is_none_the_less_for_what_the_collector_frees() -> None:
    app = App(endpoints=six(cart_add={"leak_bytes": 10_240}))
    found = judged(replace(app, collected=dict.fromkeys(range(4), 5000)))
    assert found.verdict == judged(app).verdict
    assert found.verdict.cause in {Cause.LEAK_NATIVE, Cause.LEAK}


def test_growth_per_hour_follows_from_the_measured_rate() -> None:
    found = judged(App(endpoints=six(cart_add={"leak_bytes": 10_240}), with_blocks=False))
    # 500 requests a second, one in six leaks
    assert close(found.findings[0].growth.bytes_per_hour, 10_240 * 500 / 6 * 3600)


def watched(app: App, slice_s: float) -> Diagnosis:
    """The same memory, seen by a watch: no requests, and slices of that length."""
    run = simulate(app)
    rounds = [w for w in run.windows if w.phase is PhaseName.ROUNDS and w.block is None and w.end_ns is not None]
    windows = [
        replace(w, start_ns=w.end_ns - round(slice_s * 1e9), phase=PhaseName.ROUNDS)
        for w in rounds
        if w.end_ns is not None
    ]
    manifest = replace(run.manifest, scenario={"name": "watch", "load": {"observe": None}})
    return diagnose(correlate(replace(run, manifest=manifest, windows=windows, spans=[], records=[])))


def test_a_watch_speaks_of_hours_and_not_of_rounds() -> None:
    """10,240 bytes for every sixth of 600 requests a slice, 120 slices an hour."""
    finding = watched(
        App(endpoints=six(cart_add={"leak_bytes": 10_240}), requests=600, with_blocks=False), 30
    ).findings[0]
    assert close(finding.growth.bytes_per_hour, 10_240 * 600 / 6 * 120)
    assert "an hour" in finding.summary
    assert "`harness run`" in finding.summary
    for text in (finding.summary, *(e.text for e in finding.evidence)):
        assert "round" not in text
        assert "same requests" not in text


@pytest.mark.parametrize(("slice_s", "expected"), [(0.5, Confidence.LOW), (300, Confidence.HIGH)])
def test_a_short_watch_is_not_sure_of_anything(slice_s: float, expected: Confidence) -> None:
    """What can hide in half a second a slice doubles the pool within the hour."""
    found = watched(App(endpoints=six(), with_blocks=False), slice_s)
    verdict = found.verdict
    assert (verdict.cause, verdict.confidence) == (Cause.HEALTHY, expected)
    assert "an hour would have shown" in verdict.summary
    [finding] = found.findings
    (smallest,) = (part for part in growth_parts(finding.growth) if part.startswith("smallest growth"))
    assert smallest.endswith(" per hour")
    assert format_bytes(finding.growth.mdl_bytes_per_hour) in finding.summary


def test_a_watch_without_a_slice_says_so() -> None:
    run = simulate(App(endpoints=six(), rounds=1, unfinished=True))
    manifest = replace(run.manifest, scenario={"load": {"observe": None}})
    verdict = diagnose(correlate(replace(run, manifest=manifest, spans=[], records=[]))).verdict
    assert verdict.cause is Cause.INCONCLUSIVE
    assert "no slice of it was completed" in verdict.summary


def test_growth_without_new_python_objects_is_native() -> None:
    found = judged(App(endpoints=six(search={"leak_bytes": 10_240}), requests=1200))
    assert found.verdict.cause is Cause.LEAK_NATIVE
    assert found.findings[0].subject.endpoint == "search"


def test_growth_of_unknown_kind_is_a_plain_leak() -> None:
    found = judged(App(endpoints=six(search={"leak_bytes": 10_240}), with_blocks=False))
    assert found.verdict.cause is Cause.LEAK


def test_objects_that_live_only_while_the_record_is_written_are_not_mistaken_for_a_leak_of_objects() -> None:
    endpoints = tuple(
        Endpoint(e.name, leak_bytes=10_240 if e.name == "item" else 0, level_blocks=400 if e.name == "item" else 0)
        for e in SIX
    )
    found = judged(App(endpoints=endpoints))
    assert found.verdict.cause in {Cause.LEAK_NATIVE, Cause.LEAK}
    assert found.findings[0].subject.endpoint == "item"


def test_a_leak_in_one_percent_of_requests_is_still_found() -> None:
    found = judged(App(endpoints=six(login={"leak_bytes": 200_000, "leak_blocks": 50, "every": 20}), requests=2400))
    assert found.verdict.cause in LEAKS
    assert found.findings[0].subject.endpoint in ("login", None)


def test_shared_cache_that_never_forgets() -> None:
    found = judged(App(endpoints=six(search={"shared_bytes": 2048}), runtime="php", records="log", with_blocks=False))
    finding = found.findings[0]
    assert found.verdict.cause is Cause.SHARED_MEMORY
    assert finding.subject.endpoint == "search"
    assert close(finding.growth.bytes_per_request, 2048)
    assert "apc" in (advice(found)[0].command or "")
    assert found.endpoints["search"].proven


def test_shared_growth_is_seen_through_worker_restarts() -> None:
    restarts = {i: tuple(range(8)) for i in range(4)}
    found = judged(App(endpoints=six(search={"shared_bytes": 2048}), runtime="php", restarts=restarts))
    assert found.verdict.cause is Cause.SHARED_MEMORY


def test_cache_that_fills_and_stops_is_warm_up() -> None:
    found = judged(App(extra=lambda n: 50e6 * (1 - math.exp(-n / 250)), warmup=1))
    assert found.verdict.cause is Cause.WARMUP
    assert found.findings[0].growth.mdl_bytes_per_request is not None


def test_a_little_warm_up_is_healthy() -> None:
    found = judged(App(extra=lambda n: 3e6 * (1 - math.exp(-n / 250)), noise_bytes=5000, warmup=1))
    assert found.verdict.cause is Cause.HEALTHY
    assert "settled" in {e.signal for e in found.findings[0].evidence}


def test_traffic_of_others_is_reported_and_costs_confidence() -> None:
    raw = simulate(App(endpoints=six(cart_add={"native_bytes": 10_240}), allocators=True, blocks_at_floors=True))
    others = [replace(r, span_id=None, sequence=None) for r in raw.records[::4]]
    clean, mixed = (diagnose(correlate(_with(raw, records=[*raw.records, *extra]))) for extra in ((), others))
    assert clean.verdict.confidence is Confidence.HIGH
    assert mixed.verdict.confidence is not Confidence.HIGH


def test_bounded_lru_that_fills_linearly_and_stops() -> None:
    found = judged(App(extra=lambda n: 10_000.0 * min(n, 1300)))
    assert found.verdict.cause in {Cause.WARMUP, Cause.HEALTHY, Cause.INCONCLUSIVE}


def test_cache_that_still_fills_says_how_long_to_run() -> None:
    found = judged(App(extra=lambda n: 60e6 * (1 - math.exp(-n / 1500))))
    assert found.verdict.cause is Cause.INCONCLUSIVE
    assert "more rounds" in found.verdict.summary
    assert "levels off near" in found.verdict.summary


def test_a_cache_that_fills_very_slowly_is_never_a_leak_of_high_confidence() -> None:
    found = judged(App(extra=lambda n: 200e6 * (1 - math.exp(-n / 6000)), requests=1200))
    assert found.verdict.cause is Cause.INCONCLUSIVE or found.verdict.confidence is not Confidence.HIGH


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_healthy_with_autocorrelated_noise(phi: float) -> None:
    found = judged(App(noise_bytes=60_000, phi=phi))
    assert found.verdict.cause is Cause.HEALTHY
    assert (found.findings[0].growth.mdl_bytes_per_request or 0) > 0
    assert "would have shown" in found.verdict.summary


def test_workers_restarted_in_every_round_are_never_spliced() -> None:
    restarts = {i: tuple(range(8)) for i in range(4)}
    leaking = judged(App(endpoints=six(cart_add={"leak_bytes": 10_240}), restarts=restarts))
    assert leaking.verdict.cause is Cause.LEAK
    assert "each worker grows for as long as it lives" in leaking.verdict.summary
    found = judged(App(restarts=restarts))
    assert found.verdict.cause is Cause.INCONCLUSIVE
    assert "no worker lived" in found.verdict.summary
    assert advice(found)[0].id == "measure-without-recycling"


def test_the_workers_that_lived_through_are_judged_when_others_were_replaced() -> None:
    found = judged(App(endpoints=six(cart_add={"leak_bytes": 10_240}), restarts={3: (4,)}))
    assert found.verdict.cause in LEAKS
    assert close(found.findings[0].growth.bytes_per_request, 10_240)


def test_one_huge_step_is_an_event_not_a_slope() -> None:
    found = judged(App(steps={3: 50_000_000}))
    assert found.verdict.cause is Cause.HEALTHY
    assert any(e.signal == "step" for e in found.findings[0].evidence)


def test_two_jumps_alone_are_told_as_jumps() -> None:
    summary = judged(App(steps={2: 3_000_000, 5: 3_500_000})).verdict.summary
    assert "in several jumps, the largest of 13.3 MiB" in summary
    assert "anything between" not in summary


def test_a_leak_below_the_minimum_detectable_is_not_called_a_leak() -> None:
    app = App(endpoints=six(cart_add={"leak_bytes": 400}), with_blocks=False)
    found = judged(app)
    growth = found.findings[0].growth
    assert found.verdict.cause not in LEAKS
    if found.verdict.cause is Cause.HEALTHY:
        assert growth.mdl_bytes_per_request is not None
        assert growth.mdl_bytes_per_request > 400 / 6


FEW = App(
    endpoints=(Endpoint("checkout", leak_bytes=2700),),
    workers=2,
    requests=60,
    blocks=5,
    warmup=1,
    records="none",
    idle_s=2,
)


@pytest.mark.parametrize("seed", range(8))
def test_an_endpoint_that_clearly_keeps_memory_contradicts_healthy(seed: int) -> None:
    """Too little in all for the pool to be called growing, but no chance either: what to do must lead to a verdict."""
    found = judged(replace(FEW, seed=seed))
    finding = found.findings[0]
    assert found.verdict.cause is Cause.INCONCLUSIVE
    assert found.verdict.confidence is Confidence.LOW
    assert finding.subject.endpoint == "checkout"
    assert (finding.growth.ci95 or (0, 0))[0] > 0
    assert "every request to checkout seems to keep" in finding.summary
    mine, least = (float(kib) for kib in re.findall(r"([0-9.]+) KiB a round", finding.summary))
    assert mine < least
    growth = finding.growth
    assert growth.bytes_per_request is not None
    assert growth.mdl_bytes_per_request == pytest.approx(least * 1024 / 60, rel=0.01)
    assert growth.bytes_per_request < growth.mdl_bytes_per_request
    assert "blocks.regression" in {e.signal for e in finding.evidence}
    [more] = advice(found)
    assert more.id == "more-requests"
    enough = re.fullmatch(r"load: {requests_per_round: (\d+)}", more.command or "")
    assert enough is not None
    assert 60 < int(enough[1]) < 600
    assert judged(replace(FEW, seed=seed, requests=int(enough[1]))).verdict.cause in LEAKS


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("noise", "phi"), [(20e3, 0.5), (60e3, 1.0)])
def test_noise_of_a_healthy_app_with_few_requests_is_no_contradiction(noise: float, phi: float, seed: int) -> None:
    app = replace(FEW, endpoints=(Endpoint("checkout"),), noise_bytes=noise, phi=phi, seed=seed)
    assert judged(app).verdict.cause is Cause.HEALTHY


def test_what_only_the_first_rounds_kept_is_no_contradiction() -> None:
    """A small cache that fills and stops: the split by endpoint would see it too."""
    found = judged(replace(FEW, endpoints=(Endpoint("checkout"),), extra=lambda n: 6000 * min(n, 130)))
    assert found.verdict.cause in {Cause.HEALTHY, Cause.WARMUP}


def test_steps_of_an_arena_are_not_a_trend() -> None:
    every = tuple(Endpoint(e.name, leak_bytes=1024) for e in SIX)
    found = judged(App(endpoints=every, requests=400, quantum=1 << 20, with_blocks=False))
    assert found.verdict.cause in {Cause.INCONCLUSIVE, Cause.HEALTHY}
    assert found.verdict.confidence is not Confidence.HIGH


def test_objects_show_what_pages_do_not_and_the_run_is_not_called_healthy() -> None:
    every = tuple(Endpoint(e.name, leak_bytes=300, leak_blocks=3) for e in SIX)
    found = judged(App(endpoints=every, requests=400, quantum=1 << 20))
    assert found.verdict.cause is Cause.INCONCLUSIVE
    assert "allocations" in found.verdict.summary


def test_live_bytes_that_fill_free_memory_are_not_called_healthy() -> None:
    """The pool's memory is flat, as what the allocators hold shrinks by what requests keep; the rate is above the printed MDL."""
    fills = App(
        extra=lambda n: 4000.0 * n, held=8_000_000, held_per_round=-600_000, allocators=True, blocks_at_floors=True
    )
    found = judged(fills)
    [pool] = found.pools
    live = heap_of(pool).live
    assert live is not None
    assert pool.memory is not None
    assert live.per_round > pool.memory.mdl_per_round
    assert found.verdict.cause is Cause.INCONCLUSIVE
    assert "live bytes of the allocators grow by 2.3 MiB a round" in found.verdict.summary
    assert judged(replace(fills, extra=lambda _n: 0.0, held_per_round=0)).verdict.cause is Cause.HEALTHY


def test_objects_make_small_growth_of_pages_certain_enough() -> None:
    every = tuple(Endpoint(e.name, leak_bytes=400, leak_blocks=3) for e in SIX)
    found = judged(App(endpoints=every, requests=400, seed=2))
    without = judged(App(endpoints=every, requests=400, seed=2, with_blocks=False))
    assert found.verdict.cause is Cause.LEAK_OBJECTS
    assert found.verdict.confidence is not Confidence.HIGH
    assert without.verdict.cause not in LEAKS


# A worker written in PHP: its heap outlives its jobs, and how much of it is live is known to the byte.
WORKER = App(
    endpoints=six(cart_add={"leak_bytes": 10_240}),
    workers=1,
    runtime="php",
    with_blocks=False,
    heap_share=1.0,
    roots_per_round=0,
)


def evidence_of(found: Diagnosis, signal: str) -> list[str]:
    return [e.text for e in found.findings[0].evidence if e.signal == signal]


def test_what_grows_in_the_heap_of_a_php_worker_is_kept_by_its_code() -> None:
    found = judged(WORKER)
    assert found.verdict.cause is Cause.LEAK_OBJECTS
    assert found.verdict.confidence is Confidence.HIGH
    [heap], [roots] = evidence_of(found, "heap.floor"), evidence_of(found, "gc.roots")
    assert re.search(r"changed by \+1000\.0 KiB a round, (99|10[01]) % of the growth$", heap)
    assert "does not explain the growth" in roots
    assert advice(found)[0].id == "fix-retention-php"


def test_a_heap_that_grows_with_the_collectors_list_may_hold_garbage_in_cycles() -> None:
    found = judged(replace(WORKER, roots_per_round=100))
    assert found.verdict.cause is Cause.LEAK_OBJECTS
    assert found.verdict.confidence is Confidence.LOW
    assert "not ruled out" in evidence_of(found, "gc.roots")[0]


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_growth_outside_of_a_php_heap_is_a_plain_leak(share: float) -> None:
    """php-fpm drops its heap after each request, so a heap that does not grow proves nothing."""
    found = judged(replace(WORKER, heap_share=share))
    assert found.verdict.cause is Cause.LEAK
    assert evidence_of(found, "gc.roots") == []


def test_an_exact_heap_makes_small_growth_of_pages_certain_enough() -> None:
    small = replace(WORKER, endpoints=six(cart_add={"leak_bytes": 1500}), noise_bytes=2000.0, quantum=4096)
    assert judged(small).verdict.cause is Cause.LEAK_OBJECTS
    assert judged(replace(small, heap_share=None)).verdict.cause not in LEAKS


def test_two_leaking_endpoints_are_both_named_and_neither_is_blamed_alone() -> None:
    found = judged(App(endpoints=six(cart_add={"leak_bytes": 8000}, search={"leak_bytes": 8000})))
    finding = found.findings[0]
    assert found.verdict.cause in LEAKS
    assert finding.subject.endpoint is None
    assert "cart_add" in finding.summary
    assert "search" in finding.summary
    assert close(found.endpoints["cart_add"].bytes_per_request, 8000)
    assert close(found.endpoints["search"].bytes_per_request, 8000)


def test_growth_of_every_request_alike_blames_no_endpoint() -> None:
    found = judged(App(extra=lambda n: 2000.0 * n))
    assert found.verdict.cause in LEAKS
    assert found.findings[0].subject.endpoint is None


def test_growth_alike_with_one_endpoint_holding_most_traffic_blames_no_endpoint() -> None:
    endpoints = (Endpoint("home", weight=8), *(Endpoint(e.name) for e in SIX[1:]))
    found = judged(App(endpoints=endpoints, extra=lambda n: 2000.0 * n))
    assert found.verdict.cause in LEAKS
    assert found.findings[0].subject.endpoint is None


def test_without_records_the_only_pool_is_regressed_as_a_whole() -> None:
    found = judged(App(endpoints=six(cart_add={"leak_bytes": 10_240}), records="none"))
    assert found.verdict.cause is Cause.LEAK
    assert found.findings[0].subject.endpoint == "cart_add"
    assert close(found.findings[0].growth.bytes_per_request, 10_240)


def test_without_records_and_with_replaced_workers_the_endpoint_is_not_guessed() -> None:
    found = judged(App(endpoints=six(cart_add={"leak_bytes": 10_240}), records="none", restarts={0: (4,)}))
    assert found.verdict.cause is Cause.LEAK
    assert found.findings[0].subject.endpoint is None
    assert "could be tied to a worker" in found.verdict.summary
    assert found.endpoints == {}


def test_identical_mixes_cannot_be_told_apart() -> None:
    found = judged(App(endpoints=six(search={"shared_bytes": 4096}), blocks=1))
    assert found.verdict.cause is Cause.SHARED_MEMORY
    assert found.findings[0].subject.endpoint is None
    assert "in the same proportions all the time" in found.verdict.summary


def test_single_worker() -> None:
    found = judged(App(endpoints=six(cart_add={"leak_bytes": 10_240, "leak_blocks": 5}), workers=1))
    assert found.verdict.cause is Cause.LEAK_OBJECTS
    assert found.findings[0].subject.endpoint == "cart_add"
    assert found.findings[0].subject.pid is not None


def test_one_worker_of_four_that_grows_alone() -> None:
    app = App(with_blocks=False)
    raw = simulate(app)
    victim = raw.processes[1].key
    series = dict(raw.series)
    name = ("process.memory.pss_anon", victim)
    old = series[name]
    ramp = (old.t_ns - old.t_ns[0]) * 30_000_000 // (old.t_ns[-1] - old.t_ns[0])
    series[name] = type(old)(old.metric, old.process, old.t_ns, old.values + ramp)
    found = diagnose(correlate(_with(raw, series=series)))
    assert found.verdict.confidence is not Confidence.HIGH


def test_fewer_than_seven_rounds_are_inconclusive() -> None:
    found = judged(App(endpoints=six(cart_add={"leak_bytes": 10_240}), rounds=4, unfinished=True))
    assert found.verdict.cause is Cause.INCONCLUSIVE
    assert "only 3 complete rounds" in found.verdict.summary


@pytest.mark.parametrize("seed", range(4))
def test_slow_unsharing_after_the_fork_is_not_a_leak(seed: int) -> None:
    found = judged(App(unshared_per_round=2_000_000, seed=seed))
    assert [f.cause for f in found.findings] == [Cause.COW_UNSHARING]


def test_threads_explain_the_memory_they_take() -> None:
    found = judged(App(threads_per_round=10, extra=lambda n: 1000.0 * n))
    causes = {f.cause for f in found.findings}
    assert Cause.THREADS in causes
    assert not causes & LEAKS


def test_descriptors() -> None:
    found = judged(App(fds_per_round=3))
    assert found.verdict.cause is Cause.DESCRIPTORS


def test_mapped_files() -> None:
    found = judged(App(file_per_round=5_000_000))
    assert found.verdict.cause is Cause.MAPPED_FILES


def test_swapped_memory_is_still_memory() -> None:
    raw = simulate(App(endpoints=six(cart_add={"leak_bytes": 10_240}), with_blocks=False))
    series = dict(raw.series)
    for (metric, key), old in raw.series.items():
        if metric == "process.memory.pss_anon":
            half = old.values // 2
            series[metric, key] = type(old)(metric, key, old.t_ns, old.values - half)
            series["process.memory.swap_pss", key] = type(old)("process.memory.swap_pss", key, old.t_ns, half)
    found = diagnose(correlate(_with(raw, series=series)))
    assert found.verdict.cause is Cause.LEAK
    assert close(found.findings[0].growth.bytes_per_request, 10_240)


@pytest.mark.parametrize(("metrics", "named"), [(("rss", "pss"), "PSS"), (("rss",), "RSS")])
def test_weaker_metrics_are_used_and_said(metrics: tuple[str, ...], named: str) -> None:
    found = judged(App(endpoints=six(cart_add={"leak_bytes": 10_240}), metrics=metrics, with_blocks=False))
    assert found.verdict.cause is Cause.LEAK
    assert found.verdict.confidence is not Confidence.HIGH
    assert f"{named} (" in found.findings[0].evidence[0].text
    assert any(m.signal.startswith("process.memory.pss_anon") for m in found.missing)


def test_nothing_recorded_at_all() -> None:
    found = diagnose(correlate(_with(simulate(App(rounds=1)), windows=[], series={}, spans=[], records=[])))
    assert found.verdict.cause is Cause.INCONCLUSIVE
    assert "no measured round" in found.verdict.summary


def test_rounds_without_samples() -> None:
    found = diagnose(correlate(_with(simulate(App(requests=120, blocks=2)), series={})))
    assert found.verdict.cause is Cause.INCONCLUSIVE
    assert "no process" in found.verdict.summary


def test_watching_without_requests_judges_growth_by_the_hour() -> None:
    raw = simulate(App(endpoints=tuple(Endpoint(e.name, leak_bytes=3000) for e in SIX), records="none"))
    found = diagnose(correlate(_with(raw, spans=[])))
    assert found.verdict.cause is Cause.LEAK
    growth = found.findings[0].growth
    assert growth.bytes_per_request is None
    assert close(growth.bytes_per_hour, 3000 * 500 * 3600)


def test_a_round_without_a_floor_splits_the_run_and_the_longer_part_is_judged() -> None:
    raw = simulate(App(endpoints=six(cart_add={"leak_bytes": 10_240}), rounds=10, with_blocks=False))
    windows = [
        Window(w.phase, w.round, w.block, w.start_ns, w.end_ns, None)
        if w.phase is PhaseName.ROUNDS and w.round == 1
        else w
        for w in raw.windows
    ]
    found = diagnose(correlate(_with(raw, windows=windows)))
    assert found.verdict.cause is Cause.LEAK
    assert "over 8 rounds" in found.findings[0].evidence[0].text


def _with(raw: RawRun, **changes: object) -> RawRun:
    fields = {name: getattr(raw, name) for name in RawRun.__dataclass_fields__}
    return RawRun(**{**fields, **changes})


def test_a_shared_cache_does_not_hide_that_private_memory_is_too_noisy_to_judge() -> None:
    """As behind a page that needs much for a moment: Zend keeps chunks of it for some requests, and leaks disappear in that."""
    app = App(endpoints=six(search={"shared_bytes": 2048}), runtime="php", records="log", with_blocks=False)
    found = judged(replace(app, noise_bytes=15_000_000))
    assert found.verdict.cause is Cause.SHARED_MEMORY
    shared, doubt = found.findings
    assert shared.subject.endpoint == "search"
    assert "pool.floor" not in {e.signal for e in shared.evidence}, "nobody knows that private memory does not grow"
    assert doubt.cause is Cause.INCONCLUSIVE
    assert "private memory leaks cannot be told" in doubt.summary
    assert list(found.endpoints) == ["search"], "of the others nothing is known"
    calm = judged(app)
    assert [f.cause for f in calm.findings] == [Cause.SHARED_MEMORY]
    assert "pool.floor" in {e.signal for e in calm.findings[0].evidence}
    assert len(calm.endpoints) == 6


def test_a_leak_of_php_workers_is_looked_for_among_persistent_connections() -> None:
    """Their own heap is dropped after each request: one PDO connection a request, under a new key, keeps 47 KB."""
    app = App(endpoints=six(search={"leak_bytes": 47_000}), runtime="php", records="log", with_blocks=False)
    found = judged(app)
    assert found.verdict.cause is Cause.LEAK
    assert found.findings[0].subject.endpoint == "search"
    first = advice(found)[0].action
    assert "PDO::ATTR_PERSISTENT" in first
    assert "the handler of search" in first
