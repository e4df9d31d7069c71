"""One tool for one request: load the tool, run alone, measure, write the result. The response stays what it would be."""

import os
import sys
import time
from _thread import _count as _extra_threads
from _thread import get_ident
from importlib import import_module
from typing import Any
from urllib.parse import unquote

from . import snapshot
from .gate import TurnLock, drive_async, drive_blocking
from .middleware import (
    TRIGGER_HEADER,
    Body,
    SizedBody,
    end,
    is_file_wrapper,
    watch_send,
    watch_status,
    wrap_body,
)
from .publish import publish
from .results import ToolError, describe

_TOOLS = {
    "tracemalloc": ".tool_tracemalloc",
    "memory_profiler": ".tool_memory_profiler",
    "lines": ".tool_lines",
    "memray": ".tool_memray",
    "cprofile": ".tool_cprofile",
    "survivors": ".tool_survivors",
    "objgraph": ".tool_objgraph",
    "guppy3": ".tool_guppy3",
    "blackfire": ".tool_blackfire",
}

_runs_before: "dict[str, int]" = {}  # by tool, in this process
_results = 0  # under orders for many, in this process
_turns = TurnLock()
_current = None


def parse(text):
    """(name of the tool, its options as a dict of str) of ``tool key=value key=value``, values percent-encoded."""
    name, *words = text.split() or ("none",)
    options = {}
    for word in words:
        key, _, value = word.partition("=")
        options[key] = unquote(value)
    return name, options


def create(name, options, recorder) -> "Any":
    """The tool, its imports done, not started. Tools offer

    ``Tool(recorder, options)``, ``start()``, ``checkpoint()`` (the response exists, our copy of it does not yet), ``stop()``
    -> result dict, ``abandon()`` (stop without a result; also in a child forked meanwhile), and ``later``: None, or a function
    whose dict is added to the result, and which runs in a copy of the process because it takes long. A tool that has one may
    have ``descriptors``: the files that the copy needs; it is told to ``abandon`` here once there is a copy.
    """
    if name not in _TOOLS:
        raise ToolError("unknown tool %r" % name[:40])
    return import_module(_TOOLS[name], __package__).Tool(recorder, options)


def _after_fork_in_child():
    """A child that was forked while a tool ran inherits a running tool and a held gate; neither is its own."""
    global _current
    if _current is not None and _current.recorder.copying:
        return  # our own copy reads what the tool holds
    measurement, _current = _current, None
    _runs_before.clear()
    _turns.reset()
    if measurement is not None:
        measurement.drop()


os.register_at_fork(after_in_child=_after_fork_in_child)  # here: of two first requests each would do it


class Measurement:
    """A triggered request: ``prepare``, ``turn.enter()``, ``start``, the application, ``finish``. Only ``turn.enter`` waits."""

    def __init__(self, recorder, request, tool_text, scope="request"):
        self.recorder = recorder
        self.request = request
        self.scope = scope
        self.tool_name, self._options = parse(tool_text)
        self._stem = self._options.pop("result", "") or _numbered(self._options.pop("results", ""))
        self.tool: "Any" = None
        self.error = None
        self.turn = _turns.turn(recorder)
        self._done = False
        self._running = False

    def prepare(self):
        """Load the tool, so that its imports and tables are in memory before anything is measured."""
        try:
            self.tool = create(self.tool_name, self._options, self.recorder)
        except Exception as error:
            self.error = describe(error)

    def start(self):
        """Begin the request and the tool."""
        global _current
        recorder = self.recorder
        try:
            if not self.turn.held and self.error is None:
                waited_s = self.turn.wait_ns // 10**9
                self.error = "another triggered request was still running after %d s" % waited_s
            self._thread = get_ident()
            self._threads = _extra_threads() + 1
            recorder.begin(self.request)
            gate = recorder.gate
            if gate is not None and not self.turn.held:
                gate.lose()
            self._blocks = _allocated_blocks()
            self._wall, self._process, self._own = time.monotonic_ns(), time.process_time_ns(), time.thread_time_ns()
            self._runs_before = _runs_before.get(self.tool_name, 0)
            snapshot.spent_ns()  # what came before is not this measurement's
            if self.error is None:
                _runs_before[self.tool_name] = self._runs_before + 1
                _current = self
                self.tool.start()
                self._running = True
        except Exception as error:
            self.error = self.error or describe(error)
            self._give_up()

    def _give_up(self):
        """The tool did not get going: nothing of it may stay behind."""
        try:
            if self.tool is not None:
                self.tool.abandon()
        except Exception:
            pass

    def drop(self):
        """The process is a child that the application forked in this request: the result is the parent's to tell."""
        self._done = True
        self._running = False
        self._give_up()
        self.turn.leave()

    def checkpoint(self):
        """The application has produced something; called before our own copy of it exists."""
        try:
            if self._running:
                self.tool.checkpoint()
        except Exception:
            pass

    def finish(self):
        """End the request and the tool, write the result. Once; raises nothing of its own."""
        global _current
        if self._done:
            return
        self._done = True
        payload = None
        values = {}
        copied = False
        try:
            try:
                values = self._values()
            finally:
                end(self.request)  # whatever the application made of our clocks: no request is in flight for ever
            if self._running:
                payload = self.tool.stop()
                self._running = False
            values["alone"] = self.turn.alone and self.turn.held
            values["let_in"] = self.turn.let_in
            if payload is not None and self.tool.later is not None:
                self._announce_copy()
                keep = getattr(self.tool, "descriptors", ())
                try:
                    snapshot.run(
                        self.recorder, lambda: self._publish_later(payload, values), self._no_result(values), keep
                    )
                finally:
                    self.tool.abandon()
                copied = True
        except BaseException as error:  # also what a time limit of the application raises in the midst of this
            self.error = self.error or describe(error)
            if self._running:
                self._running = False
                self._give_up()
            if not isinstance(error, Exception):
                raise
        finally:
            if _current is self:  # it may be another's that this one waited for in vain
                _current = None
            self.turn.leave()
        if not copied:
            self._publish(payload, values)

    def _announce_copy(self):
        """The harness would not wait for as long as a copy may work."""
        self.recorder.tool(self.tool_name, self.request.span, None, None, {"pending": 1})

    def _no_result(self, values):
        def publish_reason(reason):
            self.error = reason
            self._publish(None, values)

        return publish_reason

    def _publish_later(self, payload, values):
        try:
            payload.update(self.tool.later())
        except BaseException as error:
            payload = None  # half a result has no reader
            self.error = describe(error)
        self._publish(payload, values)

    def _publish(self, payload, values):
        forks_ns = snapshot.spent_ns()
        if forks_ns:
            values["snapshot_fork_ns"] = forks_ns
        publish(self.recorder, self.tool_name, self.scope, self.request, payload, values, self.error, self._stem)

    def abandon(self):
        """The request ended before the application had it."""
        global _current
        self._done = True
        if _current is self:
            self._give_up()
            _current = None
        end(self.request)
        self.turn.leave()

    def _values(self):
        wall_ns = time.monotonic_ns() - self._wall
        process_ns = time.process_time_ns() - self._process
        own_ns = time.thread_time_ns() - self._own
        # With the request's end in another thread, or nothing measurable, there is no share to state.
        known = get_ident() == self._thread and process_ns > 0
        return {
            "gate_wait_ns": self.turn.wait_ns,
            "wall_ns": wall_ns,
            "other_thread_cpu_percent": round(100 * max(0, process_ns - own_ns) / process_ns) if known else None,
            "threads": self._threads,
            "runs_before": self._runs_before,
            "rss_start_bytes": self.request.rss,
            "rss_end_bytes": self.recorder.rss_bytes(),
            "blocks_start": self._blocks,
            "blocks_end": _allocated_blocks(),
        }


