"""The memory cgroups the pools live in, and what the kernel accounts to each."""

from __future__ import annotations

import os
from typing import Callable, Dict, Iterable

from .missing import MissingSignals
from .reading import process_directory, why
from .sources import cgroup
from .sources.cgroup import CgroupPlace
from .sources.system import Values
from .tree import Followed

PREFIX = "cgroup."
OURS_TOO = "the harness itself is in the target's group"
_EVERY_NS = 1_000_000_000
_LOOK_AGAIN_NS = 60_000_000_000  # a process can be moved to another group
_COSTS = (
    "what the kernel accounts to the target as a whole (page cache, slab, sockets, short-lived processes) is unknown"
)
_COSTS_STALLS = "how long tasks of the target alone waited for memory is unknown"
_COSTS_ONE = "the other accounts of the target's group are there"
_UNJUDGED = frozenset(  # what no verdict rests on: its lack is told beside another's, or not at all
    {"memory.unreclaimable", "memory.peak", "memory.swap.current", "memory.swap.max", "pids.current"}
)
_LIMITS = frozenset(
    {"memory.max", "memory.high", "memory.swap.max"}
)  # hold for the target, whoever else is in the group


class Groups:
    """One group a pool: that of its oldest process, looked up again when that one has ended, and once a minute."""

    def __init__(
        self, proc: str, sys: str, slack_ns: int, missing: MissingSignals,
        containers: Callable[[str], CgroupPlace | None] = lambda _pool: None,
    ) -> None:  # fmt: skip
        self._proc = proc
        self._containers = containers  # the group of a pool, where it is a container's
        self._mount = sys + "/fs/cgroup"
        self._slack_ns = slack_ns
        self._missing = missing
        # By pool: pid, when it was looked up, its group, whether that is ours too.
        self._places: Dict[str, tuple[int, int, CgroupPlace | None, bool]] = {}
        self._read_ns = 0

    def read(self, processes: Iterable[Followed], now_ns: int, everything: bool) -> Values:
        """``cgroup.<pool>.<name>``; at most once a second, and at floors."""
        if not everything and self._read_ns and now_ns - self._read_ns < _EVERY_NS - self._slack_ns:
            return {}
        self._read_ns = now_ns
        values: Values = {}
        oldest: Dict[str, Followed] = {}
        for process in processes:
            first = oldest.setdefault(process.pool, process)
            if process.who.start_ticks < first.who.start_ticks:
                oldest[process.pool] = process
        for pool, process in oldest.items():
            place, shared = self._place(pool, process.who.pid, now_ns)
            if place is None:
                continue
            found = cgroup.read(place)
            for name, value in found.values.items():
                if not shared or name in _LIMITS:
                    values[PREFIX + pool + "." + name] = value
            if shared:
                reason = "{} {}: its accounts are not the target's".format(OURS_TOO, place.name)
                self._missing.say(PREFIX + "memory", reason, _COSTS)
            else:
                self._say(found.missing)
        return values

    def _say(self, missing: Dict[str, str]) -> None:
        """One line, and none where it costs nothing."""
        costly = sorted((name for name in missing if name not in _UNJUDGED), key=lambda name: name != "memory.current")
        if not costly:
            return
        first = costly[0]
        others = [name for name in missing if name != first]
        reason = missing[first] + ("; nor are there {}".format(", ".join(sorted(others))) if others else "")
        costs = {"memory.current": _COSTS, "memory.pressure": _COSTS_STALLS}.get(first, _COSTS_ONE)
        self._missing.say(PREFIX + first, reason, costs)

    def _is_ours_too(self, place: CgroupPlace) -> bool:
        """Whether this process is accounted for in the group or below it: then so is all of the harness."""
        try:
            own = cgroup.locate(self._proc, self._mount, int(os.readlink(self._proc + "/self")))
        except (OSError, ValueError):
            return False  # processes of another machine, or of a namespace that we are not in
        return own is not None and (own.memory + "/").startswith(place.memory.rstrip("/") + "/")

    def _place(self, pool: str, pid: int, now_ns: int) -> tuple[CgroupPlace | None, bool]:
        known = self._places.get(pool)
        if known is None or known[0] != pid or now_ns - known[1] >= _LOOK_AGAIN_NS:
            place = self._containers(pool) or self._locate(pid)
            known = self._places[pool] = (pid, now_ns, place, place is not None and self._is_ours_too(place))
        return known[2:]

    def _locate(self, pid: int) -> CgroupPlace | None:
        try:
            place = cgroup.locate(self._proc, self._mount, pid)
        except OSError as error:
            if os.path.exists(process_directory(self._proc, pid)):
                reason = why(error, process_directory(self._proc, pid) + "/cgroup")
                self._missing.say(PREFIX + "memory", reason, _COSTS)
            return None
        if place is None or _is_root(place):
            reason = "no memory cgroup of the target is mounted below " + self._mount
            if place is not None:
                reason = "the target is in the root group, whose accounts are those of the whole machine"
            self._missing.say(PREFIX + "memory", reason, _COSTS)
            return None
        return place


def _is_root(place: CgroupPlace) -> bool:
    """A container may call its own group "/" too. Only the root of a version 1 hierarchy has this file; that of version 2 has
    no accounts."""
    return place.version == 1 and os.path.exists(place.memory + "/cgroup.sane_behavior")
