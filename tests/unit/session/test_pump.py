"""The pump with real children and real signals."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable

import pytest

from harness.errors import HarnessError
from harness.session.pump import Child, Interrupted, Pump

ECHO = "import sys\nfor line in sys.stdin: sys.stdout.write(line); sys.stdout.flush()"


def child(code: str) -> Child:
    return Child("the child", [sys.executable, "-c", code])


def finish(one: Child) -> None:
    one.hang_up()
    one.process.wait(100)
    for pipe in (one.process.stdout, one.process.stderr):
        assert pipe is not None
        pipe.close()


def never() -> bool:
    return False


def nothing() -> None:
    return None


def test_messages_arrive_in_order_and_the_end_is_announced_once() -> None:
    got: list[object] = []
    ends: list[int] = []
    with Pump(nothing) as pump:
        one = child(ECHO)
        pump.add(one, got.append, lambda: ends.append(1))
        for number in range(500):
            one.send(n=number)
        assert pump.until(lambda: len(got) == 500, 10)
        one.hang_up()
        assert pump.until(lambda: bool(ends), 10)
        assert not pump.until(never, 0.15)
        finish(one)
    assert got == [{"n": n} for n in range(500)]
    assert ends == [1]


def test_periodic_work_goes_on_while_waiting() -> None:
    calls: list[float] = []
    with Pump(lambda: calls.append(time.monotonic())) as pump:
        assert pump.until(lambda: len(calls) >= 3, 10)


def test_what_a_handler_raises_reaches_whoever_waits() -> None:
    def handler(_message: object) -> None:
        raise HarnessError("enough")

    with Pump(nothing) as pump:
        one = child(ECHO)
        pump.add(one, handler, nothing)
        one.send(x=1)
        with pytest.raises(HarnessError, match="enough"):
            pump.until(never, 10)
        finish(one)


@pytest.mark.parametrize("code", ["print('not json')", "print('[1]')", "print('x' * (2 << 20))"])
def test_nonsense_from_a_child_is_an_error_of_ours(code: str) -> None:
    with Pump(nothing) as pump:
        one = child(code)
        pump.add(one, lambda _: None, nothing)
        with pytest.raises(HarnessError, match="the child sent"):
            pump.until(never, 10)
        one.process.kill()
        finish(one)


def test_what_a_child_complains_about_is_kept() -> None:
    ends: list[int] = []
    with Pump(nothing) as pump:
        one = child("import sys; print('oops', file=sys.stderr)")
        pump.add(one, lambda _: None, lambda: ends.append(1))
        assert pump.until(lambda: bool(ends) and bool(one.complaints), 10)
        finish(one)
    assert one.complaints == b"oops\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_wait_at_once_and_handlers_are_restored(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with Pump(nothing) as pump:
        os.kill(os.getpid(), number)
        with pytest.raises(Interrupted) as caught:
            pump.until(never, 10)
        assert caught.value.signal_number == number
        pump.shield()
        pressed: list[int] = []
        pump.urgent = lambda: pressed.append(1)
        assert pump.until(lambda: True)  # cleaning up is not interrupted again
        os.kill(os.getpid(), number)
        assert pump.until(lambda: bool(pressed), 10)
    assert signal.getsignal(number) == before


def test_a_deadline_is_kept_without_a_condition_coming_true() -> None:
    condition: Callable[[], bool] = never
    with Pump(nothing) as pump:
        assert pump.until(condition, 0.05) is False
