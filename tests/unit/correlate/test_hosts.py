"""Times of other hosts on our clock, and what their errors allow to be said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from timelines import empty_run

from harness.correlate.hosts import aligned, alignments, same_floor, steps_elsewhere, with_order
from harness.correlate.lifetimes import Lifetimes
from harness.model.event import CONTAINER_OOM, PROBE_COLLECT, SINCE_NS, Anchor, Event
from harness.model.host import HOST, HOST_CLOCK, LOCAL, ORDER_UNKNOWN, WITHIN_NS, Moment, RunHost, unordered
from harness.model.metric import FLOOR
from harness.model.process import ProcessInfo, ProcessKey, host_key
from harness.model.run import Series
from harness.model.span import BootRecord, RequestRecord

S = 1_000_000_000
MS = 1_000_000
HOST_1 = RunHost("web-1", "ssh://web-1", "web", True, True, 5 * S)


def reading(at_ns: int, there_ns: int, trip_ns: int, name: str = "web-1") -> Event:
    """Asked at ``at_ns``, answered with ``there_ns``."""
    attributes = {HOST: name, "before_ns": at_ns, "there_ns": there_ns, "wall_ns": 0, "after_ns": at_ns + trip_ns}
    return Event(at_ns, HOST_CLOCK, None, "", attributes)


def at(name: str, t_ns: int, within_ns: int = 0) -> Event:
    process = ProcessKey(name, 7, 7) if name else None
    return Event(t_ns, "process.exit", process, "x", {WITHIN_NS: within_ns} if within_ns else {})


@given(
    ppm=st.floats(-400, 400),
    asked=st.lists(st.tuples(st.integers(0, 600 * S), st.integers(1000, 50 * MS), st.floats(0, 1)), min_size=1, max_size=30),
    t_ns=st.integers(-60 * S, 700 * S),
)  # fmt: skip
def test_a_clock_that_drifts_evenly_is_put_right_within_the_stated_error(
    ppm: float, asked: list[tuple[int, int, float]], t_ns: int
) -> None:
    """The truth: it is ahead by 5 s and ``ppm``; where within a round trip it was read is anybody's guess."""

    def there(ours_ns: float) -> int:
        return 5 * S + round(ours_ns * (1 + ppm / 1e6))

    events = [reading(t, there(t + share * trip), trip) for t, trip, share in asked]
    found = alignments([HOST_1], events)["web-1"]
    recorded = np.array([there(t_ns) - HOST_1.offset_ns], dtype=np.int64)
    placed = int(found.shift(recorded)[0])
    assert abs(placed - t_ns) <= (found.clock.within(placed) or 0) + 2 * abs(ppm) * 1e-6 * 50 * MS + 1000


def test_drift_and_error_are_told() -> None:
    events = [reading(t * S, 5 * S + t * S + t * 20_000, 2 * MS) for t in range(0, 600, 10)]
    clock = alignments([HOST_1], events)["web-1"].clock
    assert clock.readings == 60
    assert clock.error_ns == MS
    assert clock.drift_ppm is not None
    assert abs(clock.drift_ppm - 20) < 0.1


def test_while_the_line_is_down_the_error_grows() -> None:
    events = [reading(t * S, 5 * S + t * S, 2 * MS) for t in range(0, 100, 10)]
    clock = alignments([HOST_1], events)["web-1"].clock
    assert clock.within(clock.read_ns[5]) == MS
    between, later, last = (clock.within(t * S) or 0 for t in (55, 200, 400))
    assert MS < between < 2 * MS
    assert MS < later < last <= MS + 310 * S // 2000
    half = (clock.read_ns[5] + clock.read_ns[6]) // 2
    assert clock.most(clock.read_ns[0], clock.read_ns[-1]) == clock.within(half)  # farthest from any reading
    assert clock.most(0, 200 * S) == later


def test_a_host_whose_clock_was_never_read_has_no_error() -> None:
    clock = alignments([HOST_1], [reading(0, 0, 1, "other")])["web-1"].clock
    assert (clock.readings, clock.error_ns, clock.drift_ppm) == (0, None, None)


