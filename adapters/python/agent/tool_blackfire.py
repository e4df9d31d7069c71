"""Blackfire's genuine probe for one request, talking to the harness's receiver on this machine and to nobody else.

The SDK is used as its own middlewares use it (``generate_config``, ``Probe.enable``, ``Probe.end``); nothing of it is patched,
its monitoring is not loaded, and what it leaves running (an exit handler) is taken back. The profile goes from the probe to the
receiver; the result file of this agent only says how it went.
"""

import atexit
import faulthandler
import sys
import tracemalloc
from _thread import get_ident
from contextvars import ContextVar
from typing import Any

from .results import ToolError, describe
from .toolpath import lend

TIMEOUT_S = 2.0  # of each wait for the receiver; it answers in a millisecond

_TRACED = (
    "numpy is there (or BLACKFIRE_USE_TRACEMALLOC is set), so the probe counted memory with tracemalloc: times are several times "
    "too long, and memory that libraries reported is included"
)

_current: "ContextVar[int]" = ContextVar("harness_blackfire")  # which asyncio task the session follows
_sessions = 0


def _running_loop():
    asyncio = sys.modules.get("asyncio")
    try:
        return None if asyncio is None else asyncio.get_running_loop()
    except RuntimeError:
        return None


class Tool:
    """``query`` and ``socket`` come with the trigger; a query is good for one profile."""

    name = "blackfire"
    later = None

    def __init__(self, recorder, options):
        if sys.version_info < (3, 9):
            raise ToolError("Blackfire's probe needs Python 3.9 or newer, and this is %d.%d" % sys.version_info[:2])
        self._query, self._socket = options.get("query"), options.get("socket")
        if not self._query or not self._socket:
            raise ToolError("the trigger names no query and no socket for Blackfire's probe")
        loaded = "blackfire" in sys.modules
        with lend("blackfire"):
            import blackfire
            from blackfire import probe, profiler
        if not loaded:
            # It would stop tracemalloc, faulthandler and all logging of an application that merely exits.
            atexit.unregister(blackfire._stop_at_exit)
        for module in profiler.TRACEMALLOC_REQUIRED_MODULES:  # numpy: it imports them when it starts
            try:
                __import__(module)
            except ImportError:
                pass
        self._blackfire, self._profiler, self._library = blackfire, profiler, probe
        self._probe: "Any" = None
        self._thread = 0
        self._faults = False
        self.traced = False

    def start(self):
        if tracemalloc.is_tracing():
            raise ToolError(
                "the application traces with tracemalloc, which Blackfire's probe would stop; profile with another tool"
            )
        if sys.getprofile() is not None or self._profiler.is_session_active():
            raise ToolError("another profiler is active in this thread; profile without it")
        self._reach()
        in_task = _running_loop() is not None
        if in_task:
            global _sessions
            _sessions += 1
            _current.set(_sessions)
        config = self._blackfire.generate_config(
            query=self._query, agent_socket=self._socket, agent_timeout=TIMEOUT_S, ctx_var=_current if in_task else None
        )
        self._faults = faulthandler.is_enabled()
        self._thread = get_ident()
        self._probe = self._library.Probe(config)
        self._probe.clear_traces()
        try:
            self._probe.enable()
        except Exception as error:
            raise ToolError("the Blackfire-compatible receiver gave no profile: %s" % describe(error)) from None
        self.traced = tracemalloc.is_tracing()

    def _reach(self):
        """Whether anybody listens. The probe would pause the application's own Blackfire monitoring if nobody did."""
        import socket
        from urllib.parse import urlsplit

        parts = urlsplit(self._socket)
        try:
            if parts.scheme == "unix":
                with socket.socket(socket.AF_UNIX) as trial:
                    trial.settimeout(TIMEOUT_S)
                    trial.connect(parts.path)
            else:
                socket.create_connection((parts.hostname, parts.port), TIMEOUT_S).close()
        except OSError as error:
            raise ToolError("the Blackfire-compatible receiver cannot be reached: %s" % describe(error)) from None

    def checkpoint(self):
        pass

    def stop(self):
        """Result dict; the profile itself is with the receiver when this returns."""
        if get_ident() != self._thread:
            self.abandon()
            raise ToolError("the response ended in another thread than it began in, and the probe follows one thread")
        probe, self._probe = self._probe, None
        try:
            probe.end()
        except Exception as error:
            raise ToolError("the profile could not be handed to the receiver: %s" % describe(error)) from None
        finally:
            self._restore()
        return {"problems": [_TRACED] if self.traced else []}

    def abandon(self):
        """Stop without a result; also in a child that was forked meanwhile. The receiver sees a connection that ends."""
        probe, self._probe = self._probe, None
        if probe is not None:
            try:
                probe.disable()
                probe.clear_traces()
            finally:
                self._restore()

    def _restore(self):
        if self._faults:
            self._faults = False
            faulthandler.enable(2)  # the probe switches it off; the file it wrote to before cannot be asked for
