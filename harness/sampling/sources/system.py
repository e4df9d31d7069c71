"""What a system-wide source is: a kernel file, how often it is worth reading, and its parser."""

from __future__ import annotations

from typing import Callable, Dict, NamedTuple

Values = Dict[str, int]


class SystemSource(NamedTuple):
    """One file of the kernel. ``signal`` is the prefix of its metrics; ``costs`` is what a report lacks without it."""

    signal: str
    path: str  # below the mount point
    every_ns: int  # 0 = every sweep; floor sweeps always read it
    parse: Callable[[bytes], Values]  # metric name -> value; empty when nothing was understood
    costs: str
    fix: str = ""  # what it takes to get it
    once: bool = False  # read in the first sweep only, not at floors either: reading it disturbs the machine
