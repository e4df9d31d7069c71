"""Net and peak bytes of each line of the watched functions, to the byte: what tracemalloc counts, read at every line.

Nothing that this tool allocates may be in the figures. So while the request runs, events are only noted, as numbers in memory
that is mapped (tracemalloc does not see it); the handler keeps no object, and the peak is reset last of all. What the
interpreter itself adds to frames that it traces is noted as well and taken off. Accounts are drawn up at the end.
"""

import mmap
import sys
import tracemalloc
from _thread import get_ident
from struct import Struct

from .line_events import line_events, precisely
from .line_ledger import Function, Ledger
from .results import ToolError
from .watched import CAPPED, EVENTS_CAP, Functions

_traced = tracemalloc.get_traced_memory


def _no_reset():
    pass


_reset_peak = getattr(tracemalloc, "reset_peak", _no_reset)  # 3.9+
_PEAKS = _reset_peak is not _no_reset
# A frame that is traced has a dict of its locals, filled before each event; from 3.11 on, a frame object instead.
_DICTS = sys.version_info < (3, 11)
_EMPTY_BYTES = sys.getsizeof({})
_SMALL_TABLE_BYTES = 168  # a dict's table of that size is taken from a list of free ones, and goes back there

# Kind, frame, line, traced bytes now, the peak, bytes of the frame's dict. All but lines have a second row: thread, code, the
# interpreter's number, bytes of the frame object, 0, 0. Both are written at once: another thread may be next.
_ROW = Struct("=6q")
_pack_line, _pack_edge = _ROW.pack, Struct("=12q").pack
_KINDS = ("line", "call", "resume", "yield", "return")
_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}


class Tool:
    """Measures the functions named in HARNESS_FUNCTIONS; ``problems`` lists those that cannot be."""

    name = "lines"
    later = None

    def __init__(self, recorder, options):
        functions = Functions(self.name, options)
        self.problems = functions.problems
        self._names = functions.names
        self._owners = {id(code): owner for code, owner in functions.owners.items()}  # they live as long as we do
        self._events = line_events(functions.owners, self._heard)
        self._notes = mmap.mmap(-1, EVENTS_CAP * _ROW.size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._write = self._notes.write
        self._full = False
        self._tracing = False
        self._base = 0  # traced bytes when it began
        self._rest = 0  # the peak after the last event, above the base
        self._line_number_bytes = self._offset_bytes = 0

    def start(self):
        """Not before it is our turn: until then the measured request before this one may still be tracing."""
        if tracemalloc.is_tracing():
            raise ToolError(
                "tracemalloc is tracing in the target already (the application, or from_boot); lines would reset its peak"
            )
        self._tracing = True
        tracemalloc.start(1)
        self._line_number_bytes, self._offset_bytes = _int_bytes()
        self._events.start()
        self._base = _traced()[0]
        self._base = _traced()[0]  # with the one just kept in it
        _reset_peak()

    def _heard(self, frame, event, number):
        if self._full:
            return
        now, peak = _traced()
        try:
            if event == "line":
                held = sys.getsizeof(frame.f_locals) if _DICTS else 0
                self._write(_pack_line(0, id(frame), frame.f_lineno if number is None else number, now, peak, held))
                del held
            else:
                self._note_edge(frame, event, number, now, peak)
        except ValueError:  # no room
            self._full = True
        del now, peak  # nothing of ours may be there when the peak is reset
        _reset_peak()

    def _note_edge(self, frame, event, number, now, peak):
        kind = _NUMBERS[precisely(frame, event)]
        held, frame_bytes = (sys.getsizeof(frame.f_locals), 0) if _DICTS else (0, sys.getsizeof(frame))
        number = -1 if number is None else number
        of_frame = kind, id(frame), frame.f_lineno, now, peak, held
        self._write(_pack_edge(*of_frame, get_ident(), id(frame.f_code), number, frame_bytes, 0, 0))

    def checkpoint(self):
        """Note the peak so far; called before our own work could raise it."""
        self._rest = max(self._rest, _traced()[1] - self._base)

    def _end(self):
        self._events.stop()
        if self._tracing:
            self._tracing = False
            tracemalloc.stop()

    def abandon(self):
        """Stop without a result; also in a child that was forked while tracing."""
        self._end()
        self._notes.close()

    def stop(self):
        """Result dict: for each function and its lines net and peak bytes, and how often they ran; peaks are None where they
        cannot be had (3.8)."""
        self._end()
        ledger = Ledger()
        highest = max(self._rest, self._enter_all(ledger))
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
            "peak_bytes": highest if _PEAKS else None,
            "functions": [
                _function(spec, code, ledger.functions.get(code) or Function()) for code, spec in self._names.items()
            ],
        }

    def _enter_all(self, ledger):
        """Enter what was noted; the highest level (bytes)."""
        highest = level = 0
        frames = _Additions()
        reset_at = self._base  # where the peak was reset
        with self._notes as notes, memoryview(notes) as mapped, mapped[: notes.tell()] as noted:
            rows = _ROW.iter_unpack(noted)
            for kind, frame, line, now, reached, held in rows:
                last = level
                event = _KINDS[kind]
                thread, code, number, frame_bytes, _, _ = (0, 0, line, 0, 0, 0) if event == "line" else next(rows)
                before = self._base + frames.bytes
                between = frames.note(event, frame, held, frame_bytes)
                level = now - self._base - frames.bytes - self._number_bytes(event, number)
                # The interpreter's own steps between the line and us reach as high as this; below it, nothing is known.
                known = _PEAKS and reached > max(reset_at, now + between)
                peak = reached - before if known else max(level, last)
                highest = max(highest, peak)
                reset_at = now
                if event == "line":
                    ledger.line(frame, line, level, peak)
                elif event in ("call", "resume"):
                    ledger.enter(thread, frame, self._owners[code], line, event == "resume", level, peak)
                else:
                    ledger.leave(frame, level, peak)
                    if event == "return":
                        frames.forget(frame, frame_bytes)
        if self._full:
            self.problems.append(CAPPED)
            ledger.end(level)
        return highest

    def _number_bytes(self, event, number):
        """Traced bytes of the int object that came with an event."""
        if number < 0 or number + 0 is number:  # none, or one of the interpreter's small ints, which exist already
            return 0
        return self._line_number_bytes if event == "line" else self._offset_bytes


class _Additions:
    """``bytes``: what tracing has added to the frames that run or are suspended."""

    def __init__(self):
        self.bytes = 0
        self._tables: "dict[int, tuple[int, int]]" = {}  # by frame: bytes of its dict's table, at its begin and now

    def note(self, event, frame, held, frame_bytes):
        """Note what an event says about a frame; the bytes that the interpreter needed in between, at most."""
        if not _DICTS:
            if event == "call":
                self.bytes += frame_bytes
            return 0
        held -= _EMPTY_BYTES
        if held <= _SMALL_TABLE_BYTES:
            held = 0
        first, before = self._tables.get(frame, (held, held))
        self._tables[frame] = (first, held)
        self.bytes += held - before
        return held if held != before else 0

    def forget(self, frame, frame_bytes):
        """The frame has returned: all of it will be gone at the next event."""
        first, held = self._tables.pop(frame, (0, 0))
        self.bytes -= held - first + frame_bytes


def _function(spec, code, function):
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
