"""Dumps of php-memprof: what PHP had allocated and not freed at the moment of the dump, by the call path that allocated it.

Both formats it writes, from its source (github.com/arnaud-lb/php-memory-profiler, dump_callgrind.c and dump_pprof.c):

``memprof_dump_callgrind``: callgrind's grammar, one block for each *call path*, callees before callers: the tree is exact. ::

    header   = "version: 1" "cmd: " text "positions: line" "events: MemorySize BlocksCount"      or Memory_Size_(bytes)
    block    = "fl=" file "fn=" name "1 " bytes " " blocks *( "cfl=" file "cfn=" name "calls=" count " 1" "1 " bytes " " blocks )
    end      = "total: " bytes " " blocks                                            "root" is the last block; file is a filler

``memprof_dump_pprof``: gperftools' CPU profile with bytes for samples and no trailer; words are of 64 bits, little end first. ::

    file     = "--- symbol" LF "binary=" text LF *( "0x" hex " " name LF ) "---" LF "--- profile" LF
               words 0, 3, 0, 0, 0 *( bytes depth address{depth} )                       the innermost function first
"""

from __future__ import annotations

import re
import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from adapters.formats import stacks
from adapters.formats.callgrind import looks_like, memprof_events
from adapters.formats.callgrind_text import Call, TextReader
from adapters.formats.unpacking import TooLargeError, unpacked
from harness.model.profile import CallEdge, CallNode, Frame, FunctionCost, Profile, ValueType
from harness.plugins.formats import FileFormat

CAP_BYTES = 64 << 20
NODES_CAP = 200_000
BYTES = ValueType("inuse_space", "bytes", "still allocated at the dump")
BLOCKS = ValueType("inuse_objects", "count", "blocks still allocated at the dump")
NOTE_RETAINED = (
    "bytes are what was allocated since memprof was enabled and not freed at the moment of the dump, counted where it was "
    "allocated: caches and what the request would free at its end are in it, so what grows shows by comparing dumps; the peak is "
    "not in it"
)
NOTE_HEAP = (
    "sizes are as asked for, without what the allocator rounds up; memory that extensions take from malloc is in it only with "
    "MEMPROF_PROFILE=native"
)
NOTE_NAMES = "the dump names functions without their files and lines"
_SYMBOLS = b"--- symbol\n"
_PROFILE = b"\n--- profile\n"
_SYMBOL = re.compile(rb"0x([0-9a-fA-F]{1,16}) (.*)\Z", re.DOTALL)
_HEADER = (0, 3, 0, 0, 0)
_SYMBOLS_CAP = 200_000
_NAME_CAP = 1024
_ROOT = "root"
_INT64 = 2**63


def read_memprof(path: Path, *, cap_bytes: int = CAP_BYTES) -> Profile:
    """Read a dump of either format, plain or gzip. A file that was cut gives what is there, with ``complete=False``.

    Raises ValueError for anything that is no such dump or beyond a limit, OSError when it cannot be read.
    """
    chunks = list(unpacked(path, cap_bytes))
    if chunks and chunks[0].startswith(_SYMBOLS):
        return parse_pprof(b"".join(chunks))
    return parse_callgrind(chunks)


# --- callgrind ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Path:
    """One block, which is one call path: its function, what is its own, the paths below, and how often each was entered."""

    function: int
    own: tuple[int, ...]
    below: tuple[_Path, ...]
    calls: tuple[int, ...]


