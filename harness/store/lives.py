"""Whose a record is: which process a process id meant at a time.

A record carries the process id that the writer has in its own namespace. In a container such ids are small and come again after
every restart, so they are mapped by the life of a process, not by the number alone.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace

from harness.model.process import ProcessInfo, ProcessKey
from harness.model.span import BootRecord
from harness.plugins.records import moment_of
from harness.plugins.spec import ParsedRecord

_TICK_NS = 10_000_000  # births are known to a clock tick
_LATE_NS = 2_000_000_000  # an end may be noticed a sweep late, and be told without its exact time


def same_pid(pid: int) -> int:
    """For agents that are in no container: they call processes as the sampler of their machine does."""
    return pid


class InsidePids:
    """Which process of ours an inner process id meant at a time.

    ``followed``: the living processes of the container that holds the agent. ``read``: a process's id in its own namespace,
    which must still be there, unless it is `same_pid`.
    """

    def __init__(self, followed: Callable[[], Iterable[ProcessInfo]], read: Callable[[int], int | None]) -> None:
        self._followed = followed
        self._read = read
        self._lives: dict[ProcessKey, ProcessInfo] = {}
        self._by_inner: defaultdict[int, list[ProcessKey]] = defaultdict(list)

    def look(self) -> None:
        """Take in whom the sampler has found since; to be called a few times a second."""
        for info in self._followed():
            if info.key not in self._lives:
                self._take_in(info)

    def _take_in(self, info: ProcessInfo) -> None:
        inner = self._read(info.key.pid)
        if inner is not None:
            self.add(info, inner)

    def add(self, info: ProcessInfo, inner: int) -> None:
        """A process that had this id in its own namespace."""
        self._by_inner[inner].append(info.key)
        self._lives[info.key] = info

    def ended(self, info: ProcessInfo, _code: int | None = None, _signal: int | None = None) -> None:
        """One of them is no more. A whole life may be told at once, when a line works again."""
        if info.key in self._lives:
            self._lives[info.key] = info
        elif self._read is same_pid:
            self._take_in(info)

    def outside(self, inner: int, t_ns: int | None) -> int | None:
        """Our id of the process; None while no process that lived then is known, or where several did."""
        found = {key.pid for key in self._by_inner.get(inner, ()) if _lived(self._lives[key], t_ns)}
        return found.pop() if len(found) == 1 else None

    def placed_now(self, record: ParsedRecord) -> ParsedRecord | None:
        """As `placed`, of a record without a time of its own that was written just now, such as a line of a log."""
        pid = self.outside(record.pid, time.monotonic_ns())
        return None if pid is None else replace(record, pid=pid)

    def placed(self, record: ParsedRecord) -> ParsedRecord | None:
        """The record with our process ids; None as for `outside`."""
        t_ns = moment_of(record)
        pid = self.outside(record.pid, t_ns)
        if pid is None:
            return None
        if isinstance(record, BootRecord):
            parent = None if record.ppid is None else self.outside(record.ppid, t_ns)
            return replace(record, pid=pid, ppid=parent)
        return replace(record, pid=pid)


def _lived(info: ProcessInfo, t_ns: int | None) -> bool:
    if t_ns is None:
        return info.ended_ns is None
    return info.born_ns - _TICK_NS <= t_ns and (info.ended_ns is None or t_ns <= info.ended_ns + _LATE_NS)
