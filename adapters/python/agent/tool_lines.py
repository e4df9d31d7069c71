"""Net and peak bytes of each line of the watched functions, to the byte: what tracemalloc counts, read at every line.

Whatever this tool allocates itself must not be in the figures. So each event is read when it comes and once more when its
bookkeeping is done: what is between belongs to us. After the second reading nothing of ours is kept or let go (marks are in an
array, not in int objects), and the peak is reset last of all.
"""

import sys
import tracemalloc
from _thread import get_ident
from array import array

from .line_events import line_events, precisely
from .line_ledger import Ledger
from .results import ToolError
from .watched import CAPPED, EVENTS_CAP, Functions

_traced = tracemalloc.get_traced_memory
_ENTRY, _EXIT = 0, 1
# A frame that is traced has a dict of its locals, filled before each event; from 3.11 on, a frame object instead.
_DICTS = sys.version_info < (3, 11)
_EMPTY_BYTES = sys.getsizeof({})
_SMALL_TABLE_BYTES = 168  # a dict's table of that size is taken from a list of free ones, and goes back there


def _no_reset():
    pass


_reset_peak = getattr(tracemalloc, "reset_peak", _no_reset)  # 3.9+
_PEAKS = _reset_peak is not _no_reset


class Tool:
    """Measures the functions named in HARNESS_FUNCTIONS; ``problems`` lists those that cannot be."""

    name = "lines"
    later = None

    def __init__(self, recorder, options):
        functions = Functions(self.name)
        self.problems = functions.problems
        self._names = functions.names
        self._owners = functions.owners
        self._events = line_events(self._owners, self._heard)
        self._ledger = Ledger(self._names, get_ident())
        self._collector = recorder.gc
        self._collections = 0
        self._tracing = False
        self._left = EVENTS_CAP
        self._marks = array("q", (0, 0))  # traced bytes at the last entry and exit of `_heard`
        self._own = 0  # bytes that are ours
        self._level = 0  # traced bytes without ours, at the last event
        self._highest = 0
        self._line_number_bytes = self._offset_bytes = 0
        self._tables: "dict[int, tuple[int, int]]" = {}  # by frame: the bytes of its dict's table, at its begin and now

    def start(self):
        """Not before it is our turn: until then the measured request before this one may still be tracing."""
        if tracemalloc.is_tracing():
            raise ToolError(
                "tracemalloc is tracing in the target already (the application, or from_boot); lines would reset its peak"
            )
        self._tracing = True
        tracemalloc.start(1)
        self._line_number_bytes, self._offset_bytes = _int_bytes()
        self._collections = self._collector.runs
        self._marks[_ENTRY] = self._marks[_EXIT] = self._own = _traced()[0]
        self._events.start()
        self._marks[_EXIT] = _traced()[0]
        _reset_peak()

    def _heard(self, frame, event, number):
        if self._left <= 0:
            return
        self._account(_traced(), frame, event, number)
        marks = self._marks
        marks[_EXIT] = _traced()[0]
        if self._collector.runs != self._collections:  # while we were at work: what it freed is not ours
            marks[_ENTRY] = marks[_EXIT]
        _reset_peak()

    def _account(self, reading, frame, event, number):
        now, peak = reading
        marks = self._marks
        reset_at = marks[_EXIT]
        own = self._own + reset_at - marks[_ENTRY]
        marks[_ENTRY] = marks[_EXIT] = now
        self._collections = self._collector.runs
        event = precisely(frame, event)
        grown, table = self._additions(frame, event)
        level = now - own - grown
        if number is not None and number + 0 is not number:  # not one of the interpreter's small ints
            level -= self._line_number_bytes if event == "line" else self._offset_bytes
        # The interpreter's own steps between the line and us reach as high as this; below it, nothing is known.
        peak = peak - own if _PEAKS and peak > max(reset_at, now + table) else max(level, self._level)
        self._own = own + grown
        self._level = level
        self._highest = max(self._highest, peak)
        owner = self._owners[frame.f_code]
        self._ledger.event(get_ident(), id(frame), event, owner, frame.f_lineno, level, peak)
        if event == "return":
            self._forget(frame)
        self._left -= 1
        if not self._left:
            self._ledger.end(level)
            self.problems.append(CAPPED)

    def _additions(self, frame, event):
        """(bytes that tracing has added to this frame since its last event, bytes that it needed at most in between)."""
        if not _DICTS:
            return (sys.getsizeof(frame) if event == "call" else 0), 0
        held = sys.getsizeof(frame.f_locals) - _EMPTY_BYTES
        if held <= _SMALL_TABLE_BYTES:
            held = 0
        key = id(frame)
        first, before = self._tables.get(key, (held, held))
        self._tables[key] = (first, held)
        return held - before, (held if held != before else 0)

    def _forget(self, frame):
        """The frame has returned: what tracing has added to it will be gone at the next event."""
        if _DICTS:
            first, held = self._tables.pop(id(frame), (0, 0))
            self._own -= held - first
        else:
            self._own -= sys.getsizeof(frame)

    def checkpoint(self):
        """Note the peak so far; called before our own work could raise it."""
        own = self._own + self._marks[_EXIT] - self._marks[_ENTRY]
        self._highest = max(self._highest, _traced()[1] - own)

    def abandon(self):
        """Stop without a result; also in a child that was forked while tracing."""
        self._events.stop()
        if self._tracing:
            self._tracing = False
            tracemalloc.stop()

    def stop(self):
        """Result dict: for each function and its lines net and peak bytes, and how often they ran; peaks are None where they
        cannot be had (3.8)."""
        self.abandon()
        ledger = self._ledger
        ledger.close()
        if ledger.overlapped:
            self.problems.append(
                "watched functions ran in several threads at the same time: lines include each other's bytes"
            )
        if ledger.unfinished:
            self.problems.append(
                "%d calls had not returned when the request ended; the lines they were at are not in the figures"
                % ledger.unfinished
            )
        return {
            "problems": self.problems,
            "net_bytes": ledger.net,
            "peak_bytes": self._highest if _PEAKS else None,
            "functions": [self._function(code, spec) for code, spec in self._names.items()],
        }

    def _function(self, code, spec):
        function = self._ledger.functions[code]
        return {
            "name": spec,
            "file": code.co_filename,
            "line": code.co_firstlineno,
            "calls": function.calls,
            "net_bytes": function.net,
            "peak_bytes": function.peak if _PEAKS else None,
            "lines": [
                {"line": number, "net_bytes": line.net, "peak_bytes": line.peak if _PEAKS else None, "hits": line.hits}
                for number, line in sorted(function.lines.items())
                if line.hits or line.net or line.peak  # the line of a `def` itself only begins
            ],
        }


def _int_bytes():
    """Traced bytes of the int objects that come with events, line numbers and offsets: some are allocated larger than others."""
    large = bytearray(4096)  # so that no figure is a small int
    _traced()  # its tuple stays on the list of free ones
    before = _traced()[0]
    between = _traced()[0]
    size = len(large)
    after = _traced()[0]
    del large, size
    made_of_long = between - before
    made_of_ssize_t = after - between - made_of_long
    return made_of_long, (made_of_ssize_t if sys.version_info < (3, 13) else made_of_long)
