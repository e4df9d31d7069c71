"""The quantities that expectations and comparisons are made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from timelines import App, Endpoint, empty_run, process, simulate, six, span

from harness.analysis.measures import measures
from harness.analysis.tables import endpoint_rows
from harness.correlate.build import correlate
from harness.diagnose.engine import diagnose
from harness.model.event import Event, Missing, Window
from harness.model.measure import Measure, Unit
from harness.model.process import ProcessInfo
from harness.model.run import RawRun, Series
from harness.model.span import PhaseName

S = 1_000_000_000
MS = 1_000_000
PSS = "process.memory.pss"


def found(
    raw: RawRun, metric: str, *, pool: str | None = None, endpoint: str | None = None, unit: Unit | None = None
) -> Measure:
    timeline = correlate(raw)
    diagnosis = diagnose(timeline)
    rows = measures(timeline, diagnosis, endpoint_rows(timeline, diagnosis.endpoints))
    (row,) = (m for m in rows if (m.metric, m.pool, m.endpoint) == (metric, pool, endpoint) and unit in (None, m.unit))
    return row


def levels(**by_pid: list[int]) -> tuple[list[ProcessInfo], dict[tuple[str, object], Series]]:
    """Processes with PSS at whole seconds from 1 on."""
    processes = [process(int(pid[1:])) for pid in by_pid]
    series = {}
    for info, values in zip(processes, by_pid.values(), strict=True):
        times = np.arange(1, len(values) + 1, dtype=np.int64) * S
        series[PSS, info.key] = Series(PSS, info.key, times, np.array(values, dtype=np.int64))
    return processes, series  # type: ignore[return-value]  # keys are those of a run


def test_peak_is_that_of_the_sum_not_the_sum_of_peaks() -> None:
    processes, series = levels(p11=[100, 10], p12=[5, 80])
    raw = empty_run(processes=processes, series=series)
    assert [found(raw, "peak_pss", pool=pool).value for pool in (None, "app")] == [105, 105]
    assert found(raw, "peak_worker_pss").value == 100
    assert found(raw, "peak_pss").exact


def test_a_sweep_that_left_a_process_out_is_no_dip() -> None:
    processes, series = levels(p11=[100, 100, 100], p12=[50, 60])
    key = (PSS, processes[1].key)
    series[key] = replace(series[key], t_ns=np.array([S, 3 * S], dtype=np.int64))
    window = Window(PhaseName.ROUNDS, 0, None, S, 3 * S, 3 * S)
    raw = empty_run(processes=processes, series=series, windows=[window])
    assert found(raw, "pss_p50").value == 150
    assert found(raw, "end_pss").value == 160


def test_memory_without_that_of_one_process_is_not_known() -> None:
    """Of another user's process RSS can be read and PSS cannot; the sum of the others would be too small to gate by."""
    processes, series = levels(p11=[100, 100, 100], p12=[50, 60, 70])
    rss = "process.memory.rss"
    series[rss, processes[1].key] = replace(series.pop((PSS, processes[1].key)), metric=rss)
    window = Window(PhaseName.ROUNDS, 0, None, S, 3 * S, 3 * S)
    raw = empty_run(processes=processes, series=series, windows=[window])
    assert found(raw, "peak_pss").value is None
    assert (
        found(raw, "end_pss", pool="app").reason
        == "PSS of process 12 was not measured, though it was there all the time"
    )
    series[rss, processes[1].key] = replace(series[rss, processes[1].key], values=np.zeros(3, dtype=np.int64))
    raw = empty_run(processes=processes, series=series, windows=[window])
    assert found(raw, "peak_pss").value == 100, "one that has ended has no memory"


def test_what_profilers_need_is_no_peak_of_the_application() -> None:
    processes, series = levels(p11=[100, 120, 900])
    windows = [
        Window(PhaseName.ROUNDS, 0, None, S, 2 * S, None),
        Window(PhaseName.PROFILED, None, None, 3 * S, 4 * S, None),
    ]
    raw = empty_run(processes=processes, series=series, windows=windows)
    assert [found(raw, m, pool="app").value for m in ("peak_pss", "peak_worker_pss", "end_pss", "pss_p99")] == [
        120,
        120,
        120,
        pytest.approx(119.8),
    ]
    raw = empty_run(processes=processes, series=series, windows=windows[:1])
    assert found(raw, "peak_pss", pool="app").value == 900


def test_why_pss_was_not_measured_is_told() -> None:
    raw = empty_run(processes=[process(11)], missing=[Missing(PSS, "smaps_rollup is not readable", "")])
    assert found(raw, "peak_pss").value is None
    assert found(raw, "peak_pss").reason == "PSS was not measured: smaps_rollup is not readable"
    there = replace(process(11), key=replace(process(11).key, host="web-1"))
    why = [Missing(f"{PSS} on {host}", f"{host} is old", "") for host in ("web-2", "web-1")]
    assert found(empty_run(processes=[there], missing=why), "peak_pss").reason == "PSS was not measured: web-1 is old"
    assert found(empty_run(processes=[there], missing=why[:1]), "peak_pss").reason == "PSS was not measured"


