"""Xdebug's profiles (cachegrind format): totals by function, calls between functions, and the exact call tree.

Xdebug writes one block for each *invocation*, when it returns. So the blocks are the call tree in post-order and the tree can be
rebuilt exactly: a block with k calls takes the nearest finished blocks of those names, from the last call backwards. Blocks that
nobody takes are roots: ``{main}``, and also shutdown functions, late destructors, fibers.

::

    header   = "version: 1" "creator: xdebug V (PHP V)" "cmd: " path "part: 1" "positions: line" "" "events: " names ""
    block    = "fl=" ref "fn=" ref cost *( "cfl=" ref "cfn=" ref "calls=1 0 0" cost ) ""
    ref      = "(" id ")" [ " " name ]       ids of files and of functions are separate; a name (re)defines its id
    cost     = line " " time [ " " memory ]  after fn: the call itself; after calls: all of it, with the line of the call
    summary  = "summary: " time " " peak ""

The memory column is the change of the heap between entry and exit, and Xdebug 3 writes every negative change as 0. It shows
where memory was taken; it can show neither peaks nor leaks. The summary's second number is the request's real peak.

Reading is one pass that keeps totals and the folded tree, not the blocks.
"""

from __future__ import annotations

import gc
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from adapters.formats.cachegrind_text import Block, Boundary, Cost, Summary, TextReader, TooLargeError
from adapters.formats.calltree import Level, Node, fold_one, largest, outermost
from harness.model.profile import CallEdge, CallNode, Frame, FunctionCost, Profile, ValueType

TREE_NODES = 20_000
UNPACKED_CAP_BYTES = 1 << 30
TIME = ValueType("time", "ns", "time")
MEMORY = ValueType("memory_growth", "bytes", "memory growth during the call, frees not counted")
NOTE_MEMORY = (
    "memory is what the heap grew by from entering to leaving a call, and calls that left it smaller count as 0: "
    "it shows where memory was taken, not what is kept; it is no leak and does not add up to the peak"
)

_CHUNK_BYTES = 1 << 20
_EDGES_CAP = 1_000_000
_TREE_CAP = 400_000  # a MediaWiki page has 50 000 different paths
_PENDING_CAP = 2_000_000  # calls that returned into a function that has not returned yet
_SEARCH_CAP = 20_000_000  # steps spent on calls that are not where they should be; only forged files need many
_INT64 = 2**63
_GZIP = b"\x1f\x8b"
_INTERNAL = b"php:internal"

_Finished = tuple[int, int, Level | None]  # own time, own memory, what it called


def read_cachegrind(path: Path, *, cap_bytes: int = UNPACKED_CAP_BYTES) -> Profile:
    """Read a profile, plain or gzip (decided by its first bytes, never by its name).

    A file cut anywhere gives what is there, with ``complete=False``. Raises ValueError for anything that is no such profile
    or unpacks to more than ``cap_bytes``, OSError when it cannot be read.
    """
    return parse_cachegrind(_unpacked(path, cap_bytes))


