"""Who called whom, with the agent's own frames taken out and functions of the same name and place made one. Pure."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass, field, replace

STEPS_CAP = 1_000_000  # the agent has a few dozen functions, each with a few callers and callees


@dataclass(slots=True)
class Figures:
    """Calls, and ns in the function itself and with all it calls (recursion counted once)."""

    calls: int = 0
    own_ns: int = 0
    total_ns: int = 0

    def add(self, other: Figures) -> None:
        """Add the other's numbers."""
        self.calls += other.calls
        self.own_ns += other.own_ns
        self.total_ns += other.total_ns

    def subtract(self, other: Figures) -> None:
        """Take the other's numbers away; nothing falls below 0."""
        self.calls = max(0, self.calls - other.calls)
        self.own_ns = max(0, self.own_ns - other.own_ns)
        self.total_ns = max(0, self.total_ns - other.total_ns)

    def share(self, part: int, whole: int) -> Figures:
        """``part`` of ``whole`` of all of it, rounded down, at least one call."""
        return Figures(max(1, self.calls * part // whole), self.own_ns * part // whole, self.total_ns * part // whole)


@dataclass(frozen=True, slots=True)
class Function:
    """``file`` and ``line`` are None for what is not written in Python; ``ours``: a function of the agent."""

    file: str | None
    line: int | None
    name: str
    ours: bool
    figures: Figures

    @property
    def label(self) -> tuple[str | None, int | None, str]:
        """What tells functions apart for people."""
        return (self.file, self.line, self.name)


Calls = MutableMapping[tuple[int, int], Figures]
"""By (caller, callee), as keys of the functions they belong to."""


@dataclass(slots=True)
class Graph:
    """Functions by number, and the calls between them."""

    functions: dict[int, Function] = field(default_factory=dict)
    calls: Calls = field(default_factory=dict)


def without_ours(graph: Graph) -> Graph:
    """The graph without the agent's functions and the builtins they called: who called them calls what they called, in
    proportion to the calls from each. ValueError where a forged graph would take too long.
    """
    work = _Splicing(graph)
    for number, function in graph.functions.items():
        if function.ours:
            work.splice(number)
    return work.result()


class _Splicing:
    """A graph while functions are taken out of it."""

    def __init__(self, graph: Graph) -> None:
        self._functions = dict(graph.functions)
        self._figures = {number: replace(function.figures) for number, function in graph.functions.items()}
        self._calls: Calls = {}
        self._callers: dict[int, set[int]] = {number: set() for number in graph.functions}
        self._callees: dict[int, set[int]] = {number: set() for number in graph.functions}
        self._steps = 0
        for (caller, callee), cost in graph.calls.items():
            self._connect(caller, callee, cost)

    def splice(self, ours: int) -> None:
        """Take one function out."""
        self._cut(ours, ours)
        called: list[tuple[int, Figures]] = []
        for callee in list(self._callees[ours]):
            cost = self._cut(ours, callee)
            if self._functions[callee].file is None:
                called += [(below, part) for below, part in self._without_builtin(callee, cost) if below != ours]
            else:
                called.append((callee, cost))
        callers = [(caller, self._cut(caller, ours).calls) for caller in list(self._callers[ours])]
        self._count((len(called) + 1) * (len(callers) + 1))
        in_all = max(self._figures[ours].calls, sum(calls for _, calls in callers), 1)
        for callee, cost in called:
            for caller, calls in callers:
                if caller != callee and calls:
                    self._connect(caller, callee, cost.share(calls, in_all))
        del self._functions[ours]

    def _without_builtin(self, builtin: int, cost: Figures) -> list[tuple[int, Figures]]:
        """Take our calls of a builtin off its figures, and with them their part of what it called: next() resumes generators."""
        in_all = max(self._figures[builtin].calls, cost.calls, 1)
        self._figures[builtin].subtract(cost)
        self._count(len(self._callees[builtin]))
        found = []
        for callee in self._callees[builtin]:
            if self._functions[callee].file is not None:
                moved = self._calls[builtin, callee].share(cost.calls, in_all)
                self._calls[builtin, callee].subtract(moved)
                found.append((callee, moved))
        return found

    def result(self) -> Graph:
        """What is left; builtins that nobody else called are gone."""
        left = {
            number: replace(function, figures=self._figures[number])
            for number, function in self._functions.items()
            if function.file is not None or self._figures[number].calls
        }
        return Graph(
            left, {ends: cost for ends, cost in self._calls.items() if left.keys() >= set(ends) and cost.calls}
        )

    def _connect(self, caller: int, callee: int, cost: Figures) -> None:
        self._calls.setdefault((caller, callee), Figures()).add(cost)
        self._callers[callee].add(caller)
        self._callees[caller].add(callee)

    def _cut(self, caller: int, callee: int) -> Figures:
        self._callers[callee].discard(caller)
        self._callees[caller].discard(callee)
        return self._calls.pop((caller, callee), Figures())

    def _count(self, steps: int) -> None:
        self._steps += steps
        if self._steps > STEPS_CAP:
            raise ValueError("the agent's own functions have more callers than they can have")


def merged(graph: Graph) -> Graph:
    """Functions with the same label as one, numbered from 0 in the order they first come."""
    numbers: dict[tuple[str | None, int | None, str], int] = {}
    result = Graph()
    for function in graph.functions.values():
        number = numbers.setdefault(function.label, len(numbers))
        if number not in result.functions:
            result.functions[number] = Function(function.file, function.line, function.name, function.ours, Figures())
        result.functions[number].figures.add(function.figures)
    for (caller, callee), cost in graph.calls.items():
        ends = (numbers[graph.functions[caller].label], numbers[graph.functions[callee].label])
        result.calls.setdefault(ends, Figures()).add(cost)
    return result


def self_ns(functions: Iterable[Function]) -> int:
    """Time in all functions together."""
    return sum(function.figures.own_ns for function in functions)
