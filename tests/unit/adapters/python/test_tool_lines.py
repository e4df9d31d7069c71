"""The exact line tool in this very process: known allocations to the byte, and nothing left behind."""

from __future__ import annotations

import gc
import json
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures.thread import _WorkItem
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.python.agent import settings, tool_lines, watched
from adapters.python.agent.results import ToolError
from adapters.python.agent.tool_lines import Tool

RECORDER = SimpleNamespace(gc=SimpleNamespace(runs=0))
RUN = _WorkItem.__dict__["run"]
N = 1_000_000
SIZE = N + sys.getsizeof(bytearray()) + 1
KEPT: list[bytearray] = []


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    assert not tracemalloc.is_tracing()
    collecting = gc.isenabled()
    gc.disable()  # a collection in the middle of a line counts for that line
    yield
    if collecting:
        gc.enable()
    KEPT.clear()
    assert not tracemalloc.is_tracing()
    assert sys.gettrace() is None
    assert _WorkItem.__dict__["run"] is RUN


def watching(monkeypatch: pytest.MonkeyPatch, *functions: Callable[..., Any]) -> Tool:
    names = [f"{function.__module__}:{function.__qualname__}" for function in functions]
    for function in functions:
        monkeypatch.setitem(sys.modules, function.__module__, sys.modules[__name__])
    monkeypatch.setitem(settings._values, "HARNESS_FUNCTIONS", json.dumps(names))
    return Tool(RECORDER, {})


def measured(
    monkeypatch: pytest.MonkeyPatch, run: Callable[[], object], *functions: Callable[..., Any]
) -> dict[str, Any]:
    """The third of three runs: the interpreter's lists of free objects are full then."""
    for _ in range(3):
        tool = watching(monkeypatch, *functions)
        tool.start()
        try:
            run()
        finally:
            result: dict[str, Any] = tool.stop()
    return result


def by_line(function: dict[str, Any]) -> dict[int, tuple[int, int, int]]:
    """Line from the def -> (hits, net, peak)."""
    return {
        line["line"] - function["line"]: (line["hits"], line["net_bytes"], line["peak_bytes"])
        for line in function["lines"]
    }


def keeps() -> None:
    KEPT.append(bytearray(N))


def transient() -> None:
    bytearray(5_000_000)
    KEPT.clear()


def test_a_kept_block_and_a_transient_one(monkeypatch: pytest.MonkeyPatch) -> None:
    [function] = measured(monkeypatch, lambda: (KEPT.clear(), keeps()), keeps)["functions"]
    assert by_line(function)[1][:2] == (1, SIZE + 32)  # and a list with room for four
    assert (function["calls"], function["net_bytes"]) == (1, SIZE + 32)
    KEPT.clear()
    [function] = measured(monkeypatch, transient, transient)["functions"]
    assert by_line(function)[1] == (1, 0, SIZE + 4 * N)


def quiet_lines() -> None:
    a = 1
    b = a
    c = b  # noqa: F841


def test_lines_that_allocate_nothing_show_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    [function] = measured(monkeypatch, quiet_lines, quiet_lines)["functions"]
    assert by_line(function) == {1: (1, 0, 0), 2: (1, 0, 0), 3: (1, 0, 0)}
    assert function["net_bytes"] == function["peak_bytes"] == 0


def test_repeated_runs_agree_to_the_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    results = [measured(monkeypatch, transient, transient)["functions"] for _ in range(4)]
    assert all(result == results[0] for result in results)


def hot() -> None:
    for _ in range(100):
        KEPT.clear()


def test_the_budget_ends_the_figures_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool_lines, "EVENTS_CAP", 20)
    result = measured(monkeypatch, hot, hot)
    assert result["problems"] == [watched.CAPPED]
    [function] = result["functions"]
    assert 0 < sum(hits for hits, _, _ in by_line(function).values()) <= 20


def test_an_application_that_traces_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    tracemalloc.start(3)
    try:
        tool = watching(monkeypatch, keeps)
        with pytest.raises(ToolError, match="tracing in the target already"):
            tool.start()
        tool.abandon()
        assert tracemalloc.get_traceback_limit() == 3
        assert tracemalloc.is_tracing()
    finally:
        tracemalloc.stop()


def test_abandoning_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    tool = watching(monkeypatch, keeps)
    tool.abandon()
    tool.start()
    keeps()
    tool.abandon()
    tool.abandon()


def test_a_function_that_did_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    [function] = measured(monkeypatch, lambda: None, keeps)["functions"]
    assert (function["lines"], function["calls"], function["net_bytes"]) == ([], 0, 0)