def parse_cachegrind(chunks: Iterable[bytes], *, tree_nodes: int = TREE_NODES) -> Profile:
    """The same from bytes in chunks of any size. Pure. At most ``tree_nodes`` nodes of the tree are given, largest first.

    Values are (time in ns, memory growth in bytes), time alone for Xdebug before 2.6. Several profiles in one file are
    added up. Undecodable bytes in names become ``\\xNN``.
    """
    reader, sums = TextReader(), _Sums()
    with _collector_paused():
        for chunk in chunks:
            for item in reader.feed(chunk):
                sums.add(item)
        for item in reader.end():
            sums.add(item)
        sums.close_segment()
        return _profile(reader, sums, tree_nodes)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """The tree has no cycles, and walking it again and again while it grows takes a quarter of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _unpacked(path: Path, cap_bytes: int) -> Iterator[bytes]:
    with open(path, "rb") as file:
        data = file.read(_CHUNK_BYTES)
        unpack = zlib.decompressobj(31) if data.startswith(_GZIP) else None
        total = 0
        while data:
            part = data
            if unpack is not None:
                try:
                    part = unpack.decompress(data, _CHUNK_BYTES)
                except zlib.error:
                    return  # damaged: what comes after is missing, the summary among it
            total += len(part)
            if total > cap_bytes:
                raise TooLargeError(f"the profile unpacks to more than {cap_bytes >> 20} MiB")
            yield part
            rest = b"" if unpack is None or unpack.eof else unpack.unconsumed_tail
            data = rest or file.read(_CHUNK_BYTES)
            if unpack is not None and unpack.eof:
                return


@dataclass(slots=True)
class _Function:
    """Totals of one frame; ``edges`` by (callee, line of the call) hold [calls, time, memory]."""

    line: bytes
    calls: int = 0
    time: int = 0
    memory: int = 0
    edges: dict[tuple[int, bytes], list[int]] = field(default_factory=dict)


class _Sums:
    """Adds blocks up as they come. All values in the file's units."""

    def __init__(self) -> None:
        self.functions: dict[int, _Function] = {}
        self.roots: Level = {}
        self.tree_size: int | None = 0  # None: too many different paths, the tree was given up
        self.summaries: list[Summary] = []
        self.segments = 0
        self.unmatched = 0
        self._edges = 0
        self._searched = 0
        # Calls that have returned and whose caller has not: parallel lists, because whole slices are compared.
        self._pending: list[int] = []
        self._finished: list[_Finished] = []

    def add(self, item: Block | Boundary | Summary) -> None:
        if isinstance(item, tuple):
            self._add_block(item)
        elif isinstance(item, Summary):
            self.summaries.append(item)
        else:
            self.close_segment()
            self.segments += 1

    def close_segment(self) -> None:
        """Whatever nobody has taken is a root."""
        for frame, finished in zip(self._pending, self._finished, strict=True):
            own_time, own_memory, children = finished
            below = [] if children is None else list(children.values())
            time = own_time + sum(node.inclusive_1 for node in below)
            memory = own_memory + sum(node.inclusive_2 for node in below)
            self._fold(self.roots, frame, Node(own_time, own_memory, time, memory, children))
        self._pending.clear()
        self._finished.clear()

    def _add_block(self, block: Block) -> None:
        frame, line, time, memory, called, costs = block
        function = self.functions.get(frame)
        if function is None:
            function = self.functions[frame] = _Function(line)
        function.calls += 1
        function.time += time
        function.memory += memory
        self._finished.append((time, memory, self._call(function.edges, called, costs) if called else None))
        self._pending.append(frame)
        if self.tree_size is not None and self.tree_size > _TREE_CAP:
            self._give_the_tree_up()
        if len(self._pending) > _PENDING_CAP:
            raise TooLargeError(f"one function makes more than {_PENDING_CAP} calls")

    def _call(self, edges: dict[tuple[int, bytes], list[int]], called: list[int], costs: list[Cost]) -> Level:
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
        if self._edges > _EDGES_CAP:
            raise TooLargeError(f"more than {_EDGES_CAP} different calls")

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
            while position >= 0 and self._pending[position] != frame and self._searched < _SEARCH_CAP:
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
        self.tree_size = None
        self._finished = [(time, memory, None) for time, memory, _ in self._finished]
        for root in self.roots.values():
            root.children = None


