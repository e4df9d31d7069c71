"""memory_profiler for one request: its own LineProfiler, one for each function, fed with events by `line_events`.

One profiler for several functions would mix their lines (``prev_lineno`` is per profiler), and the decorator breaks async
endpoints and misses functions that routers already hold; see docs/python.md.
"""

import inspect
import json
import os
import sys
from _thread import get_ident
from types import CodeType

from . import settings
from .line_events import line_events
from .results import ToolError, describe
from .toolpath import lend

EVENTS_CAP = 200_000  # a second or two; a hot loop must not run into the server's time-out
_MIB = 1024 * 1024


def resolve(spec):
    """The code object of ``package.module:Qual.name``; decorators that name what they wrap are looked through."""
    module_name, colon, qualified = spec.partition(":")
    if not colon or not module_name or not qualified:
        raise ToolError("%r is not of the form package.module:function or package.module:Class.method" % spec)
    found = _module(module_name)
    for part in qualified.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise ToolError("%s: %s has no attribute %r" % (spec, module_name, part)) from None
    if isinstance(found, property):
        found = found.fget
    found = inspect.unwrap(getattr(found, "__func__", found))
    code = getattr(found, "__code__", None)
    if code is None:
        raise ToolError("%s is not a Python function" % spec)
    if not os.path.exists(code.co_filename):
        raise ToolError("%s: its source file %s cannot be found" % (spec, code.co_filename))
    return code


def _module(name):
    if name in sys.modules:
        return sys.modules[name]
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None) or ""
    spec = getattr(main, "__spec__", None)
    # Importing the program itself once more under its other name would run it twice.
    if getattr(spec, "name", None) == name or os.path.splitext(os.path.basename(file))[0] == name:
        return main
    try:
        return __import__(name, fromlist=["_"])
    except Exception as error:
        raise ToolError("cannot import %s in the target: %s" % (name, describe(error))) from None


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
        specs = json.loads(settings.text("FUNCTIONS") or "[]")
        if not specs:
            raise ToolError("the scenario names no function for memory_profiler (functions: [package.module:name])")
        with lend("memory_profiler"):
            import memory_profiler
        self._library = memory_profiler
        self.problems: "list[str]" = []
        self._functions: "dict[CodeType, str]" = {}
        self._owner: "dict[CodeType, CodeType]" = {}  # also nested code -> its top-level code
        self._watches: "dict[tuple[CodeType, int], _Watch]" = {}  # by top-level code and thread
        for spec in specs:
            try:
                code = resolve(spec)
                profiler = self._profiler(code)
            except Exception as error:
                self.problems.append(describe(error))
                continue
            self._functions.setdefault(code, spec)
            self._watches[code, get_ident()] = _Watch(profiler)
            self._owner[code] = code
            for nested in profiler.code_map:
                self._owner.setdefault(nested, code)
        if not self._functions:
            raise ToolError("; ".join(self.problems))
        self._events = line_events(self._owner, self._report)
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

    def _report(self, frame, event):
        self._left -= 1
        if self._left < 0:
            if self._left == -1:
                self.problems.append(
                    "stopped after %d line events; the rest of the request is not in the figures" % EVENTS_CAP
                )
            return
        code = self._owner[frame.f_code]
        key = (code, get_ident())
        watch = self._watches.get(key)
        if watch is None:
            watch = self._watches[key] = _Watch(self._profiler(code))
        watch.report(frame, event)

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
                for code, spec in self._functions.items()
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
