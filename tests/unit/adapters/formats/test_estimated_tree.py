"""Trees estimated from totals: what is shared out adds up, whatever the graph looks like."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from adapters.formats.estimated_tree import Estimate, estimated_tree
from harness.model.profile import CallEdge, FunctionCost


def function(frame: int, calls: int, own: int, inclusive: int) -> FunctionCost:
    return FunctionCost(frame, calls, (own,), (inclusive,))


def edge(caller: int, callee: int, calls: int, inclusive: int) -> CallEdge:
    return CallEdge(caller, callee, 0, calls, (inclusive,))


def paths(estimate: Estimate) -> dict[tuple[int, ...], tuple[int, int, int]]:
    """Path from the root, as frames -> calls, self, inclusive."""
    found: list[tuple[int, ...]] = []
    for node in estimate.nodes:
        found.append((*(found[node.parent] if node.parent >= 0 else ()), node.frame))
    return {
        path: (n.calls, n.self_values[0], n.inclusive_values[0]) for path, n in zip(found, estimate.nodes, strict=True)
    }


def test_a_function_is_shared_out_by_the_time_each_caller_spent_in_it() -> None:
    functions = [function(0, 1, 10, 110), function(1, 1, 5, 80), function(2, 1, 5, 20), function(3, 10, 90, 90)]
    edges = [edge(0, 1, 1, 80), edge(0, 2, 1, 20), edge(1, 3, 2, 75), edge(2, 3, 8, 15)]
    assert paths(estimated_tree(functions, edges, 99)) == {
        (0,): (1, 10, 110),
        (0, 1): (1, 5, 80),
        (0, 1, 3): (8, 75, 75),  # of calls it is an estimate: there were 2
        (0, 2): (1, 5, 20),
        (0, 2, 3): (2, 15, 15),
    }


def test_what_nobody_called_is_a_root_also_when_it_was_called_elsewhere() -> None:
    functions = [function(0, 1, 10, 40), function(1, 3, 90, 90)]
    found = paths(estimated_tree(functions, [edge(0, 1, 1, 30)], 99))
    assert found == {(1,): (2, 60, 60), (0,): (1, 10, 40), (0, 1): (1, 30, 30)}


def test_recursion_stays_at_its_outermost_place() -> None:
    functions = [function(0, 1, 1, 101), function(1, 5, 60, 100), function(2, 4, 40, 90)]
    edges = [edge(0, 1, 1, 100), edge(1, 1, 2, 50), edge(1, 2, 4, 90), edge(2, 1, 2, 60)]
    assert paths(estimated_tree(functions, edges, 99)) == {
        (0,): (1, 1, 101),
        (0, 1): (5, 60, 100),
        (0, 1, 2): (4, 40, 40),
    }


def test_a_circle_that_nobody_enters_has_a_root_all_the_same() -> None:
    functions = [function(0, 1, 10, 30), function(1, 1, 20, 20)]
    edges = [edge(0, 1, 1, 20), edge(1, 0, 1, 10)]
    assert paths(estimated_tree(functions, edges, 99)) == {(0,): (1, 10, 30), (0, 1): (1, 20, 20)}


def test_the_largest_paths_are_kept() -> None:
    functions = [function(0, 1, 0, 100), *(function(n, 1, n, n) for n in range(1, 10))]
    estimate = estimated_tree(functions, [edge(0, n, 1, n) for n in range(1, 10)], 3)
    assert [n.frame for n in estimate.nodes] == [0, 9, 8]
    assert not estimate.complete


def test_a_tree_of_exponential_size_costs_what_is_shown() -> None:
    depth = 200
    functions = [function(n, 1, 1000, 1000 * (2 * depth - n)) for n in range(2 * depth)]
    edges = [
        edge(2 * level + a, 2 * level + 2 + b, 1, 500 * (2 * depth - 2 * level))
        for level in range(depth - 1)
        for a in (0, 1)
        for b in (0, 1)
    ]
    assert len(estimated_tree(functions, edges, 500).nodes) == 500


def test_a_deep_graph_needs_no_stack_of_ours() -> None:
    functions = [function(n, 1, 2, 2 * (50_000 - n)) for n in range(50_000)]
    edges = [edge(n, n + 1, 1, 2 * (49_999 - n)) for n in range(49_999)]
    assert len(estimated_tree(functions, edges, 60_000).nodes) == 50_000


values = st.integers(0, 10**6)
graphs = st.integers(1, 7).flatmap(
    lambda size: st.tuples(
        st.lists(st.tuples(st.integers(0, 9), values, values), min_size=size, max_size=size),
        st.lists(st.tuples(st.integers(0, size - 1), st.integers(0, size - 1), st.integers(0, 9), values), max_size=20),
    )
)


@given(graph=graphs)
def test_self_times_add_up_and_parts_are_within_their_whole(
    graph: tuple[list[tuple[int, int, int]], list[tuple[int, int, int, int]]],
) -> None:
    """Whatever the numbers: forged ones need not fit together."""
    functions = [function(n, calls, own, inclusive) for n, (calls, own, inclusive) in enumerate(graph[0])]
    edges = [edge(*e) for e in {(e[0], e[1]): e for e in graph[1]}.values()]
    estimate = estimated_tree(functions, edges, 100_000)
    assert estimate.complete
    below = [0] * len(estimate.nodes)
    own = [0] * len(functions)
    for node in estimate.nodes:
        own[node.frame] += node.self_values[0]
        if node.parent >= 0:
            below[node.parent] += node.inclusive_values[0]
    for node, children in zip(estimate.nodes, below, strict=True):
        assert node.self_values[0] + children <= node.inclusive_values[0] + 1
    slack = len(estimate.nodes) + 200  # rounded down, and paths below 1 ns are not drawn
    roots = sum(n.inclusive_values[0] for n in estimate.nodes if n.parent < 0)
    assert 0 <= sum(f.self_values[0] for f in functions) - roots <= slack
    for f in functions:
        assert -1 <= f.self_values[0] - own[f.frame] <= slack