def parse_callgrind(chunks: Iterable[bytes]) -> Profile:
    """A callgrind dump, in chunks of any size. Pure. Values are (bytes, blocks)."""
    reader = TextReader()
    finished: list[_Path] = []
    open_: tuple[int, tuple[int, ...]] | None = None
    calls: list[Call] = []
    count = 0
    for chunk in chunks:
        for number, item in reader.feed(chunk):
            if isinstance(item, Call):
                if open_ is None or number != open_[0]:
                    raise ValueError("this is no dump of php-memprof: calls of nobody")
                calls.append(item)
                continue
            if open_ is not None:
                _close(*open_, calls, finished)
            count += 1
            if count > NODES_CAP:
                raise TooLargeError(f"more than {NODES_CAP} call paths")
            open_ = number, (*item, 0, 0)[:2]
    reader.end()
    whole = bool(reader.header.totals) and not reader.header.malformed
    if open_ is not None and (whole or _has_its_calls(calls, finished)):
        _close(*open_, calls, finished)  # of a file that was cut the last block may lack some calls
    if not finished or len(reader.header.events) != 2:
        raise ValueError("this is no dump of php-memprof: it has no blocks")
    nodes = _preorder(finished)
    frames = tuple(Frame(_text(function.name), "", None) for function in reader.functions)
    totals = reader.header.totals[-1] if whole else ()
    return _profile(
        nodes,
        frames,
        (BYTES, BLOCKS),
        dict(zip(("kept_bytes", "kept_blocks"), totals, strict=False))
        if totals
        else {"kept_bytes": None, "kept_blocks": None},
        complete=whole and len(finished) == 1,
        with_calls=True,
    )


def _has_its_calls(calls: Sequence[Call], finished: Sequence[_Path]) -> bool:
    below = finished[len(finished) - len(calls) :]
    return [path.function for path in below] == [call.callee for call in calls]


def _close(function: int, own: tuple[int, ...], calls: list[Call], finished: list[_Path]) -> None:
    """The paths below a block are the last ones before it, in the order of its calls."""
    if not _has_its_calls(calls, finished):
        raise ValueError("this is no dump of php-memprof: its blocks are not in the order of the calls")
    below = tuple(finished[len(finished) - len(calls) :]) if calls else ()
    del finished[len(finished) - len(calls) :]
    finished.append(_Path(function, own, below, tuple(call.calls for call in calls)))
    calls.clear()


def _preorder(roots: Sequence[_Path]) -> tuple[CallNode, ...]:
    nodes: list[CallNode] = []
    todo = [(path, -1, 1) for path in reversed(roots)]
    while todo:
        path, parent, calls = todo.pop()
        number = len(nodes)
        nodes.append(CallNode(path.function, parent, calls, path.own, path.own))
        todo.extend(zip(reversed(path.below), [number] * len(path.below), reversed(path.calls), strict=True))
    sums = [list(node.self_values) for node in nodes]
    for number in range(len(nodes) - 1, -1, -1):
        parent = nodes[number].parent
        if parent >= 0:
            for column, value in enumerate(sums[number]):
                sums[parent][column] += value
    return tuple(replace(node, inclusive_values=tuple(own)) for node, own in zip(nodes, sums, strict=True))


# --- pprof ----------------------------------------------------------------------------------------------------------


