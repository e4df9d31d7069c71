"""What processes are doing right now, read straight from /proc: whether they are idle, and whether they are who they were."""

from __future__ import annotations

import os
from collections.abc import Iterable

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def start_ticks(pid: int, proc: str = "/proc") -> int | None:
    """When the process started, in clock ticks since boot (what tells a reused pid apart); None when it is gone."""
    try:
        with open(f"{proc}/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])  # field 22 of the line
    except OSError:
        return None


def cpu_ns(pids: Iterable[int], proc: str = "/proc") -> int:
    """User plus system CPU time of the processes, in ns, at the kernel's resolution of one tick; gone ones count nothing."""
    total = 0
    for pid in pids:
        try:
            with open(f"{proc}/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        total += (int(fields[11]) + int(fields[12])) * _TICK_NS  # utime, stime: fields 14 and 15 of the line
    return total


def family(pid: int, proc: str = "/proc") -> list[int]:
    """A process and all that descend from it through living parents; only itself where the kernel does not list children."""
    found = [pid]
    for member in found:  # grows meanwhile
        try:
            with open(f"{proc}/{member}/task/{member}/children", "rb") as file:
                found += [int(word) for word in file.read().split()]
        except OSError:
            continue
    return found
