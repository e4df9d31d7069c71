"""Page-table walks for `harness top`: which processes get one at a look, by which file, at what price.

The arithmetic of the shares is the sampler's (`harness.sampling.budget`); this is the policy for a view that people watch:
a process that has touched no memory since its last walk keeps its value for up to 10 s, because PSS also moves through others.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Collection
from pathlib import Path

from harness.sampling.budget import Account, fair_share
from harness.sampling.reading import process_directory
from harness.sampling.sources import pid_smaps
from harness.sampling.sources.pid_smaps import Walk

_STALE_NS = 10_000_000_000
_LEAST = 0.25  # of the budget, for walks, however much the rest takes
Mark = tuple[int | None, ...]


class Walked:
    """What is remembered of one process's walks."""

    __slots__ = ("account", "mark", "pid", "walk", "walked_ns")

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.walk: Walk | None = None  # also when the page tables may not be read
        self.walked_ns = 0
        self.mark: Mark | None = None  # counters that would have moved with the memory, as of the walk
        self.account: Account | None = None


class Walks:
    """``share``: of one core for everything, or None for no limit."""

    def __init__(self, mount: str, share: float | None, interval_ns: int) -> None:
        self._mount = mount
        self._total_ns = None if share is None else share * interval_ns
        self._has_rollup = True
        self.spent_ns = 0  # CPU time of all walks so far

    def choose(self, all_of_them: Collection[tuple[Walked, Mark]], other_ns: int, now_ns: int) -> list[Walked]:
        """Whose turn it is when everything but walks takes ``other_ns`` of CPU time a look; marks are those of now."""
        if self._total_ns is None:
            return [walked for walked, _ in all_of_them]
        due = [w for w, mark in all_of_them if mark != w.mark or now_ns - w.walked_ns >= _STALE_NS]
        allowance_ns = max(self._total_ns - other_ns, self._total_ns * _LEAST)
        part_ns = fair_share([w.account.cost_ns for w in due if w.account is not None], allowance_ns)
        return [w for w in due if w.account is None or w.account.may_walk(part_ns)]

    def walk(self, walked: Walked, mark: Mark) -> None:
        """Walk now; the result is None when the process has no memory of its own, has gone, or may not be looked into."""
        walked.walked_ns = time.monotonic_ns()
        before_ns = time.thread_time_ns()
        try:
            walked.walk = self._read(walked.pid)
        except OSError:
            walked.walk = None
        cost_ns = time.thread_time_ns() - before_ns
        self.spent_ns += cost_ns
        walked.mark = mark
        if walked.account is None:
            walked.account = Account(walked.pid, cost_ns)
        else:
            walked.account.paid(cost_ns)

    def _read(self, pid: int) -> Walk | None:
        if self._has_rollup:
            try:
                return pid_smaps.read_rollup(self._mount, pid)
            except OSError as error:
                if error.errno != errno.ENOENT or not Path(process_directory(self._mount, pid), "smaps").exists():
                    raise
                self._has_rollup = False  # before Linux 4.14
        return pid_smaps.read_summed(self._mount, pid)
