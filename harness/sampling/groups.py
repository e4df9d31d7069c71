"""The memory cgroups the pools live in, and what the kernel accounts to each."""

from __future__ import annotations

import os
from typing import Dict, Iterable

from .missing import MissingSignals
from .reading import process_directory, why
from .sources import cgroup
from .sources.cgroup import CgroupPlace
from .sources.system import Values
from .tree import Followed

PREFIX = "cgroup."
_EVERY_NS = 1_000_000_000
_LOOK_AGAIN_NS = 60_000_000_000  # a process can be moved to another group
_COSTS = (
    "what the kernel accounts to the target as a whole (page cache, slab, sockets, short-lived processes) is unknown"
)
_COSTS_ONE = "the other accounts of the target's group are there"


class Groups:
    """One group a pool: that of its oldest process, looked up again when that one has ended, and once a minute."""

    def __init__(self, proc: str, sys: str, slack_ns: int, missing: MissingSignals) -> None:
        self._proc = proc
        self._mount = sys + "/fs/cgroup"
        self._slack_ns = slack_ns
        self._missing = missing
        # By pool: pid, when it was looked up, its group.
        self._places: Dict[str, tuple[int, int, CgroupPlace | None]] = {}
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
            place = self._place(pool, process.who.pid, now_ns)
            if place is None:
                continue
            found = cgroup.read(place)
            for name, value in found.values.items():
                values[PREFIX + pool + "." + name] = value
            for name, reason in found.missing.items():
                self._missing.say(PREFIX + name, reason, _COSTS if name == "memory.current" else _COSTS_ONE)
        return values

    def _place(self, pool: str, pid: int, now_ns: int) -> CgroupPlace | None:
        known = self._places.get(pool)
        if known is None or known[0] != pid or now_ns - known[1] >= _LOOK_AGAIN_NS:
            known = self._places[pool] = (pid, now_ns, self._locate(pid))
        return known[2]

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
