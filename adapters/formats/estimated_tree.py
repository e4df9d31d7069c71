"""A call tree estimated from totals, where a profiler kept who called whom but not along which paths. Pure, never recursive.

What a function did is shared out among its callers in proportion to the time of the calls from each: the same that viewers
of pstats and callgrind files do. A function that behaves differently for different callers is drawn wrongly, so say that a
tree is estimated wherever it is shown. Calls that close a circle are left out: all of a recursive function is at its outermost
place. Shares of a function add up to one, so self values of the whole tree add up to those of the functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from harness.model.profile import CallEdge, CallNode, FunctionCost

NOTE_TREE = (
    "the call tree is an estimate: the file has sums for each caller and callee, not paths; what a function did is shared out "
    "among its callers in proportion to what their calls cost"
)
_LIMIT = 2**62
_UNSEEN, _OPEN, _DONE = range(3)


@dataclass(frozen=True, slots=True)
class Estimate:
    """``nodes``: parents before children. ``complete``: no path was left out."""

    nodes: tuple[CallNode, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class _Share:
    """The part of a function's work that belongs to one caller."""

    callee: int
    part: float


def estimated_tree(functions: Sequence[FunctionCost], edges: Iterable[CallEdge], limit: int) -> Estimate:
    """At most ``limit`` nodes, largest first, by the first value. Functions have one entry a frame; edges to others are ignored.
    Other values are shared out as the first is.

    Values that are shared out are rounded down, so parts never exceed their whole.
    """
    at = {function.frame: number for number, function in enumerate(functions)}
    calls = [
        (at[edge.caller], at[edge.callee], edge)
        for edge in edges
        if edge.caller in at and edge.callee in at and edge.caller != edge.callee
    ]
    kept, order = _without_circles(functions, calls)
    roots, below = _shares(functions, calls, kept)
    whole = [[float(value) for value in function.self_values] for function in functions]
    for number in reversed(order):
        for column in range(len(whole[number])):
            whole[number][column] += sum(share.part * whole[share.callee][column] for share in below[number])
    for shares in (roots, *below):
        shares.sort(key=lambda share: -share.part * whole[share.callee][0])
    return _largest(functions, roots, below, whole, limit)


def _without_circles(
    functions: Sequence[FunctionCost], calls: Sequence[tuple[int, int, CallEdge]]
) -> tuple[list[tuple[int, int, CallEdge]], list[int]]:
    """The calls without those that lead back to a function that is still open, seen from the outermost and largest ones; and
    the functions, callers before what they call."""
    called: list[list[tuple[int, int, CallEdge]]] = [[] for _ in functions]
    entered = [function.calls for function in functions]
    for call in calls:
        called[call[0]].append(call)
        entered[call[1]] -= call[2].calls
    for out in called:
        out.sort(key=lambda call: call[2].inclusive_values[0])  # the largest is taken first, from the end
    starts = sorted(
        range(len(functions)), key=lambda n: (entered[n] > 0, functions[n].inclusive_values[0]), reverse=True
    )
    state = [_UNSEEN] * len(functions)
    kept: list[tuple[int, int, CallEdge]] = []
    done: list[int] = []
    for start in starts:
        if state[start] != _UNSEEN:
            continue
        state[start] = _OPEN
        path = [start]
        while path:
            if not called[path[-1]]:
                state[path[-1]] = _DONE
                done.append(path.pop())
                continue
            call = called[path[-1]].pop()
            if state[call[1]] == _OPEN:
                continue
            kept.append(call)
            if state[call[1]] == _UNSEEN:
                state[call[1]] = _OPEN
                path.append(call[1])
    done.reverse()
    return kept, done


def _shares(
    functions: Sequence[FunctionCost],
    calls: Sequence[tuple[int, int, CallEdge]],
    kept: Sequence[tuple[int, int, CallEdge]],
) -> tuple[list[_Share], list[list[_Share]]]:
    """What belongs to nobody, and what belongs to each caller. By time; by number of calls where no time was measured."""
    from_nobody = [function.calls for function in functions]
    for _, callee, edge in calls:
        from_nobody[callee] -= edge.calls
    time = [0] * len(functions)
    count = [0] * len(functions)
    for _, callee, edge in kept:
        time[callee] += max(edge.inclusive_values[0], 0)  # forged ones may be negative: parts stay within their whole
        count[callee] += max(edge.calls, 0)
    roots: list[_Share] = []
    below: list[list[_Share]] = [[] for _ in functions]
    sums: list[tuple[bool, int]] = []
    for number, function in enumerate(functions):
        own_calls = max(from_nobody[number], 0)
        own_time = max(function.inclusive_values[0] - time[number], 0) if own_calls else 0
        by_time = time[number] + own_time > 0
        own, total = (own_time, time[number] + own_time) if by_time else (own_calls, count[number] + own_calls)
        sums.append((by_time, total))
        if not total:
            roots.append(_Share(number, 1.0))
        elif own:
            roots.append(_Share(number, own / total))
    for caller, callee, edge in kept:
        by_time, total = sums[callee]
        weight = edge.inclusive_values[0] if by_time else edge.calls
        if weight > 0:
            below[caller].append(_Share(callee, weight / total))
    return roots, below


def _largest(
    functions: Sequence[FunctionCost],
    roots: Sequence[_Share],
    below: Sequence[Sequence[_Share]],
    whole: Sequence[Sequence[float]],
    limit: int,
) -> Estimate:
    """Best first. Of siblings, which are sorted, only the next one waits, so what waits never outgrows what is shown."""
    nodes: list[CallNode] = []
    waiting: list[tuple[float, int, int, float, Sequence[_Share], int]] = []
    number = 0

    def offer(siblings: Sequence[_Share], position: int, parent: int, scale: float) -> None:
        nonlocal number
        if position < len(siblings):
            share = siblings[position]
            size = scale * share.part * whole[share.callee][0]
            if size >= 1:
                number += 1  # makes every entry different, so that shares are never compared
                heappush(waiting, (-size, number, parent, scale, siblings, position))

    offer(roots, 0, -1, 1.0)
    while waiting and len(nodes) < limit:
        _, _, parent, scale, siblings, position = heappop(waiting)
        share = siblings[position]
        part = scale * share.part
        function = functions[share.callee]
        own = tuple(_stored(part * value) for value in function.self_values)
        inclusive = tuple(_stored(part * value) for value in whole[share.callee])
        calls = max(1, _stored(round(part * function.calls)))
        nodes.append(CallNode(function.frame, parent, calls, own, inclusive))
        offer(siblings, position + 1, parent, scale)
        offer(below[share.callee], 0, len(nodes) - 1, part)
    return Estimate(tuple(nodes), complete=not waiting)


def _stored(value: float) -> int:
    """What forged numbers add up to must still be storable."""
    return max(-_LIMIT, min(_LIMIT, int(value)))
