"""The processes being followed: trees below given roots and below processes that match a rule.

A process is identified by pid and start time. Once seen it is followed until it ends, whatever becomes of its parent, so a
daemon that detaches stays in.
"""

from __future__ import annotations

from typing import Callable, Container, Iterable, Iterator, NamedTuple

from .budget import Account
from .discovery import Children, Matcher, Rule, ancestors
from .lifecycle import Changes, children_of
from .protocol import Identity, Root
from .reading import ProcessFiles, is_own_proc
from .sources import pid_stat
from .sources.pid_stat import PidStat
from .sources.proc_events import Exit, Fork
from .sources.taskstats import ExitStats

MOST_PROCESSES = 4096  # keeps a tick's line below the 1 MiB that the pipe allows


class Followed:
    """One process and what is remembered of it between sweeps: no samples, only the marks of the last reading."""

    __slots__ = (
        "account", "comm", "command", "detail_mark", "detailed_ns", "files", "image", "pool", "ppid", "raw_command",
        "stall_ns", "stat", "uid", "walk_mark", "walked_ns", "who",
    )  # fmt: skip

    def __init__(self, who: Identity, stat: PidStat, pool: str, files: ProcessFiles) -> None:
        self.who = who
        self.stat = stat
        self.files = files
        self.pool = pool
        self.ppid = stat.ppid  # of the first sight: a daemon's later parent says nothing
        # What was last announced; None = nothing yet.
        self.comm: bytes | None = None
        self.image: tuple[int | None, int | None] | None = None
        self.raw_command = b""
        self.command = ""
        self.uid: int | None = None
        # The last look at the details, and what it had done by then.
        self.detailed_ns = 0
        self.detail_mark: tuple[int | None, ...] = ()
        # The last page-table walk: what it costs, when it was, how long it took, and the counters that would have moved with
        # the memory.
        self.account: Account | None = None
        self.walked_ns = 0
        self.stall_ns = 0
        self.walk_mark: tuple[int | None, int | None, int | None] | None = None

    @property
    def mark(self) -> tuple[int | None, int | None, int | None]:
        """If this is what it was at the last walk, the process itself has not touched new memory since."""
        return self.stat.rss_pages, self.stat.minor_faults, self.stat.major_faults

    @property
    def activity(self) -> tuple[int | None, ...]:
        """If this is what it was, the process has run for less than a clock tick since."""
        return (self.stat.cpu_ticks, *self.mark)


class Ended(NamedTuple):
    """A followed process that is no more."""

    process: Followed
    exit: Exit | None  # None: it is not known when and how, only that this sweep did not find it
    account: ExitStats | None


class Brief(NamedTuple):
    """A process that was born below a followed one and ended, all between two sweeps."""

    pid: int
    parent: int
    pool: str
    born_ns: int
    exit: Exit
    account: ExitStats | None


class Refreshed(NamedTuple):
    """How the set of followed processes has changed."""

    ended: list[Ended]
    brief: list[Brief]


