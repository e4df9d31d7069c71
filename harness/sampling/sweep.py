"""One look at everything: which processes are there, what each uses, what the kernel says; written as lines of the protocol."""

from __future__ import annotations

import os
import time

from . import protocol
from .budget import Budget
from .details import TICK_NS, UNKNOWN_STATUS, Details
from .discovery import Rule
from .missing import MissingSignals
from .protocol import Identity, Match, Root, Row, Start
from .schedule import Due
from .sources.numbers import times
from .sources.pid_smaps import Walk
from .system import System
from .tree import MOST_PROCESSES, Followed, Tree
from .walker import Walker, choose

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_DETAIL_NS = 1_000_000_000  # status, open files and command line: at most this often
_NO_WALK = Walk(*[None] * len(Walk._fields))


class Sweeper:
    """Holds what must survive from one sweep to the next, which is no sample. ``ourselves``: see `Tree`."""

    def __init__(self, order: Start, ourselves: frozenset[int]) -> None:
        self._slack_ns = order.interval_ns // 2  # a sweep that comes a little early still counts as a second later
        self._lines: list[bytes] = []
        self._missing = MissingSignals(self._lines.append)
        self._tree = Tree(order.proc, order.exclude, ourselves, self._on_full)
        self._budget = Budget(order.budget_percent / 100, order.interval_ns)
        self._walker = Walker(order.proc, self._missing)
        self._details = Details(order.proc, self._missing)
        self._system = System(order.proc, self._slack_ns, self._missing)
        self._cpu_ns = time.process_time_ns()
        for root in order.roots:
            self.add_root(root)

    def add_root(self, root: Root) -> None:
        """Follow a tree from now on."""
        self._tree.add_root(root)

    def add_match(self, match: Match) -> None:
        """Follow matching processes from now on."""
        self._tree.add_rule(Rule(match.pool, match.text))

    def sweep(self, now_ns: int, due: Due, floor_id: int | None = None) -> bytes:
        """Look at everything; all lines of the sweep in one piece, its tick last. A floor sweep leaves nothing out.

        ``now_ns`` (CLOCK_MONOTONIC) is what all of it will carry as its time.
        """
        everything = floor_id is not None
        for ended in self._tree.refresh(now_ns, everything):
            self._lines.append(protocol.exit_line(ended.who, now_ns))
        chosen = set(self._tree) if everything else choose(list(self._tree), self._budget.walks_ns, now_ns)
        walks_ns = -self._walker.spent_ns
        rows = [self._row(process, now_ns, everything, process in chosen) for process in self._tree]
        walks_ns += self._walker.spent_ns
        system = self._system.read(now_ns, everything)
        cpu_ns = time.process_time_ns()
        self._budget.spent_otherwise(cpu_ns - self._cpu_ns - walks_ns)
        self._cpu_ns = cpu_ns
        end_ns = time.monotonic_ns()
        self._lines.append(
            protocol.tick_line(now_ns, end_ns, due.late_ns, due.missed, cpu_ns, floor_id, rows, system)
        )  # fmt: skip
        data = b"".join(self._lines)
        self._lines.clear()
        return data

    def _row(self, process: Followed, now_ns: int, everything: bool, walked: bool) -> tuple[Identity, Row]:
        stat, pid = process.stat, process.who.pid
        first = process.comm is None
        detailed = everything or first or now_ns - process.detailed_ns >= _DETAIL_NS - self._slack_ns
        status = self._details.status(pid) if detailed else UNKNOWN_STATUS
        if detailed or process.comm != stat.comm or process.image != stat.image:
            line = self._details.introduction(process, status.uid, now_ns)
            if line is not None:
                self._lines.append(line)
        if detailed:
            process.detailed_ns = now_ns
        walk = (self._walker.walk(process, now_ns) if walked else None) or _NO_WALK
        counted = times(stat.rss_pages, _PAGE_BYTES)
        values = (
            counted if walk.rss is None else walk.rss,  # the walk is exact, the counter is folded in batches
            walk.pss,
            walk.uss,
            walk.pss_anon,
            walk.pss_file,
            walk.pss_shmem,
            walk.shared_dirty,
            walk.anon_huge,
            status.swap_bytes,
            walk.swap_pss,
            status.hwm_bytes,
            stat.threads,
            self._details.open_files(pid) if detailed else None,
            stat.minor_faults,
            stat.major_faults,
            times(stat.cpu_ticks, TICK_NS),
        )
        return process.who, values

    def _on_full(self) -> None:
        self._missing.say("process.limit", "more than {} processes belong to the target".format(MOST_PROCESSES))
