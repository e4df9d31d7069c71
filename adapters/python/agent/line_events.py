"""Call, line and return events of selected code objects, and of nothing else, while one request runs.

Selecting by code object needs no decoration, so routers' references, generators and coroutines work as they are. Only code
that runs in the request's context (a ContextVar, not a thread) is reported: it follows ``await`` and, from 3.12 on, the
thread pools of asyncio, anyio and asgiref. Before 3.12 tracing is per thread: hops to a thread pool are not seen.

``handler(frame, event)`` gets "call" (also when a generator resumes), "line" and "return" (also at a yield).
"""

import sys
from contextvars import ContextVar

from .results import ToolError

_watched: "ContextVar[object]" = ContextVar("harness_watched", default=None)


def line_events(codes, handler):
    """The engine for this interpreter, not started; ToolError when it is in use by somebody else."""
    return _Monitoring(codes, handler) if hasattr(sys, "monitoring") else _Settrace(codes, handler)


class _Settrace:
    """sys.settrace with a tracer that declines every frame but the selected ones. Stock memory_profiler traces all lines
    of all frames, which makes a request ten times slower."""

    def __init__(self, codes, handler):
        if sys.gettrace() is not None:
            raise ToolError("another tracer (a debugger or coverage) is active in the target")
        self._codes = frozenset(codes)
        self._handler = handler
        self._active = False

    def start(self):
        self._active = True
        _watched.set(self)
        sys.settrace(self._calls)

    def stop(self):
        # Another thread than the one that started (a server may close elsewhere) takes its tracer off at its next call.
        self._active = False
        if _watched.get() is self:
            _watched.set(None)
        if sys.gettrace() == self._calls:
            sys.settrace(None)

    def _calls(self, frame, event, arg):
        if not self._active:
            if sys.gettrace() == self._calls:
                sys.settrace(None)
            return None
        if frame.f_code not in self._codes or _watched.get() is not self:
            return None
        self._report(frame, "call")
        return self._lines

    def _lines(self, frame, event, arg):
        if not self._active:
            return None
        if event != "exception":
            self._report(frame, event)
        return self._lines

    def _report(self, frame, event):
        try:
            self._handler(frame, event)
        except Exception:
            pass  # it would surface in the application


class _Monitoring:
    """sys.monitoring (3.12+), switched on for the selected code objects only."""

    def __init__(self, codes, handler):
        monitoring = sys.monitoring
        self._codes = frozenset(codes)
        self._handler = handler
        self._id = next((n for n in (4, 3) if monitoring.get_tool(n) is None), None)
        if self._id is None:
            raise ToolError("sys.monitoring has no free tool id in the target")
        self._active = False

    def start(self):
        monitoring, events = sys.monitoring, sys.monitoring.events
        monitoring.use_tool_id(self._id, "harness")
        self._active = True
        for event, callback in (
            (events.PY_START, self._call),
            (events.PY_RESUME, self._call),
            (events.LINE, self._line),
            (events.PY_RETURN, self._return),
            (events.PY_YIELD, self._return),
            (events.PY_UNWIND, self._unwind),
        ):
            monitoring.register_callback(self._id, event, callback)
        local = events.PY_START | events.PY_RESUME | events.LINE | events.PY_RETURN | events.PY_YIELD
        for code in self._codes:
            monitoring.set_local_events(self._id, code, local)
        monitoring.set_events(self._id, events.PY_UNWIND)  # not to be had per code object
        _watched.set(self)

    def stop(self):
        if not self._active:
            return
        self._active = False
        if _watched.get() is self:
            _watched.set(None)
        monitoring = sys.monitoring
        monitoring.set_events(self._id, 0)
        for code in self._codes:
            monitoring.set_local_events(self._id, code, 0)
        for event in ("PY_START", "PY_RESUME", "LINE", "PY_RETURN", "PY_YIELD", "PY_UNWIND"):
            monitoring.register_callback(self._id, getattr(monitoring.events, event), None)
        monitoring.free_tool_id(self._id)

    def _call(self, code, offset):
        self._report(sys._getframe(1), "call")

    def _line(self, code, line):
        self._report(sys._getframe(1), "line")

    def _return(self, code, offset, value):
        self._report(sys._getframe(1), "return")

    def _unwind(self, code, offset, error):
        if code in self._codes:
            self._report(sys._getframe(1), "return")

    def _report(self, frame, event):
        if _watched.get() is self:
            try:
                self._handler(frame, event)
            except Exception:
                pass