def _profile(reader: TextReader, sums: _Sums, tree_nodes: int) -> Profile:
    if not sums.functions and reader.malformed:
        raise ValueError("this is no Xdebug profile: not one block in it can be read")
    with_memory = reader.columns == 2
    unit = reader.unit_ns

    def values(time: int, memory: int) -> tuple[int, ...]:
        if not (-_INT64 < time * unit < _INT64 and -_INT64 < memory < _INT64):
            raise ValueError("the profile holds impossible numbers")
        return (time * unit, memory) if with_memory else (time * unit,)

    inclusive = outermost(sums.roots) if sums.tree_size is not None else _from_edges(sums)
    functions = tuple(
        FunctionCost(frame, f.calls, values(f.time, f.memory), values(*inclusive.get(frame, (0, 0))))
        for frame, f in sums.functions.items()
    )
    edges = tuple(
        CallEdge(frame, callee, _line(line) or 0, calls, values(time, memory))
        for frame, f in sums.functions.items()
        for (callee, line), (calls, time, memory) in f.edges.items()
    )
    tree = tuple(
        CallNode(
            frame, parent, node.calls, values(node.self_1, node.self_2), values(node.inclusive_1, node.inclusive_2)
        )
        for frame, parent, node in (largest(sums.roots, tree_nodes) if sums.tree_size is not None else ())
    )
    complete = len(sums.summaries) >= max(sums.segments, 1) and not reader.cut and not reader.malformed
    return Profile(
        tool="xdebug",
        value_types=(TIME, MEMORY) if with_memory else (TIME,),
        frames=tuple(
            _frame(file, function, sums.functions.get(number)) for number, (file, function) in enumerate(reader.frames)
        ),
        functions=functions,
        edges=edges,
        tree=tree,
        totals=_totals(sums, unit, with_memory=with_memory),
        notes=tuple(_notes(reader, sums, len(tree), complete=complete)),
        complete=complete,
    )


def _frame(file: bytes, function: bytes, known: _Function | None) -> Frame:
    """Internal functions have no line of their own: Xdebug gives the line they were called from."""
    line = None if known is None or file == _INTERNAL else _line(known.line)
    return Frame(function.decode(errors="backslashreplace"), file.decode(errors="backslashreplace"), line)


def _line(text: bytes) -> int | None:
    return int(text) if text.isdigit() and len(text) < 10 else None


def _from_edges(sums: _Sums) -> dict[int, tuple[int, int]]:
    """Inclusive values without a tree: all calls from other functions, so indirect recursion counts several times."""
    totals = {frame: (node.inclusive_1, node.inclusive_2) for frame, node in sums.roots.items()}
    for caller, function in sums.functions.items():
        for (callee, _), (_, time, memory) in function.edges.items():
            if callee != caller:
                before = totals.get(callee, (0, 0))
                totals[callee] = (before[0] + time, before[1] + memory)
    return totals


def _totals(sums: _Sums, unit: int, *, with_memory: bool) -> dict[str, int | None]:
    """From the summary lines only: the memory column cannot give a peak. A peak of 0 means that PHP did not count."""
    if not sums.summaries:
        return {"time_ns": None, "peak_bytes": None}
    peaks = [summary.peak for summary in sums.summaries if summary.peak]
    time_ns = sum(summary.time for summary in sums.summaries) * unit
    if time_ns >= _INT64 or max(peaks, default=0) >= _INT64:
        raise ValueError("the profile holds impossible numbers")
    return {"time_ns": time_ns, "peak_bytes": max(peaks) if peaks and with_memory else None}


def _notes(reader: TextReader, sums: _Sums, shown: int, *, complete: bool) -> Iterator[str]:
    if reader.columns == 2:
        yield NOTE_MEMORY
        if any(summary.peak == 0 for summary in sums.summaries):
            yield "PHP ran without its own allocator (USE_ZEND_ALLOC=0), so it counted no memory"
    if not complete:
        yield "the profile is incomplete: the end of the request is missing, and functions it was still in are roots of their own"
    if sums.segments > 1 or len(sums.summaries) > 1:
        yield f"the file holds {max(sums.segments, len(sums.summaries))} profiles, added up; the peak is the highest of theirs"
    if sums.tree_size is None:
        yield (
            f"there are more than {_TREE_CAP} different call paths, so there is no tree, and inclusive values of functions that "
            "call themselves through others count several times"
        )
    elif sums.tree_size > shown:
        yield (
            f"the tree shows the {shown} largest of {sums.tree_size} different call paths; "
            "the others are part of their callers' inclusive values"
        )
    if sums.unmatched:
        yield f"{sums.unmatched} calls have no block of their own; their inclusive values count as their own"
    if reader.malformed:
        yield f"{reader.malformed} places in the file could not be read"
