"""Call, line and return events of selected code objects, and of nothing else, while one request runs.

Selecting by code object needs no decoration, so routers' references, generators and coroutines work as they are. Only code
that runs in the request's context (a ContextVar, not a thread) is reported: it follows ``await`` and the thread pools of
asyncio, anyio and asgiref, which hand the context on.

``handler(frame, event, number)`` gets "call", "line" and "return", and from 3.12 on "resume" and "yield" of generators and
coroutines, which are a "call" and a "return" before; `precisely` tells them apart. ``number`` is an int that the interpreter
made for this event and drops after it, or None: who counts bytes must know of it. Until the handler runs, nothing else is
allocated for an event, except what `_Settrace` says.
"""

import sys
from contextvars import ContextVar
from opcode import opmap

from .results import ToolError
from .thread_hops import ThreadHops

_watched: "ContextVar[object]" = ContextVar("harness_watched", default=None)
_frame = sys._getframe
_MONITORING = hasattr(sys, "monitoring")
_START = bytes([opmap.get("RESUME", 0), 0])  # 3.11
_YIELDS = {opmap.get("YIELD_VALUE"), opmap.get("YIELD_FROM")}
_SUSPENDABLE = 0x20 | 0x80 | 0x200  # CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR


def line_events(codes, handler):
    """The engine for this interpreter; ToolError here or at its ``start`` when that is in use by somebody else."""
    return (_Monitoring if _MONITORING else _Settrace)(codes, handler)


def precisely(frame, event):
    """The event, with "call" and "return" told from "resume" and "yield" on every version."""
    code = frame.f_code
    if event == "line" or _MONITORING or not code.co_flags & _SUSPENDABLE:
        return event
    at = frame.f_lasti
    if event == "return":  # an exception that a generator does not catch at its yield is taken for another yield
        return "yield" if code.co_code[at] in _YIELDS else event
    return event if at < 0 or code.co_code[at : at + 2] == _START else "resume"


class _Settrace:
    """sys.settrace with a tracer that declines every frame but the selected ones. Stock memory_profiler traces all lines
    of all frames, which makes a request ten times slower.

    The interpreter makes a frame object (3.11) or fills the frame's dict of locals (before) for each call that happens meanwhile.
    """

    def __init__(self, codes, handler):
        self._codes = frozenset(codes)
        self._names = frozenset(code.co_name for code in codes)  # the hash of a code object is slow
        self._handler = handler
        self._active = False
        self._tracer = self._calls  # one object each: a new one for every event would be in the figures
        self._local_tracer = self._lines
        self._hops = ThreadHops(self._tracer)

    def start(self):
        active = sys.gettrace()
        # One of ours is that of another request: it is taken along to every job of a pool, and a server's requests may be such.
        if active is not None and not isinstance(getattr(active, "__self__", None), _Settrace):
            raise ToolError("another tracer (a debugger or coverage) is active in the target")
        self._active = True
        _watched.set(self)
        self._hops.start()
        sys.settrace(self._tracer)

    def stop(self):
        # Another thread than the one that started (a server may close elsewhere) takes its tracer off at its next call.
        self._active = False
        self._hops.stop()
        if _watched.get() is self:
            _watched.set(None)
        if sys.gettrace() is self._tracer:
            sys.settrace(None)

    def _calls(self, frame, event, arg):
        if not self._active:
            if sys.gettrace() is self._tracer:
                sys.settrace(None)
            return None
        code = frame.f_code
        if code.co_name not in self._names or code not in self._codes or _watched.get() is not self:
            return None
        try:
            self._handler(frame, event, None)
        except Exception:
            pass  # it would surface in the application
        return self._local_tracer

    def _lines(self, frame, event, arg):
        if not self._active:
            return None
        if event != "exception":
            try:
                self._handler(frame, event, None)
            except Exception:
                pass
        return self._local_tracer


class _Monitoring:
    """sys.monitoring (3.12+), switched on for the selected code objects only."""

    def __init__(self, codes, handler):
        monitoring = sys.monitoring
        self._codes = frozenset(codes)
        self._names = frozenset(code.co_name for code in codes)
        self._handler = handler
        self._id = next((n for n in (4, 3) if monitoring.get_tool(n) is None), None)
        if self._id is None:
            raise ToolError("sys.monitoring has no free tool id in the target")
        self._active = False

    def start(self):
        monitoring, events = sys.monitoring, sys.monitoring.events
        monitoring.use_tool_id(self._id, "harness")
        self._active = True
        for event, callback in self._callbacks().items():
            monitoring.register_callback(self._id, event, callback)
        local = events.PY_START | events.PY_RESUME | events.LINE | events.PY_RETURN | events.PY_YIELD
        for code in self._codes:
            monitoring.set_local_events(self._id, code, local)
        monitoring.set_events(self._id, events.PY_UNWIND | events.PY_THROW)  # not to be had per code object
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
        for event in self._callbacks():
            monitoring.register_callback(self._id, event, None)
        monitoring.free_tool_id(self._id)

    def _callbacks(self):
        events = sys.monitoring.events
        return {
            events.PY_START: self._call,
            events.PY_RESUME: self._resume,
            events.PY_THROW: self._throw,
            events.LINE: self._line,
            events.PY_RETURN: self._return,
            events.PY_YIELD: self._yield,
            events.PY_UNWIND: self._unwind,
        }

    def _call(self, code, offset):
        self._report(_frame(1), "call", offset)

    def _resume(self, code, offset):
        self._report(_frame(1), "resume", offset)

    def _throw(self, code, offset, error):
        if code.co_name in self._names and code in self._codes:
            self._report(_frame(1), "resume", offset)

    def _line(self, code, line):  # as `_report`, without one more call: there are many lines
        if _watched.get() is self:
            try:
                self._handler(_frame(1), "line", line)
            except Exception:
                pass

    def _return(self, code, offset, value):
        self._report(_frame(1), "return", offset)

    def _yield(self, code, offset, value):
        self._report(_frame(1), "yield", offset)

    def _unwind(self, code, offset, error):
        if code.co_name in self._names and code in self._codes:
            self._report(_frame(1), "return", offset)

    def _report(self, frame, event, number):
        if _watched.get() is self:
            try:
                self._handler(frame, event, number)
            except Exception:
                pass
