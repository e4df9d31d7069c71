"""memory_profiler for one request: its own LineProfiler, one for each function, fed with events by `line_events`.

One profiler for several functions would mix their lines (``prev_lineno`` is per profiler), and the decorator breaks async
endpoints and misses functions that routers already hold; see docs/python.md.
"""

from _thread import get_ident
from types import CodeType

from .line_events import line_events
from .results import ToolError, describe
from .toolpath import lend
from .watched import CAPPED, EVENTS_CAP, Functions

_MIB = 1024 * 1024
_TRACE_EVENTS = {"resume": "call", "yield": "return"}  # as sys.settrace names them


class _Watch:
    """One function in one thread: a LineProfiler and the frames it is in."""

    def __init__(self, profiler):
        self.profiler = profiler
        self._frames = []

    def report(self, frame, event):
        """Hand an event on, keeping the profiler's stack of lines true when an event was missed (an exception thrown into
        a generator resumes it without a call)."""
        frames, key, feed = self._frames, id(frame), self.profiler.trace_memory_usage
        if event == "call":
            frames.append(key)
        elif not frames or frames[-1] != key:
            if key not in frames:
                if event == "line":
                    frames.append(key)
                    feed(frame, "call", None)
                return
            while frames[-1] != key:
                frames.pop()
                self.profiler.prevlines.pop()
        feed(frame, event, None)
        if event == "return":
            frames.pop()


class _Function:
    def __init__(self, code):
        self.__code__ = code


class Tool:
    """Measures the functions named in HARNESS_FUNCTIONS; ``problems`` lists those that cannot be."""

    name = "memory_profiler"
    later = None

    def __init__(self, recorder, options):
        self._rss_bytes = recorder.rss_bytes
        functions = Functions(self.name, options)
        with lend("memory_profiler"):
            import memory_profiler
        self._library = memory_profiler
        self.problems = functions.problems
        self._names = functions.names
        self._owners = functions.owners
        self._watches: "dict[tuple[CodeType, int], _Watch]" = {}  # by outermost code and thread
        for code in list(self._names):
            try:
                self._watches[code, get_ident()] = _Watch(self._profiler(code))
            except Exception as error:  # memory_profiler reads the source
                self.problems.append("%s: %s" % (self._names.pop(code), describe(error)))
        if not self._names:
            raise ToolError("; ".join(self.problems))
        self._events = line_events(self._owners, self._report)
        self._left = EVENTS_CAP
        self._read = None

    def _profiler(self, code):
        profiler = self._library.LineProfiler(backend="psutil")
        profiler.add_function(_Function(code))
        profiler._original_trace_function = None  # its enable() would set it; we feed it instead
        return profiler

    def _rss_mib(self, pid, backend, **_):
        # What psutil reads and computes, 15 times faster: it makes a Process object for each line.
        return self._rss_bytes() / _MIB

    def _report(self, frame, event, number):
        self._left -= 1
        if self._left < 0:
            if self._left == -1:
                self.problems.append(CAPPED)
            return
        code = self._owners[frame.f_code]
        key = (code, get_ident())
        watch = self._watches.get(key)
        if watch is None:
            watch = self._watches[key] = _Watch(self._profiler(code))
        watch.report(frame, _TRACE_EVENTS.get(event, event))

    def start(self):
        self._read, self._library._get_memory = self._library._get_memory, self._rss_mib
        self._events.start()

    def checkpoint(self):
        pass

    def abandon(self):
        """Stop without a result; also in a child that was forked while tracing."""
        self._events.stop()
        if self._read is not None:
            self._library._get_memory, self._read = self._read, None

    def stop(self):
        """Result dict: for each function its lines with RSS increment, highest RSS (bytes) and number of executions."""
        self.abandon()
        return {
            "problems": self.problems,
            "functions": [
                {
                    "name": spec,
                    "file": code.co_filename,
                    "line": code.co_firstlineno,
                    "lines": self._lines(code),
                }
                for code, spec in self._names.items()
            ],
        }

    def _lines(self, code):
        merged: "dict[int, tuple[float, float, int]]" = {}
        for (owner, _), watch in list(self._watches.items()):
            if owner is not code:
                continue
            for _, lines in watch.profiler.code_map.items():  # noqa: PERF102  (its items() is not a dict's)
                for line, measure in lines:
                    if measure:
                        gained, level, hits = merged.get(line, (0.0, 0.0, 0))
                        merged[line] = (gained + measure[0], max(level, measure[1]), hits + measure[2])
        return [
            {
                "line": line,
                # memory_profiler has nothing to subtract at the function's first line and shows the whole process there
                "increment_bytes": None if line == code.co_firstlineno else round(gained * _MIB),
                "rss_bytes": round(level * _MIB),
                "hits": hits,
            }
            for line, (gained, level, hits) in sorted(merged.items())
        ]
