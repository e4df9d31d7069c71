"""A call tree with equal siblings folded into one node: what a flame graph shows. Pure, and never recursive.

Frames are numbers that mean something to the caller. A level of the tree is a dict from frame to node.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush


class Node:
    """All calls of one function along one path: two value columns, each for itself and including what it called."""

    __slots__ = ("calls", "children", "inclusive_1", "inclusive_2", "self_1", "self_2")

    def __init__(
        self, self_1: int, self_2: int, inclusive_1: int, inclusive_2: int, children: Level | None, calls: int = 1
    ) -> None:
        self.calls = calls
        self.self_1 = self_1
        self.self_2 = self_2
        self.inclusive_1 = inclusive_1
        self.inclusive_2 = inclusive_2
        self.children = children

    def add(self, other: Node) -> None:
        """Add the other's numbers, not its children."""
        self.calls += other.calls
        self.self_1 += other.self_1
        self.self_2 += other.self_2
        self.inclusive_1 += other.inclusive_1
        self.inclusive_2 += other.inclusive_2


Level = dict[int, Node]


def merge(into: Level, other: Level) -> int:
    """Fold ``other``, which is used up, into ``into``; returns how many nodes fewer there are."""
    fewer = 0
    todo = [(into, other)]
    while todo:
        into, other = todo.pop()
        for frame, node in other.items():
            there = into.get(frame)
            if there is None:
                into[frame] = node
                continue
            fewer += 1
            there.add(node)
            if there.children is None:
                there.children = node.children
            elif node.children is not None:
                todo.append((there.children, node.children))
    return fewer


def fold_one(level: Level, frame: int, node: Node) -> int:
    """Put one finished call into a level; returns how many nodes that added (negative when subtrees met)."""
    there = level.get(frame)
    if there is None:
        level[frame] = node
        return 1
    there.add(node)
    if there.children is None:
        there.children = node.children
        return 0
    return 0 if node.children is None else -merge(there.children, node.children)


def outermost(roots: Level) -> dict[int, tuple[int, int]]:
    """Inclusive values of each frame over the whole tree, recursive calls inside a call of the same frame not counted."""
    totals: dict[int, tuple[int, int]] = {}
    active: dict[int, int] = {}
    todo: list[tuple[int, Node | None]] = list(roots.items())
    while todo:
        frame, node = todo.pop()
        if node is None:
            active[frame] -= 1
            continue
        if not active.get(frame):
            first, second = totals.get(frame, (0, 0))
            totals[frame] = (first + node.inclusive_1, second + node.inclusive_2)
        if node.children:
            active[frame] = active.get(frame, 0) + 1
            todo.append((frame, None))
            todo.extend(node.children.items())
    return totals


def largest(roots: Level, limit: int, *, whole: tuple[int, int] | None = None) -> Iterator[tuple[int, int, Node]]:
    """At most ``limit`` nodes as (frame, position of the parent or -1, node), parents first, large ones before small ones.

    Large is by the bigger of a node's two shares, so that neither column hides the other; negative values count by their size.
    Shares are of ``whole``, by default the roots' totals, which say little where a column holds changes that cancel out.
    """
    total_1, total_2 = map(float, whole or (1, 1))  # as the compiled reader divides, so that both have one order
    if whole is None:
        total_1 = float(sum(node.inclusive_1 for node in roots.values()) or 1)
        total_2 = float(sum(node.inclusive_2 for node in roots.values()) or 1)
    heap: list[tuple[float, int, int, int, Node]] = []
    number = 0

    def push(level: Level, parent: int) -> None:
        nonlocal number
        for frame, node in level.items():
            number += 1  # makes every entry different, so that nodes are never compared
            share = max(abs(float(node.inclusive_1) / total_1), abs(float(node.inclusive_2) / total_2))
            heappush(heap, (-share, number, frame, parent, node))

    push(roots, -1)
    position = 0
    while heap and position < limit:
        _, _, frame, parent, node = heappop(heap)
        yield frame, parent, node
        if node.children:
            push(node.children, position)
        position += 1
