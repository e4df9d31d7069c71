"""cProfile for one request: calls and time by function and caller, builtins included, in the thread that runs the request.

From 3.12 on cProfile listens through sys.monitoring, where it hears all threads and takes them for one: with another thread
at work, functions call what they never called and lose most of their time. So its callbacks are registered under a tool id of
our own, behind a look at the thread. That also leaves cProfile's own id to an application that uses it in this request.
"""

import os
import sys
from _thread import get_ident
from cProfile import Profile
from typing import Any

from .results import ToolError

FUNCTIONS_CAP = 20_000
CALLERS_CAP = 100_000
_OWN = os.path.dirname(os.path.abspath(__file__)) + os.sep
_NS = 1_000_000_000


class _Profile(Profile):
    """Ours, as opposed to one of the application."""


class _ByThread:
    """Up to 3.11: a profile function of the thread that switched it on."""

    def __init__(self, profile):
        self._profile = profile

    def start(self):
        active: "Any" = sys.getprofile()
        if type(active) is _Profile:
            active.disable()  # of a request that ended in another thread, from where it could not be taken off
        elif active is not None:
            raise ToolError("another profiler is already active in this thread of the target")
        self._profile.enable(subcalls=True, builtins=True)

    def stop(self):
        """Why the profile is not whole, or None."""
        active: "Any" = sys.getprofile()
        if active is not self._profile:  # and whatever there is instead is not ours to disable
            return (
                "the application set or removed a profiler itself, or the request ended in another thread than it began in; "
                "calls from then on are missing"
            )
        self._profile.disable()
        return None


class _Monitoring:
    """3.12+: cProfile's callbacks, for our thread only. What has not returned at the end (of the server's functions) is missing:
    only `Profile.disable` could close it, after hearing all threads for a moment."""

    def __init__(self, profile):
        self._profile = profile
        self._id = None
        self._events: "list[int]" = []

    def start(self):
        monitoring = sys.monitoring
        listening, heard = self._callbacks()
        self._id = next((n for n in (4, 3) if monitoring.get_tool(n) is None), None)
        if self._id is None:
            raise ToolError("sys.monitoring has no free tool id in the target")
        monitoring.use_tool_id(self._id, "harness")
        thread = get_ident()
        for event, callback in listening.items():
            monitoring.register_callback(self._id, event, _of_thread(thread, callback))
        self._events = list(listening)
        monitoring.set_events(self._id, heard)

    def _callbacks(self):
        """({event: cProfile's callback}, the events it listens to)."""
        monitoring = sys.monitoring
        try:
            self._profile.enable(subcalls=True, builtins=True)
        except ValueError as error:
            raise ToolError("cProfile cannot be used in the target: %s" % error) from None
        found = {}
        try:
            for name, event in vars(monitoring.events).items():
                if not name.startswith("_") and event and event & (event - 1) == 0:
                    callback = monitoring.register_callback(monitoring.PROFILER_ID, event, None)
                    if callback is not None:
                        found[event] = callback
            heard = monitoring.get_events(monitoring.PROFILER_ID)
        finally:
            self._profile.disable()
            self._profile.clear()
        return found, heard

    def stop(self):
        """Nothing can come in between."""
        if self._id is not None:
            monitoring = sys.monitoring
            monitoring.set_events(self._id, 0)
            for event in self._events:
                monitoring.register_callback(self._id, event, None)
            monitoring.free_tool_id(self._id)
            self._id = None


def _of_thread(thread, callback):
    def heard(code, offset, third=None, fourth=None):
        if get_ident() == thread:
            callback(code, offset, third, fourth)

    return heard


class Tool:
    """``start`` and ``stop`` in the thread of the request, for WSGI; in that of the event loop, for ASGI."""

    name = "cprofile"
    later = None

    def __init__(self, recorder, options):
        self._profile = _Profile()
        self._engine: "_ByThread | _Monitoring" = (_Monitoring if hasattr(sys, "monitoring") else _ByThread)(
            self._profile
        )

    def start(self):
        self._engine.start()

    def checkpoint(self):
        pass

    def abandon(self):
        """Stop without a result; also in a child that was forked while profiling."""
        self._engine.stop()

    def stop(self):
        """Result dict: each function with its calls, times and callers; see `_functions`."""
        problem = self._engine.stop()
        functions, total, callers_total = _functions(self._profile.getstats())
        return {
            "problems": [problem] if problem else [],
            "functions_total": total,
            "callers_total": callers_total,
            "functions": functions,
        }


def _functions(entries):
    """([function], number of functions, number of pairs of caller and callee), largest first.

    A function: file and line (None for builtins), name, ``own`` (1: ours, not the application's), ``calls``,
    ``primitive_calls`` (not recursive), ``own_ns``, ``total_ns`` (with callees, recursion counted once), and ``callers``: lists
    of index of the caller and the same four figures for calls from there.
    """
    entries = sorted(entries, key=lambda entry: entry.totaltime, reverse=True)
    index = {id(entry.code): number for number, entry in enumerate(entries[:FUNCTIONS_CAP])}
    functions = [_function(entry) for entry in entries[:FUNCTIONS_CAP]]
    pairs = 0
    for caller, entry in enumerate(entries):
        for call in entry.calls or ():
            pairs += 1
            callee = index.get(id(call.code))
            if callee is not None and caller < FUNCTIONS_CAP and pairs <= CALLERS_CAP:
                functions[callee]["callers"].append([caller, *_figures(call)])
    return functions, len(entries), pairs


def _function(entry):
    code = entry.code
    calls, primitive_calls, own_ns, total_ns = _figures(entry)
    builtin = isinstance(code, str)
    return {
        "file": None if builtin else code.co_filename,
        "line": None if builtin else code.co_firstlineno,
        "name": code if builtin else getattr(code, "co_qualname", code.co_name),
        "own": int(not builtin and code.co_filename.startswith(_OWN)),
        "calls": calls,
        "primitive_calls": primitive_calls,
        "own_ns": own_ns,
        "total_ns": total_ns,
        "callers": [],
    }


def _figures(entry):
    return (
        entry.callcount,
        entry.callcount - entry.reccallcount,
        round(entry.inlinetime * _NS),
        round(entry.totaltime * _NS),
    )
