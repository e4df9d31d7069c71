"""Trees of allocations: sums, recursion, too many nodes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.formats import stacks

A, B, C = range(3)


def test_values_belong_to_the_innermost_frame_and_count_for_those_around_it() -> None:
    nodes = stacks.tree([([A, B], (5, 1)), ([A], (2, 1)), ([A, B, C], (10, 2)), ([C], (1, 1)), ([], (99, 99))], 2)
    assert [(n.frame, n.parent, n.self_values, n.inclusive_values) for n in nodes] == [
        (A, -1, (2, 1), (17, 4)),
        (B, 0, (5, 1), (15, 3)),
        (C, 1, (10, 2), (10, 2)),
        (C, -1, (1, 1), (1, 1)),
    ]


def test_recursion_counts_once() -> None:
    nodes = stacks.tree([([A, B, A, B], (4,)), ([A, B], (1,)), ([B], (8,))], 1)
    found = {f.frame: (f.self_values, f.inclusive_values) for f in stacks.functions(nodes, 1)}
    assert found == {A: ((0,), (5,)), B: ((13,), (13,))}


def test_what_finds_no_room_counts_for_the_deepest_frame_that_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "NODES_CAP", 2)
    nodes = stacks.tree([([A, B], (1,)), ([A, B, C], (2,)), ([C], (4,))], 1)
    assert [(n.frame, n.self_values) for n in nodes] == [(A, (0,)), (B, (3,))]


def test_forged_numbers_stay_storable() -> None:
    nodes = stacks.tree([([A, B], (2**63 - 1,)), ([A, C], (2**63 - 1,)), ([A, C], (-(2**63) + 1,))], 1)
    assert all(abs(value) < 2**63 for n in nodes for value in (*n.self_values, *n.inclusive_values))


ROWS = st.lists(
    st.tuples(st.lists(st.integers(0, 4), min_size=1, max_size=6), st.tuples(st.integers(-100, 100))), max_size=30
)


@given(rows=ROWS)
def test_sums_hold(rows: list[tuple[list[int], tuple[int]]]) -> None:
    nodes = stacks.tree(rows, 1)
    total = sum(value for _, (value,) in rows)
    assert sum(n.self_values[0] for n in nodes) == total
    assert sum(n.inclusive_values[0] for n in nodes if n.parent < 0) == total
    assert all(n.parent < number for number, n in enumerate(nodes))
    functions = {f.frame: f for f in stacks.functions(nodes, 1)}
    assert sum(f.self_values[0] for f in functions.values()) == total
    for frame, function in functions.items():
        assert function.inclusive_values[0] == sum(value for way, (value,) in rows if frame in way)
