r"""Xdebug's traces (format 1): when each call began and ended, and how much memory was held then.

It is the one file of Xdebug that has memory over time, and its changes with their sign: what a call gave back counts as negative.

::

    "Version: 3.2.0" / "File format: 4" / "TRACE START [2026-11-23 02:50:14.773136]"      local time, without a zone
    level | call | 0 | seconds | bytes | function | 1 user, 0 internal | included file, or code | file | line | n | arguments ...
    level | call | 1 | seconds | bytes                                           a call returns ("|" is a tab here)
    level | call | R |    |    | value                                           collect_return
    level |      | A |    |    |    |    |    | file | line | variable = value   collect_assignments
          |      |   | seconds | bytes                                           at the end, then "TRACE END   [..]"

File and line are those of the place of the call. Fibers have levels of their own, from 2; their calls go on where they stopped.

Names of functions and files are as Xdebug's profiles have them (``php::strlen``, ``require::/path``), so both can be compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, tzinfo
from pathlib import Path

from adapters.formats.calltree import Level, Node, largest, outermost
from adapters.formats.origins import ORIGINS_CAP
from adapters.formats.php_source import INTERNAL, loads, owner_of
from adapters.formats.unpacking import TooLargeError, unpacked
from adapters.formats.xdebug_trace_text import END, PATHS_CAP, PEAK_CALLS_CUT, Site, TraceReader
from harness.model.profile import CallEdge, CallNode, CurvePoint, Frame, FunctionCost, Origin, Peak, Profile, ValueType

TREE_NODES = 20_000
UNPACKED_CAP_BYTES = 4 << 30
TIME = ValueType("time", "ns", "time")
MEMORY = ValueType("memory_growth", "bytes", "memory growth during the call, what was freed subtracted")
NOTE_MEMORY = (
    "memory is what PHP's heap grew by from entering to leaving a call, negative where the call left it smaller; what a call "
    "took and gave back inside shows in the curve alone; Xdebug itself adds 30 to 120 bytes to every call of an internal function"
)
NOTE_PEAK = (
    "memory is known when calls begin and end; what lies between two such moments is not seen, "
    "so the real peak is this high or higher"
)

_NAME_CAP = 1024
_CALLERS_CAP = 64
_TOLD_APART = 3  # calls with it and without it, or their averages say nothing

_Place = tuple[str, int | None, str, str]  # file, line, function, what it called
_INT64 = 2**63


def read_trace(path: Path, *, cap_bytes: int = UNPACKED_CAP_BYTES, zone: tzinfo | None = None) -> Profile:
    """Read a trace, plain or gzip (decided by its first bytes, never by its name), in memory that does not grow with its length.

    A file cut anywhere gives what is there, with ``complete=False``, and so does one of more than ``cap_bytes`` unpacked. Raises
    ValueError for anything that is no such trace or beyond another limit, OSError when it cannot be read. ``zone`` is where
    the process was, for the time of the start: Xdebug writes local time.
    """
    capped: list[str] = []

    def chunks() -> Iterator[bytes]:
        try:
            yield from unpacked(path, cap_bytes)
        except TooLargeError:
            capped.append(f"only the first {cap_bytes >> 20} MiB of the trace were read")

    return parse_trace(chunks(), zone=zone, notes=capped)


def parse_trace(
    chunks: Iterable[bytes], *, tree_nodes: int = TREE_NODES, zone: tzinfo | None = None, notes: Iterable[str] = ()
) -> Profile:
    """The same from bytes in chunks of any size. Pure. At most ``tree_nodes`` nodes of the tree are given, largest first.

    Values are (time in ns, memory growth in bytes, signed). ``totals``: ``peak_bytes`` (highest of all moments), ``start_bytes``,
    ``end_bytes``, ``time_ns`` (first moment to last), ``started_unix_ns`` (None without a zone). Offsets of curve and peak
    count from the begin of the request. ``notes`` say what is missing already and are put in front.
    Undecodable bytes in names become ``\\xNN``.
    """
    reader = TraceReader()
    for chunk in chunks:
        reader.feed(chunk)
    reader.end()
    if reader.first is None or reader.last is None:
        raise ValueError(_no_trace(reader))
    return _Builder(reader).profile(reader.first[:2], reader.last[:2], tree_nodes, zone, list(notes))


def _no_trace(reader: TraceReader) -> str:
    if reader.starts and not reader.headers and reader.malformed:
        return "this is a trace in another format than 1: set xdebug.trace_format=1"
    if reader.starts:
        return "the trace holds not one call"
    return "this is no Xdebug trace of format 1: not one call in it can be read"


class _Builder:
    """Turns what was read into a profile."""

    def __init__(self, reader: TraceReader) -> None:
        self.reader = reader
        self.kept = min(len(reader.parents), PATHS_CAP)  # paths in the tree; lost ones come after
        self.frames: list[Frame] = []
        self.frame_of_site = self._frames()

    def profile(
        self, first: tuple[int, ...], last: tuple[int, ...], tree_nodes: int, zone: tzinfo | None, notes: list[str]
    ) -> Profile:
        reader = self.reader
        own = self._own()
        roots, size = self._folded(own)
        tree = tuple(
            CallNode(
                frame,
                parent,
                node.calls,
                _values(node.self_1, node.self_2),
                _values(node.inclusive_1, node.inclusive_2),
            )
            for frame, parent, node in largest(roots, tree_nodes, whole=self._whole())
        )
        curve, peak = self._curve()
        complete = reader.ends >= max(len(reader.starts), 1) and not reader.cut and not reader.malformed and not notes
        return Profile(
            tool="xdebug_trace",
            value_types=(TIME, MEMORY),
            frames=tuple(self.frames),
            functions=self._functions(own, roots),
            edges=self._edges(),
            origins=self._origins(),
            tree=tree,
            curve=curve,
            peak=peak,
            totals={
                "peak_bytes": peak.bytes,
                "start_bytes": first[1],
                "end_bytes": last[1],
                "time_ns": (last[0] - first[0]) * 1000,
                "started_unix_ns": _started(reader.starts, zone),
            },
            notes=(*notes, *self._notes(len(tree), size, complete=complete)),
            complete=complete,
        )

    # --- names --------------------------------------------------------------------------------------------------------

    def _frames(self) -> list[int]:
        """The frame of each site. A user function's own file is where its calls come from: its own line says who called it."""
        reader = self.reader
        inside: dict[int, bytes] = {}
        for path in range(1, len(reader.parents)):
            caller = self._caller(path)
            if caller >= 0 and not _is_magic(reader.sites[caller], site := reader.sites[reader.path_sites[path]]):
                inside.setdefault(caller, site.file)
        files: dict[tuple[bytes, bytes], bytes] = {}
        for number, written in inside.items():
            site = reader.sites[number]
            files.setdefault((site.function, site.kind), written)
        numbers: dict[tuple[str, str], int] = {}
        frame_of_site = []
        for site in reader.sites:
            name, file = _named(site, files.get((site.function, site.kind), b""))
            frame = numbers.setdefault((name, file), len(numbers))
            if frame == len(self.frames):
                self.frames.append(Frame(name, file, None))
            frame_of_site.append(frame)
        return frame_of_site

    def _caller(self, path: int) -> int:
        """The site of the call that makes this one, -1 for roots."""
        parent = self.reader.parents[path]
        return self.reader.path_sites[parent] if parent >= 0 else self.reader.callers[path]

    def _frame(self, path: int) -> int:
        return self.frame_of_site[self.reader.path_sites[path]]

    # --- numbers ------------------------------------------------------------------------------------------------------

    def _own(self) -> list[list[int]]:
        """Time and memory of each path without those below it."""
        reader = self.reader
        own = [list(reader.times), list(reader.growth)]
        for path in range(1, self.kept):
            parent = reader.parents[path]
            own[0][parent] -= reader.times[path]
            own[1][parent] -= reader.growth[path]
        for path, (time, growth) in reader.below.items():
            own[0][path] -= time
            own[1][path] -= growth
        return own

    def _folded(self, own: list[list[int]]) -> tuple[Level, int]:
        """The tree by frames: the same function called from several lines of another becomes one node."""
        reader = self.reader
        roots: Level = {}
        nodes: list[Node | None] = [None]
        size = 0
        for path in range(1, self.kept):
            above = nodes[reader.parents[path]]
            if above is None:
                level = roots
            else:
                level = above.children = {} if above.children is None else above.children
            frame = self._frame(path)
            numbers = own[0][path], own[1][path], reader.times[path], reader.growth[path]
            node = level.get(frame)
            if node is None:
                node = level[frame] = Node(*numbers, None, reader.calls[path])
                size += 1
            else:
                node.add(Node(*numbers, None, reader.calls[path]))
            nodes.append(node)
        return roots, size

    def _whole(self) -> tuple[int, int]:
        """What shares of the tree are of: all time, and the largest change of memory by one path."""
        paths = range(1, self.kept)
        time = sum(self.reader.times[path] for path in paths if self.reader.parents[path] == 0)
        return time or 1, max((abs(self.reader.growth[path]) for path in paths), default=0) or 1

    def _functions(self, own: list[list[int]], roots: Level) -> tuple[FunctionCost, ...]:
        reader = self.reader
        inclusive = outermost(roots)
        calls, time, growth = ([0] * len(self.frames) for _ in range(3))
        for path in range(1, len(reader.parents)):
            frame = self._frame(path)
            calls[frame] += reader.calls[path]
            time[frame] += own[0][path]
            growth[frame] += own[1][path]
        for path, caller in reader.callers.items():
            frame = self._frame(path)
            if caller < 0 or self.frame_of_site[caller] != frame:
                before = inclusive.get(frame, (0, 0))
                inclusive[frame] = (before[0] + reader.times[path], before[1] + reader.growth[path])
        return tuple(
            FunctionCost(
                frame, calls[frame], _values(time[frame], growth[frame]), _values(*inclusive.get(frame, (0, 0)))
            )
            for frame in range(len(self.frames))
        )

    def _edges(self) -> tuple[CallEdge, ...]:
        reader = self.reader
        edges: dict[tuple[int, int, int], list[int]] = defaultdict(lambda: [0, 0, 0])
        for path in range(1, len(reader.parents)):
            caller = self._caller(path)
            if caller < 0:
                continue
            line = _line(reader.sites[reader.path_sites[path]].line)
            edge = edges[self.frame_of_site[caller], self._frame(path), line]
            edge[0] += reader.calls[path]
            edge[1] += reader.times[path]
            edge[2] += reader.growth[path]
        return tuple(
            CallEdge(caller, callee, line, calls, _values(time, growth))
            for (caller, callee, line), (calls, time, growth) in edges.items()
        )

    def _origins(self) -> tuple[Origin, ...]:
        """What each call grew by, as far as its callers grew by it too: what a function returns and its caller then frees is not
        kept. Calls of internal functions, and of those whose file is not known, are told by the line of the call."""
        reader = self.reader
        kept = self._kept()
        places = [None, *(self._place(path) for path in range(1, self.kept))]
        found: dict[_Place, list[int]] = {}  # bytes, calls, the path with most
        for path in range(1, self.kept):
            parent, place = reader.parents[path], places[path]
            if place is None or not kept[path]:
                continue
            sums = found.setdefault(place, [0, 0, path])
            sums[1] += reader.calls[path]
            while parent > 0 and places[parent] != place:
                parent = reader.parents[parent]
            if parent <= 0:  # else it is a recursion, which has counted already
                sums[0] += kept[path]
            if kept[path] > kept[sums[2]]:
                sums[2] = path
        largest = sorted(found.items(), key=lambda each: -each[1][0])[:ORIGINS_CAP]
        return tuple(
            Origin(
                owner_of(file),
                file,
                line,
                function,
                size,
                through=size,
                via=via,
                calls=calls,
                callers=self._callers(path),
            )
            for (file, line, function, via), (size, calls, path) in largest
        )

    def _kept(self) -> list[int]:
        """What each path kept of what its calls grew by.

        Where its caller is also called without it, what the caller grew by more with it. Where it is always there, no more than
        what is left when the others are taken off. Never more than the caller's own caller kept of that.
        """
        reader = self.reader
        children: dict[int, list[int]] = defaultdict(list)
        for path in range(1, self.kept):
            if reader.with_calls[path]:
                children[reader.parents[path]].append(path)
        kept = [0] * self.kept
        for parent in sorted(children):  # parents have smaller numbers
            total = max(0, reader.growth[parent]) if parent > 0 else None
            always = []
            for path in children[parent]:
                with_it, without = reader.with_calls[path], reader.calls[parent] - reader.with_calls[path]
                if parent <= 0 or min(with_it, without) < _TOLD_APART:
                    always.append(path)
                    continue
                usual = (reader.growth[parent] - reader.with_growth[path]) / without
                more = int(reader.with_growth[path] - usual * with_it)
                kept[path] = max(0, min(more, reader.kept[path]))
            left = None if total is None else max(0, total - sum(kept[path] for path in children[parent]))
            for path in always:
                kept[path] = max(0, reader.kept[path] if left is None else min(reader.kept[path], left))
            if parent > 0:
                for path in children[parent]:
                    kept[path] = min(kept[path], kept[parent])
        return kept

    def _place(self, path: int) -> _Place | None:
        """File, line, function and what it calls there; None where that is no place of the application's."""
        frame = self.frames[self._frame(path)]
        if loads(frame.function):
            return None
        if frame.file and frame.file != INTERNAL:
            return frame.file, None, frame.function, ""
        caller = self._caller(path)
        if caller < 0:
            return None
        site, above = self.reader.sites[self.reader.path_sites[path]], self.frames[self.frame_of_site[caller]]
        return _text(site.file), _line(site.line) or None, above.function, frame.function

    def _callers(self, path: int) -> tuple[str, ...]:
        names: list[str] = []
        parent = self.reader.parents[path]
        while parent > 0 and len(names) < _CALLERS_CAP:
            names.append(self.frames[self._frame(parent)].function)
            parent = self.reader.parents[parent]
        return tuple(reversed(names))

    def _curve(self) -> tuple[tuple[CurvePoint, ...], Peak]:
        moments = list(self.reader.curve())
        points = tuple(
            CurvePoint(time * 1000, size, self._label(path, left=left)) for time, size, path, left in moments
        )
        time, size, path, _ = max(moments, key=lambda moment: moment[1])
        return points, Peak(time * 1000, size, self._stack(path))

    def _label(self, path: int, *, left: bool) -> str:
        if path == END:
            return "end of the trace"
        return f"{'leaving' if left else 'entering'} {self.frames[self._frame(path)].function}"

    def _stack(self, path: int) -> tuple[int, ...]:
        if self.reader.peak_path is not None:
            return tuple(self.frame_of_site[site] for site in self.reader.peak_path)
        stack = []
        while path > 0:
            stack.append(self._frame(path))
            path = self.reader.parents[path]
        return tuple(reversed(stack))

    # --- words --------------------------------------------------------------------------------------------------------

    def _notes(self, shown: int, size: int, *, complete: bool) -> Iterator[str]:
        reader = self.reader
        yield NOTE_MEMORY
        yield NOTE_PEAK
        if reader.peak_path is not None and reader.peak_cut:
            yield f"of the stack at the peak there are the innermost {PEAK_CALLS_CUT} calls only"
        if reader.last is not None and reader.last[1] == 0:
            yield "PHP ran without its own allocator (USE_ZEND_ALLOC=0), so it counted no memory"
        if not complete and not reader.ends:
            yield "the trace is incomplete: its end is missing"
        if reader.unfinished:
            yield (
                f"{reader.unfinished} calls have no end in the trace (exit, a fatal error, or the trace stops before); "
                "they count up to the last moment seen"
            )
        if reader.unknown:
            yield f"{reader.unknown} calls began before the trace did and are not in it"
        if len(reader.starts) > 1:
            yield f"the file holds {len(reader.starts)} traces, one after the other; the peak is the highest of theirs"
        if reader.fibers:
            yield (
                f"{reader.fibers} fibers ran: each is a root of its own, its time and memory count from its begin to its end, "
                "whoever runs in between, and also for the calls that resume it"
            )
        if len(reader.parents) > PATHS_CAP:
            yield (
                f"there are more than {PATHS_CAP} different call paths: the tree misses the others, and inclusive values of "
                "functions in them that call themselves through others count several times"
            )
        if size > shown:
            yield (
                f"the tree shows the {shown} largest of {size} different call paths; "
                "the others are part of their callers' inclusive values"
            )
        if reader.backwards:
            yield f"the clock went back {reader.backwards} times; those moments count as the ones before them"
        if reader.malformed:
            yield f"{reader.malformed} lines of the trace could not be read"


