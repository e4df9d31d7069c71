"""Page-table walks: whose turn it is, by which file, and what it costs."""

from __future__ import annotations

import errno
import os
import time
from typing import Collection

from .budget import Account, fair_share
from .missing import MissingSignals
from .reading import GONE, process_directory, why
from .sources import pid_smaps
from .sources.pid_smaps import Walk
from .tree import Followed

# PSS moves through other processes too, most when one is born or ends, so an idle process is not left alone for longer.
_STALE_NS, _STALE_AFTER_CHANGE_NS = 30_000_000_000, 10_000_000_000
# A walk holds the process's mmap lock, so that its own mmap, munmap and brk wait: for at most this part of the budget's share
# of the time, however few processes there are. A process whose walks grow longer is walked less often.
_STALL_PART = 0.2
_UNFELT_NS = 1_000_000


def choose(
    processes: Collection[Followed],
    allowance_ns: float,
    now_ns: int,
    stall_share: float = _STALL_PART,
    changed_ns: int = 0,
) -> set[Followed]:
    """Whose page tables to walk in a regular sweep.

    All, while ``allowance_ns`` of CPU time covers it. Else those that touched memory since their last walk share the
    allowance with those whose last walk is 30 s old, or 10 s and before ``changed_ns``, when a process was born or ended last.
    A process that was never walked always is. One that a walk holds up for long is spared until that is no more than
    ``stall_share`` of the time.
    """
    chosen = {p for p in processes if p.account is None}
    known = [(p, p.account) for p in processes if p.account is not None and _bears_it(p, now_ns, stall_share)]
    part_ns = fair_share([account.cost_ns for _, account in known], allowance_ns)
    if part_ns != float("inf"):
        known = [(p, a) for p, a in known if p.mark != p.walk_mark or _stale(p.walked_ns, now_ns, changed_ns)]
        part_ns = fair_share([account.cost_ns for _, account in known], allowance_ns)
    chosen.update(p for p, account in known if account.may_walk(part_ns))
    return chosen


def _stale(walked_ns: int, now_ns: int, changed_ns: int) -> bool:
    age_ns = now_ns - walked_ns
    return age_ns > _STALE_NS or (age_ns > _STALE_AFTER_CHANGE_NS and walked_ns < changed_ns)


def _bears_it(process: Followed, now_ns: int, stall_share: float) -> bool:
    return process.stall_ns < _UNFELT_NS or now_ns - process.walked_ns >= process.stall_ns / stall_share


def stall_share(budget_share: float) -> float:
    """What part of the time a process may be held up under a budget of ``budget_share`` of a core: 0.2 % at 1 %."""
    return _STALL_PART * budget_share


class Walker:
    """Walks by the best file this kernel has, and keeps each process's account."""

    def __init__(self, mount: str, missing: MissingSignals) -> None:
        self._mount = mount
        self._missing = missing
        self._has_rollup = True
        self.spent_ns = 0  # CPU time of all walks so far

    def walk(self, process: Followed, now_ns: int) -> Walk | None:
        """None when the process has no memory of its own, has gone, or may not be looked at."""
        before_ns, began_ns = time.thread_time_ns(), time.monotonic_ns()
        walk = self._read(process.who.pid)
        cost_ns = time.thread_time_ns() - before_ns
        process.stall_ns = time.monotonic_ns() - began_ns
        self.spent_ns += cost_ns
        if process.account is None:
            process.account = Account(process.who.pid, cost_ns)
        else:
            process.account.paid(cost_ns)
        process.walked_ns, process.walk_mark = now_ns, process.mark
        if walk is not None and walk.pss_anon is None:
            since = "5.3" if self._has_rollup else "4.14"
            self._missing.say("process.memory.pss_anon", "the kernel is older than {}".format(since))
        return walk

    def _read(self, pid: int) -> Walk | None:
        directory = process_directory(self._mount, pid)
        if self._has_rollup:
            try:
                return pid_smaps.read_rollup(self._mount, pid)
            except OSError as error:
                if error.errno != errno.ENOENT or not os.path.exists(directory + "/smaps"):
                    self._failed(error, directory + "/smaps_rollup")
                    return None
                self._has_rollup = False
        try:
            return pid_smaps.read_summed(self._mount, pid)
        except OSError as error:
            self._failed(error, directory + "/smaps")
            return None

    def _failed(self, error: OSError, path: str) -> None:
        if error.errno not in GONE:
            reason = why(error, path) + "; needs root, or the owner of a process that is dumpable"
            self._missing.say("process.memory.pss", reason)
