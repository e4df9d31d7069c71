"""One look at everything: which processes are there, what each uses, what the kernel says; written as lines of the protocol."""

from __future__ import annotations

import os
import time

from . import protocol
from .budget import Budget
from .details import UNKNOWN_STATUS, Details, boot_on_monotonic_ns
from .discovery import Rule
from .farewell import Farewell
from .groups import Groups
from .heaps import Heaps
from .lifecycle import Lifecycle, no_events
from .mappings import Mappings, in_swap
from .members import Members
from .missing import MissingSignals
from .outside.freeze import release_lingering
from .protocol import Container, Depth, Identity, Match, MoreLines, Root, Row, Start, Tick
from .reading import absent, is_own_proc
from .schedule import Due
from .sources import settings
from .sources.numbers import TICK_NS, times
from .sources.pid_smaps import Walk
from .system import System
from .tree import MOST_PROCESSES, Followed, Tree
from .walker import Walker, choose, stall_share

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# Status, open files and command line: at most this often, and of who has done nothing since more seldom.
_DETAIL_NS, _IDLE_DETAIL_NS = 1_000_000_000, 5_000_000_000
# A deep floor looks into no further process after this long: the session waits for 30 s, and no sweep is taken meanwhile.
_MOST_DEEP_NS = 10_000_000_000
_SWAP_COLUMNS = tuple(protocol.COLUMNS.index("process.memory." + name) for name in ("swap", "swap_pss"))
_NO_WALK = Walk(*[None] * len(Walk._fields))


