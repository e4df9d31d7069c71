from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from timelines import App, simulate

from harness.correlate.build import correlate
from harness.diagnose.highwater import high_water
from harness.model.highwater import Clue, HighWater
from harness.model.host import HostClock, RunHost
from harness.model.process import ProcessKey, Role
from harness.model.run import Series
from harness.model.timeline import JoinedSpan, Timeline

MIB = 1 << 20
APP = App(workers=2, blocks=4, requests=120, with_blocks=False)
MARK, RESIDENT = "process.memory.hwm", "process.memory.rss"


@pytest.fixture(scope="module")
def quiet() -> Timeline:
    """Marks are known at floors and never rise."""
    return with_marks(correlate(simulate(APP)), {})


def workers(timeline: Timeline) -> list[ProcessKey]:
    return sorted(w.info.key for w in timeline.workers if w.role is Role.WORKER)


def with_marks(timeline: Timeline, rises: dict[tuple[ProcessKey, int], tuple[int, int]]) -> Timeline:
    """``rises``: (worker, index of the reading) -> (bytes that the mark rises there, bytes that stay resident)."""
    series = dict(timeline.series)
    for key in workers(timeline):
        times = series[RESIDENT, key].t_ns
        mark, resident = np.full(times.size, 60 * MIB), np.full(times.size, 50 * MIB)
        for (who, at), (rise, stays) in rises.items():
            if who == key:
                mark[at:] += rise
                resident[at:] += stays
        series[MARK, key] = Series(MARK, key, times, mark)
        series[RESIDENT, key] = Series(RESIDENT, key, times, resident)
    return replace(timeline, series=series)


def between(timeline: Timeline, key: ProcessKey, at: int) -> list[JoinedSpan]:
    times = timeline.series[MARK, key].t_ns
    inside = (int(times[at - 1]), int(times[at]))
    return [j for j in timeline.spans if j.worker == key and inside[0] < j.span.start_ns < inside[1]]


def with_spans(timeline: Timeline, changed: dict[str, JoinedSpan | None]) -> Timeline:
    """Spans exchanged, or taken away."""
    kept = [changed.get(j.span.span_id, j) for j in timeline.spans]
    return replace(timeline, spans=[j for j in kept if j is not None])


def only(timeline: Timeline) -> HighWater:
    (found,) = high_water(timeline)
    return found


def test_marks_that_stand_still_are_no_news(quiet: Timeline) -> None:
    assert high_water(quiet) == ()


def test_a_rise_that_could_be_anybodys_is_told_without_a_name(quiet: Timeline) -> None:
    key = workers(quiet)[0]
    found = only(with_marks(quiet, {(key, 22): (30 * MIB, 10 * MIB)}))
    assert (found.process, found.phase, found.mark, found.rise, found.kept) == (
        key,
        "rounds",
        90 * MIB,
        30 * MIB,
        10 * MIB,
    )
    assert found.candidates == len(between(quiet, key, 22)) > 1
    assert (found.endpoint, found.span_id, found.started_ns, found.clue) == (None, None, None, None)


def test_what_is_in_use_while_the_request_runs_has_not_stayed(quiet: Timeline) -> None:
    """Resident memory goes up with the mark and comes down again when the request ends, before the round does."""
    key = workers(quiet)[0]
    timeline = with_marks(quiet, {(key, 22): (30 * MIB, 6 * MIB)})
    series = dict(timeline.series)
    for name, height in ((MARK, 90 * MIB), (RESIDENT, 80 * MIB)):
        levels = series[name, key]
        midway = int(levels.t_ns[21] + levels.t_ns[22]) // 2  # no floor: requests are in flight
        series[name, key] = replace(
            levels, t_ns=np.insert(levels.t_ns, 22, midway), values=np.insert(levels.values, 22, height)
        )
    found = only(replace(timeline, series=series))
    assert found.t_ns == midway
    assert (found.rise, found.kept) == (30 * MIB, 6 * MIB)


