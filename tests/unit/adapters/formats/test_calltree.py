from adapters.formats.calltree import Level, Node, fold_one, largest, merge, outermost


def node(self_1: int, inclusive_1: int, children: Level | None = None, calls: int = 1) -> Node:
    return Node(self_1, 0, inclusive_1, 0, children, calls)


def shape(level: Level | None) -> object:
    return (
        None if level is None else {f: (n.calls, n.self_1, n.inclusive_1, shape(n.children)) for f, n in level.items()}
    )


def test_merging_adds_equal_paths_and_keeps_the_others() -> None:
    into: Level = {1: node(1, 3, {2: node(2, 2)}), 5: node(9, 9)}
    fewer = merge(into, {1: node(10, 70, {2: node(20, 20), 3: node(40, 40)}), 6: node(4, 4)})
    assert fewer == 2
    assert shape(into) == {
        1: (2, 11, 73, {2: (2, 22, 22, None), 3: (1, 40, 40, None)}),
        5: (1, 9, 9, None),
        6: (1, 4, 4, None),
    }


def test_folding_counts_the_nodes_of_the_tree() -> None:
    level: Level = {}
    size = fold_one(level, 1, node(1, 1))
    size += fold_one(level, 2, node(0, 5, {3: node(5, 5)})) + 1  # its child was counted when it was made
    assert size == 3
    size += fold_one(level, 2, node(0, 5, {3: node(5, 5)})) + 1
    assert size == 3


def test_recursion_is_counted_once_in_inclusive_values() -> None:
    roots: Level = {1: node(1, 100, {2: node(2, 60, {1: node(3, 50, {2: node(4, 40)})}), 3: node(39, 39)})}
    assert outermost(roots) == {1: (100, 0), 2: (60, 0), 3: (39, 0)}


def test_the_same_function_in_two_branches_counts_twice() -> None:
    roots: Level = {1: node(0, 30, {2: node(0, 10, {4: node(10, 10)}), 3: node(0, 20, {4: node(20, 20)})})}
    assert outermost(roots)[4] == (30, 0)


def test_a_deep_tree_needs_no_stack_of_ours() -> None:
    deep: Level = {7: node(1, 1)}
    for _ in range(50_000):
        deep = {7: node(1, 1, deep)}
    other: Level = {7: node(1, 1, {7: node(1, 1)})}
    assert merge(deep, other) == 2
    assert outermost(deep) == {7: (2, 0)}
    assert sum(1 for _ in largest(deep, 60_000)) == 50_001


def test_the_largest_nodes_come_with_their_parents_first() -> None:
    roots: Level = {1: node(0, 100, {2: node(90, 90), 3: node(10, 10, {4: node(9, 9)})}), 5: node(50, 50)}
    shown = [(frame, parent) for frame, parent, _ in largest(roots, 4)]
    assert shown == [(1, -1), (2, 0), (5, -1), (3, 0)]


def test_a_node_is_large_by_either_column() -> None:
    roots: Level = {1: Node(0, 0, 100, 100, {2: Node(5, 99, 5, 99, None), 3: Node(60, 0, 60, 0, None)})}
    assert [frame for frame, _, _ in largest(roots, 2)] == [1, 2]


def test_changes_with_a_sign_are_large_by_their_size_and_of_the_whole_given() -> None:
    roots: Level = {1: Node(0, 0, 100, 0, {2: Node(60, 10, 60, 10, None), 3: Node(1, -500, 1, -500, None)})}
    shown = [(frame, parent) for frame, parent, _ in largest(roots, 2, whole=(100, 500))]
    assert shown == [(1, -1), (3, 0)]
