"""Callgrind profiles of any writer: valgrind's callgrind and cachegrind, pyprof2calltree, what opens in KCachegrind. Pure but
for `read_callgrind`. Grammar: `adapters.formats.callgrind_text`. Xdebug's files have the same grammar and more in them:
`adapters.formats.cachegrind` reads those.

Costs are summed by function and by call: along which paths a function was reached is not in the file, so the tree is an
estimate (`adapters.formats.estimated_tree`). What a function cost with its callees is its own costs and those of its calls; where
functions call each other in a circle, the calls that enter it from outside.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from adapters.formats.callgrind_text import Call, Header, TextReader
from adapters.formats.circles import circles
from adapters.formats.dominance import dominance
from adapters.formats.estimated_tree import NOTE_TREE, estimated_tree
from adapters.formats.unpacking import TooLargeError, unpacked
from harness.model.profile import CallEdge, Frame, FunctionCost, Profile, ValueType
from harness.plugins.formats import FileFormat

CAP_BYTES = 1 << 30
TREE_NODES = 20_000

_EDGES_CAP = 400_000
_INT64 = 2**63
_LEVEL = re.compile(rb"'(\d{1,6})\Z")  # how callgrind numbers the levels of a recursion
_UNIT = re.compile(r"_?\((10ns|ns|us|ms|s|bytes|B)\)\Z")
_UNKNOWN = b"???"
_BEGINNINGS = tuple(b"version: creator: cmd: positions: events: event: desc: part: pid: fl= fn= ob=".split())

_UNITS: Mapping[str, tuple[str, int]] = {
    "ns": ("ns", 1), "10ns": ("ns", 10), "us": ("ns", 1000), "ms": ("ns", 10**6), "s": ("ns", 10**9),
    "bytes": ("bytes", 1), "B": ("bytes", 1),
}  # fmt: skip
# Of the events that valgrind and others write: name, unit, factor, title.
_KNOWN: Mapping[str, tuple[str, str, int, str]] = {
    "ns": ("time", "ns", 1, "time"),
    "us": ("time", "ns", 1000, "time"),
    "ms": ("time", "ns", 10**6, "time"),
    "Ir": ("instructions", "count", 1, "instructions"),
    "Dr": ("data_reads", "count", 1, "data reads"),
    "Dw": ("data_writes", "count", 1, "data writes"),
    "sysTime": ("system_time", "ns", 1000, "time in system calls"),
}


def read_callgrind(path: Path, *, cap_bytes: int = CAP_BYTES) -> Profile:
    """Read a profile, plain or gzip. A file that was cut gives what is there, with ``complete=False``.

    Raises ValueError for anything that is no such profile or beyond a limit, OSError when it cannot be read.
    """
    return parse_callgrind(unpacked(path, cap_bytes))


def parse_callgrind(chunks: Iterable[bytes], *, tree_nodes: int = TREE_NODES) -> Profile:
    """The same from bytes in chunks of any size. Pure. One value for each event; parts are added up.

    The levels of a recursion that valgrind keeps apart (``f``, ``f'2``) are one function here. ``totals`` are the file's own,
    ``time_ns`` where it counts time.
    """
    reader = TextReader()
    sums = _Sums(reader)
    for chunk in chunks:
        for number, item in reader.feed(chunk):
            sums.add(number, item)
    reader.end()
    if not sums.own and not sums.edges:
        raise ValueError("this is no callgrind profile: no costs in it can be read")
    return _profile(reader, sums, tree_nodes)


class _Sums:
    """Costs added up by function and by call, in the file's units."""

    def __init__(self, reader: TextReader) -> None:
        self._reader = reader
        self.own: dict[int, list[int]] = {}
        self.edges: dict[tuple[int, int, int], list[int]] = {}  # caller, callee, line -> calls, costs

    def add(self, number: int, item: tuple[int, ...] | Call) -> None:
        width = len(self._reader.header.events)
        if isinstance(item, tuple):
            own = self.own.get(number)
            if own is None:
                own = self.own[number] = [0] * width
            for position, cost in enumerate(item):
                own[position] += cost
            return
        key = (number, item.callee, item.line)
        edge = self.edges.get(key)
        if edge is None:
            if len(self.edges) >= _EDGES_CAP:
                raise TooLargeError(f"more than {_EDGES_CAP} different calls")
            edge = self.edges[key] = [0] * (1 + width)
        edge[0] += item.calls
        for position, cost in enumerate(item.costs, 1):
            edge[position] += cost


def inclusive_costs(
    own: Mapping[int, Sequence[int]],
    calls: Mapping[tuple[int, int], Sequence[int]],
    width: int,
    outermost: Set[int] = frozenset(),
) -> tuple[dict[int, list[int]], Set[int]]:
    """What each function cost with all it called, recursion counted once; and those of which that cannot be told for sure.

    ``calls``: (caller, callee) -> the costs of all these calls together, callees included. ``outermost``: functions known
    never to run within themselves. Pure.
    """
    found: dict[int, list[int]] = {}
    entered: dict[int, list[int]] = {}
    for function, costs in own.items():
        _add(found.setdefault(function, [0] * width), costs)
    for (caller, callee), costs in calls.items():
        found.setdefault(callee, [0] * width)
        if caller != callee:
            _add(found.setdefault(caller, [0] * width), costs)
    circle = circles(calls)
    if not circle:
        return found, frozenset()
    known = dominance((str(caller), str(callee)) for caller, callee in calls)
    unsure = set()
    for (caller, callee), costs in calls.items():
        if callee not in circle or callee in outermost or caller == callee or known.dominates(str(callee), str(caller)):
            continue
        _add(entered.setdefault(callee, [0] * width), costs)
        if circle.get(caller) == circle[callee]:
            unsure.add(callee)
    for function, costs in entered.items():
        found[function] = [min(pair) for pair in zip(found[function], costs, strict=True)]
    return found, unsure


def _add(into: list[int], values: Sequence[int]) -> None:
    for position, value in enumerate(values):
        into[position] += value


@dataclass(frozen=True, slots=True)
class _Column:
    type: ValueType
    factor: int


def _columns(header: Header) -> tuple[_Column, ...]:
    found = []
    for event in header.events:
        unit = _UNIT.search(event)
        if event in _KNOWN:
            name, unit_name, factor, title = _KNOWN[event]
        elif unit is not None:
            name = event[: unit.start()].strip("_").lower() or event
            unit_name, factor = _UNITS[unit[1]]
            title = name.replace("_", " ")
        else:
            name, unit_name, factor, title = event, "count", 1, event
        found.append(_Column(ValueType(name, unit_name, header.titles.get(event) or title), factor))
    return tuple(found)


def _profile(reader: TextReader, sums: _Sums, tree_nodes: int) -> Profile:
    header = reader.header
    columns = _columns(header)
    frames = _Frames(reader)
    width = len(columns)

    def values(raw: Iterable[int]) -> tuple[int, ...]:
        scaled = tuple(value * column.factor for value, column in zip(raw, columns, strict=True))
        if any(abs(value) >= _INT64 for value in scaled):
            raise ValueError("the profile holds impossible numbers")
        return scaled

    between: dict[tuple[int, int], list[int]] = {}
    merged: dict[tuple[int, int, int], list[int]] = {}
    for (caller, callee, line), edge in sums.edges.items():
        _add(between.setdefault((caller, callee), [0] * width), edge[1:])
        _add(merged.setdefault((frames.of[caller], frames.of[callee], line), [0] * (1 + width)), edge)
    inclusive, unsure = inclusive_costs(sums.own, between, width, frames.outermost)
    functions = tuple(
        FunctionCost(frame, calls, values(own), values(total))
        for frame, calls, own, total in _functions(frames, sums, merged, inclusive, width)
    )
    values(
        sum(abs(function.self_values[at]) for function in functions) // column.factor
        for at, column in enumerate(columns)
    )
    edges = tuple(
        CallEdge(caller, callee, line if 0 < line < _INT64 else 0, _fitting(edge[0]), values(edge[1:]))
        for (caller, callee, line), edge in merged.items()
    )
    estimate = estimated_tree(functions, edges, tree_nodes if edges else 0)
    complete = not header.cut and not header.malformed
    totals = _totals(header, columns, values)
    return Profile(
        tool="callgrind",
        value_types=tuple(column.type for column in columns),
        frames=frames.frames,
        functions=functions,
        edges=edges,
        tree=estimate.nodes,
        totals=totals,
        notes=tuple(
            _notes(
                header,
                functions,
                totals,
                frames.shown(unsure),
                with_calls=bool(edges),
                drawn=estimate.complete or not edges,
            )
        ),
        complete=complete,
    )


class _Frames:
    """Functions of the file as frames: levels of a recursion are one."""

    def __init__(self, reader: TextReader) -> None:
        with_levels = reader.header.creator.startswith(b"callgrind")
        numbers: dict[tuple[bytes, bytes, bytes], int] = {}
        self.of: list[int] = []
        self.level: list[int] = []
        lines: list[int] = []
        separate = False
        for function in reader.functions:
            level = _LEVEL.search(function.name) if with_levels else None
            name = function.name[: level.start()] if level else function.name
            number = numbers.setdefault((function.object, function.file, name), len(numbers))
            self.of.append(number)
            self.level.append(int(level[1]) if level else 1)
            separate |= level is not None
            if number == len(lines):
                lines.append(0)
            lines[number] = lines[number] or function.line or function.lowest
        # valgrind keeps levels of all functions apart or of none: what runs within itself is there as another level.
        self.outermost = frozenset(n for n, level in enumerate(self.level) if level == 1) if separate else frozenset()
        self.frames = tuple(
            Frame(_text(name), _text(ob if file in (b"", _UNKNOWN) and ob else file), line or None)
            for (ob, file, name), line in zip(numbers, lines, strict=True)
        )

    def shown(self, numbers: Set[int]) -> int:
        """How many of these are the outermost level of their frame, from which its values with callees are."""
        lowest: dict[int, int] = {}
        for frame, level in zip(self.of, self.level, strict=True):
            lowest[frame] = min(level, lowest.get(frame, level))
        return sum(self.level[number] == lowest[self.of[number]] for number in numbers)


def _text(name: bytes) -> str:
    return name.decode(errors="backslashreplace")


def _functions(
    frames: _Frames,
    sums: _Sums,
    merged: Mapping[tuple[int, int, int], Sequence[int]],
    inclusive: Mapping[int, Sequence[int]],
    width: int,
) -> Iterator[tuple[int, int, Sequence[int], Sequence[int]]]:
    """(frame, calls, own, with callees); whom nobody is seen calling was entered at least once. Without any calls in the file
    their number is 0: not known."""
    calls: dict[int, int] = {}
    called: set[int] = set()
    for (caller, callee, _), edge in merged.items():
        calls[callee] = calls.get(callee, 0) + edge[0]
        if caller != callee:
            called.add(callee)
    own: dict[int, list[int]] = {}
    outer: dict[int, int] = {}  # the function of a frame that is the lowest level of its recursion
    for number in inclusive:
        frame = frames.of[number]
        _add(own.setdefault(frame, [0] * width), sums.own.get(number, ()))
        if frame not in outer or frames.level[number] < frames.level[outer[frame]]:
            outer[frame] = number
    for frame, number in outer.items():
        entered = bool(merged) and frame not in called
        yield frame, _fitting(calls.get(frame, 0) + entered), own[frame], inclusive[number]


def _fitting(value: int) -> int:
    if abs(value) >= _INT64:
        raise ValueError("the profile holds impossible numbers")
    return value


def _totals(
    header: Header, columns: Sequence[_Column], values: Callable[[Iterable[int]], tuple[int, ...]]
) -> dict[str, int | None]:
    names = [
        column.type.name if column.type.unit == "count" else f"{column.type.name}_{column.type.unit}"
        for column in columns
    ]
    if not header.totals or len(header.totals) < header.parts:
        return dict.fromkeys(names)
    sums = [0] * len(columns)
    for totals in header.totals:
        _add(sums, totals)
    return dict(zip(names, values(sums), strict=True))


def _notes(
    header: Header,
    functions: Sequence[FunctionCost],
    totals: Mapping[str, int | None],
    unsure: int,
    *,
    with_calls: bool,
    drawn: bool,
) -> Iterator[str]:
    yield (
        NOTE_TREE
        if with_calls
        else "the file has no calls: it tells what functions cost themselves, not with their callees"
    )
    if header.parts > 1:
        yield f"the file has {header.parts} parts, added up"
    if header.cut:
        yield "the profile is incomplete: the file ends in the middle of a line or of a call"
    if header.malformed:
        yield f"{header.malformed} lines of the file could not be read"
    if unsure:
        yield (
            f"values with callees of {unsure} function{'s' * (unsure > 1)} may count calls twice: where functions call each "
            "other in circles, the file does not tell which calls happened within others"
        )
    if not drawn:
        yield "the tree shows the largest call paths only"
    for position, (name, total) in enumerate(totals.items()):
        added = sum(function.self_values[position] for function in functions)
        if total is not None and total != added:
            yield f"own {name} of all functions adds up to {added}, the file's total says {total}"


def _recognises(head: bytes) -> bool:
    return looks_like(head) and b"\ncreator: xdebug" not in b"\n" + head and not memprof_events(head)


def looks_like(head: bytes) -> bool:
    """Whether a file that begins so has callgrind's grammar, whoever wrote it."""
    lines = head.lstrip().split(b"\n")[:200]
    if lines[0].startswith(b"# callgrind format"):
        return True
    return lines[0].startswith(_BEGINNINGS) and any(line.startswith(b"events:") for line in lines)


def memprof_events(head: bytes) -> bool:
    """Whether the events are those of php-memprof."""
    return re.search(rb"^events: *Memory_?Size(?:_\(bytes\))? +BlocksCount *$", head, re.MULTILINE) is not None


FORMAT = FileFormat(
    "callgrind", "callgrind profile (valgrind, pyprof2calltree and others)", _recognises, read_callgrind
)
