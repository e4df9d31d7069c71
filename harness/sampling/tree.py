"""The processes being followed: trees below given roots and below processes that match a rule.

A process is identified by pid and start time. Once seen it is followed until it ends, whatever becomes of its parent, so a
daemon that detaches stays in.
"""

from __future__ import annotations

from typing import Callable, Iterator

from .budget import Account
from .discovery import Children, Matcher, Rule, ancestors
from .protocol import Identity, Root
from .sources import pid_stat
from .sources.pid_stat import PidStat

MOST_PROCESSES = 4096  # keeps a tick's line below the 1 MiB that the pipe allows


class Followed:
    """One process and what is remembered of it between sweeps: no samples, only the marks of the last reading."""

    __slots__ = (
        "account", "comm", "command", "detailed_ns", "image", "pool", "ppid", "stat", "uid", "walk_mark", "walked_ns", "who"
    )  # fmt: skip

    def __init__(self, who: Identity, stat: PidStat, pool: str) -> None:
        self.who = who
        self.stat = stat
        self.pool = pool
        self.ppid = stat.ppid  # of the first sight: a daemon's later parent says nothing
        # What was last announced; None = nothing yet.
        self.comm: bytes | None = None
        self.image: tuple[int | None, int | None] | None = None
        self.command = ""
        self.uid: int | None = None
        self.detailed_ns = 0
        # The last page-table walk: what it costs, when it was, and the counters that would have moved with the memory.
        self.account: Account | None = None
        self.walked_ns = 0
        self.walk_mark: tuple[int | None, int | None, int | None] | None = None

    @property
    def mark(self) -> tuple[int | None, int | None, int | None]:
        """If this is what it was at the last walk, the process itself has not touched new memory since."""
        return self.stat.rss_pages, self.stat.minor_faults, self.stat.major_faults


class Tree:
    """Keeps the set of followed processes up to date.

    ``ourselves`` (the sampler and the session that started it) never belong to the target, and nothing above them matches by
    its command line: ``sudo harness watch TEXT`` contains the text three times.
    """

    def __init__(
        self, mount: str, exclude: frozenset[int], ourselves: frozenset[int], on_full: Callable[[], None]
    ) -> None:
        self._mount = mount
        self._on_full = on_full
        self._followed: dict[int, Followed] = {}
        self._children = Children(mount)
        self._matcher = Matcher(mount)
        self._excluded = exclude | ourselves
        self._unmatched = self._excluded.union(*(ancestors(mount, pid) for pid in ourselves))

    def __iter__(self) -> Iterator[Followed]:
        return iter(self._followed.values())

    def __len__(self) -> int:
        return len(self._followed)

    def add_root(self, root: Root) -> None:
        """Follow this process, identified as of now, whatever is excluded; no effect when it has already ended."""
        known = self._followed.get(root.pid)
        if known is not None:
            known.pool = root.pool
            known.comm = None  # announce again
        else:
            self._follow(root.pid, root.pool)

    def add_rule(self, rule: Rule) -> None:
        """Follow what matches, from the next refresh on."""
        self._matcher.add(rule)

    def refresh(self, now_ns: int, everything: bool) -> list[Followed]:
        """Read the stat file of every followed process, find new ones; returns those that have ended."""
        ended = []
        for pid, process in list(self._followed.items()):
            stat = self._stat(pid)
            if stat is None or stat.ended or stat.start_ticks != process.who.start_ticks:
                del self._followed[pid]
                ended.append(process)
            else:
                process.stat = stat
        for pid, pool in self._matcher.look(_Either(self._followed, self._unmatched), now_ns, everything):
            self._follow(pid, pool)
        self._descend()
        return ended

    def _descend(self) -> None:
        if not self._followed:
            return
        todo = list(self._followed.values())
        self._children.begin(sum(p.stat.threads or 1 for p in todo), todo[0].who.pid)
        while todo:
            parent = todo.pop()
            for pid in self._children.of(parent.who.pid, parent.stat.threads):
                if pid not in self._followed and pid not in self._excluded:
                    child = self._follow(pid, parent.pool)
                    if child is not None:
                        todo.append(child)

    def _follow(self, pid: int, pool: str) -> Followed | None:
        stat = self._stat(pid)
        if stat is None or stat.ended:
            return None
        if len(self._followed) >= MOST_PROCESSES:
            self._on_full()
            return None
        process = self._followed[pid] = Followed(Identity(pid, stat.start_ticks), stat, pool)
        return process

    def _stat(self, pid: int) -> PidStat | None:
        try:
            return pid_stat.read(self._mount, pid)
        except OSError:
            return None


class _Either:
    """Membership in one of two collections, without building their union."""

    def __init__(self, one: dict[int, Followed], other: frozenset[int]) -> None:
        self._one = one
        self._other = other

    def __contains__(self, pid: object) -> bool:
        return pid in self._one or pid in self._other
