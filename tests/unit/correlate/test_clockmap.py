from __future__ import annotations

from harness.correlate.clockmap import WallClock
from harness.model.event import Anchor

S = 1_000_000_000
WALL = 1_700_000_000 * S


def anchors(*offsets: int) -> list[Anchor]:
    """One anchor a minute, the wall clock ahead by ``offsets``."""
    return [Anchor("", i * 60 * S, WALL + i * 60 * S + offset) for i, offset in enumerate(offsets)]


def test_a_steady_clock_places_exactly() -> None:
    clock = WallClock(anchors(0, 0, 0))
    placed = clock.place(WALL + 61 * S)
    assert placed is not None
    assert (placed.t_ns, placed.error_ns) == (61 * S, 0)
    assert clock.steps() == ()


def test_the_grain_of_a_log_is_its_error() -> None:
    placed = WallClock(anchors(0, 0)).place(WALL + 5 * S, S)
    assert placed is not None
    assert (placed.t_ns, placed.error_ns) == (5 * S + S // 2, S // 2)


def test_slewing_is_an_error_not_a_step() -> None:
    clock = WallClock(anchors(0, 10_000_000))
    placed = clock.place(WALL + 30 * S)
    assert clock.steps() == ()
    assert placed is not None
    assert abs(placed.t_ns - 30 * S) <= placed.error_ns <= 10_000_000


def test_a_step_is_an_event_and_times_around_it_are_not_placed() -> None:
    clock = WallClock(anchors(0, 0, 3600 * S, 3600 * S))
    (event,) = clock.steps()
    assert (event.kind, event.t_ns, event.attributes["jump_ns"]) == ("clock.step", 120 * S, 3600 * S)
    assert "+1.0 h" in event.text
    assert clock.place(WALL + 30 * S) is not None
    assert clock.place(WALL + 90 * S) is None  # somewhere between the two anchors the clock jumped
    after = clock.place(WALL + 3600 * S + 130 * S)
    assert after is not None
    assert after.t_ns == 130 * S


def test_a_time_that_happened_twice_is_nowhere() -> None:
    clock = WallClock(anchors(0, 0, -60 * S, -60 * S))
    assert clock.steps()[0].text.endswith("-1.0 min")
    assert clock.place(WALL + 60 * S - S) is None or clock.place(WALL + 60 * S) is None


def test_without_anchors_nothing_is_placed() -> None:
    assert WallClock([]).place(WALL) is None
    assert WallClock([]).steps() == ()


def test_one_anchor_serves_the_whole_run() -> None:
    placed = WallClock([Anchor("", 10 * S, WALL)]).place(WALL - 5 * S)
    assert placed is not None
    assert placed.t_ns == 5 * S