def _named(site: Site, inside: bytes) -> tuple[str, str]:
    """Function and file as Xdebug's profiles name them; the file of a user function that calls nothing is not known."""
    function = _text(site.function)
    if site.kind == b"0":
        return f"php::{function}", INTERNAL
    if site.included:
        included = _text(site.included)
        return f"{function}::{included}", included
    if site.function == b"eval":
        return function, f"{_text(site.file)}({_line(site.line)}) : eval()'d code"
    if site.function == b"{main}":
        return function, _text(site.file)
    return function, _text(inside)


def _is_magic(caller: Site, callee: Site) -> bool:
    """A method that does not exist seems to call ``__call``, but from the place where it was called itself."""
    magic = callee.function.endswith((b"->__call", b"::__callStatic"))
    return magic and (caller.file, caller.line) == (callee.file, callee.line)


def _text(name: bytes) -> str:
    return name[:_NAME_CAP].decode(errors="backslashreplace")


def _line(text: bytes) -> int:
    return int(text) if text.isdigit() and len(text) < 10 else 0


def _values(time: int, growth: int) -> tuple[int, int]:
    time_ns = time * 1000
    if not (-_INT64 <= time_ns < _INT64 and -_INT64 <= growth < _INT64):
        raise ValueError("the trace holds impossible numbers")
    return time_ns, growth


def _started(starts: list[bytes], zone: tzinfo | None) -> int | None:
    """The first ``TRACE START [2026-11-23 02:50:14.773136]`` in ns since 1970, None where its zone is not known."""
    if not starts:
        return None
    text = starts[0].partition(b"[")[2].partition(b"]")[0].decode("ascii", "replace").strip().removesuffix(" UTC")
    named_utc = b" UTC]" in starts[0]
    try:
        moment = datetime.fromisoformat(text + "+00:00" if named_utc else text)
        moment = moment if moment.tzinfo is not None or zone is None else moment.replace(tzinfo=zone)
        if moment.tzinfo is None:
            return None
        return int(moment.replace(microsecond=0).timestamp()) * 10**9 + moment.microsecond * 1000
    except (ValueError, OverflowError, OSError):
        return None
