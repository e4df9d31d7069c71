"""One line per request in an append-only file that was opened at boot and is inherited by forks.

Everything here runs inside the application's requests: no lock, no thread, no import beyond what the interpreter has
already loaded, and nothing may raise out of `begin`, `end` or `write`. A system call costs about a microsecond, a line
survives SIGKILL as soon as ``write`` returned, and O_APPEND keeps the lines of many processes whole.
"""

import gc
import os
import sys
from _thread import _count as _extra_threads
from _thread import get_ident
from itertools import count
from time import monotonic_ns

try:
    from _json import encode_basestring_ascii as quote
except ImportError:  # an interpreter built without the accelerator
    from json.encoder import encode_basestring_ascii as quote

NAME_CAP = 400  # characters; every one of them may become twelve bytes, a line must stay below 8 KiB
ERROR_CAP = 480
_BLOCKS_CHEAP_NS = 20_000
_BLOCKS_PAUSE_NS = 1_000_000_000
_PEAK_SCAN_LIMIT = 64
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_ZERO_SPAN = "0" * 16
_TIMED_EACH, _TIMED_FIRST = (
    32,
    7,
)  # requests of a process that are timed, by their numbers; none of the first, which load things
_LONGEST_COST_NS = 1_000_000_000  # the process was stopped: that says nothing about the agent

# Bound now: the application may patch or shadow any of these later.
_open, _close, _write, _pread, _fstat, _getpid = os.open, os.close, os.write, os.pread, os.fstat, os.getpid
_blocks = getattr(sys, "getallocatedblocks", None)  # CPython only


def span_of(traceparent):
    """The 16 hex digits of the parent id in a W3C ``traceparent`` header (str), or None for anything malformed."""
    if traceparent is None or len(traceparent) != 55 or traceparent[35] != "-" or traceparent[52] != "-":
        return None
    span = traceparent[36:52]
    return None if span.strip("0123456789abcdef") or span == _ZERO_SPAN else span


class GcMeter:
    """Counts garbage collections of this process, their pauses (ns) and what they freed, through ``gc.callbacks``."""

    __slots__ = ("collected", "pause_ns", "runs", "started_ns")

    def __init__(self):
        self.runs = self.pause_ns = self.collected = self.started_ns = 0

    def __call__(self, phase, info):
        if phase == "start":
            self.started_ns = monotonic_ns()
        else:
            self.runs += 1
            self.pause_ns += monotonic_ns() - self.started_ns
            self.collected += info.get("collected", 0)


class Request:
    """One request between `Recorder.begin` and `Recorder.end`."""

    __slots__ = (
        "collected",
        "cost_ns",
        "gc_pause_ns",
        "gc_runs",
        "key",
        "name",
        "peak",
        "pid",
        "rss",
        "sequence",
        "span",
        "start_ns",
        "status",
    )

    def __init__(self, name, span):
        self.name = name
        self.span = span
        self.key = span or id(self)
        self.status = None
        self.pid = 0  # 0: not begun, or ended
        self.cost_ns = None  # of the beginning, in a request that is timed


