"""The only reader of the package: one look at every process and at meminfo."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from harness.errors import TargetError
from harness.sampling.discovery import all_pids
from harness.sampling.protocol import Identity
from harness.sampling.reading import read_file
from harness.sampling.redact import RAW_CAP_BYTES, command_line, process_name
from harness.sampling.sources import meminfo, pid_cgroup, pid_cmdline, pid_stat, pid_status
from harness.sampling.sources.numbers import TICK_NS, times
from harness.sampling.sources.pid_stat import PidStat
from harness.top.families import families, program_of
from harness.top.model import Look, Process
from harness.top.walks import Mark, Walked, Walks

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_DETAIL_NS = 10_000_000_000  # an idle process's title, owner and swap are read again after this long

Wanted = Callable[[Process], bool]


class _Known:
    """A process between two looks."""

    __slots__ = (
        "arguments",
        "cgroup",
        "command",
        "detail_mark",
        "detailed_ns",
        "program",
        "stat",
        "swap",
        "uid",
        "walked",
        "who",
    )

    def __init__(self, pid: int, stat: PidStat) -> None:
        self.who = Identity(pid, stat.start_ticks)
        self.stat = stat
        self.arguments: tuple[str, ...] | None = None
        self.command = ""
        self.program = ""
        self.uid: int | None = None
        self.swap: int | None = None
        self.cgroup: str | None = None
        self.detailed_ns = 0
        self.detail_mark: tuple[object, ...] | None = None
        self.walked = Walked(pid)

    @property
    def mark(self) -> Mark:
        """If this is what it was, the process itself has touched no new memory."""
        return self.stat.rss_pages, self.stat.minor_faults, self.stat.major_faults


class Looker:
    """Looks at the machine again and again. ``share``: of one core for all of it, or None for no limit; then walks of page
    tables, which are nearly all of its cost, are shared out as in `harness.sampling.budget`."""

    def __init__(self, mount: str = "/proc", share: float | None = None, interval_ns: int = 0) -> None:
        self._mount = mount
        self._walks = Walks(mount, share, interval_ns)
        self._known: dict[int, _Known] = {}
        self._cpu_ns: int | None = None  # when the last look began
        self._spent_ns = 0

    def look(self, wanted: Wanted | None = None) -> Look:
        """Look at all processes, or walk only those that are ``wanted`` (they are judged before, by identity and text).

        Kernel threads, zombies, and what ends meanwhile are left out. Raises TargetError when no process can be listed.
        """
        taken_ns, wall_ns, cpu_ns = time.monotonic_ns(), time.time_ns(), time.process_time_ns()
        other_ns = 0 if self._cpu_ns is None else cpu_ns - self._cpu_ns - self._spent_ns
        before_ns = self._walks.spent_ns
        self._refresh(taken_ns)
        listed = {pid: self._process(known, taken_ns) for pid, known in self._known.items()}
        chosen = [pid for pid, process in listed.items() if wanted is None or wanted(process)]
        self._walk([self._known[pid] for pid in chosen], other_ns, taken_ns)
        processes = tuple(self._process(self._known[pid], taken_ns) for pid in chosen if pid in self._known)
        self._cpu_ns, self._spent_ns = cpu_ns, self._walks.spent_ns - before_ns
        return Look(
            taken_ns=taken_ns,
            wall_ns=wall_ns,
            took_ns=time.monotonic_ns() - taken_ns,
            cpu_ns=time.process_time_ns() - cpu_ns,
            processes=processes,
            families=families(listed.values()),
            meminfo=self._meminfo(),
            complete=wanted is None,
        )

    def _refresh(self, now_ns: int) -> None:
        known: dict[int, _Known] = {}
        for pid in all_pids(self._mount):
            stat = self._stat(pid)
            if stat is None:
                continue
            entry = self._known.get(pid)
            if entry is None or entry.who.start_ticks != stat.start_ticks:
                entry = _Known(pid, stat)
            entry.stat = stat
            self._details(entry, now_ns)
            known[pid] = entry
        if not known:
            raise TargetError(
                f"no process can be read in {self._mount}", hint="is it mounted? mount -t proc proc /proc"
            )
        self._known = known

    def _stat(self, pid: int) -> PidStat | None:
        """None for what has no memory of its own, or is gone."""
        try:
            stat = pid_stat.read(self._mount, pid)
        except OSError:
            return None
        return None if stat is None or stat.ended or stat.rss_pages is None else stat

    def _details(self, known: _Known, now_ns: int) -> None:
        mark = (known.mark, known.stat.comm, known.stat.image)
        if mark == known.detail_mark and now_ns - known.detailed_ns < _DETAIL_NS:
            return
        known.detail_mark, known.detailed_ns = mark, now_ns
        pid = known.who.pid
        try:
            arguments = pid_cmdline.read(self._mount, pid, RAW_CAP_BYTES)
            status = pid_status.read(self._mount, pid)
        except OSError:
            return  # on its way out, or hidden: what is known stays
        known.uid, known.swap = status.uid, status.swap_bytes
        if arguments != known.arguments:
            known.arguments = arguments
            known.command = command_line(arguments)
            known.program = program_of(arguments, process_name(known.stat.comm))
        try:
            known.cgroup = pid_cgroup.read(self._mount, pid).memory
        except OSError:
            known.cgroup = None

    def _walk(self, chosen: list[_Known], other_ns: int, now_ns: int) -> None:
        turn = set(self._walks.choose([(known.walked, known.mark) for known in chosen], other_ns, now_ns))
        for known in chosen:  # in the same order at every look, so that times between walks are even
            if known.walked in turn:
                self._walks.walk(known.walked, known.mark)
                if known.walked.walk is None:
                    stat = self._stat(known.who.pid)
                    if stat is None or stat.start_ticks != known.who.start_ticks:
                        del self._known[known.who.pid]

    def _process(self, known: _Known, now_ns: int) -> Process:
        stat, walk = known.stat, known.walked.walk
        stale = known.mark != known.walked.mark
        name = process_name(stat.comm)
        start, stack = stat.image
        return Process(
            who=known.who,
            ppid=stat.ppid,
            name=name,
            command=known.command or name,
            program=known.program,
            image=(start, stack) if start and stack else None,  # 1 and 0 without permission
            uid=known.uid,
            cgroup=known.cgroup,
            threads=stat.threads,
            age_ns=max(0, time.clock_gettime_ns(time.CLOCK_BOOTTIME) - known.who.start_ticks * TICK_NS),
            rss=times(stat.rss_pages, _PAGE_BYTES) if walk is None or stale or walk.rss is None else walk.rss,
            swap=known.swap,
            walk=walk,
            known_ns=known.walked.walked_ns if stale else max(known.walked.walked_ns, now_ns),
            stale=stale,
        )

    def _meminfo(self) -> dict[str, int]:
        try:
            values = meminfo.parse(read_file(self._mount + "/meminfo"))
        except OSError:
            return {}
        return {name.removeprefix(meminfo.PREFIX): value for name, value in values.items()}
