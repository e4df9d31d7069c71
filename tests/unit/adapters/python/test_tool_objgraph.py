"""Which types objgraph's search looks at, and the paths it finds, on objects that are known."""

from __future__ import annotations

import gc
import json
from collections import OrderedDict
from email.message import Message
from typing import Any

import objgraph
import pytest

from adapters.python.agent.tool_objgraph import _Search, _worth_a_look

KEPT: list[object] = []


class Row: ...


class Part: ...


def named(kind: type) -> str:
    return f"{kind.__module__}.{kind.__name__}"


@pytest.fixture
def kept() -> Any:
    KEPT.append(Row())
    yield KEPT
    KEPT.clear()


def test_one_more_object_of_the_application_is_worth_a_look_and_comes_first() -> None:
    growth = {
        "builtins.cell": 5, "builtins.list": 1, named(Message): 2, named(OrderedDict): 1, named(Row): 1,
        named(Part): 1, "pytest.Item": 0, "no_such_module.Thing": 3,
    }  # fmt: skip
    assert _worth_a_look(list(growth), growth) == [
        named(Row), named(Part), "builtins.cell", named(Message), "no_such_module.Thing",
    ]  # fmt: skip


def test_a_module_that_holds_it_is_named(kept: list[object]) -> None:
    search = _Search(objgraph, list(kept))
    search.look(named(Row))
    [chain] = search.chains
    assert (chain["type"], chain["objects"]) == (named(Row), 1)
    assert chain["path"] == [[f"module {__name__}", "KEPT"], ["list of 1", "[0]"], [named(Row), ""]]
    assert search.complete
    assert not search.without


def test_what_a_running_function_holds_has_a_path_too() -> None:
    basket = {"first": Part()}
    search = _Search(objgraph, [basket["first"]])
    search.look(named(Part))
    [chain] = search.chains
    function = test_what_a_running_function_holds_has_a_path_too.__name__
    assert chain["path"] == [
        [f"frame of {__name__}.{function}", "basket"],
        ["dict of 1", "['first']"],
        [named(Part), ""],
    ]


def test_what_nothing_leads_to_is_counted_by_type() -> None:
    row = Row()
    loop = [row]
    loop.append(loop)  # type: ignore[arg-type]  # a cycle that only the list below holds
    found = gc.get_referents([row])
    del row, loop
    gc.disable()
    try:
        search = _Search(objgraph, found)
        search._variables.clear()  # as for what another thread's function holds
        search.look(named(Row))
    finally:
        gc.enable()
    assert search.chains == []
    assert search.without == {named(Row): 1}
    assert json.dumps(search.without)
