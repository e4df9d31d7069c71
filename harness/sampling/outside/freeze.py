"""Stop a process for the time of a walk: only ever because the user asked for it, since readings are exact enough without.

PTRACE_SEIZE and PTRACE_INTERRUPT, not SIGSTOP: no signal is delivered, no parent is told, and when the sampler dies the kernel
itself lets the process go on. A process that is traced already (a debugger) is refused. Source: ptrace(2).
"""

from __future__ import annotations

import ctypes
import errno
import os
import time
from typing import Dict

from .process import Process
from .refusal import Unreadable

_SEIZE, _INTERRUPT, _DETACH = 0x4206, 0x4207, 17
_WALL = 0x40000000
_MOST_THREADS = 1024
_PATIENCE_NS = 200_000_000
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_LIBC.ptrace.restype = ctypes.c_long


# Threads that did not stop in time (waiting for a disk) and could not be let go either: they would stop later, and stay.
_lingering: "set[int]" = set()


class Frozen:
    """A context in which every thread of the process stands still. Raises Unreadable when that cannot be had; the process
    runs in that case too. ``paused_ns`` afterwards: how long it stood."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._seized: Dict[int, int] = {}  # thread -> signal it was about to receive, 0 = none
        self._began_ns = 0
        self.paused_ns = 0

    def __enter__(self) -> "Frozen":
        self._began_ns = time.monotonic_ns()
        try:
            self._stop_all()
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._release()
        self.paused_ns = time.monotonic_ns() - self._began_ns

    def _stop_all(self) -> None:
        """Threads that are made meanwhile are caught by looking again until there are no new ones."""
        known = set()  # type: set[int]
        while True:
            fresh = [task for task in self._process.task_ids() if task not in known]
            if not fresh:
                return
            known.update(fresh)
            if len(known) > _MOST_THREADS:
                raise Unreadable("it has more than {} threads: too many to stop".format(_MOST_THREADS))
            for task in fresh:
                self._stop(task)

    def _stop(self, task: int) -> None:
        if _LIBC.ptrace(_SEIZE, task, None, None) < 0:
            code = ctypes.get_errno()
            if code == errno.ESRCH:
                return  # the thread has just ended
            why = "traced by a debugger already, or not permitted"
            raise Unreadable("it cannot be stopped: {} ({})".format(os.strerror(code), why))
        self._seized[task] = 0
        _LIBC.ptrace(_INTERRUPT, task, None, None)
        deadline_ns = time.monotonic_ns() + _PATIENCE_NS
        while True:
            try:
                done, status = os.waitpid(task, _WALL | os.WNOHANG)
            except ChildProcessError:
                del self._seized[task]  # it has ended
                return
            if done == task:
                self._seized[task] = _signal_held_back(status)
                return
            if time.monotonic_ns() > deadline_ns:
                raise Unreadable("a thread did not stop within {} ms".format(_PATIENCE_NS // 1_000_000))
            time.sleep(0)

    def _release(self) -> None:
        for task, signal in self._seized.items():
            if _LIBC.ptrace(_DETACH, task, None, signal) < 0:
                _lingering.add(task)
        self._seized.clear()


def release_lingering() -> None:
    """Let go of threads that could not be let go at the time. Call it now and then."""
    for task in tuple(_lingering):
        try:
            done, status = os.waitpid(task, _WALL | os.WNOHANG)
        except ChildProcessError:
            _lingering.discard(task)
            continue
        if done == task:
            _LIBC.ptrace(_DETACH, task, None, _signal_held_back(status))
            _lingering.discard(task)


def _signal_held_back(status: int) -> int:
    """The signal a thread stopped for instead of receiving it; 0 when it stopped because it was told to."""
    return os.WSTOPSIG(status) if os.WIFSTOPPED(status) and status >> 16 == 0 else 0