class Recorder:
    """State of the agent in one process. ``active`` holds the requests in flight, ``gate`` whoever wants to run alone."""

    def __init__(self, path):
        self.path = path
        self.gc = GcMeter()
        self.counts_gc = hasattr(gc, "callbacks")
        if self.counts_gc:
            gc.callbacks.append(self.gc)
        self.frozen_at_boot = gc.get_freeze_count() if hasattr(gc, "get_freeze_count") else 0  # 3.12.0 starts with some
        self.gate = None
        self.armed = None  # (words of the tool that jobs are to run under, runs so far by kind of job)
        self.closed = False  # the agent has left this process
        self.announcement = "}"
        self.copier = None  # the thread that forks a copy of the process right now: snapshot.py
        self.speaks_for = None  # the process that this one is a copy of
        self.torn = False
        self.fd = self.statm = -1
        self.identity = self.statm_identity = None
        self.reset()
        self._open_records()

    @property
    def copying(self):
        """Whether the fork that is going on in this thread is ours; in a copy, True for good."""
        return self.copier == get_ident()

    # --- files ---------------------------------------------------------------------------------------------------

    def reset(self):
        """Start afresh in this process: at boot, after a fork, or when the pid turned out to have changed."""
        self.pid = _getpid()
        self.active = {}
        self.gate = self.armed = None
        self.sequence = count()
        self.blocks_after_ns = self.blocks_slow = 0
        self.since_ns = monotonic_ns()
        self.blocks_at_start = self.count_blocks()  # what a worker inherits at its fork
        # The inherited descriptor shows the parent's memory. Close it only if it is still what we opened.
        if self.statm >= 0 and self._is(self.statm, self.statm_identity):
            _close(self.statm)
        self._open_statm()

    def _open_statm(self):
        self.statm, self.statm_identity = self._open_private("/proc/self/statm", os.O_RDONLY)

    def close(self):
        """Leave this process: requests in flight get no record, nothing is measured any more, no file stays open."""
        self.closed = True
        for request in list(self.active.values()):
            request.pid = 0
        self.active = {}
        self.gate = self.armed = None
        if self.gc in gc.callbacks:
            gc.callbacks.remove(self.gc)
        for fd, identity in ((self.fd, self.identity), (self.statm, self.statm_identity)):
            if fd >= 0 and self._is(fd, identity):
                _close(fd)
        self.fd = self.statm = -1

    def _open_records(self):
        self.fd, self.identity = self._open_private(self.path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)

    @staticmethod
    def _open_private(path, flags):
        """(descriptor above the standard streams, its identity), or (-1, None)."""
        try:
            fd = _open(path, flags | os.O_CLOEXEC)
            if fd <= 2:  # started with a standard stream closed: never sit where the application will write
                from fcntl import F_DUPFD_CLOEXEC, fcntl

                low, fd = fd, fcntl(fd, F_DUPFD_CLOEXEC, 3)
                _close(low)
            found = _fstat(fd)
            return fd, (found.st_dev, found.st_ino)
        except Exception:
            return -1, None

    @staticmethod
    def _is(fd, identity):
        try:
            found = _fstat(fd)
            return (found.st_dev, found.st_ino) == identity
        except OSError:
            return False

    def write(self, line):
        """Append one line (ASCII str without newline). A daemon may have closed our descriptor and another file may have got
        its number, so its identity is checked first."""
        try:
            if self.closed:
                return
            if self.fd < 0 or not self._is(self.fd, self.identity):
                self._open_records()
                if self.fd < 0:
                    return
            data = (("\n" if self.torn else "") + line + "\n").encode("ascii", "replace")
            self.torn = _write(self.fd, data) != len(data)  # a full disk may cut a line; the next one starts anew
        except Exception:
            pass

    def announce(self):
        """Say that the agent is in this process: at boot and in every forked child."""
        self.write(
            '{"k":"boot","rt":"python","pid":%d,"ppid":%d,"t":%d%s'
            % (self.pid, os.getppid(), monotonic_ns(), self.announcement)
        )

    # --- measures ------------------------------------------------------------------------------------------------

    def rss_bytes(self):
        """Resident set size of this process, None when /proc cannot be read."""
        try:
            return int(_pread(self.statm, 96, 0).split(None, 2)[1]) * _PAGE_BYTES
        except Exception:
            if self.closed:
                return None
            self._open_statm()  # the old number may belong to somebody else by now: leave it alone
            try:
                return int(_pread(self.statm, 96, 0).split(None, 2)[1]) * _PAGE_BYTES
            except Exception:
                return None

    @staticmethod
    def count_blocks():
        """Blocks of Python's allocator, None where it is not in use: with PYTHONMALLOC=malloc the interpreter says 0."""
        return (_blocks() or None) if _blocks is not None else None

    def blocks(self, now_ns):
        """Blocks of Python's allocator, or None: counting them walks all pools on 3.9+, so where two counts running took
        longer than 20 us (one may just have been interrupted) the next one waits a second."""
        if _blocks is None or now_ns < self.blocks_after_ns:
            return None
        found = self.count_blocks()
        if monotonic_ns() - now_ns <= _BLOCKS_CHEAP_NS:
            self.blocks_slow = 0
        else:
            self.blocks_slow += 1
            if self.blocks_slow > 1:
                self.blocks_after_ns = now_ns + _BLOCKS_PAUSE_NS
        return found

    # --- requests ------------------------------------------------------------------------------------------------

    def begin(self, request, entered_ns=None):
        """Note the start of a request. ``entered_ns``: since when the agent is at work on it (monotonic), None = since now."""
        if _getpid() != self.pid:  # uWSGI forks in C, without at-fork hooks
            self.reset()
            self.announce()
        request.pid = self.pid
        request.sequence = next(self.sequence)
        request.start_ns = monotonic_ns() if entered_ns is None else entered_ns
        request.rss = self.rss_bytes()
        meter = self.gc
        request.gc_runs, request.gc_pause_ns, request.collected = meter.runs, meter.pause_ns, meter.collected
        self.enter(request)
        if request.sequence % _TIMED_EACH == _TIMED_FIRST:
            request.cost_ns = monotonic_ns() - request.start_ns

    def enter(self, request):
        """Count a request as in flight; whoever looks at ``gate`` must do so after this."""
        active = self.active
        active[request.key] = request
        request.peak = in_flight = len(active)
        if 1 < in_flight <= _PEAK_SCAN_LIMIT:  # beyond that, the larger of the counts at start and end must do
            for other in list(active.values()):
                other.peak = max(other.peak, in_flight)

    def leave(self, request):
        """Count a request as no longer in flight."""
        self.active.pop(request.key, None)

    def end(self, request):
        """Write the request's record, once; nothing when it began in another process."""
        if request.pid != _getpid():
            return
        end_ns = monotonic_ns()
        request.pid = 0
        peak = max(request.peak, len(self.active))
        self.leave(request)
        rss, status, meter, span = self.rss_bytes(), request.status, self.gc, request.span
        more = ""
        if self.counts_gc and meter in gc.callbacks:
            more = ',"gc_runs":%d,"gc_pause_ns":%d,"gc_collected":%d' % (
                meter.runs - request.gc_runs,
                meter.pause_ns - request.gc_pause_ns,
                meter.collected - request.collected,
            )
        blocks = self.blocks(monotonic_ns())
        if blocks is not None:
            more += ',"blocks":%d' % blocks
        self.write(
            '{"k":"req","rt":"python","pid":%d,"n":%d,"t0":%d,"t1":%d,"span":%s,"name":%s,"st":%s,"first":%d,'
            '"v":{"in_flight_max":%d,"threads":%d,"rss_start_bytes":%s,"rss_end_bytes":%s%s}}'
            % (
                self.pid,
                request.sequence,
                request.start_ns,
                end_ns,
                '"%s"' % span if span else "null",
                quote(request.name[:NAME_CAP]),
                "null" if status is None else status,
                request.sequence == 0,
                peak,
                _extra_threads() + 1,
                "null" if request.rss is None else request.rss,
                "null" if rss is None else rss,
                more,
            )
        )
        if request.cost_ns is not None:
            self._write_cost(request.cost_ns + monotonic_ns() - end_ns)

    def _write_cost(self, cost_ns):
        """Say what the agent took in a request, its record included."""
        if cost_ns < _LONGEST_COST_NS:
            self.write('{"k":"cost","rt":"python","pid":%d,"t":%d,"ns":%d}' % (self.pid, monotonic_ns(), cost_ns))

    def tool(self, tool, span, file, error, values):
        """Write a tool record; ``file`` is a bare name in the results directory, ``values`` maps names to int or None."""
        self.write(
            '{"k":"tool","rt":"python","pid":%d,"t":%d,"span":%s,"tool":%s,"file":%s,"error":%s,"v":{%s}}'
            % (
                self.speaks_for or _getpid(),
                monotonic_ns(),
                '"%s"' % span if span else "null",
                quote(tool[:64]),
                quote(file) if file else "null",
                quote(error[:ERROR_CAP]) if error else "null",
                ",".join('"%s":%s' % (k, "null" if v is None else "%d" % v) for k, v in values.items()),
            )
        )
