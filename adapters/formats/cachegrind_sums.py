"""Adds the blocks of a cachegrind file up: totals by function, calls by line, the call tree. Pure; in the file's units.

A block comes when its call returns, so the blocks are the call tree in post-order: one with k calls takes the nearest finished
blocks of those names, from the last call backwards. Reading is one pass that keeps totals and the folded tree, not the blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from adapters.formats.cachegrind_text import EdgeRow, FunctionRow, Limits, TreeRow, too_large
from adapters.formats.calltree import Level, Node, fold_one, largest, outermost

_Finished = tuple[int, int, Level | None]  # own time, own memory, what it called


@dataclass(slots=True)
class _Function:
    """Totals of one frame; ``edges`` by (callee, line of the call) hold [calls, time, memory]."""

    line: int
    calls: int = 0
    time: int = 0
    memory: int = 0
    edges: dict[tuple[int, int], list[int]] = field(default_factory=dict)


class Sums:
    """Blocks in, rows of tables out."""

    def __init__(self, limits: Limits) -> None:
        self.tree_size: int | None = 0  # None: too many different paths, the tree was given up
        self.unmatched = 0
        self._limits = limits
        self._functions: dict[int, _Function] = {}
        self._roots: Level = {}
        self._edges = 0
        self._searched = 0
        # Calls that have returned and whose caller has not: parallel lists, because whole slices are compared.
        self._pending: list[int] = []
        self._finished: list[_Finished] = []

    def add(
        self, frame: int, line: int, time: int, memory: int, called: list[int], costs: list[tuple[int, int, int]]
    ) -> None:
        """One block: its own line and values; the frames it called, in order, and line, time and memory of each call."""
        function = self._functions.get(frame)
        if function is None:
            function = self._functions[frame] = _Function(line)
        function.calls += 1
        function.time += time
        function.memory += memory
        self._finished.append((time, memory, self._call(function.edges, called, costs) if called else None))
        self._pending.append(frame)
        if self.tree_size is not None and self.tree_size > self._limits.tree:
            self._give_the_tree_up()
        if len(self._pending) > self._limits.pending:
            raise too_large(self._limits, "pending")

    def close_segment(self) -> None:
        """Whatever nobody has taken is a root."""
        for frame, finished in zip(self._pending, self._finished, strict=True):
            own_time, own_memory, children = finished
            below = [] if children is None else list(children.values())
            time = own_time + sum(node.inclusive_1 for node in below)
            memory = own_memory + sum(node.inclusive_2 for node in below)
            self._fold(self._roots, frame, Node(own_time, own_memory, time, memory, children))
        self._pending.clear()
        self._finished.clear()

    def function_rows(self) -> list[FunctionRow]:
        """Every function that has a block."""
        inclusive = outermost(self._roots) if self.tree_size is not None else self._from_edges()
        return [
            (frame, f.line, f.calls, f.time, f.memory, *inclusive.get(frame, (0, 0)))
            for frame, f in self._functions.items()
        ]

    def edge_rows(self) -> list[EdgeRow]:
        """Every call from one function to another, by line."""
        return [
            (frame, callee, line, calls, time, memory)
            for frame, f in self._functions.items()
            for (callee, line), (calls, time, memory) in f.edges.items()
        ]

    def tree_rows(self, most: int) -> Iterator[TreeRow]:
        """The largest nodes of the tree, parents first."""
        if self.tree_size is not None:
            for frame, parent, node in largest(self._roots, most):
                yield frame, parent, node.calls, node.self_1, node.self_2, node.inclusive_1, node.inclusive_2

    def _call(
        self, edges: dict[tuple[int, int], list[int]], called: list[int], costs: list[tuple[int, int, int]]
    ) -> Level:
        """Count the calls of one block, and make its level of the tree of what returned before it."""
        children: Level = {}
        taken = self._take(called)
        grow = self.tree_size is not None
        for callee, (line, time, memory), child in zip(called, costs, taken, strict=True):
            edge = edges.get((callee, line))
            if edge is None:
                self._new_edge()
                edges[callee, line] = [1, time, memory]
            else:
                edge[0] += 1
                edge[1] += time
                edge[2] += memory
            # Without a block of its own a call has spent its time nobody knows where.
            own_time, own_memory, below = child or (time, memory, None)
            node = Node(own_time, own_memory, time, memory, below)
            if grow and callee not in children:
                children[callee] = node
            else:
                self._fold(children, callee, node)
        if self.tree_size is not None:
            self.tree_size += len(children)
        return children

    def _new_edge(self) -> None:
        self._edges += 1
        if self._edges > self._limits.edges:
            raise too_large(self._limits, "edges")

    def _take(self, called: list[int]) -> list[_Finished] | list[_Finished | None]:
        """The finished calls of these frames, None for one that is missing. Nearly always they are the last ones."""
        count = len(called)
        if self._pending[-count:] == called:
            taken = self._finished[-count:]
            del self._pending[-count:], self._finished[-count:]
            return taken
        return self._search(called)

    def _search(self, called: list[int]) -> list[_Finished | None]:
        """The same when roots lie between the calls, or blocks are missing."""
        taken: list[_Finished | None] = []
        below = len(self._pending)
        for frame in reversed(called):
            position = below - 1
            while position >= 0 and self._pending[position] != frame and self._searched < self._limits.search:
                position -= 1
                self._searched += 1
            if position < 0 or self._pending[position] != frame:
                self.unmatched += 1
                taken.append(None)
                continue
            self._searched += (len(self._pending) - position) >> 6  # deleting moves what is above
            del self._pending[position]
            taken.append(self._finished.pop(position))
            below = position
        taken.reverse()
        return taken

    def _fold(self, level: Level, frame: int, node: Node) -> None:
        if self.tree_size is None:
            node.children = None
            fold_one(level, frame, node)
        else:
            self.tree_size += fold_one(level, frame, node)

    def _give_the_tree_up(self) -> None:
        """Keep the roots, and what unfinished calls have called directly, for the totals of those that become roots."""
        self.tree_size = None
        for _, _, level in self._finished:
            for node in level.values() if level else ():
                node.children = None
        for root in self._roots.values():
            root.children = None

    def _from_edges(self) -> dict[int, tuple[int, int]]:
        """Inclusive values without a tree: all calls from other functions, so indirect recursion counts several times."""
        totals = {frame: (node.inclusive_1, node.inclusive_2) for frame, node in self._roots.items()}
        for caller, function in self._functions.items():
            for (callee, _), (_, time, memory) in function.edges.items():
                if callee != caller:
                    before = totals.get(callee, (0, 0))
                    totals[callee] = (before[0] + time, before[1] + memory)
        return totals
