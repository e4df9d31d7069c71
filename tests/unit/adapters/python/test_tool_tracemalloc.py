"""tracemalloc for one request: whose tracing it is."""

from __future__ import annotations

import gc
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


@pytest.mark.parametrize("text", ["0", "26", "-1", "many", ""])
def test_a_wrong_number_of_frames_is_one_clear_error(text: str) -> None:
    with pytest.raises(ToolError, match="frames must be a number from 1 to 25"):
        Tool(RECORDER, {"frames": text})


def allocate() -> bytearray:
    return bytearray(500_000)


def test_frames_give_stacks_of_what_is_held() -> None:
    tool = Tool(RECORDER, {"frames": "3"})
    tool.start()
    kept = allocate()
    result = tool.stop()
    assert result["frames_kept"] == 3
    largest = result["stacks"][0]
    assert largest["bytes"] > len(kept)
    own = [number for file, number in (result["frames"][n] for n in largest["frames"]) if file == __file__]
    here = test_frames_give_stacks_of_what_is_held.__code__.co_firstlineno
    assert own == [here + 3, allocate.__code__.co_firstlineno + 1]


def test_one_frame_gives_no_stacks() -> None:
    tool = Tool(RECORDER, {})
    tool.start()
    kept = allocate()
    result = tool.stop()
    assert (result["stacks"], result["frames"]) == ([], [])
    assert result["kept_bytes"] > len(kept)


def test_a_whole_program_that_traces_already_goes_on_tracing() -> None:
    tracemalloc.start(2)
    kept = allocate()
    tool = Tool(RECORDER, {})
    tool.whole_program()
    tool.start()
    result = tool.stop()
    assert result["kept_bytes"] > len(kept)
    assert tracemalloc.get_traceback_limit() == 2
    assert tracemalloc.is_tracing()


def test_nothing_is_thawed_that_the_application_froze() -> None:
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        tool = Tool(SimpleNamespace(frozen_at_boot=0), {})
        tool.start()
        tool.stop()
        assert gc.get_freeze_count() == frozen
    finally:
        gc.unfreeze()
