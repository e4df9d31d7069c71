"""Allocations by stack -> a call tree and its functions. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from harness.model.profile import CallNode, FunctionCost

NODES_CAP = 200_000
_LIMIT = 2**62  # what forged numbers add up to must still be storable


@dataclass(slots=True)
class _Node:
    frame: int
    parent: int
    own: list[int]
    inclusive: list[int]
    children: dict[int, int] = field(default_factory=dict)


def tree(stacks: Iterable[tuple[Sequence[int], Sequence[int]]], width: int) -> tuple[CallNode, ...]:
    """``stacks``: (frames by number, outermost first; ``width`` values). What finds no room among `NODES_CAP` nodes counts for
    the deepest frame that has one. Calls are 0: allocations do not tell them."""
    nodes: list[_Node] = []
    roots: dict[int, int] = {}
    for frames, values in stacks:
        at, children = -1, roots
        for frame in frames:
            found = children.get(frame)
            if found is None:
                if len(nodes) >= NODES_CAP:
                    break
                found = children[frame] = len(nodes)
                nodes.append(_Node(frame, at, [0] * width, [0] * width))
            at, children = found, nodes[found].children
        if at >= 0:
            _add(nodes[at].own, values)
    for node in reversed(nodes):
        _add(node.inclusive, node.own)
        if node.parent >= 0:
            _add(nodes[node.parent].inclusive, node.inclusive)
    return tuple(CallNode(n.frame, n.parent, 0, tuple(n.own), tuple(n.inclusive)) for n in nodes)


def functions(nodes: Sequence[CallNode], width: int) -> tuple[FunctionCost, ...]:
    """Totals by frame of a tree; inclusive values count the outermost node of each path only."""
    own: dict[int, list[int]] = {}
    inclusive: dict[int, list[int]] = {}
    children: list[list[int]] = [[] for _ in nodes]
    for number, node in enumerate(nodes):
        if node.parent >= 0:
            children[node.parent].append(number)
    around: dict[int, int] = {}  # how often a frame is on the way to the current node
    todo = [(number, False) for number, node in enumerate(nodes) if node.parent < 0]
    while todo:
        number, leaving = todo.pop()
        node = nodes[number]
        if leaving:
            around[node.frame] -= 1
            continue
        _add(own.setdefault(node.frame, [0] * width), node.self_values)
        if not around.get(node.frame):
            _add(inclusive.setdefault(node.frame, [0] * width), node.inclusive_values)
        around[node.frame] = around.get(node.frame, 0) + 1
        todo.append((number, True))
        todo += [(child, False) for child in children[number]]
    return tuple(FunctionCost(frame, 0, tuple(own[frame]), tuple(inclusive[frame])) for frame in own)


def _add(sums: list[int], values: Sequence[int]) -> None:
    for position, value in enumerate(values):
        sums[position] = max(-_LIMIT, min(_LIMIT, sums[position] + value))
