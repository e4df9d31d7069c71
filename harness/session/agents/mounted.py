"""Agents in a container: the directory of theirs that is mounted from here, and whose records they are.

A record carries the process id that the writer has in its own namespace. Such ids are small and come again after every restart,
so they are mapped by the life of a process, not by the number alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import UsageError
from harness.model.process import ProcessInfo, ProcessKey
from harness.model.span import BootRecord
from harness.plugins.records import moment_of
from harness.plugins.spec import ParsedRecord
from harness.session.agents.deployed import (
    ANOTHER_MOUNTED,
    ENVIRONMENT,
    ENVIRONMENT_CAP,
    Deployed,
    deployed,
    no_agent,
)
from harness.targets.containers import inside_pid

_LOCK = ".in-use"
_TICK_NS = 10_000_000  # births are known to a clock tick
_LATE_NS = 2_000_000_000  # an end may be noticed a sweep late, and be told without its exact time


@dataclass(frozen=True, slots=True)
class AgentDirectory:
    """A directory that `harness agent` has made. ``says``: its agent.env."""

    path: Path
    says: Deployed
    _lock: int

    @classmethod
    def open(cls, path: Path) -> AgentDirectory:
        """For one run at a time. Raises UsageError."""
        found = read_environment(path)
        if isinstance(found, str):
            raise UsageError(no_agent(path, found), hint=ANOTHER_MOUNTED)
        try:
            lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise UsageError(f"{path} cannot be used: {_LOCK}: {error.strerror}", hint=ANOTHER_MOUNTED) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise UsageError(f"another run uses {path}", hint="wait for it to end") from None
        return cls(path.resolve(), found, lock)

    @property
    def token(self) -> str:
        """What its agents take orders for."""
        return self.says.token

    def close(self) -> None:
        """Let the next run have it."""
        with contextlib.suppress(OSError):
            os.close(self._lock)


def read_environment(path: Path) -> Deployed | str:
    """What the agent.env in a directory of this machine says; else why it is none of ours."""
    try:
        # a pipe in its place, which the container may put there, must not make us wait for a writer
        descriptor = os.open(path / ENVIRONMENT, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return f"{ENVIRONMENT} is not a file"
            return deployed(file.read(ENVIRONMENT_CAP))
    except FileNotFoundError:
        return deployed(None)
    except OSError as error:
        return f"{ENVIRONMENT}: {error.strerror}"


def same_pid(pid: int) -> int:
    """For agents that are in no container: they call processes as the sampler of their machine does."""
    return pid


def is_on(host: str, info: ProcessInfo) -> bool:
    """Whether a process is on this host, as `ProcessKey` calls it."""
    return info.key.host == host


class InsidePids:
    """Which process of ours an inner process id meant at a time.

    ``followed``: the living processes of the container that holds the agent. ``read``: a process's id in its own namespace,
    which must still be there, unless it is `same_pid`.
    """

    def __init__(
        self, followed: Callable[[], Iterable[ProcessInfo]], read: Callable[[int], int | None] = inside_pid
    ) -> None:
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
