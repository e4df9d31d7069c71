"""Which functions of a call graph run only within another one. Pure.

Callgraph profiles have sums for each pair of caller and callee. To know what a function cost with its callees, calls of it that
happened within itself must be left out; that is so when every way from the root to their caller leads through the function: when
it *dominates* the caller. Algorithm: Cooper, Harvey, Kennedy, "A Simple, Fast Dominance Algorithm" (2001).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

_STEPS_CAP = 5_000_000  # some seconds; real graphs take a few for each edge
_ROOT = 0


@dataclass(frozen=True, slots=True)
class Dominance:
    """`dominates` answers for the graph it was made of; it says no where nothing is known: for a graph that is too tangled, and
    for calls that no root leads to."""

    _depth: Mapping[str, tuple[int, int]] = field(
        default_factory=dict
    )  # by function: when the walk came to it, and left it

    def dominates(self, outer: str, inner: str) -> bool:
        """Whether every way to ``inner`` leads through ``outer``; of itself too."""
        if outer == inner:
            return True
        if outer not in self._depth or inner not in self._depth:
            return False
        came, left = self._depth[outer]
        return came <= self._depth[inner][0] < left


def dominance(calls: Iterable[tuple[str, str]]) -> Dominance:
    """Of (caller, callee) pairs; those with an empty name are left out. Roots are the functions that nobody calls."""
    callees: dict[str, list[str]] = {}
    called: set[str] = set()
    for caller, callee in calls:
        if not caller or not callee:  # "" is the root of ours
            continue
        callees.setdefault(caller, []).append(callee)
        called.add(callee)
    names, successors = _numbered(callees, [name for name in callees if name not in called])
    closest = _closest(successors)
    return Dominance() if closest is None else Dominance(_intervals(names, closest))


def _numbered(
    callees: Mapping[str, Sequence[str]], roots: Sequence[str]
) -> tuple[Sequence[str], Sequence[Sequence[int]]]:
    """Names in reverse postorder behind one root of ours, "", and each one's callees by their position."""
    finished: list[str] = []
    seen = set(roots)
    todo = [("", iter(roots))]
    while todo:
        name, rest = todo[-1]
        following = next((each for each in rest if name == "" or each not in seen), None)
        if following is None:
            finished.append(name)
            todo.pop()
        else:
            seen.add(following)
            todo.append((following, iter(callees.get(following, ()))))
    names = finished[::-1]
    at = {name: number for number, name in enumerate(names)}
    return names, [[at[each] for each in (callees.get(name, ()) if name else roots)] for name in names]


def _closest(successors: Sequence[Sequence[int]]) -> Sequence[int] | None:
    """The closest function that dominates each; None when that takes too long."""
    callers: list[list[int]] = [[] for _ in successors]
    for caller, found in enumerate(successors):
        for callee in found:
            callers[callee].append(caller)
    closest = [-1] * len(successors)
    closest[_ROOT] = _ROOT
    steps = 0
    changed = True
    while changed:
        changed = False
        for number in range(1, len(successors)):
            best = -1
            for caller in callers[number]:
                steps += 1
                if closest[caller] < 0:
                    continue
                one, other = (caller if best < 0 else best), caller
                while one != other:
                    steps += 1
                    if one > other:
                        one = closest[one]
                    else:
                        other = closest[other]
                best = one
                if steps > _STEPS_CAP:
                    return None
            if closest[number] != best:
                closest[number] = best
                changed = True
    return closest


def _intervals(names: Sequence[str], closest: Sequence[int]) -> Mapping[str, tuple[int, int]]:
    """(first, end) of a walk over the tree of dominators: what a function dominates lies in between."""
    sizes = [1] * len(names)
    for number in range(len(names) - 1, _ROOT, -1):  # a function's dominator comes before it
        sizes[closest[number]] += sizes[number]
    found: dict[str, tuple[int, int]] = {}
    free = [0] * len(names)
    first = 0
    for number, name in enumerate(names):
        if number != _ROOT:
            first = free[closest[number]]
            free[closest[number]] += sizes[number]
        free[number] = first + 1
        found[name] = (first, first + sizes[number])
    return found
