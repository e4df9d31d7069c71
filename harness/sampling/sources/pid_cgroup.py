"""``/proc/PID/cgroup``: which control group a process belongs to, in each hierarchy; readable by everyone.

::

    4:memory:/docker/3f4a...
    0::/system.slice/docker-3f4a....scope

The path is as seen from the reader's cgroup namespace. Source: cgroups(7), Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

from typing import NamedTuple

from ..reading import process_directory, read_file


class Membership(NamedTuple):
    """Paths below the root of each hierarchy; None = the process is in none of that kind."""

    unified: str | None  # cgroup v2
    memory_v1: str | None  # the v1 hierarchy that has the memory controller

    @property
    def memory(self) -> str | None:
        """The group that its memory is charged to: on a hybrid system the memory controller is in one hierarchy only."""
        return self.unified if self.memory_v1 is None else self.memory_v1


def parse(data: bytes) -> Membership:
    """Lines that are not understood are ignored. Bytes that are not UTF-8 are replaced."""
    unified = memory = None
    for line in data.decode("utf-8", "replace").split("\n"):
        number, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if not colon or not path.startswith("/"):
            continue
        if number == "0" and not controllers:
            unified = path
        elif "memory" in controllers.split(","):
            memory = path
    return Membership(unified, memory)


def read(mount: str, pid: int) -> Membership:
    """Raises OSError: ENOENT also when the kernel has no control groups."""
    return parse(read_file(process_directory(mount, pid) + "/cgroup", 1 << 16))