def test_events_of_a_clock_that_was_never_read_have_no_order() -> None:
    unread = Event(5 * MS, "process.exit", ProcessKey("a", 1, 1), "x", {WITHIN_NS: None})
    events = with_order([unread, at("b", 500 * S, MS), at("b", 600 * S, MS)])
    assert [ORDER_UNKNOWN in e.attributes for e in events] == [True, True, True]


def test_what_comes_later_on_a_host_comes_later_here_too() -> None:
    """Whatever readings say that contradict each other, or are meant to."""
    events = [reading(0, 5 * S, 2), reading(S, 5 * S + 1000, 50 * MS), reading(2 * S, 7 * S, 2), reading(S, 1 << 60, 1)]
    found = alignments([HOST_1], events)["web-1"]
    times = found.shift(np.arange(-S, 4 * S, S // 100))
    assert (np.diff(times) >= 0).all()
    assert list(found.clock.read_ns) == sorted(set(found.clock.read_ns))


def test_hostile_attributes_are_no_readings() -> None:
    wrong = {HOST: "web-1", "before_ns": 3, "there_ns": "x", "after_ns": 1}
    events = [Event(0, HOST_CLOCK, None, "", wrong), Event(0, HOST_CLOCK, None, "", {HOST: 5})]
    assert alignments([HOST_1], events)["web-1"].clock.readings == 0


def test_two_hosts_within_their_errors_have_no_order() -> None:
    events = with_order([at("a", 10 * MS, 2 * MS), at("b", 13 * MS, 2 * MS), at("b", 20 * MS, 2 * MS)])
    assert [ORDER_UNKNOWN in e.attributes for e in events] == [True, True, False]


def test_on_one_host_order_is_always_known() -> None:
    events = with_order([at("a", 11 * MS, 5 * MS), at("a", 10 * MS, 5 * MS), at("", 40 * MS), at("", 40 * MS)])
    assert [e.t_ns for e in events] == [10 * MS, 11 * MS, 40 * MS, 40 * MS]
    assert not any(ORDER_UNKNOWN in e.attributes for e in events)


def test_our_own_events_have_no_error_of_their_own() -> None:
    """The clock of the host that records is the one that all are put on."""
    events = with_order([at("", 10 * MS), at("a", 11 * MS, 2 * MS), at("", 14 * MS)])
    assert [ORDER_UNKNOWN in e.attributes for e in events] == [True, True, False]


_MOMENT = st.builds(
    Moment, st.integers(0, 100), st.sampled_from(["", "a", "b"]), st.none() | st.integers(0, 5) | st.integers(0, 60)
)


@given(st.lists(_MOMENT, max_size=25))
def test_what_has_no_order_is_what_every_pair_says(moments: list[Moment]) -> None:
    def undecided(one: Moment, other: Moment) -> bool:
        if one.place == other.place or (one.within_ns, other.within_ns) == (0, 0):
            return False
        if one.within_ns is None or other.within_ns is None:
            return True
        return abs(one.t_ns - other.t_ns) <= one.within_ns + other.within_ns

    expected = {n for n, one in enumerate(moments) if any(undecided(one, other) for other in moments)}
    assert unordered(moments) == expected


def test_many_events_of_a_host_whose_clock_was_never_read_take_no_time() -> None:
    """Pair by pair these would be five thousand million comparisons."""
    events = [Event(t, "x", ProcessKey("a", 1, 1), "", {WITHIN_NS: None}) for t in range(100_000)]
    assert not any(ORDER_UNKNOWN in e.attributes for e in with_order(events))
    assert all(ORDER_UNKNOWN in e.attributes for e in with_order([*events, at("", 5)]))


def test_a_jump_of_another_hosts_wall_clock_is_placed_on_ours_with_its_error() -> None:
    events = [reading(t * S, 5 * S + t * S, 2 * MS) for t in range(0, 100, 10)]
    anchors = [Anchor("web-1", t * S, t * S + (3600 * S if t > 50 else 0)) for t in range(0, 100, 10)]
    (step,) = steps_elsewhere([*anchors, Anchor("", 0, 0)], alignments([HOST_1], events))
    assert step.text.endswith("on web-1")
    assert step.attributes[HOST] == "web-1"
    assert step.attributes[WITHIN_NS] is not None
    (step, other) = with_order([step, at("", step.t_ns + MS // 2)])
    assert step.attributes[ORDER_UNKNOWN]
    assert other.attributes[ORDER_UNKNOWN]


def test_what_befalls_a_container_is_stamped_on_its_host() -> None:
    """Also where no process is named; a broken line is noticed here, and a probe is stamped here."""
    readings = [reading(t * S, 6 * S + t * S, 2 * MS) for t in range(0, 100, 10)]
    told = {HOST: "web-1", SINCE_NS: 30 * S}
    killed, here = (Event(31 * S, CONTAINER_OOM, None, "", about) for about in (told, {SINCE_NS: 30 * S}))
    down = Event(31 * S, "host.down", None, "", {HOST: "web-1"})
    asked = Event(31 * S, PROBE_COLLECT, ProcessKey("web-1", 7, 7), "", {})
    strange = replace(killed, attributes={HOST: "web-9", SINCE_NS: 1 << 70})
    run = replace(empty_run(), events=[*readings, killed, here, down, asked, strange])
    moved, *others = aligned(run, alignments([HOST_1], readings)).events
    assert abs(moved.t_ns - 30 * S) <= MS
    assert moved.attributes[SINCE_NS] == moved.t_ns - S
    assert moved.attributes[WITHIN_NS] == MS
    assert others == [here, down, asked, strange]


def test_this_machine_among_several_needs_no_clock_read() -> None:
    local = RunHost("cron", LOCAL, "cron", False, True, 0)
    clock = alignments([local, HOST_1], [])["cron"].clock
    assert (clock.error_ns, clock.within(5), clock.most(1, 9)) == (0, 0, 0)


def test_floors_of_several_hosts_find_each_other_by_their_number() -> None:
    def floors(process: ProcessKey | None, *pairs: tuple[int, int]) -> tuple[tuple[str, ProcessKey | None], Series]:
        numbers, times = np.array([n for n, _ in pairs]), np.array([t for _, t in pairs])
        return (FLOOR, process), Series(FLOOR, process, times, numbers)

    series = dict(
        [floors(None, (1, 100), (2, 200)), floors(host_key("b"), (1, 103), (2, 199)), floors(host_key("c"), (2, 205))]
    )
    assert same_floor(series) == {"b": {100: 103, 200: 199}, "c": {200: 205}}
    assert same_floor({}) == {}


def test_records_of_agents_go_by_the_clock_of_their_host() -> None:
    events = [reading(0, 5 * S, 0), reading(100 * S, 105 * S + 100 * MS, 0)]  # a millisecond too many a second
    record = RequestRecord("python-agent", 7, "a" * 16, 1, 50 * S, None, None, "GET /", 200, None, {}, "web-1")
    timed = replace(record, start_ns=50 * S + 50 * MS, end_ns=50 * S + 51 * MS)
    ours = replace(timed, host="")
    boot = BootRecord("python-agent", 7, 1, 50 * S + 50 * MS, "3.11", "", "web-1")
    raw = empty_run(events=events, records=[timed, ours, record], boots=[boot])
    found = aligned(raw, alignments([HOST_1], events))
    placed, same, untimed = found.records
    assert placed.start_ns is not None
    assert placed.end_ns is not None
    assert abs(placed.start_ns - 50 * S) < MS
    assert 0 <= placed.end_ns - placed.start_ns <= MS
    assert same == ours
    assert untimed == record
    assert abs(found.boots[0].t_ns - 50 * S) < MS


def test_a_process_id_of_a_host_is_not_that_of_another() -> None:
    people = [ProcessInfo(ProcessKey(name, 7, 7), 1, "", "", 0, name, 0, 0, 9, None) for name in ("web-1", "web-2")]
    lives = Lifetimes(people)
    assert lives.find(7, 5) is None
    assert lives.find(7, 5, "web-2") == people[1].key
    assert lives.find(7, 5, "web-3") is None
