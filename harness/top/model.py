"""What one look at the machine holds, and the rows made of it. Sizes are bytes, times are ns; None = unknown, never 0."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from harness.sampling.protocol import Identity
from harness.sampling.sources.pid_smaps import Walk


class By(StrEnum):
    """What one row stands for."""

    PROCESS = "process"
    POOL = "pool"
    CGROUP = "cgroup"
    USER = "user"


class Sort(StrEnum):
    """What the rows are ordered by: sizes and growth from the largest down, the others upwards."""

    PSS = "pss"
    USS = "uss"
    RSS = "rss"
    SWAP = "swap"
    GROWTH = "growth"
    PID = "pid"
    NAME = "name"


class Process(NamedTuple):
    """One process with memory of its own, as of one look. Text is redacted and printable."""

    who: Identity
    ppid: int
    name: str  # comm
    command: str  # command line or title; the name when there is none
    program: str  # what it runs, for telling families apart; "" = an interpreter or shell without a script
    image: tuple[int, int] | None  # equal in a process and its forks; None when not permitted
    uid: int | None
    cgroup: str | None  # path of the group its memory is charged to
    threads: int | None
    age_ns: int
    rss: int | None
    swap: int | None  # VmSwap: anonymous memory in swap, shared or not
    walk: Walk | None  # None = the page tables may not be read
    known_ns: int  # CLOCK_MONOTONIC at which the walk was true: its own time, or later if nothing has moved since
    stale: bool  # the process has touched memory since the walk

    @property
    def pss(self) -> int | None:
        """Its share of everything it has resident."""
        return None if self.walk is None else self.walk.pss

    @property
    def uss(self) -> int | None:
        """What nobody else maps: what its end would free."""
        return None if self.walk is None else self.walk.uss

    @property
    def swap_pss(self) -> int | None:
        """Its share of what it has in swap."""
        return None if self.walk is None else self.walk.swap_pss


class Look(NamedTuple):
    """Everything at one time. ``complete``: every process that is listed was read, not only those asked for."""

    taken_ns: int  # CLOCK_MONOTONIC
    wall_ns: int
    took_ns: int
    cpu_ns: int
    processes: tuple[Process, ...]  # those asked for
    families: Mapping[Identity, Family]  # of all processes
    meminfo: Mapping[str, int]  # bytes by the kernel's name for it; empty when it cannot be read
    complete: bool


class Family(NamedTuple):
    """A pre-fork pool: a master and its workers. ``pool`` tells the pools of one master apart (php-fpm)."""

    head: Identity
    pool: str | None
    name: str


class Sum(NamedTuple):
    """A sum over processes of which ``missing`` could not be read; ``known`` is None when none could."""

    known: int | None
    missing: int

    @property
    def total(self) -> int | None:
        """None unless it is complete."""
        return None if self.missing else self.known


class Growth(NamedTuple):
    """How fast something grows, and what that was measured on: ``pss``, ``rss``, or ``mixed`` in a group of both."""

    bytes_per_minute: int
    basis: str


class Row(NamedTuple):
    """A process or a group of processes."""

    name: str
    by: By
    pid: int | None  # of the process, or of a pool's master
    uid: int | None  # None = unknown or several
    user: str | None
    processes: int
    threads: Sum
    age_ns: int  # of the oldest
    pss: Sum
    uss: Sum
    rss: Sum
    swap: Sum
    swap_pss: Sum
    growth: Growth | None
    stale: bool  # some of the PSS is older than the last change
    rank: int  # PSS, and for what is unknown of it RSS, which is never smaller


class Snapshot(NamedTuple):
    """What is shown: all rows in order, their totals, and the machine."""

    look: Look
    by: By
    sort: Sort
    growth_over_ns: int | None
    rows: tuple[Row, ...]
    totals: Row
    selection: str  # what the rows were restricted to, in words; "" = everything