def _numbered(stem):
    """The name of the next result of many under one order: the harness, which chose the stem, can tell all of them beforehand."""
    global _results
    if not stem:
        return ""
    _results += 1
    return "%s%08x%08x" % (stem, os.getpid(), _results)


def _allocated_blocks():
    count = getattr(sys, "getallocatedblocks", None)
    return None if count is None else count()


def _copy(chunk):
    # The server holds the last chunk until after our end. Our copy is allocated on our line, which reports leave out; a body
    # that the application itself keeps still counts, as the original.
    return bytes(memoryview(chunk)) if type(chunk) is bytes else chunk


class MeasuredBody(Body):
    """A body whose chunks are handed out as copies."""

    measurement = None

    def __next__(self):
        chunk = super().__next__()
        if self.measurement is not None:
            self.measurement.checkpoint()
        return _copy(chunk)


class SizedMeasuredBody(MeasuredBody, SizedBody):
    """The same, with a length."""


def call_wsgi(recorder, app, environ, start_response, request, tool_name):
    """Call a WSGI application with one request under a tool."""
    measurement = Measurement(recorder, request, tool_name)
    # The application's additions to environ must go when the request ends, and the server still holds its own dict then.
    own_environ = dict(environ)
    watching = watch_status(request, start_response)
    try:
        measurement.prepare()
        drive_blocking(measurement.turn.enter())
        measurement.start()
    except BaseException:
        measurement.abandon()
        raise
    try:
        result = app(own_environ, watching)
        del own_environ
        measurement.checkpoint()
        if is_file_wrapper(environ, result):
            measurement.finish()
            return result
        if type(result) in (list, tuple):
            copies = type(result)([_copy(chunk) for chunk in result])
            del result
            measurement.finish()
            return copies
    except BaseException:
        measurement.finish()
        raise
    body = wrap_body(result, measurement.finish, MeasuredBody, SizedMeasuredBody)
    body.measurement = measurement
    return body


async def call_asgi(recorder, app, scope, receive, send, request, tool_name):
    """Call an ASGI application with one request under a tool."""
    measurement = Measurement(recorder, request, tool_name)
    own_scope = dict(scope, headers=[pair for pair in scope["headers"] if pair[0] != TRIGGER_HEADER])
    try:
        measurement.prepare()
        await drive_async(measurement.turn.enter())
        measurement.start()
    except BaseException:
        measurement.abandon()
        raise
    call = None
    try:
        call = app(own_scope, receive, watch_send(request, send))
        del own_scope
        return await call
    finally:
        del call
        measurement.checkpoint()
        measurement.finish()


def call_job(recorder, request, tool_text, function, args, named):
    """Call a function that is one job of a worker, under a tool."""
    measurement = Measurement(recorder, request, tool_text, "job")
    try:
        measurement.prepare()
        drive_blocking(measurement.turn.enter())
        measurement.start()
    except BaseException:
        measurement.abandon()
        raise
    try:
        return function(*args, **named)
    finally:
        measurement.checkpoint()
        measurement.finish()


async def call_job_async(recorder, request, tool_text, function, args, named):
    """The same for a coroutine function."""
    measurement = Measurement(recorder, request, tool_text, "job")
    try:
        measurement.prepare()
        await drive_async(measurement.turn.enter())
        measurement.start()
    except BaseException:
        measurement.abandon()
        raise
    try:
        return await function(*args, **named)
    finally:
        measurement.checkpoint()
        measurement.finish()
