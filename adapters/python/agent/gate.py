"""Lets one triggered request run alone in its process. Loaded by the first triggered request.

Waiting is polling, on purpose: no lock of ours is ever held across a fork, `time.sleep` is whatever gevent made of it, and
one piece of logic (a generator of pauses) serves threads and event loops alike. Where nothing can wait, such a generator is
sent True and goes on without.
"""

import sys
import time
from _thread import allocate_lock
from contextvars import ContextVar

from .recorder import monotonic_ns  # bound at boot: an application may stop its clock, and this must not wait for ever

DRAIN_TIMEOUT_S = 2.0
NEWCOMER_TIMEOUT_S = 2.0  # a request that calls its own server would wait for itself
TURN_TIMEOUT_S = 10.0
PAUSE_S = 0.002

_inside: "ContextVar[Turn | None]" = ContextVar(
    "harness_turn", default=None
)  # follows await, to_thread and copied contexts; thread idents do not


def _seconds():
    return monotonic_ns() / 1e9


class Turn:
    """One triggered request's exclusive stay. ``alone`` is whether nothing else was in flight from start to end."""

    def __init__(self, recorder, lock):
        self._recorder = recorder
        self._lock = lock
        self._held = False
        self.alone = False
        self.let_in = 0  # newcomers that lost patience
        self.wait_ns = 0

    def enter(self):
        """Generator of pauses in seconds: wait for the previous turn, close the gate, wait for requests in flight.

        Afterwards ``held`` tells whether the turn was obtained. The order matters: draining before closing lets newcomers
        slip in between.
        """
        started = _seconds()
        while not self._lock.acquire(False):
            self.wait_ns = int((_seconds() - started) * 1e9)
            if self.wait_ns > TURN_TIMEOUT_S * 1e9 or (yield PAUSE_S):
                return
        self._held = True
        closed = _seconds()
        self._recorder.gate = self
        while self._recorder.active and _seconds() - closed < DRAIN_TIMEOUT_S:
            if (yield PAUSE_S):
                break
        self.alone = not self._recorder.active
        self.wait_ns = int((_seconds() - started) * 1e9)
        _inside.set(self)

    @property
    def held(self):
        return self._held

    def is_mine(self):
        """Whether the running code belongs to the request that holds this turn."""
        return _inside.get() is self

    def hold_back(self, request):
        """Have an ordinary request wait in its thread while this one runs alone, at most two seconds."""
        drive_blocking(_newcomer(self._recorder, request))

    async def hold_back_async(self, request):
        """The same on an event loop."""
        await drive_async(_newcomer(self._recorder, request))

    def lose(self):
        """Somebody came in after all: what is measured from here on is not this request alone."""
        self.alone = False
        self.let_in += 1
        if self._recorder.gate is self:
            self._recorder.gate = None  # one wait was enough; a stuck measurement must not slow every request

    def leave(self):
        """Open the gate."""
        if self._held:
            self._held = False
            if self._recorder.gate is self:
                self._recorder.gate = None
            if _inside.get() is self:
                _inside.set(None)
            self._lock.release()


def measuring_here():
    """Whether the running code belongs to a request that holds a turn."""
    turn = _inside.get()
    return turn is not None and turn.held


def _newcomer(recorder, request):
    """Generator of pauses for an ordinary request that found the gate closed."""
    started = _seconds()
    while True:
        turn = recorder.gate
        if turn is None or turn.is_mine():  # mine: the triggered request itself, calling its own application
            return
        if _seconds() - started > NEWCOMER_TIMEOUT_S:
            turn.lose()
            return
        recorder.leave(request)
        in_vain = False
        try:
            in_vain = yield PAUSE_S
        finally:
            recorder.enter(request)  # count first, look again afterwards
        if in_vain:
            turn.lose()
            return


def _on_asyncio():
    """Whether this thread runs an asyncio loop right now."""
    asyncio = sys.modules.get("asyncio")
    try:
        return asyncio is not None and asyncio.get_running_loop() is not None
    except Exception:  # there is none, or the module is being imported
        return False


def _go_on(pauses):
    """Finish a generator of pauses without waiting."""
    try:
        next(pauses)
        pauses.send(True)
    except StopIteration:
        pass


def drive_blocking(pauses):
    """Run a generator of pauses in a thread or greenlet; on an event loop, which would stand still with all that is waited for,
    do not wait at all."""
    if _on_asyncio():
        _go_on(pauses)
        return
    try:
        for pause in pauses:
            time.sleep(pause)
    finally:
        pauses.close()  # a traceback would keep it, and it puts the request back among those in flight when it goes


async def drive_async(pauses):
    """Run a generator of pauses on an asyncio loop; under another loop do not wait at all."""
    if not _on_asyncio():
        _go_on(pauses)
        return
    import asyncio

    try:
        for pause in pauses:
            await asyncio.sleep(pause)
    finally:
        pauses.close()  # as above


class TurnLock:
    """Hands out turns of one process, one at a time."""

    def __init__(self):
        self.reset()

    def reset(self):
        """After a fork: whoever held the turn exists in the parent only."""
        self._lock = allocate_lock()

    def turn(self, recorder):
        return Turn(recorder, self._lock)
