"""Stretches that do not overlap, and what happened to processes."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reports import START, leak_report, single_sample_report

from harness.model.timeline import JoinedSpan, Timeline
from harness.report.lanes import lanes, lifecycle, placed


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), max_size=60))
def test_no_two_of_a_lane_overlap_and_no_lane_is_more_than_needed(pairs: list[tuple[int, int]]) -> None:
    stretches = sorted((start, start + length) for start, length in pairs)
    numbers = list(lanes(stretches))
    by_lane: dict[int, list[tuple[int, int]]] = {}
    for number, stretch in zip(numbers, stretches, strict=True):
        by_lane.setdefault(number, []).append(stretch)
    for members in by_lane.values():
        assert all(end <= start for (_, end), (start, _) in pairwise(members))
    assert sorted(by_lane) == list(range(len(by_lane)))
    together = (sum(a <= t < b for a, b in stretches) for t in range(71))
    assert len(by_lane) <= max(together, default=0) + sum(a == b for a, b in stretches)


def first_recorded(timeline: Timeline) -> JoinedSpan:
    return next(joined for joined in timeline.spans if joined.record is not None)


def with_record(timeline: Timeline, **times: int) -> Timeline:
    joined = first_recorded(timeline)
    assert joined.record is not None
    changed = dataclasses.replace(joined, record=dataclasses.replace(joined.record, **times))  # type: ignore[arg-type]
    return dataclasses.replace(timeline, spans=(changed,))


def test_a_request_is_where_its_process_says_it_worked_on_it() -> None:
    timeline = leak_report().timeline
    span = first_recorded(timeline).span
    [[each]] = placed(with_record(timeline, start_ns=span.start_ns + 10, end_ns=span.end_ns - 10)).values()
    assert (each.start_ns, each.end_ns, each.inside) == (span.start_ns + 10, span.end_ns - 10, True)


@pytest.mark.parametrize(("start", "end"), [(-10, 10), (10, 10**12), (30, 20)])
def test_times_that_cannot_be_are_not_believed(start: int, end: int) -> None:
    """The record comes from the target; another clock, or a lie, would put the request anywhere."""
    timeline = leak_report().timeline
    span = first_recorded(timeline).span
    [[each]] = placed(with_record(timeline, start_ns=span.start_ns + start, end_ns=span.start_ns + end)).values()
    assert (each.start_ns, each.end_ns, each.inside) == (span.start_ns, span.end_ns, False)


def test_all_requests_are_placed_once() -> None:
    timeline = leak_report().timeline
    found = [each.joined.span.span_id for group in placed(timeline).values() for each in group]
    assert sorted(found) == sorted(joined.span.span_id for joined in timeline.spans)
    assert None in placed(timeline)  # three that no process is known for


def test_births_and_deaths_are_told_once_and_only_within_the_run() -> None:
    events = lifecycle(leak_report().timeline)
    assert [event.t_ns for event in events] == sorted(event.t_ns for event in events)
    keys = [(event.kind, event.process) for event in events]
    assert len(keys) == len(set(keys))
    assert any(event.kind == "process.exit" and event.text == "worker 4212 exited" for event in events)
    assert all(event.t_ns >= START for event in events)
    assert lifecycle(single_sample_report().timeline) == []  # born before the run, still there