def test_the_request_whose_record_says_so_is_named(quiet: Timeline) -> None:
    key = workers(quiet)[0]
    guilty = between(quiet, key, 22)[3]
    assert guilty.record is not None
    values = {**guilty.record.values, "rss_start_bytes": 50 * MIB, "rss_end_bytes": 78 * MIB}
    told = replace(guilty, record=replace(guilty.record, values=values))
    timeline = with_spans(with_marks(quiet, {(key, 22): (30 * MIB, 28 * MIB)}), {guilty.span.span_id: told})
    found = only(timeline)
    assert (found.endpoint, found.span_id, found.started_ns, found.clue) == (
        guilty.span.endpoint,
        guilty.span.span_id,
        guilty.span.start_ns,
        Clue.RECORD,
    )


def test_of_php_the_peak_of_the_heap_tells(quiet: Timeline) -> None:
    key = workers(quiet)[0]
    candidates = between(quiet, key, 22)
    changed: dict[str, JoinedSpan | None] = {}
    for number, joined in enumerate(candidates):
        assert joined.record is not None
        peak = {"peak_bytes": 31 * MIB if number == 2 else 2 * MIB}
        changed[joined.span.span_id] = replace(joined, record=replace(joined.record, values=peak))
    found = only(with_spans(with_marks(quiet, {(key, 22): (30 * MIB, 0)}), changed))
    assert found.span_id == candidates[2].span.span_id
    assert found.clue is Clue.RECORD
    assert found.kept == 0


def test_two_records_that_both_say_so_name_nobody(quiet: Timeline) -> None:
    key = workers(quiet)[0]
    changed: dict[str, JoinedSpan | None] = {}
    for joined in between(quiet, key, 22)[:2]:
        assert joined.record is not None
        values = {"rss_start_bytes": 50 * MIB, "rss_end_bytes": 78 * MIB}
        changed[joined.span.span_id] = replace(joined, record=replace(joined.record, values=values))
    assert only(with_spans(with_marks(quiet, {(key, 22): (30 * MIB, 28 * MIB)}), changed)).endpoint is None


def test_the_only_request_in_flight_is_named(quiet: Timeline) -> None:
    key = workers(quiet)[0]
    alone, *others = between(quiet, key, 22)
    found = only(with_spans(with_marks(quiet, {(key, 22): (30 * MIB, 0)}), {j.span.span_id: None for j in others}))
    assert (found.candidates, found.span_id, found.clue) == (1, alone.span.span_id, Clue.ALONE)


def test_an_endpoint_that_was_there_each_time_and_hardly_else_is_named(quiet: Timeline) -> None:
    key = workers(quiet)[0]
    rare = {j.span.span_id: None for j in quiet.spans if j.span.endpoint == "about" and j.worker == key}
    for at in (17, 32):
        span = between(quiet, key, at)[0]
        rare[span.span.span_id] = replace(span, span=replace(span.span, endpoint="about"))
    timeline = with_spans(with_marks(quiet, {(key, 17): (30 * MIB, 0), (key, 32): (30 * MIB, 0)}), rare)
    found = high_water(timeline)
    assert [(h.endpoint, h.span_id, h.clue) for h in found] == [("about", None, Clue.ENDPOINT)] * 2
    assert {
        h.endpoint for h in high_water(with_marks(quiet, {(key, 17): (30 * MIB, 0), (key, 32): (30 * MIB, 0)}))
    } == {None}


def test_a_leak_raises_the_mark_all_the_time_and_blames_no_request(quiet: Timeline) -> None:
    key = workers(quiet)[0]
    readings = quiet.series[MARK, key].t_ns.size
    every = {(key, at): (4 * MIB, 4 * MIB) for at in range(2, readings)}
    assert high_water(with_marks(quiet, every)) == ()
    found = only(with_marks(quiet, {**every, (key, 22): (60 * MIB, 4 * MIB)}))
    assert found.rise == 60 * MIB


