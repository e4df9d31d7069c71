"""callgrind's format: https://valgrind.org/docs/manual/cl-format.html. Functions with their own costs, and calls between them.

It has no stacks: which caller a call was made for is lost, and viewers estimate it. Of values that do not add up over callees
(``self_...``) calls have none, so what viewers show "with callees" is what the function gained itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.model.profile import Profile
from harness.plugins.exports import ProfileExport
from harness.report.profile_formats.stacks import Stacks, stacks_of, walk
from harness.report.words import clean

_NO_FILE = "???"  # valgrind's word for it


@dataclass(slots=True)
class _Call:
    calls: int
    costs: list[int]


@dataclass(frozen=True, slots=True)
class _Graph:
    """Own costs by function (a frame number), and calls by caller, then by line and callee. Costs run parallel to the columns."""

    own: Mapping[int, Sequence[int]]
    calls: Mapping[int, Mapping[tuple[int, int], _Call]]


def write(profile: Profile, value: str | None = None) -> bytes:
    """The file, UTF-8. ValueError when the profile has no stacks."""
    stacks = stacks_of(profile, value)
    graph = _as_told(profile, stacks) if _is_told(profile, stacks) else _of_tree(stacks)
    return ("\n".join(_lines(stacks, profile, graph)) + "\n").encode("utf-8")


def _lines(stacks: Stacks, profile: Profile, graph: _Graph) -> Iterator[str]:
    yield "# callgrind format"
    yield "version: 1"
    yield "creator: harness"
    yield f"cmd: {clean(profile.tool, 80)}"
    for note in stacks.notes:
        yield f"desc: Note: {note}"
    yield "positions: line"
    for column in stacks.columns:
        yield f"event: {_event(column.name)} : {column.title.replace(':', ',')} ({column.unit})"
    yield f"events: {' '.join(_event(column.name) for column in stacks.columns)}"
    yield f"summary: {_numbers([sum(costs) for costs in zip(*graph.own.values(), strict=True)])}"
    names = _References()
    for function in sorted(graph.own):
        frame = stacks.frames[function]
        yield ""
        yield f"fl={names.of('file', frame.file or _NO_FILE)}"
        yield f"fn={names.of('function', frame.function)}"
        yield f"{frame.line or 0} {_numbers(graph.own[function])}"
        for (line, callee), call in sorted(graph.calls.get(function, {}).items(), key=lambda item: item[0]):
            to = stacks.frames[callee]
            yield f"cfi={names.of('file', to.file or _NO_FILE)}"
            yield f"cfn={names.of('function', to.function)}"
            yield f"calls={max(1, call.calls)} {to.line or 0}"
            yield f"{line or frame.line or 0} {_numbers(call.costs)}"


def _event(name: str) -> str:
    """Events are separated by spaces."""
    return "".join(c if c.isalnum() or c == "_" else "_" for c in name)


def _numbers(costs: Sequence[int]) -> str:
    return " ".join(map(str, costs))


def _is_told(profile: Profile, stacks: Stacks) -> bool:
    """Whether the profile has functions and calls as the format wants them: nothing negative, no column made into two."""
    if len({column.source for column in stacks.columns}) < len(stacks.columns):
        return False
    rows = [*(cost.self_values for cost in profile.functions), *(edge.inclusive_values for edge in profile.edges)]
    return bool(profile.functions and profile.edges) and all(value >= 0 for row in rows for value in row)


def _as_told(profile: Profile, stacks: Stacks) -> _Graph:
    """The profile's own table of functions and calls, which is whole where its call tree is not."""
    sources = [kind.name for kind in profile.value_types]
    columns = [(sources.index(column.source), column.own) for column in stacks.columns]
    own = {cost.frame: [cost.self_values[number] for number, _ in columns] for cost in profile.functions}
    calls: dict[int, dict[tuple[int, int], _Call]] = defaultdict(dict)
    for edge in profile.edges:
        own.setdefault(edge.caller, [0] * len(columns))
        own.setdefault(edge.callee, [0] * len(columns))
        call = calls[edge.caller].setdefault((edge.line, edge.callee), _Call(0, [0] * len(columns)))
        call.calls += edge.calls
        for place, (number, alone) in enumerate(columns):
            call.costs[place] += 0 if alone else edge.inclusive_values[number]
    return _Graph(own, calls)


def _of_tree(stacks: Stacks) -> _Graph:
    """From the tree; what a call within another of the same two functions cost is part of that one."""
    own: dict[int, list[int]] = {}
    for node, function in enumerate(stacks.frame):
        costs = own.setdefault(function, [0] * len(stacks.columns))  # also without any: it may call others
        for number, values in enumerate(stacks.values):
            costs[number] += values[node]
    sums = [stacks.totals(number) for number in range(len(stacks.columns))]
    calls: dict[int, dict[tuple[int, int], _Call]] = defaultdict(dict)
    running: dict[tuple[int, int], int] = defaultdict(int)
    for node, entering in walk(stacks.children()):
        if stacks.parent[node] < 0:
            continue
        pair = stacks.frame[stacks.parent[node]], stacks.frame[node]
        if not entering:
            running[pair] -= 1
            continue
        call = calls[pair[0]].setdefault((0, pair[1]), _Call(0, [0] * len(stacks.columns)))
        call.calls += stacks.calls[node]
        if not running[pair]:
            for number, column in enumerate(stacks.columns):
                call.costs[number] += 0 if column.own else sums[number][node]
        running[pair] += 1
    return _Graph(own, calls)


class _References:
    """``(7) name`` where a name comes first, ``(7)`` after that. So no name can be taken for a reference."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str], int] = {}

    def of(self, kind: str, name: str) -> str:
        known = self._numbers.get((kind, name))
        if known is not None:
            return f"({known})"
        self._numbers[kind, name] = len(self._numbers) + 1
        return f"({len(self._numbers)}) {name}"


EXPORT = ProfileExport(
    "callgrind", "callgrind", "callgrind's format", "KCachegrind, QCachegrind, callgrind_annotate", write
)
