"""Garbage in cycles: found, told with the circle, given back to the collector afterwards."""

from __future__ import annotations

import gc
import json
import os
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.python.agent import garbage
from adapters.python.agent.tool_survivors import Tool as Survivors
from adapters.python.agent.tool_tracemalloc import Tool as Tracemalloc


class Node:
    def __init__(self) -> None:
        self.other: object = None


def pair() -> None:
    one, two = Node(), Node()
    one.other, two.other = two, one


@pytest.fixture
def recorder() -> Any:
    return SimpleNamespace(
        frozen_at_boot=gc.get_freeze_count(), rss_bytes=lambda: 1, fd=-1, statm=-1, copier=None, speaks_for=None
    )


@pytest.fixture(autouse=True)
def _collected() -> None:
    gc.collect()


def test_taking_the_garbage_leaves_nothing_behind() -> None:
    pair()
    found = garbage.take()
    assert sum(type(thing) is Node for thing in found) == 2
    assert gc.garbage == []
    assert gc.get_debug() == 0
    del found
    assert gc.collect() >= 2


def test_a_circle_begins_and_ends_at_the_object() -> None:
    pair()
    found = garbage.take()
    node = next(thing for thing in found if type(thing) is Node)
    path = garbage.circle(node, {id(thing) for thing in found})
    assert path is not None
    assert [label for label, _ in path] == [f"{__name__}.Node"] * 3
    assert [via for _, via in path] == ["other", "other", ""]


def test_what_refers_to_itself_is_a_circle_of_one() -> None:
    own: list[object] = []
    own.append(own)
    assert garbage.circle(own, {id(own)}) == [["list of 1", "[0]"], ["list of 1", ""]]


def test_no_circle_through_what_is_not_garbage() -> None:
    one, two = Node(), Node()
    one.other, two.other = two, one
    assert garbage.circle(one, {id(one)}) is None


def test_survivors_tell_garbage_apart_from_what_is_kept(recorder: Any) -> None:
    tool = Survivors(recorder, {"garbage": "1"})
    tool.start()
    assert not gc.isenabled()
    kept = Node()
    pair()
    tool.stop()
    assert gc.isenabled()
    result = in_a_copy(tool)
    tool.abandon()
    name = f"{__name__}.Node"
    assert [row["count"] for row in result["garbage"]["types"] if row["type"] == name] == [2]
    assert [row["count"] for row in result["types"] if row["type"] == name] == [1]
    [cycle] = [row for row in result["garbage"]["cycles"] if row["type"] == name]
    assert cycle["path"][0][0] == cycle["path"][-1][0] == name
    assert kept is not None


def test_tracemalloc_tells_the_line_that_made_the_garbage(recorder: Any) -> None:
    tool = Tracemalloc(recorder, {"garbage": "1"})
    tool.start()
    pair()
    tool.checkpoint()
    result = tool.stop()
    assert gc.isenabled()
    line = pair.__code__.co_firstlineno + 1
    here = {row["line"]: row["bytes"] for row in result["garbage"]["lines"] if row["file"] == __file__}
    assert here[line] > 0
    assert not [row for row in result["lines"] if row["file"] == __file__ and row["line"] == line]
    assert [__file__, line, f"{__name__}:pair"] in result["garbage"]["functions"]


def test_where_it_is_not_asked_for_nothing_changes(recorder: Any) -> None:
    tool = Survivors(recorder, {})
    tool.start()
    assert gc.isenabled()
    tool.stop()
    assert "garbage" not in tool.later()
    tool.abandon()


def in_a_copy(tool: Any) -> dict[str, Any]:
    """What the tool answers in a forked copy, as in a target."""

    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, json.dumps(tool.later()).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        answer: dict[str, Any] = json.loads(pipe.read())
    os.waitpid(child, 0)
    return answer
