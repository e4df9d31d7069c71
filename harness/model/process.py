"""Who a process is. Pids are reused, so a pid alone never identifies anything."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, order=True)
class ProcessKey:
    """Identity of a process: host name, pid, and start time in clock ticks since boot (/proc/PID/stat field 22)."""

    host: str
    pid: int
    start_ticks: int

    def __str__(self) -> str:
        return f"{self.pid}@{self.host}" if self.host else str(self.pid)


def host_key(host: str) -> ProcessKey:
    """What carries the values of a whole host, where a run has several: it is no process."""
    return ProcessKey(host, 0, 0)


class Role(StrEnum):
    """What a process is to its pool, decided from the tree and from who answered requests."""

    MASTER = "master"
    WORKER = "worker"
    HELPER = "helper"


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """One life of a process from first sight to exit; times are CLOCK_MONOTONIC ns."""

    key: ProcessKey
    ppid: int
    comm: str
    cmdline: str  # redacted, capped
    uid: int | None
    pool: str  # name of the launch plan or attach rule it belongs to
    born_ns: int  # from start_ticks, on the monotonic clock; precision is one tick (10 ms)
    first_seen_ns: int
    last_seen_ns: int
    ended_ns: int | None  # None: still alive when the run ended