def test_requests() -> None:
    spans = [span(i, i * S, i * S + i * MS) for i in range(1, 401)]
    spans[0] = replace(spans[0], status=None)
    raw = empty_run(spans=spans)
    assert found(raw, "errors", unit=Unit.COUNT).value == 1
    share = found(raw, "errors", unit=Unit.RATIO, endpoint="home")
    assert share.value == 1 / 400
    assert share.low is not None
    assert share.high is not None
    assert 0 < share.low < 1 / 400 < share.high < 0.02
    middle = found(raw, "p50", endpoint="home")
    assert middle.value == 201.5 * MS  # the one without an answer is slower than any
    assert middle.low is not None
    assert middle.high is not None
    assert 180 * MS < middle.low < 195 * MS
    assert 207 * MS < middle.high < 223 * MS
    late = found(raw, "p99")
    assert late.high is None
    assert late.reason == "1 of 400 requests were not answered, and count as slower than any"
    assert found(empty_run(spans=[span(1, S, S + MS), *spans[1:]]), "p99").high == 400 * MS
    few = found(empty_run(spans=spans[:100]), "p99")
    assert few.high is None
    assert few.reason == "1 of 100 requests were not answered, and count as slower than any"
    few = found(empty_run(spans=spans[1:100]), "p99")
    assert few.high is None
    assert few.reason == "368 requests are needed to know how high p99 may be, and 99 were sent"


def test_requests_without_an_answer_are_not_fast() -> None:
    spans = [span(i, i * S, i * S + MS, status=None if i % 4 == 0 else 200) for i in range(1, 401)]
    assert found(empty_run(spans=spans), "p50").high == MS
    assert found(empty_run(spans=spans), "p90").value is None
    assert found(empty_run(spans=spans), "p90").reason.startswith("100 of 400 requests were not answered")


def test_requests_that_were_not_even_sent_are_not_fast() -> None:
    """Of an open load: what is due while too many are unanswered is dropped."""
    event = Event(S, "load.dropped", None, "7 iterations were dropped", {})
    raw = empty_run(spans=[span(i, i * S, i * S + MS) for i in range(1, 401)], events=[event])
    late = found(raw, "p99")
    assert (late.value, late.low, late.high) == (MS, MS, None)
    assert late.reason == "7 iterations were dropped, and how long they would have taken is not known"


def test_no_requests() -> None:
    raw = empty_run(processes=[process(11)])
    assert found(raw, "errors", unit=Unit.RATIO).reason == "no request was measured"
    assert found(raw, "p99").reason == "no request was answered"


def test_growth_of_one_pool_is_that_of_all() -> None:
    raw = simulate(App(endpoints=six(cart_add={"leak_bytes": 10_240})))
    for metric in ("growth_per_round", "growth_per_hour", "retained_bytes_per_request"):
        assert found(raw, metric) == replace(found(raw, metric, pool="app"), pool=None)
    assert found(raw, "growth_per_hour").value == pytest.approx(
        10_240 * 500 / 6 * 3600, rel=0.1
    )  # 500 requests a second
    whole = found(raw, "retained_bytes_per_request")
    assert whole.value == pytest.approx(10_240 / 6, rel=0.1)
    one = found(raw, "retained_bytes_per_request", endpoint="cart_add")
    assert one.low is not None
    assert one.high is not None
    assert one.low < 10_240 < one.high
    assert whole.blind is not None
    assert one.blind == pytest.approx(whole.blind * 6, rel=0.3)


def test_live_memory_that_fills_free_pages_is_growth_to_come() -> None:
    """0.1 MiB a round in arenas of 1 MiB: no page was added in eight rounds, but the allocators count what is kept."""
    keeps = 174
    endpoints = tuple(Endpoint(name, leak_bytes=keeps, leak_blocks=1) for name in ("home", "search"))
    app = App(endpoints=endpoints, workers=1, quantum=1 << 20, noise_bytes=2000, allocators=True)
    kept = found(simulate(app), "retained_bytes_per_request", pool="app")
    assert kept.low is not None
    assert kept.high is not None
    assert kept.low <= 0
    assert kept.high == pytest.approx(keeps, rel=0.01)


def test_jumps_that_may_come_again_are_in_the_upper_end() -> None:
    """Increments of 0 but for three jumps: no trend, no interval that holds them, and no promise that it was the last."""
    app = App(rounds=12, noise_bytes=0)
    raw = simulate(app)
    rounds = sorted(w.floor_ns for w in raw.windows if w.phase is PhaseName.ROUNDS and w.block is None and w.floor_ns)
    jumps = [rounds[i] - 1 for i in (3, 6, 9)]

    def lifted(series: Series) -> Series:
        added = sum(np.where(series.t_ns > at, 8 << 20, 0) for at in jumps)
        return replace(series, values=series.values + added)

    names = (PSS, "process.memory.pss_anon", "process.memory.rss", "process.memory.uss")
    raw = replace(raw, series={k: lifted(s) if k[0] in names and k[1] else s for k, s in raw.series.items()})
    growth = found(raw, "growth_per_round")
    assert growth.value is None or growth.high is None or growth.high >= 3 * (8 << 20) / len(rounds)