class Sweeper:
    """Holds what must survive from one sweep to the next, which is no sample. ``ourselves``: see `Tree`."""

    def __init__(self, order: Start, ourselves: frozenset[int]) -> None:
        budget_ns = order.budget_percent / 100 * order.interval_ns
        self._slack_ns = order.interval_ns // 2  # a sweep that comes a little early still counts as a second later
        self._lines: list[bytes] = []
        self._more_lines = MoreLines()
        self._missing = MissingSignals(self._lines.append)
        self._lifecycle = Lifecycle(self._missing, budget_ns) if is_own_proc(order.proc) else None
        events = no_events if self._lifecycle is None else self._lifecycle.changes
        self._members = Members(order.proc, order.sys, self._on_many_groups)
        self._tree = Tree(order.proc, order.exclude, ourselves, self._on_full, events, self._members.look)
        self._budget = Budget(budget_ns)
        self._stall_share = stall_share(order.budget_percent / 100)
        self._walker = Walker(order.proc, self._missing)
        self._details = Details(order.proc, self._missing)
        self._mappings = Mappings(order.proc, order.sys, self._missing, self._lines.append)
        self._heaps = (
            Heaps(order.proc, self._missing, self._lines.append, budget_ns, order.freeze) if order.look else None
        )
        self._groups = Groups(order.proc, order.sys, self._slack_ns, self._missing, self._members.place)
        self._farewell = Farewell(self._missing, self._lines.append)
        self._system = System(order.proc, self._slack_ns, self._missing)
        self._fast = False
        self._cpu_ns = time.process_time_ns()
        found = settings.read(order.proc, order.sys)
        self._lines.append(protocol.settings_line(found.facts))
        reasons = "; ".join(sorted({why for why in found.missing.values() if not absent(why)}))
        if reasons:
            self._missing.say("settings", reasons, "these settings are not in the run's record of this host")
        for root in order.roots:
            self.add_root(root)

    def close(self) -> None:
        """Unsubscribe from the kernel's events. No sweep afterwards."""
        if self._lifecycle is not None:
            self._lifecycle.close()

    @property
    def pids(self) -> set[int]:
        """Of the processes that are followed."""
        return {process.who.pid for process in self._tree}

    def add_root(self, root: Root) -> None:
        """Follow a tree from now on."""
        self._tree.add_root(root)

    def start_fast(self) -> bool:
        """From now on `fast` is called between sweeps; False when nothing is looked into."""
        if self._heaps is None:
            return False
        self._fast = True
        self._heaps.start_fast(time.monotonic_ns())
        return True

    def stop_fast(self) -> None:
        """No more."""
        self._fast = False

    def fast(self) -> None:
        """Samples what is worth sampling between sweeps; the next sweep tells of it."""
        if self._heaps is not None:
            self._heaps.fast(time.monotonic_ns())

    def add_match(self, match: Match) -> None:
        """Follow matching processes from now on."""
        self._tree.add_rule(Rule(match.pool, match.text))

    def add_container(self, container: Container) -> None:
        """Follow what is in the container's group from now on; the tree below its process, where it has no group of its own."""
        try:
            place = self._members.add(*container)
        except OSError:
            return  # it has just ended: the session notices, and says where the next one is
        if place is not None:
            self._lines.append(protocol.settings_line({"cgroup." + container.pool: place.memory}))
            return
        self._missing.say(
            "container.group",
            "no control group is named after the container of {}".format(container.pool),
            "what is started in it by exec is not seen, and what the kernel accounts to all of it may be another's, too",
        )
        self.add_root(Root(container.pid, container.pool))

    def sweep(self, now_ns: int, due: Due, floor_id: int | None = None, depth: Depth = Depth.COUNTERS) -> bytes:
        """Look at everything; all lines of the sweep in one piece, its tick last. A floor sweep leaves nothing out.

        ``now_ns`` (CLOCK_MONOTONIC) is what all of it will carry as its time.
        """
        everything = floor_id is not None
        release_lingering()
        refreshed = self._tree.refresh(now_ns, everything)
        for ended in refreshed.ended:
            self._mappings.forget(ended.process.who)
            if self._heaps is not None:
                self._heaps.forget(ended.process.who)
            self._farewell.ended(ended, now_ns)
        self._farewell.brief(refreshed.brief)
        processes = list(self._tree)
        chosen = set(processes) if everything else choose(
            processes, self._budget.walks_ns, now_ns, self._stall_share, self._tree.changed_ns
        )  # fmt: skip
        walks_ns = -self._walker.spent_ns
        rows = [self._row(process, now_ns, everything, process in chosen) for process in processes]
        walks_ns += self._walker.spent_ns
        more = self._look_into(processes, rows, now_ns, everything, depth)
        if self._fast and self._heaps is not None:
            self._heaps.take_fast(time.monotonic_ns())
        system = self._system.read(now_ns, everything)
        system.update(self._groups.read(processes, now_ns, everything))
        cpu_ns = time.process_time_ns()
        if not everything:
            self._budget.spent_otherwise(cpu_ns - self._cpu_ns - walks_ns)
        self._cpu_ns = cpu_ns
        self._lines += self._more_lines.lines(now_ns, more)
        tick = Tick(now_ns, time.monotonic_ns(), due.late_ns, due.missed, cpu_ns, floor_id, rows, system)
        self._lines.append(protocol.tick_line(tick))
        data = b"".join(self._lines)
        self._lines.clear()
        return data

    def _look_into(
        self,
        processes: list[Followed],
        rows: list[tuple[Identity, Row]],
        now_ns: int,
        everything: bool,
        depth: Depth,
    ) -> dict[Identity, dict[str, int]]:
        """What is inside the processes: counters of their runtimes; at deep floors their heaps and mappings as well."""
        more: dict[Identity, dict[str, int]] = {}
        if self._heaps is not None:
            self._heaps.attach(processes, now_ns, boot_on_monotonic_ns(), everything)
            more = self._heaps.counters(processes, now_ns, everything)
        if depth >= Depth.LIVE:
            swapped = {who for who, row in rows if any(row[column] for column in _SWAP_COLUMNS)}
            until_ns = time.monotonic_ns() + _MOST_DEEP_NS
            for process in processes:  # in the same order every time, so that the same ones have values at every floor
                if time.monotonic_ns() > until_ns:
                    self._on_slow()
                    break
                values = more.setdefault(process.who, {})
                out = process.who in swapped
                if depth >= Depth.HEAPS:
                    mapped = self._mappings.read(process.who, now_ns)
                    values.update(mapped)
                    out = in_swap(mapped)
                if self._heaps is not None and not out:  # reading would bring it back in
                    values.update(self._heaps.walk(process, now_ns))
        if depth >= Depth.TYPES and self._heaps is not None:
            self._heaps.types(processes, more, now_ns)
        return more

    def _details_due(self, process: Followed, now_ns: int) -> bool:
        every_ns = _DETAIL_NS if process.activity != process.detail_mark else _IDLE_DETAIL_NS
        return now_ns - process.detailed_ns >= every_ns - self._slack_ns

    def _row(self, process: Followed, now_ns: int, everything: bool, walked: bool) -> tuple[Identity, Row]:
        stat, pid = process.stat, process.who.pid
        first = process.comm is None
        detailed = everything or first or self._details_due(process, now_ns)
        status = self._details.status(process) if detailed else UNKNOWN_STATUS
        if detailed or process.comm != stat.comm or process.image != stat.image:
            line = self._details.introduction(process, status.uid, now_ns)
            if line is not None:
                self._lines.append(line)
        if detailed:
            process.detailed_ns, process.detail_mark = now_ns, process.activity
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
            process.stall_ns if walk is not _NO_WALK else None,
        )
        return process.who, values

    def _on_slow(self) -> None:
        self._missing.say(
            "process.deep_floors",
            "to look into all mappings and heaps takes longer than {} s".format(_MOST_DEEP_NS // 1_000_000_000),
            "heaps, and memory by kind, are known of those processes only that are followed longest",
        )

    def _on_many_groups(self) -> None:
        self._missing.say(
            "container.groups", "a container has very many control groups", "processes in some of them are not followed"
        )

    def _on_full(self) -> None:
        self._missing.say("process.limit", "more than {} processes belong to the target".format(MOST_PROCESSES))
