"""Signals this machine or user does not get: each said once, with the reason and what it costs."""

from __future__ import annotations

from typing import Callable

from .protocol import missing_line

# What a report lacks without a signal of a process; system sources carry their own sentence.
COSTS = {
    "process.memory.pss": "PSS and USS are unknown: shared memory is counted in full in every process, growth is judged on RSS",
    "process.memory.pss_anon": "growth is judged on PSS or USS, which also move when other processes map the same files",
    "process.fds": "growth of open files and connections cannot be seen",
    "process.memory.hwm": "peaks between two sweeps are unknown",
    "process.limit": "the processes left out are not in any sum",
}


class MissingSignals:
    """Remembers what has been said."""

    def __init__(self, emit: Callable[[bytes], None]) -> None:
        self._emit = emit
        self._said: set[str] = set()

    def say(self, signal: str, reason: str, costs: str = "") -> None:
        """Announce a signal as missing, unless it has been announced before."""
        if signal not in self._said:
            self._said.add(signal)
            self._emit(missing_line(signal, reason, costs or COSTS[signal]))
