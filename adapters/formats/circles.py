"""Which functions of a call graph call each other in a circle: its strongly connected components. Pure, never recursive.

Algorithm: Tarjan, "Depth-first search and linear graph algorithms" (1972).
"""

from __future__ import annotations

from collections.abc import Iterable


def circles(calls: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Function -> number of its circle, of those in a circle of two or more. A function that calls only itself is in none."""
    callees: dict[int, list[int]] = {}
    for caller, callee in calls:
        if caller != callee:
            callees.setdefault(caller, []).append(callee)
    found: dict[int, int] = {}
    came: dict[int, int] = {}  # when a function was first seen
    lowest: dict[int, int] = {}  # the earliest function on the stack that it leads back to
    stack: list[int] = []
    on_stack: set[int] = set()
    for start, first in callees.items():
        if start in came:
            continue
        came[start] = lowest[start] = len(came)
        stack.append(start)
        on_stack.add(start)
        path = [(start, iter(first))]
        while path:
            function, rest = path[-1]
            for callee in rest:
                if callee not in came:
                    came[callee] = lowest[callee] = len(came)
                    stack.append(callee)
                    on_stack.add(callee)
                    path.append((callee, iter(callees.get(callee, ()))))
                    break
                if callee in on_stack:
                    lowest[function] = min(lowest[function], came[callee])
            else:
                path.pop()
                if path:
                    lowest[path[-1][0]] = min(lowest[path[-1][0]], lowest[function])
                if lowest[function] == came[function]:
                    _close(function, stack, on_stack, found)
    return found


def _close(first: int, stack: list[int], on_stack: set[int], found: dict[int, int]) -> None:
    """Take the circle that begins with ``first`` off the stack."""
    at = len(stack) - 1
    while stack[at] != first:
        at -= 1
    members = stack[at:]
    del stack[at:]
    on_stack.difference_update(members)
    if len(members) > 1:
        found.update(dict.fromkeys(members, first))
