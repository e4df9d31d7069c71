"""cProfile for one request: whose profiler is active, which thread is heard. Known call counts through the real module."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.python.agent import tool_cprofile
from adapters.python.agent.results import ToolError
from adapters.python.agent.tool_cprofile import Tool

RECORDER = SimpleNamespace()
by_thread = pytest.mark.skipif(sys.version_info >= (3, 12), reason="sys.monitoring has no profile function a thread")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    assert sys.getprofile() is None
    yield
    sys.setprofile(None)


def seven(times: int) -> list[str]:
    return [chr(number) for number in range(times)]


def work() -> int:
    return sum(len(seven(7)) for _ in range(7))


def measured(tool: Tool) -> dict[str, Any]:
    tool.start()
    work()
    result: dict[str, Any] = tool.stop()
    return result


def by_name(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {function["name"]: function for function in result["functions"]}


def test_calls_are_counted_by_caller() -> None:
    result = measured(Tool(RECORDER, {}))
    found = by_name(result)
    counted = {name: f["calls"] for name, f in found.items()}
    assert counted["work"] == 1
    assert counted["seven"] == 7
    assert counted["<built-in method builtins.chr>"] == 49
    callers = {result["functions"][c[0]]["name"]: c[1] for c in found["<built-in method builtins.chr>"]["callers"]}
    assert sum(callers.values()) == 49
    assert found["seven"]["file"] == __file__
    assert found["seven"]["own"] == 0
    assert found["<built-in method builtins.chr>"]["file"] is None
    assert result["problems"] == []
    assert sys.getprofile() is None


def test_our_own_functions_are_marked() -> None:
    result = measured(Tool(RECORDER, {}))
    ours = [f for f in result["functions"] if f["own"]]
    assert all(f["file"].startswith(tool_cprofile._OWN) for f in ours)
    assert not any(f["own"] for f in result["functions"] if f["file"] == __file__)


def test_recursive_calls_are_told_from_primitive_ones() -> None:
    def down(levels: int) -> None:
        if levels:
            down(levels - 1)

    tool = Tool(RECORDER, {})
    tool.start()
    down(4)
    [found] = [f for f in tool.stop()["functions"] if f["name"].endswith("down")]
    assert (found["calls"], found["primitive_calls"]) == (5, 1)


def test_another_threads_calls_are_not_heard() -> None:
    stop, going = threading.Event(), threading.Event()

    def busy() -> None:
        while not stop.is_set():
            seven(3)
            going.set()

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        going.wait()
        found = by_name(measured(Tool(RECORDER, {})))
    finally:
        stop.set()
        thread.join()
    assert found["seven"]["calls"] == 7
    assert not any(name.endswith("busy") for name in found)


def test_an_active_profiler_of_the_application_is_left_alone() -> None:
    import cProfile

    theirs = cProfile.Profile()
    theirs.enable()
    try:
        tool = Tool(RECORDER, {})
        with pytest.raises(ToolError, match="already active"):
            tool.start()
        tool.abandon()
        work()
    finally:
        theirs.disable()
    assert any(getattr(e.code, "co_name", "") == "seven" and e.callcount == 7 for e in theirs.getstats())


def test_a_profiler_that_the_application_starts_meanwhile_works_for_it() -> None:
    import cProfile

    tool, theirs = Tool(RECORDER, {}), cProfile.Profile()
    tool.start()
    theirs.enable()
    work()
    theirs.disable()
    result = tool.stop()
    assert any(getattr(e.code, "co_name", "") == "seven" and e.callcount == 7 for e in theirs.getstats())
    # Up to 3.11 there is one profile function a thread, and the application's request goes first.
    assert result["problems"] if sys.version_info < (3, 12) else by_name(result)["seven"]["calls"] == 7


@by_thread
def test_what_could_not_be_taken_off_from_another_thread_is_taken_off_by_the_next_request_there() -> None:
    first = Tool(RECORDER, {})
    first.start()
    stopped: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: stopped.append(first.stop()))
    thread.start()
    thread.join()
    assert "ended in another thread" in stopped[0]["problems"][0]
    assert by_name(measured(Tool(RECORDER, {})))["seven"]["calls"] == 7
    assert sys.getprofile() is None


def test_abandoning_leaves_nothing_behind() -> None:
    tool = Tool(RECORDER, {})
    tool.start()
    tool.abandon()
    tool.abandon()
    assert sys.getprofile() is None
    assert by_name(measured(Tool(RECORDER, {})))["seven"]["calls"] == 7


def test_caps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool_cprofile, "FUNCTIONS_CAP", 2)
    monkeypatch.setattr(tool_cprofile, "CALLERS_CAP", 1)
    result = measured(Tool(RECORDER, {}))
    assert len(result["functions"]) == 2
    assert result["functions_total"] > 2
    assert sum(len(f["callers"]) for f in result["functions"]) <= 1
    assert result["callers_total"] > 1