def parse_pprof(data: bytes) -> Profile:
    """A pprof dump. Pure. The only value is bytes."""
    end = data.find(_PROFILE)
    if not data.startswith(_SYMBOLS) or end < 0:
        raise ValueError("this is no pprof dump of php-memprof: it has no profile behind its symbols")
    numbers, frames = _symbols(data[len(_SYMBOLS) : end])
    body = data[end + len(_PROFILE) :]
    words = array("Q")
    words.frombytes(body[: len(body) // 8 * 8])
    if sys.byteorder == "big":
        words.byteswap()
    if tuple(words[:5]) != _HEADER:
        raise ValueError("this is no dump of php-memprof: the header of its profile is another's")
    records = _Records(words, numbers)
    nodes = stacks.tree(records, 1)
    if not nodes:
        raise ValueError("the dump has no allocations")
    return _profile(
        nodes, frames, (BYTES,), {"kept_bytes": None}, complete=not records.cut and len(body) % 8 == 0, with_calls=False
    )


def _symbols(text: bytes) -> tuple[Mapping[int, int], tuple[Frame, ...]]:
    """Frame numbers by address, and the frames; number 0 is the root."""
    names: dict[str, int] = {_ROOT: 0}
    numbers: dict[int, int] = {}
    for line in text.split(b"\n"):
        found = _SYMBOL.match(line)
        if found is not None:
            if len(numbers) >= _SYMBOLS_CAP:
                raise TooLargeError(f"more than {_SYMBOLS_CAP} symbols")
            numbers[int(found[1], 16)] = names.setdefault(_text(found[2][:_NAME_CAP]), len(names))
        elif line and not line.startswith((b"binary=", b"---")):
            raise ValueError("this is no pprof dump of php-memprof: a line among its symbols is none")
    return numbers, tuple(Frame(name, "", None) for name in names)


class _Records:
    """(stack, bytes) of each record; ``cut`` once it is known that the last one is not whole."""

    def __init__(self, words: Sequence[int], numbers: Mapping[int, int]) -> None:
        self._words = words
        self._numbers = numbers
        self.cut = False

    def __iter__(self) -> Iterator[tuple[Sequence[int], Sequence[int]]]:
        words, numbers = self._words, self._numbers
        at = len(_HEADER)
        while at < len(words):
            if at + 1 >= len(words) or words[at + 1] > len(words) - at - 2:
                self.cut = True
                return
            after = at + 2 + words[at + 1]
            try:
                stack = [0, *(numbers[address] for address in reversed(words[at + 2 : after]))]
            except KeyError:
                raise ValueError("an address of the profile is not among the symbols") from None
            yield stack, (words[at],)
            at = after


# --- both -----------------------------------------------------------------------------------------------------------


def _profile(
    nodes: tuple[CallNode, ...],
    frames: tuple[Frame, ...],
    types: tuple[ValueType, ...],
    totals: dict[str, int | None],
    *,
    complete: bool,
    with_calls: bool,
) -> Profile:
    numbers = (value for node in nodes for value in (node.calls, *node.inclusive_values))
    if any(abs(value or 0) >= _INT64 for value in chain(numbers, totals.values())):
        raise ValueError("the dump holds impossible numbers")
    functions = stacks.functions(nodes, len(types))
    if with_calls:
        functions = _with_calls(functions, nodes)
    notes = [NOTE_RETAINED, NOTE_HEAP, NOTE_NAMES]
    if not with_calls:
        notes.append(
            "this format does not tell how often functions were called, how many blocks there are, or where it ends"
        )
    if not complete:
        notes.append(
            "the dump is incomplete: callers at its end are missing, and functions they called are roots of their own"
        )
    return Profile(
        tool="memprof",
        value_types=types,
        frames=frames,
        functions=functions,
        edges=tuple(_edges(nodes)),
        tree=nodes,
        totals=totals,
        notes=tuple(notes),
        complete=complete,
    )


def _with_calls(functions: Sequence[FunctionCost], nodes: Sequence[CallNode]) -> tuple[FunctionCost, ...]:
    calls: dict[int, int] = {}
    for node in nodes:
        calls[node.frame] = min(calls.get(node.frame, 0) + node.calls, _INT64 - 1)
    return tuple(replace(function, calls=calls[function.frame]) for function in functions)


def _edges(nodes: Sequence[CallNode]) -> Iterator[CallEdge]:
    sums: dict[tuple[int, int], list[int]] = {}
    for node in nodes:
        if node.parent < 0:
            continue
        edge = sums.setdefault((nodes[node.parent].frame, node.frame), [0] * (1 + len(node.self_values)))
        for position, value in enumerate((node.calls, *node.inclusive_values)):
            edge[position] = min(edge[position] + value, _INT64 - 1)
    for (caller, callee), (calls, *values) in sums.items():
        yield CallEdge(caller, callee, 0, calls, tuple(values))


def _text(name: bytes) -> str:
    return name.decode(errors="backslashreplace")


def _recognises(head: bytes) -> bool:
    return head.startswith(_SYMBOLS) or (looks_like(head) and memprof_events(head))


FORMAT = FileFormat("memprof", "dump of php-memprof", _recognises, read_memprof)