def test_what_happens_after_the_rounds_is_not_the_applications(quiet: Timeline) -> None:
    key = workers(quiet)[0]
    windows = [w for w in quiet.windows if w.round is not None and w.round < 6]
    late = quiet.series[MARK, key].t_ns.size - 2
    assert high_water(replace(with_marks(quiet, {(key, late): (30 * MIB, 0)}), windows=windows)) == ()


def test_without_readings_there_is_nothing_to_say(quiet: Timeline) -> None:
    series = {name: s for name, s in quiet.series.items() if name[0] != MARK}
    assert high_water(replace(quiet, series=series)) == ()


def test_on_another_host_requests_that_its_clock_allows_are_candidates_too(quiet: Timeline) -> None:
    """One request, 2 ms after the reading: it is blamed as far as the host's clock may be that wrong, and nobody is where that
    was never read."""
    key = workers(quiet)[0]
    timeline = with_marks(quiet, {(key, 22): (30 * MIB, 10 * MIB)})
    times = timeline.series[MARK, key].t_ns
    first = between(timeline, key, 22)[0]
    span = replace(first.span, start_ns=int(times[22]) + 2_000_000, end_ns=int(times[22]) + 2_500_000)
    alone = replace(timeline, spans=[replace(first, span=span, record=None)])
    host = RunHost(key.host, "", "web", True, True, 0)
    for error_ns, clue in ((1_000_000, None), (3_000_000, Clue.ALONE)):
        clock = HostClock(host, 1, error_ns, None, (int(times[22]),), (error_ns,))
        assert only(replace(alone, hosts=[clock])).clue is clue
    assert high_water(replace(alone, hosts=[HostClock(host, 0, None, None)])) == ()


@pytest.mark.parametrize("shift_ns", [-2_000_000, 2_000_000])
def test_what_stayed_is_read_at_the_floor_of_the_process_itself(quiet: Timeline, shift_ns: int) -> None:
    """Another host sweeps 2 ms before or after the instant that names the floor; until then the memory is in use."""
    key = workers(quiet)[0]
    timeline = with_marks(quiet, {(key, 22): (30 * MIB, 6 * MIB)})
    swept = {floor.t_ns: floor.t_ns + shift_ns for floor in timeline.floors if floor.process == key}
    series = dict(timeline.series)
    for name, height in ((MARK, 90 * MIB), (RESIDENT, 80 * MIB)):
        levels = series[name, key]
        midway = int(levels.t_ns[21] + levels.t_ns[22]) // 2
        times, values = np.insert(levels.t_ns + shift_ns, 22, midway), np.insert(levels.values, 22, height)
        series[name, key] = replace(levels, t_ns=times, values=values)
    assert only(replace(timeline, series=series, floors_elsewhere={key.host: swept})).kept == 6 * MIB


def test_what_the_sweep_of_a_floor_tells_belongs_to_its_round_on_every_host(quiet: Timeline) -> None:
    """Another host swept 2 ms later than the one that the floor is named by."""
    key = workers(quiet)[0]
    ends = {w.floor_ns for w in quiet.windows if w.round is not None and w.block is None}
    at = next(n for n, t_ns in enumerate(quiet.series[MARK, key].t_ns.tolist()) if n > 20 and t_ns in ends)
    timeline = with_marks(quiet, {(key, at): (30 * MIB, 0)})
    late = {floor.t_ns: floor.t_ns + 2_000_000 for floor in timeline.floors if floor.process == key}
    series = {of: replace(s, t_ns=s.t_ns + 2_000_000) if of[1] == key else s for of, s in timeline.series.items()}
    found = only(replace(timeline, series=series, floors_elsewhere={key.host: late}))
    assert (found.rise, found.phase) == (30 * MIB, "rounds")
