"""Is the target idle? Judged by the CPU time its processes use, read straight from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


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
