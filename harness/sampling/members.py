"""Who is in the control groups of containers: everybody, whoever started them.

The tree below a container's first process lacks what ``docker exec`` starts, whose parent is outside. Standard library only.

Source: Documentation/admin-guide/cgroup-v2.rst (cgroup.procs), cgroup-v1/cgroups.rst.
"""

from __future__ import annotations

import os
from typing import Callable, Container, Dict, Iterator

from .reading import read_file
from .sources import cgroup
from .sources.cgroup import CgroupPlace

_DEEPEST = 4  # groups below a container's: an init system in it makes some
_MOST_GROUPS = 256
_PIDS_CAP = 1 << 16


class Members:
    """The groups of containers by pool. A group that is gone for a while, because its container is started anew, is looked for
    again in every sweep: it comes back under the same name."""

    def __init__(self, proc: str, sys: str, on_many: Callable[[], None]) -> None:
        self._proc = proc
        self._mount = sys + "/fs/cgroup"
        self._on_many = on_many
        self._places: Dict[str, CgroupPlace] = {}

    def add(self, pool: str, pid: int, identifier: str) -> CgroupPlace | None:
        """The container's group, of which ``pid`` is a member, is that of the pool from now on; None where there is no group with
        the container's id in its name. Raises OSError when the process is gone."""
        place = cgroup.locate(self._proc, self._mount, pid)
        place = None if place is None else cgroup.named(place, identifier)
        if place is None:
            self._places.pop(pool, None)
        else:
            self._places[pool] = place
        return place

    def place(self, pool: str) -> CgroupPlace | None:
        """The group of a pool that is a container's."""
        return self._places.get(pool)

    def look(self, known: Container[int]) -> Iterator[tuple[int, str]]:
        """(pid, pool) of members that are not in ``known``."""
        for pool, place in self._places.items():
            for pid in self._pids(place.memory):
                if pid not in known:
                    yield pid, pool

    def _pids(self, top: str) -> Iterator[int]:
        todo, seen = [(top, 0)], 0
        while todo:
            directory, depth = todo.pop()
            seen += 1
            if seen > _MOST_GROUPS:
                self._on_many()
                return
            try:
                listed = read_file(directory + "/cgroup.procs", _PIDS_CAP)
                below = [entry.path for entry in os.scandir(directory) if entry.is_dir(follow_symlinks=False)]
            except OSError:
                continue  # gone meanwhile, or a threaded group, whose processes are listed above
            for line in listed.split(b"\n"):
                if line.isdigit() and line != b"0":  # 0: not in our namespace
                    yield int(line)
            if depth < _DEEPEST:
                todo.extend((path, depth + 1) for path in below)
