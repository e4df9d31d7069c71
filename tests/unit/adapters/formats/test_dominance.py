"""Dominators of call graphs, against their definition."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.formats import dominance as module
from adapters.formats.dominance import dominance

Calls = set[tuple[str, str]]


def test_wrappers_and_recursion() -> None:
    found = dominance([("main()", "app"), ("app", "wrapper"), ("wrapper", "app"), ("main()", "leaf"), ("app", "leaf")])
    assert found.dominates("app", "wrapper")
    assert found.dominates("app", "app")
    assert found.dominates("main()", "leaf")
    assert not found.dominates("wrapper", "app")
    assert not found.dominates("app", "leaf")


def test_nothing_is_said_of_calls_that_no_root_leads_to() -> None:
    found = dominance([("main()", "f"), ("a", "b"), ("b", "a"), ("f", ""), ("", "a")])
    assert not found.dominates("a", "b")
    assert not found.dominates("main()", "a")


def test_a_graph_that_is_too_tangled_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STEPS_CAP", 3)
    found = dominance([("main()", f"f{n}") for n in range(9)])
    assert not found.dominates("main()", "f1")
    assert found.dominates("f1", "f1")


def reached(calls: Calls, without: str | None) -> set[str]:
    """Everything that the functions nobody calls lead to, when one function is taken away."""
    called = {callee for _, callee in calls}
    todo = [caller for caller, _ in calls if caller not in called and caller != without]
    found = set(todo)
    while todo:
        name = todo.pop()
        new = {callee for caller, callee in calls if caller == name and callee != without} - found
        found |= new
        todo += new
    return found


@given(st.sets(st.tuples(st.sampled_from("rabcdefg"), st.sampled_from("abcdefg")), max_size=20))
def test_a_function_dominates_what_cannot_be_reached_without_it(calls: Calls) -> None:
    found = dominance(sorted(calls))
    reachable = reached(calls, None)
    for outer in "rabcdefg":
        rest = reached(calls, outer)
        for inner in "rabcdefg":
            expected = outer == inner or (outer in reachable and inner in reachable and inner not in rest)
            assert found.dominates(outer, inner) is expected, (outer, inner)
