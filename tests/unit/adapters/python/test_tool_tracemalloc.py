"""tracemalloc for one request: whose tracing it is."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from adapters.python.agent.results import ToolError
from adapters.python.agent.tool_tracemalloc import Tool

RECORDER = SimpleNamespace(frozen_at_boot=10**9)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    assert not tracemalloc.is_tracing()
    yield
    tracemalloc.stop()


def test_a_tool_may_be_made_while_the_one_before_it_still_traces() -> None:
    """A threaded server hands over the response before the measurement has ended: the next request is here already."""
    first = Tool(RECORDER, {})
    first.start()
    second = Tool(RECORDER, {})
    kept = bytearray(1_000_000)
    assert first.stop()["kept_bytes"] > len(kept)
    second.start()
    assert second.stop()["kept_bytes"] < len(kept)
    assert not tracemalloc.is_tracing()


def test_the_applications_own_tracing_is_refused_and_goes_on() -> None:
    tracemalloc.start(3)
    tool = Tool(RECORDER, {})
    with pytest.raises(ToolError, match="traces with tracemalloc itself"):
        tool.start()
    tool.abandon()
    assert tracemalloc.get_traceback_limit() == 3
    assert tracemalloc.is_tracing()
