"""The text of Xdebug's traces (format 1), line by line, into a tree of calls and a curve; grammar in `xdebug_trace`.

Fast where it has to be: a line is split once and costs two or three dict lookups; nothing is kept of it. What is kept grows with
the number of different places of call and of different paths, not with the number of lines.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import NamedTuple

from adapters.formats.moments import Moment, Thinned
from adapters.formats.unpacking import TooLargeError

PATHS_CAP = 300_000  # a MediaWiki page has 100 000, told apart by the line of the call
LOST_CAP = 300_000
SITES_CAP = 300_000
SITES_CAP_BYTES = 64 << 20
LINE_CAP_BYTES = 1 << 20  # what is longer has arguments there, which nobody needs
OTHERS_CAP = (
    100_000  # lines that are no calls: a trace has six, and a small packed file can hold a thousand million empty ones
)
DEPTH_CAP = 400_000  # calls open at a time, in all fibers together
PEAK_STEPS_CAP = (
    50_000_000  # what may be spent on copies of long stacks, each time the peak is higher; then they are cut
)
PEAK_CALLS_CUT = 100
END = -1
"""The path of the moment that belongs to no call: the end of the trace."""

_ENTERING = {b"0": True, b"1": False}
_SKIPPED = (b"R", b"A")  # returned values, assignments
_NUMBER_CAP = 1 << 62
_DOT = ord(".")

_Open = tuple[bytes | None, int, int, int, int]  # number of the call, path, time and memory when it was entered, level
_level = itemgetter(4)


class Site(NamedTuple):
    """Where a call comes from and what it calls, as written: bytes of the target."""

    function: bytes
    kind: bytes
    """1: user code, 0: internal."""
    included: bytes
    file: bytes
    line: bytes


class TraceReader:
    """Feed it bytes, then call `end`. Times in microseconds, memory in bytes.

    Paths are numbers; 0 is the root and no call. ``parents``, ``path_sites`` (numbers of ``sites``), ``calls``, ``times``,
    ``growth`` (both inclusive, growth signed), ``kept``, ``with_calls`` and ``with_growth`` run parallel. ``kept``: of what its
    calls grew by, what can still have been there when their callers returned, which is no more than these grew by.
    ``with_calls``: how many calls of its caller had calls of it that grew; ``with_growth``: what those of the caller grew by.
    Beyond `PATHS_CAP` there are *lost* paths, which are known by their caller alone: their parent is -1 and ``callers`` has the
    caller's site; what they took from their caller is in ``below``.
    """

    def __init__(self) -> None:
        self.sites: list[Site] = []
        self.parents, self.path_sites, self.calls = [-1], [-1], [0]
        self.times, self.growth, self.kept = [0], [0], [0]
        self.with_calls, self.with_growth = [0], [0]
        self.callers: dict[int, int] = {}
        self.below: dict[int, list[int]] = {}
        self.version = b""
        self.headers = 0
        self.starts: list[bytes] = []
        self.ends = 0
        self.cut = False
        self.malformed = 0
        self.unfinished = 0
        self.unknown = 0
        self.backwards = 0
        self.fibers = 0
        self.first: Moment | None = None
        self.last: Moment | None = None
        self.peak_path: tuple[int, ...] | None = None  # sites, where the path alone does not say it
        self.peak_cut = False  # of that only the innermost calls are there
        self._copied = 0
        self._curve = Thinned()
        self._low: Moment | None = None
        self._high: Moment | None = None
        self._rising = False
        self._top = -1
        self._time = 0
        self._memory = 0
        self._path = END
        self._left = False
        self._base = 0
        self._held = b""
        self._endless = False
        self._others = 0
        self._numbers: dict[tuple[bytes, ...], int] = {}
        self._sites_bytes = 0
        self._children: dict[int, int] = {}
        self._lost: dict[int, int] = {}
        self._grown: dict[bytes | None, dict[int, int]] = {}  # by open call: growth of those it made, by path
        self._stack: list[_Open] = [(None, 0, 0, 0, 0)]
        self._parked: dict[bytes | None, list[_Open]] = {}
        self._parked_calls = 0

    def feed(self, chunk: bytes) -> None:
        """The next bytes, cut anywhere. Raises TooLargeError."""
        if self._endless:
            end = chunk.find(b"\n")
            if end < 0:
                return
            chunk = chunk[end:]
            self._endless = False
        lines = (self._held + chunk).split(b"\n")
        self._held = lines.pop()
        if len(self._held) > LINE_CAP_BYTES:
            self._held = self._held[:LINE_CAP_BYTES]
            self._endless = True
        self._read(lines)

    def end(self) -> None:
        """The file is over: calls that are still open end at the last moment seen."""
        if self._held.startswith(b"TRACE END") and self._held.endswith(b"]"):
            self._read([self._held])
        elif self._held:
            self.cut = True  # half a line: its numbers may have lost digits
        self._close_all()
        self._finish_stretch()
        if self.first is not None:
            self.last = (self._time, self._memory, self._path, self._left)

    def curve(self) -> Iterator[Moment]:
        """The moments that are left of all, in order, the first and the last among them."""
        points = self._curve.points()
        if self.first is not None and points[:1] != [self.first]:
            yield self.first
        yield from points
        if self.last is not None and points[-1:] != [self.last]:
            yield self.last

    def _read(self, lines: Sequence[bytes]) -> None:  # noqa: C901, PLR0912, PLR0915  a function call a line costs a third
        numbers, children, calls, times, growth = self._numbers, self._children, self.calls, self.times, self.growth
        grown = self._grown
        stack, curve, limit, top = self._stack, self._curve, self._curve.limit, self._top
        last, base, memory, path, left = self._time, self._base, self._memory, self._path, self._left
        low, high, rising = self._low, self._high, self._rising
        lowest, highest = (low[1], high[1]) if low and high else (0, 0)
        for line in lines:
            parts = line.split(b"\t", 10)
            try:
                entering = _ENTERING[parts[2]]
                at = parts[3]
                now = int(at.replace(b".", b"", 1)) + base
                size = int(parts[4])
                level = int(parts[0])
                if at[-7] != _DOT or not 0 <= size < _NUMBER_CAP or now > _NUMBER_CAP:
                    raise ValueError
            except (IndexError, KeyError, ValueError):
                self._stack, self._time, self._memory, self._path, self._left = stack, last, memory, path, left
                self._low, self._high, self._rising = low, high, rising
                self._other(line, parts)
                stack, last, memory, path, left = self._stack, self._time, self._memory, self._path, self._left
                base, limit = self._base, curve.limit
                low, high, rising = self._low, self._high, self._rising
                lowest, highest = (low[1], high[1]) if low and high else (0, 0)
                continue
            if now < last:
                now = last
                self.backwards += 1
            if entering:
                key = tuple(parts[5:10])
                site = numbers.get(key, -1)
                if site < 0:
                    site = self._new_site(key)
                    if site < 0:
                        self.malformed += 1
                        continue
                if level != stack[-1][4] + 1:
                    stack = self._reseat(stack, level, now, size)
                parent = stack[-1][1]
                path = children.get(parent << 20 | site, 0)
                if not path:
                    path = self._new_path(parent, site, len(stack))
                calls[path] += 1
                stack.append((parts[1], path, now, size, level))
            else:
                if stack[-1][0] != parts[1]:
                    found = self._find(stack, parts[1], level, now, size)
                    if found is None:
                        self.unknown += 1
                        continue
                    stack = found
                _, path, since, before, _ = stack.pop()
                times[path] += now - since
                more = size - before
                growth[path] += more
                if parts[1] in grown:
                    self._keep(parts[1], more)
                if more > 0:
                    caller = stack[-1][0]
                    made = grown.get(caller)
                    if made is None:
                        made = grown[caller] = {}
                    made[path] = made.get(path, 0) + more
                if path >= PATHS_CAP:
                    self._count_below(stack[-1][1], now - since, more)
            last, memory, left = now, size, not entering
            if now >= limit:
                self._low, self._high, self._rising = low, high, rising
                self._finish_stretch()
                curve.open(now)
                limit = curve.limit
                low = high = (now, size, path, left)
                lowest = highest = size
            elif size > highest:
                highest, rising = size, True
                high = (now, size, path, left)
            elif size < lowest:
                lowest, rising = size, False
                low = (now, size, path, left)
            if size > top:
                top = size
                self.peak_path = self._full_path(stack, path, left=left) if path >= PATHS_CAP else None
        self._stack, self._time, self._memory, self._path, self._left = stack, last, memory, path, left
        self._top = top
        self._low, self._high, self._rising = low, high, rising

    def _finish_stretch(self) -> None:
        low, high = self._low, self._high
        if low is None or high is None:
            return
        moments = [low, high] if self._rising else [high, low]
        if low is high:
            del moments[1]
        if self.first is None:
            self.first = moments[0]
        self._curve.add(moments)
        self._low = self._high = None

    # --- lines that are no calls --------------------------------------------------------------------------------------

    def _other(self, line: bytes, parts: list[bytes]) -> None:
        if len(parts) > 2 and parts[2] in _SKIPPED:
            return
        self._others += 1
        if self._others > OTHERS_CAP:
            raise TooLargeError("the file is mostly something else than calls")
        if not line:
            return
        if parts[0] == b"" and len(parts) == 5 and parts[2] == b"":
            self._footer(parts)
        elif line.startswith(b"TRACE START"):
            self._close_all()
            self._base = self._time
            self.starts.append(line[:100])
        elif line.startswith(b"TRACE END"):
            self.ends += 1
        elif line.startswith(b"Version: "):
            self.version = line[9:50]
        elif line.startswith(b"File format: "):
            self.headers += 1
        else:
            self.malformed += 1

    def _footer(self, parts: list[bytes]) -> None:
        """Xdebug's last word: time and memory when everything is over."""
        try:
            now, size = int(parts[3].replace(b".", b"", 1)) + self._base, int(parts[4])
        except ValueError:
            self.malformed += 1
            return
        if parts[3][-7:-6] != b"." or not 0 <= size < _NUMBER_CAP or now > _NUMBER_CAP:
            self.malformed += 1
            return
        self._close_all()
        self._time, self._memory = max(now, self._time), size
        self._finish_stretch()
        self._curve.open(self._time)
        self._low = self._high = (self._time, size, END, True)
        self._path, self._left = END, True

    # --- places and paths ---------------------------------------------------------------------------------------------

    def _new_site(self, key: tuple[bytes, ...]) -> int:
        """A place of call seen for the first time; -1: there is something missing in the line."""
        if len(key) != 5 or not key[0] or key[1] not in _ENTERING:
            return -1
        site = Site(*key)
        if site.function == b"eval" and site.included:  # that is the code, and may differ each time
            site = site._replace(included=b"")
            known = self._numbers.get(site)
            if known is not None:
                return known
        self._sites_bytes += sum(map(len, site))
        if len(self.sites) >= SITES_CAP or self._sites_bytes > SITES_CAP_BYTES:
            raise TooLargeError(f"calls come from more than {len(self.sites)} different places")
        number = self._numbers[tuple(site)] = len(self.sites)
        self.sites.append(site)
        return number

    def _new_path(self, parent: int, site: int, depth: int) -> int:
        path = len(self.parents)
        if path < PATHS_CAP:
            self._children[parent << 20 | site] = path
            self.parents.append(parent)
        else:
            if depth > DEPTH_CAP:
                raise TooLargeError(f"more than {DEPTH_CAP} calls within each other")
            caller = self.path_sites[parent]
            known = self._lost.get(caller << 20 | site)
            if known is not None:
                return known
            if len(self._lost) >= LOST_CAP:
                raise TooLargeError(f"more than {LOST_CAP} different calls")
            self._lost[caller << 20 | site] = path
            self.callers[path] = caller
            self.parents.append(-1)
        self.path_sites.append(site)
        self.calls.append(0)
        self.times.append(0)
        self.growth.append(0)
        self.kept.append(0)
        self.with_calls.append(0)
        self.with_growth.append(0)
        return path

    def _keep(self, call: bytes | None, more: int) -> None:
        """A call is over that grew by so much: what those it made grew by cannot all be there where it grew by less."""
        made = self._grown.pop(call, None)
        if made is not None:
            for path, size in made.items():
                self.kept[path] += max(0, min(size, more))
                self.with_calls[path] += 1
                self.with_growth[path] += more

    def _count_below(self, caller: int, time: int, growth: int) -> None:
        """A lost path is nobody's child, so what it took has to be known of its caller."""
        taken = self.below.setdefault(caller, [0, 0])
        taken[0] += time
        taken[1] += growth

    def _full_path(self, stack: list[_Open], path: int, *, left: bool) -> tuple[int, ...]:
        self.peak_cut = self._copied > PEAK_STEPS_CAP and len(stack) > PEAK_CALLS_CUT
        calls = stack[-PEAK_CALLS_CUT:] if self.peak_cut else stack[1:]
        self._copied += len(calls)
        sites = tuple(self.path_sites[call[1]] for call in calls)
        return (*sites, self.path_sites[path]) if left else sites

    # --- calls that do not end where they should ----------------------------------------------------------------------

    def _reseat(self, stack: list[_Open], level: int, now: int, size: int) -> list[_Open]:
        """A call begins that is not one level below the last: a fiber, or calls before it have never returned."""
        top = stack[-1]
        if level == 2 <= top[4] and self.sites[self.path_sites[top[1]]].function == b"Fiber->start":
            self._park(stack)
            self.fibers += 1
            return [(None, 0, 0, 0, 1)]
        keep = max(bisect_left(stack, level, key=_level), 1)
        self._close(stack, keep, now, size)
        return stack if stack[-1][4] < level else [(None, 0, 0, 0, level - 1)]

    def _find(self, stack: list[_Open], call: bytes, level: int, now: int, size: int) -> list[_Open] | None:
        """The stack whose last call is this one; calls above it have never returned. None: it was never entered."""
        parked = self._parked.pop(call, None)
        if parked is not None:
            self._parked_calls -= len(parked)
            self._park(stack)
            return parked
        position = bisect_left(stack, level, key=_level)
        if not 0 < position < len(stack) or stack[position][0] != call:
            return None
        self._close(stack, position + 1, now, size)
        return stack

    def _park(self, stack: list[_Open]) -> None:
        """Another fiber runs; this one goes on when its last call returns."""
        if len(stack) == 1:
            return
        self._parked_calls += len(stack)
        if self._parked_calls > DEPTH_CAP:
            raise TooLargeError(f"more than {DEPTH_CAP} calls within each other")
        self._parked[stack[-1][0]] = stack

    def _close(self, stack: list[_Open], keep: int, now: int, size: int) -> None:
        while len(stack) > keep:
            call, path, since, before, _ = stack.pop()
            self.unfinished += 1
            self.times[path] += now - since
            self.growth[path] += size - before
            self._keep(call, size - before)
            if size > before:
                made = self._grown.setdefault(stack[-1][0], {})
                made[path] = made.get(path, 0) + size - before
            if path >= PATHS_CAP:
                self._count_below(stack[-1][1], now - since, size - before)

    def _close_all(self) -> None:
        for stack in (self._stack, *self._parked.values()):
            self._close(stack, 1, self._time, self._memory)
            self._keep(None, self._memory)
        self._stack = [(None, 0, 0, 0, 0)]
        self._parked.clear()
        self._parked_calls = 0
