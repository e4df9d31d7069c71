"""One request alone: the waiting is a generator of pauses, so nothing here sleeps."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.python.agent import gate
from adapters.python.agent.gate import Turn, TurnLock, _newcomer
from adapters.python.agent.recorder import Recorder, Request


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic_ns(self) -> int:
        return round(self.now * 1e9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr(gate, "monotonic_ns", clock.monotonic_ns)
    return clock


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    path = tmp_path / "python-x.ndjson"
    path.touch()
    recorder = Recorder(str(path))
    yield recorder
    gate._inside.set(None)
    gc.callbacks.remove(recorder.gc)
    os.close(recorder.statm)
    os.close(recorder.fd)


def begun(recorder: Recorder) -> Request:
    request = Request("GET /", None)
    recorder.begin(request)
    return request


def entered(turn: Turn, clock: Time, after_s: float = 0.5) -> int:
    pauses = 0
    for _ in turn.enter():
        clock.now += after_s
        pauses += 1
    return pauses


def test_an_idle_process_is_entered_at_once(recorder: Recorder, clock: Time) -> None:
    turn = TurnLock().turn(recorder)
    assert entered(turn, clock) == 0
    assert (turn.held, turn.alone, turn.wait_ns) == (True, True, 0)
    assert recorder.gate is turn
    turn.leave()
    assert recorder.gate is None


def test_the_gate_closes_before_it_waits(recorder: Recorder, clock: Time) -> None:
    request = begun(recorder)
    turn = TurnLock().turn(recorder)
    waiting = turn.enter()
    next(waiting)
    assert recorder.gate is turn
    recorder.end(request)
    assert list(waiting) == []
    assert turn.alone
    turn.leave()


def test_waiting_for_others_ends_after_two_seconds(recorder: Recorder, clock: Time) -> None:
    request = begun(recorder)
    turn = TurnLock().turn(recorder)
    assert entered(turn, clock) == 4
    assert turn.held
    assert not turn.alone
    assert turn.wait_ns == 2_000_000_000
    turn.leave()
    recorder.end(request)


def test_turns_are_taken_one_after_the_other(recorder: Recorder, clock: Time) -> None:
    lock = TurnLock()
    first, second, third = lock.turn(recorder), lock.turn(recorder), lock.turn(recorder)
    entered(first, clock)
    waiting = second.enter()
    next(waiting)
    first.leave()
    assert list(waiting) == []
    assert second.held
    assert entered(third, clock, after_s=3) == 4  # gives up after ten seconds
    assert not third.held
    third.leave()
    assert recorder.gate is second
    second.leave()


def test_a_newcomer_is_not_in_flight_while_it_waits(recorder: Recorder, clock: Time) -> None:
    turn = TurnLock().turn(recorder)
    entered(turn, clock)
    gate._inside.set(None)  # the newcomer is another request
    request = begun(recorder)
    waiting = _newcomer(recorder, request)
    next(waiting)
    assert recorder.active == {}
    turn.leave()
    assert list(waiting) == []
    assert list(recorder.active.values()) == [request]
    assert (turn.alone, turn.let_in) == (True, 0)
    recorder.end(request)


def test_a_newcomer_that_waited_two_seconds_goes_in_and_opens_for_all(recorder: Recorder, clock: Time) -> None:
    turn = TurnLock().turn(recorder)
    entered(turn, clock)
    gate._inside.set(None)
    request = begun(recorder)
    for _ in _newcomer(recorder, request):
        clock.now += 1.5
    assert (turn.alone, turn.let_in) == (False, 1)
    assert recorder.gate is None
    assert turn.held  # still the only tool
    turn.leave()
    recorder.end(request)


def test_the_request_itself_may_call_its_own_application(recorder: Recorder, clock: Time) -> None:
    turn = TurnLock().turn(recorder)
    entered(turn, clock)
    request = begun(recorder)
    assert list(_newcomer(recorder, request)) == []
    assert turn.alone
    turn.leave()
    recorder.end(request)


def test_a_fork_frees_the_childs_gate(recorder: Recorder, clock: Time) -> None:
    lock = TurnLock()
    entered(lock.turn(recorder), clock)
    recorder.reset()
    lock.reset()
    turn = lock.turn(recorder)
    assert entered(turn, clock) == 0
    assert turn.held
    turn.leave()
