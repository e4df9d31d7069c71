"""Events of selected code, through the interpreter's own tracing."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from adapters.python.agent.line_events import line_events, precisely
from adapters.python.agent.results import ToolError

monitored = hasattr(sys, "monitoring")
by_thread = pytest.mark.skipif(monitored, reason="from 3.12 on, no thread has a trace function")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    assert sys.gettrace() is None
    yield
    assert sys.gettrace() is None
    if monitored:
        assert [sys.monitoring.get_tool(n) for n in (3, 4)] == [None, None]  # type: ignore[attr-defined,unused-ignore]


def heard(run: Callable[[], object], *functions: Callable[..., Any]) -> list[tuple[str, str, int]]:
    """(function, event, line from its def) while ``run`` runs."""
    found: list[tuple[str, str, int]] = []

    def note(frame: FrameType, event: str, number: int | None) -> None:
        code = frame.f_code
        found.append((code.co_name, precisely(frame, event), frame.f_lineno - code.co_firstlineno))

    engine = line_events([function.__code__ for function in functions], note)
    engine.start()
    try:
        run()
    finally:
        engine.stop()
    return found


def double(n: int) -> int:
    m = n
    return m + n


def caller() -> int:
    return double(1)


def numbers() -> Iterator[int]:
    yield 1
    yield 2


async def waits() -> int:
    await asyncio.sleep(0)
    return 1


def fails() -> None:
    raise KeyError


def survives() -> Iterator[int]:
    try:
        yield 1
    except KeyError:
        yield 2


PLAIN = [("double", "call", 0), ("double", "line", 1), ("double", "line", 2), ("double", "return", 2)]


def test_only_selected_code_is_heard() -> None:
    assert heard(caller, double) == PLAIN


def test_generators_resume_and_yield() -> None:
    assert [event for _, event, _ in heard(lambda: list(numbers()), numbers)] == [
        "call", "line", "yield", "resume", "line", "yield", "resume", "return",
    ]  # fmt: skip


def test_coroutines() -> None:
    events = [event for _, event, _ in heard(lambda: asyncio.run(waits()), waits)]
    assert events == ["call", "line", "yield", "resume", "line", "return"]


def test_exceptions_unwind() -> None:
    def run() -> None:
        with pytest.raises(KeyError):
            fails()

    assert [event for _, event, _ in heard(run, fails)] == ["call", "line", "return"]


def test_an_exception_thrown_in_resumes() -> None:
    def run() -> None:
        generator = survives()
        next(generator)
        generator.throw(KeyError())  # type: ignore[attr-defined]
        del generator

    events = [event for _, event, _ in heard(run, survives)]
    assert events[:8] == ["call", "line", "line", "yield", "resume", "line", "line", "yield"]


def test_another_context_is_not_heard() -> None:
    def elsewhere() -> None:
        thread = threading.Thread(target=double, args=(1,))
        thread.start()
        thread.join()
        empty = contextvars.Context()
        empty.run(double, 1)

    assert heard(elsewhere, double) == []


def test_a_handlers_error_stays_with_us() -> None:
    def broken(frame: FrameType, event: str, number: int | None) -> None:
        raise RuntimeError

    engine = line_events([double.__code__], broken)
    engine.start()
    assert double(4) == 8
    engine.stop()


@by_thread
def test_a_debugger_is_left_alone() -> None:
    def debugger(frame: Any, event: str, arg: Any) -> None:
        pass

    engine = line_events([double.__code__], lambda *_: None)
    sys.settrace(debugger)
    try:
        with pytest.raises(ToolError, match="another tracer"):
            engine.start()
        engine.stop()
        assert sys.gettrace() is debugger
    finally:
        sys.settrace(None)


@by_thread
def test_the_tracer_of_another_request_is_no_debugger() -> None:
    """It may have been taken along to the pool thread that serves this one."""
    other = line_events([caller.__code__], lambda *_: None)
    other.start()
    try:
        assert heard(caller, double) == PLAIN
    finally:
        other.stop()


def test_stopping_twice_and_without_a_start() -> None:
    engine = line_events([double.__code__], lambda *_: None)
    engine.stop()
    engine.start()
    engine.stop()
    engine.stop()