class Tree:
    """Keeps the set of followed processes up to date.

    ``ourselves`` (the sampler and the session that started it) never belong to the target, and nothing above them matches by
    its command line: ``sudo harness watch TEXT`` contains the text three times.
    """

    def __init__(
        self,
        mount: str,
        exclude: frozenset[int],
        ourselves: frozenset[int],
        on_full: Callable[[], None],
        lifecycle: Callable[[], Changes],
        members: Callable[[Container[int]], Iterable[tuple[int, str]]] = lambda _known: (),
    ) -> None:
        self._mount = mount
        self._keep = is_own_proc(mount)
        self._on_full = on_full
        self._lifecycle = lifecycle
        self._members = members  # of containers: (pid, pool) of those that are not in what it is given
        self._followed: dict[int, Followed] = {}
        self._children = Children(mount)
        self._matcher = Matcher(mount)
        self._excluded = exclude | ourselves
        self._unmatched = self._excluded.union(*(ancestors(mount, pid) for pid in ourselves))
        self.changed_ns = 0  # when a process was born or ended last
        self._look_anew = True  # somebody was added whose children no event has told of
        # Who was gone when the last refresh looked, with their pools: a child they made after the events were taken is told of
        # only now. Of these, who was never seen: their forks.
        self._gone: dict[int, str] = {}
        self._unseen: dict[int, Fork] = {}

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
        elif self._follow(root.pid, root.pool) is not None:
            self._look_anew = True

    def add_rule(self, rule: Rule) -> None:
        """Follow what matches, from the next refresh on."""
        self._matcher.add(rule)

    def refresh(self, now_ns: int, everything: bool) -> Refreshed:
        """Read the stat file of every followed process, find new ones; says which have ended."""
        changes = self._lifecycle()
        before = len(self._followed)
        parents = {**self._gone, **{pid: process.pool for pid, process in self._followed.items()}}
        ended = self._look_at_followed(changes)
        brief = self._follow_born(changes, parents)
        self._gone = {one.process.who.pid: one.process.pool for one in ended}
        self._gone.update((pid, parents[pid]) for pid in self._unseen)
        for pid, pool in self._matcher.look(_Either(self._followed, self._unmatched), now_ns, everything):
            self._look_anew |= self._follow(pid, pool) is not None
        for pid, pool in list(self._members(_Either(self._followed, self._excluded))):
            self._look_anew |= self._follow(pid, pool) is not None
        if everything or self._look_anew or not changes.complete:
            self._look_anew = False
            self._descend()
        if ended or len(self._followed) != before:
            self.changed_ns = now_ns
        return Refreshed(ended, brief)

    def _look_at_followed(self, changes: Changes) -> list[Ended]:
        ended = []
        for pid, process in list(self._followed.items()):
            try:
                stat = pid_stat.parse(process.files.stat.read())
            except OSError:
                stat = None
            if stat is None or stat.ended or stat.start_ticks != process.who.start_ticks:
                process.files.close()
                del self._followed[pid]
                ended.append(Ended(process, changes.exits.get(pid), changes.accounts.get(pid)))
            else:
                process.stat = stat
        return ended

    def _follow_born(self, changes: Changes, parents: dict[int, str]) -> list[Brief]:
        """Follow the children that events told of; those that have ended already are returned."""
        brief = []
        unseen: dict[int, Fork] = {}
        born = children_of(changes.forks, parents)
        for pid, fork in {**self._unseen, **born}.items():
            if pid in self._excluded or pid in self._followed:
                continue
            ending = changes.exits.get(pid)
            over = ending is not None and ending.t_ns >= fork.t_ns and not self._lives_in_its_threads(pid)
            if ending is not None and over:
                brief.append(Brief(pid, fork.parent, parents[pid], fork.t_ns, ending, changes.accounts.get(pid)))
            elif pid in born and self._follow(pid, parents[pid]) is None:
                unseen[pid] = fork  # it has just ended; how, the next events tell
        self._unseen = unseen
        return brief

    def _lives_in_its_threads(self, pid: int) -> bool:
        """The exit that events tell of is the first thread's: it may have left others behind."""
        try:
            stat = pid_stat.read(self._mount, pid)
        except OSError:
            return False
        return stat is not None and stat.state == b"Z" and not stat.ended

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
        files = ProcessFiles(self._mount, pid, self._keep)
        try:
            stat = pid_stat.parse(files.stat.read())
        except OSError:
            stat = None
        if stat is None or stat.ended or len(self._followed) >= MOST_PROCESSES:
            files.close()
            if stat is not None and not stat.ended:
                self._on_full()
            return None
        process = self._followed[pid] = Followed(Identity(pid, stat.start_ticks), stat, pool, files)
        return process


class _Either:
    """Membership in one of two collections, without building their union."""

    def __init__(self, one: dict[int, Followed], other: frozenset[int]) -> None:
        self._one = one
        self._other = other

    def __contains__(self, pid: object) -> bool:
        return pid in self._one or pid in self._other
