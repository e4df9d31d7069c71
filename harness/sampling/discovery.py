"""Find processes: the children of a followed one, and those whose command line contains a text."""

from __future__ import annotations

import os
import time
from typing import Container, Iterable, NamedTuple

from .reading import process_directory
from .sources import pid_children, pid_cmdline, pid_stat

_RESCAN_NS = 1_000_000_000
_RESCAN_SHARE = 200  # a full look at all command lines may take 1/200 of one core


def all_pids(mount: str) -> list[int]:
    """Every process there is; empty when the mount point cannot be listed."""
    try:
        return [int(name) for name in os.listdir(mount) if name.isdigit()]
    except OSError:
        return []


def ancestors(mount: str, pid: int) -> frozenset[int]:
    """A process and everything above it."""
    found: set[int] = set()
    while pid > 0 and pid not in found:
        found.add(pid)
        try:
            stat = pid_stat.read(mount, pid)
        except OSError:
            break
        pid = stat.ppid if stat is not None else 0
    return frozenset(found)


class Children:
    """Who the children of a process are, by the cheaper of two ways.

    The children files cost one read a thread. Where the kernel lacks them, or the followed processes have more threads than
    the host has processes, one pass over all stat files finds the same.
    """

    def __init__(self, mount: str) -> None:
        self._mount = mount
        self._by_parent: dict[int, list[int]] | None = None
        self._has_files = self._without_files = False

    def begin(self, threads: int, example_pid: int) -> None:
        """Start a sweep over processes with this many threads in all; ``example_pid`` is one that exists."""
        if not self._has_files and not self._without_files:
            self._has_files = pid_children.available(self._mount, example_pid)
            # a process that has just ended is no proof that the kernel lacks them
            self._without_files = not self._has_files and os.path.exists(process_directory(self._mount, example_pid))
        if self._has_files and threads <= self._processes():
            self._by_parent = None
        else:
            self._by_parent = self._scan()

    def of(self, pid: int, threads: int | None) -> Iterable[int]:
        """Pids of the children; none when the process has gone."""
        if self._by_parent is not None:
            return self._by_parent.get(pid, ())
        try:
            return pid_children.read(self._mount, pid, threads)
        except OSError:
            return ()

    def _processes(self) -> int:
        try:
            return os.stat(self._mount).st_nlink  # /proc has about one link a process: no need to list it
        except OSError:
            return 0

    def _scan(self) -> dict[int, list[int]]:
        by_parent: dict[int, list[int]] = {}
        for pid in all_pids(self._mount):
            try:
                stat = pid_stat.read(self._mount, pid)
            except OSError:
                continue
            if stat is not None:
                by_parent.setdefault(stat.ppid, []).append(pid)
        return by_parent


class Rule(NamedTuple):
    """Processes whose command line contains ``text`` belong to ``pool``."""

    pool: str
    text: str


class Matcher:
    """Applies match rules to processes nobody follows yet.

    New pids are looked at in the sweep that first lists them; all pids again once a second, or less often when that would
    cost more than half a percent of a core, because processes rename themselves after their fork.
    """

    def __init__(self, mount: str) -> None:
        self._mount = mount
        self._rules: list[Rule] = []
        self._seen: frozenset[int] = frozenset()
        self._full_after_ns = 0

    def add(self, rule: Rule) -> None:
        """From the next sweep on, which looks at everything."""
        self._rules.append(rule)
        self._full_after_ns = 0

    def look(self, skip: Container[int], now_ns: int, everything: bool) -> list[tuple[int, str]]:
        """(pid, pool) of processes that match and are not in ``skip``. The first rule that matches wins."""
        if not self._rules:
            return []
        pids = all_pids(self._mount)
        full = everything or now_ns >= self._full_after_ns
        before_ns = time.thread_time_ns()
        found = []
        for pid in pids:
            if pid not in skip and (full or pid not in self._seen):
                pool = self._pool_of(pid)
                if pool is not None:
                    found.append((pid, pool))
        self._seen = frozenset(pids)
        if full:
            cost_ns = time.thread_time_ns() - before_ns
            self._full_after_ns = now_ns + max(_RESCAN_NS, cost_ns * _RESCAN_SHARE)
        return found

    def _pool_of(self, pid: int) -> str | None:
        try:
            command = " ".join(pid_cmdline.read(self._mount, pid))
        except OSError:
            return None
        return next((rule.pool for rule in self._rules if rule.text in command), None)
