"""Counting what a request left, on objects that are known."""

from __future__ import annotations

import gc
import os
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.python.agent import snapshot
from adapters.python.agent.results import ToolError
from adapters.python.agent.tool_survivors import Tool, report, size, spread

KEPT: list[object] = []


class Order:
    def __init__(self) -> None:
        self.text = bytes(5000)


class Liar:
    def __sizeof__(self) -> int:
        raise RuntimeError("planted")


def of(kind: type, result: dict[str, Any]) -> dict[str, int]:
    [row] = [row for row in result["types"] if row["type"] == f"{__name__}.{kind.__name__}"]
    return {key: value for key, value in row.items() if key != "type"}


def test_objects_count_with_their_attributes_and_large_strings() -> None:
    KEPT[:] = [Order() for _ in range(10)]
    KEPT.append(Liar())
    shared = KEPT[0].text  # type: ignore[attr-defined]
    KEPT[1].text = shared  # type: ignore[attr-defined]
    try:
        result = report(list(KEPT))
        one = sys.getsizeof(KEPT[0]) + sys.getsizeof(KEPT[0].__dict__)
        assert of(Order, result) == {"count": 10, "bytes": 10 * one, "buffer_bytes": 9 * sys.getsizeof(shared)}
        assert of(Liar, result)["count"] == 1
        assert result["objects"] == 11
        assert not [row for row in result["types"] if row["type"] == "dict"]
        [chain] = [chain for chain in result["chains"] if chain["type"] == f"{__name__}.Order"]
        assert chain["objects"] == 10
        assert chain["path"][0] == [f"module {__name__}", "KEPT"]
        assert chain["path"][1][0] == "list of 11"
    finally:
        KEPT.clear()


def test_types_of_the_application_come_before_builtins_of_about_the_same_size() -> None:
    KEPT[:] = [Order(), [None] * 900, set(range(2000))]  # some 5.3 kB with its bytes, 7.3 kB, more than 60 kB
    try:
        kinds = [row["type"] for row in report(list(KEPT))["types"]]
    finally:
        KEPT.clear()
    assert kinds == ["set", f"{__name__}.Order", "list"]


def test_the_tool_in_a_copy_sees_just_what_was_made(recorder: Any) -> None:
    before = Order()
    assert before is not None
    tool = Tool(recorder, {})
    tool.start()
    try:
        KEPT[:] = [Order() for _ in range(7)]
        garbage = Order()
        garbage.itself = garbage  # type: ignore[attr-defined]
        del garbage
        assert tool.stop() == {}
        assert gc.get_freeze_count() <= recorder.frozen_at_boot
        said = snapshot.ask(recorder, lambda: repr(of(Order, tool.later())).encode())
        tool.abandon()
        assert b"'count': 7," in snapshot.answer(said)
    finally:
        tool.abandon()
        KEPT.clear()


def test_what_sorts_garbage_from_survivors_is_none_of_them(recorder: Any) -> None:
    tool = Tool(recorder, {"garbage": "1"})
    tool.start()
    try:
        KEPT[:] = [Order() for _ in range(3)]
        garbage = Order()
        garbage.itself = garbage  # type: ignore[attr-defined]
        number = id(garbage)
        del garbage
        tool.stop()
        found = list(tool._found)
        assert {id(order) for order in KEPT} <= {id(thing) for thing in found}
        assert not [thing for thing in found if type(thing) is set and number in thing]
        assert len(tool._garbage) > 0
    finally:
        tool.abandon()
        KEPT.clear()


def test_a_heap_that_the_application_froze_stays_frozen(recorder: Any) -> None:
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        tool = Tool(recorder, {})
        with pytest.raises(ToolError, match="the application has frozen its own heap"):
            tool.start()
        tool.abandon()
        assert gc.get_freeze_count() == frozen
    finally:
        gc.unfreeze()


def test_abandoning_leaves_nothing_frozen(recorder: Any) -> None:
    tool = Tool(recorder, {})
    tool.start()
    assert gc.get_freeze_count() > recorder.frozen_at_boot
    tool.abandon()
    assert gc.get_freeze_count() <= recorder.frozen_at_boot


@pytest.fixture
def recorder() -> Any:
    return SimpleNamespace(
        frozen_at_boot=gc.get_freeze_count(), rss_bytes=lambda: 1, fd=-1, statm=-1, copier=None, speaks_for=None
    )


def test_samples_come_from_all_over() -> None:
    assert spread(list(range(1000)), 4) == [0, 250, 500, 750]
    assert spread([1, 2], 4) == [1, 2]


def test_sizes_that_cannot_be() -> None:
    class Huge:
        def __sizeof__(self) -> int:
            return 1 << 60

    assert size(Huge()) == size(Liar()) == 0
    assert size(os) == sys.getsizeof(os)
