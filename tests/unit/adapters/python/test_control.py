"""Orders by file and signal, sent to this very process."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adapters.python.agent import control, settings
from adapters.python.agent.recorder import Recorder
from harness.plugins import orders


@pytest.fixture
def post(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, str], list[int]]]:
    """Post an order to ourselves; the signal has been handled when it returns."""
    (tmp_path / "records").touch()
    path = tmp_path / "order"
    monkeypatch.setattr(settings, "_values", {"HARNESS_SIGNAL": str(orders.NUMBER), "HARNESS_ORDERS": str(path)})
    monkeypatch.setattr(control, "_last", 0)
    recorder = Recorder(str(tmp_path / "records"))
    assert signal.getsignal(orders.NUMBER) == signal.SIG_DFL
    control.install(recorder)
    yield lambda number, verb: orders.post(path, number, verb, "", [os.getpid()])
    signal.signal(orders.NUMBER, signal.SIG_DFL)
    recorder.close()


def test_an_order_that_comes_during_another_is_carried_out_after_it(
    post: Callable[[int, str], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, int]] = []

    def obey(number: int, verb: str, rest: str) -> None:
        done.append(("begin", number))
        if number == 1:
            post(2, "floor")
            post(3, "floor")
        done.append(("end", number))

    monkeypatch.setattr(control, "_obey", obey)
    assert post(1, "floor") == [os.getpid()]
    assert done == [("begin", 1), ("end", 1), ("begin", 3), ("end", 3)], "the last order counts"


def test_an_order_is_carried_out_once_and_one_that_fails_does_not_stop_the_next(
    post: Callable[[int, str], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []

    def obey(number: int, verb: str, rest: str) -> None:
        done.append(number)
        if number == 5:
            raise RuntimeError("planted")

    monkeypatch.setattr(control, "_obey", obey)
    for number in (5, 5, 4, 6):
        post(number, "floor")
    assert done == [5, 6]


def test_an_interrupt_during_an_order_reaches_the_application_and_the_next_order_is_taken(
    post: Callable[[int, str], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []

    def obey(number: int, verb: str, rest: str) -> None:
        done.append(number)
        if number == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(control, "_obey", obey)
    with pytest.raises(KeyboardInterrupt):
        post(1, "floor")
    post(2, "floor")
    assert done == [1, 2]
