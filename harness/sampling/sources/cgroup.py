"""A process's memory cgroup, version 1 or 2: what the kernel charges to it, its limits, and how close they came to killing.

``/proc/PID/cgroup`` names the group, ``mountinfo`` says which part of which hierarchy is mounted where. Both are as our own
namespaces see them, so a container's processes are found from the host, and from within a container its own.

The same names for both versions where the meaning is the same:

=============================  ===========================  ================================================================
name                           version 2                    version 1
=============================  ===========================  ================================================================
memory.current                 memory.current               memory.usage_in_bytes
memory.peak                    memory.peak (5.19+)          memory.max_usage_in_bytes
memory.max                     memory.max                   memory.limit_in_bytes
memory.high                    memory.high                  -
memory.swap.current            memory.swap.current          total_swap of memory.stat
memory.swap.max                memory.swap.max              - (memsw limits memory and swap together)
memory.stat.anon               anon                         total_rss (before 5.8 with swap cache)
memory.stat.file               file                         total_cache: both with shmem
memory.stat.shmem              shmem                        total_shmem (4.12+)
memory.stat.file_mapped        file_mapped                  total_mapped_file
memory.stat.file_dirty         file_dirty                   total_dirty
memory.stat.file_writeback     file_writeback               total_writeback
memory.stat.anon_thp           anon_thp                     total_rss_huge
memory.stat.swapcached         swapcached                   total_swapcached
memory.stat.<list>             inactive_anon, active_anon, inactive_file, active_file, unevictable; total_<the same>
memory.stat.pgfault            pgfault, pgmajfault          total_pgfault, total_pgmajfault: counters
memory.stat.kernel             kernel (5.18+)               memory.kmem.usage_in_bytes
memory.stat.<key>              all others: slab_*, sock,    - (workingset_* too: their unit changed between kernels)
                               kernel_stack, pagetables,
                               percpu, zswap (bytes);
                               workingset_*, pg*, thp_*,
                               zswp*, swp*, numa_* (counts)
memory.events.oom_kill         memory.events                memory.oom_control (4.13+)
memory.events.<key>            low, high, max, oom, ...     failcnt: how often the limit was hit
memory.pressure.*_avg10        memory.pressure (4.20+),     the same file of the version 2 hierarchy, if that is mounted
memory.pressure_total.*        1/100 % and ns               too and the process has a group of its own in it
pids.current                   pids.current                 pids.current of the pids hierarchy
=============================  ===========================  ================================================================

Everything counts the groups below as well. No limit is left out and not missing. ``memory.unreclaimable`` is anon + shmem +
slab_unreclaimable + kernel_stack + pagetables + sock, what only swap or a kill can free; left out where one part is unknown
(version 1; before 5.11 pagetables).

Source: Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst; proc_pid_mountinfo(5); mm/memcontrol.c.
"""

from __future__ import annotations

import os
import re
from typing import Callable, Dict, NamedTuple, Sequence

from ..reading import GONE, process_directory, read_file, why
from ..redact import printable
from . import pressure
from .numbers import bounded, to_int
from .system import Values

UNRECLAIMABLE = ("anon", "shmem", "slab_unreclaimable", "kernel_stack", "pagetables", "sock")

_DEFAULT_MOUNT = "/sys/fs/cgroup"
_VERSION_2 = ""  # in place of a controller's name
_STAT = "memory.stat."
_NAME_CAP = 256
_MOST_KEYS = 256
_NO_LIMIT = 1 << 62  # version 1 writes the largest multiple of the page size
_OCTAL = re.compile(r"\\([0-7]{3})")
_KEY = re.compile(rb"^([a-z0-9_]{1,64}) ([0-9]+)$", re.MULTILINE)
_V2_NUMBERS = (
    "memory.current", "memory.peak", "memory.max", "memory.high", "memory.swap.current", "memory.swap.max",
)  # fmt: skip
_V1_NUMBERS = (
    ("memory.usage_in_bytes", "memory.current"),
    ("memory.max_usage_in_bytes", "memory.peak"),
    ("memory.limit_in_bytes", "memory.max"),
    ("memory.kmem.usage_in_bytes", "memory.stat.kernel"),
    ("memory.failcnt", "memory.events.failcnt"),
)
_V1_KEYS = {
    "total_rss": "anon",
    "total_cache": "file",
    "total_shmem": "shmem",
    "total_mapped_file": "file_mapped",
    "total_dirty": "file_dirty",
    "total_writeback": "file_writeback",
    "total_rss_huge": "anon_thp",
    "total_swapcached": "swapcached",
    "total_inactive_anon": "inactive_anon",
    "total_active_anon": "active_anon",
    "total_inactive_file": "inactive_file",
    "total_active_file": "active_file",
    "total_unevictable": "unevictable",
    "total_pgfault": "pgfault",
    "total_pgmajfault": "pgmajfault",
}


class CgroupPlace(NamedTuple):
    """Where a process's memory is accounted for. Directories lie below the mount point given to `locate`."""

    version: int  # of the hierarchy with the memory controller
    name: str  # path of the group in the hierarchy, printable, at most 256 characters
    memory: str  # directory
    pids: str | None  # directory
    pressure: str | None  # directory, for version 1 that of the group in the version 2 hierarchy


class CgroupReading(NamedTuple):
    """``missing``: kernel file -> why it gave nothing."""

    values: Values
    missing: Dict[str, str]


class Membership(NamedTuple):
    """One line of ``/proc/PID/cgroup``."""

    controllers: tuple[str, ...]  # empty for version 2
    path: str


class Mount(NamedTuple):
    """One line of ``mountinfo`` that mounts cgroups."""

    root: str  # the part of the hierarchy that is mounted
    point: str
    controllers: frozenset[str]  # empty for version 2


def parse_memberships(data: bytes) -> list[Membership]:
    """Lines ``id:controllers:path``; a path may hold colons, but no line feed."""
    found = []
    for line in data.split(b"\n"):
        fields = line.split(b":", 2)
        if len(fields) == 3 and fields[0].isdigit() and fields[2].startswith(b"/"):
            version_2 = fields[:2] == [b"0", b""]
            controllers = () if version_2 else tuple(os.fsdecode(fields[1]).split(","))
            if version_2 or fields[1]:
                found.append(Membership(controllers, os.fsdecode(fields[2])))
    return found


def parse_mounts(data: bytes) -> list[Mount]:
    """Mounts of cgroups: ``41 31 0:38 ROOT POINT OPTIONS [tags] - TYPE SOURCE SUPER-OPTIONS``, blanks escaped."""
    found = []
    for line in data.split(b"\n"):
        head, dash, tail = line.partition(b" - ")
        fields, kind = head.split(b" "), tail.split(b" ")
        if not dash or len(fields) < 6 or len(kind) < 3 or kind[0] not in (b"cgroup", b"cgroup2"):
            continue
        options = os.fsdecode(kind[2]).split(",") if kind[0] == b"cgroup" else []
        found.append(Mount(_unescaped(fields[3]), _unescaped(fields[4]), frozenset(options)))
    return found


def parse_keys(data: bytes) -> Values:
    """Lines ``key value`` of ``memory.stat``, ``memory.events``, ``memory.oom_control``."""
    values: Values = {}
    for key, field in _KEY.findall(data)[:_MOST_KEYS]:
        value = to_int(field)
        if value is not None:
            values[key.decode()] = value
    return values


def parse_v1_stat(data: bytes) -> Values:
    """Version 1's ``memory.stat`` under the names of version 2; ``swap`` is what ``memory.swap.current`` is there."""
    keys = parse_keys(data)
    values = {name: keys[key] for key, name in _V1_KEYS.items() if key in keys}
    if "total_swap" in keys:
        values["swap"] = keys["total_swap"]
    return values


def unreclaimable(stat: Values) -> int | None:
    """Bytes that only swap or a kill can free; None where a part is unknown."""
    parts = [stat[key] for key in UNRECLAIMABLE if key in stat]
    return bounded(sum(parts)) if len(parts) == len(UNRECLAIMABLE) else None


def locate(proc_mount: str, sys_fs_cgroup_mount: str, pid: int) -> CgroupPlace | None:
    """The group whose counters hold the process's memory; None where no memory hierarchy shows it to us.

    Raises OSError if the process is gone. In version 2 a group without the memory controller is accounted for in the nearest
    one above that has it. A process can be moved to another group, so look again from time to time.
    """
    memberships = parse_memberships(read_file(process_directory(proc_mount, pid) + "/cgroup"))
    mounts = parse_mounts(_our_mountinfo(proc_mount, pid))
    groups = {
        controller: _group(memberships, mounts, sys_fs_cgroup_mount, controller)
        for controller in ("memory", "pids", _VERSION_2)
    }
    memory, pids, unified = groups["memory"], groups["pids"], groups[_VERSION_2]
    if any("memory" in membership.controllers for membership in memberships):
        if memory is None:
            return None
        own = unified if unified is not None and unified.below else None  # the top would be all of the machine
        return CgroupPlace(1, _shown(memory.path), memory.directory, pids and pids.directory, own and own.directory)
    if unified is None:
        return None
    accounted = _nearest(unified, "memory.current") or unified
    counted = pids or _nearest(unified, "pids.current")
    return CgroupPlace(
        2, _shown(accounted.path), accounted.directory, counted and counted.directory, unified.directory
    )  # fmt: skip


def named(place: CgroupPlace, text: str) -> CgroupPlace | None:
    """The topmost group at or above ``place`` in whose own name the text is, such as the id of a container; None where there is
    none. Engines put limits there, and some put the processes into a group below it."""
    memory = _topmost(place.memory, text)
    if memory is None:
        return None
    steps = place.memory[len(memory) :].count("/")
    name = place.name.rsplit("/", steps)[0] if steps else place.name
    pids, pressure_ = (
        directory and (_topmost(directory, text) or directory) for directory in (place.pids, place.pressure)
    )
    return CgroupPlace(place.version, name, memory, pids, pressure_)


def _topmost(directory: str, text: str) -> str | None:
    parts = directory.split("/")
    depth = next((index for index, part in enumerate(parts, 1) if text in part), None)
    return None if depth is None else "/".join(parts[:depth])


def read(place: CgroupPlace) -> CgroupReading:
    """All counters of the group as they are now. Never raises: what cannot be read is in ``missing``."""
    files = _Files()
    if place.version == 1:
        _read_version_1(files, place)
    else:
        _read_version_2(files, place)
    stat = {key[len(_STAT) :]: value for key, value in files.values.items() if key.startswith(_STAT)}
    kept = unreclaimable(stat)
    if kept is not None:
        files.values["memory.unreclaimable"] = kept
    elif stat:
        unknown = [key for key in UNRECLAIMABLE if key not in stat]
        files.missing["memory.unreclaimable"] = "memory.stat does not say {}".format(", ".join(unknown))
    _read_pressure(files, place)
    if place.pids is None:
        files.missing["pids.current"] = "no pids controller counts the group"
    else:
        files.number(place.pids, "pids.current", "pids.current")
    return CgroupReading(files.values, files.missing)


class _Group(NamedTuple):
    """A group within reach: its hierarchy is mounted at ``top``, the group is ``below`` ("" or "/a/b"), ``path`` its name."""

    top: str
    below: str
    path: str

    @property
    def directory(self) -> str:
        return self.top + self.below


class _Files:
    """Reads files of groups; keeps values, and reasons for those there are not."""

    def __init__(self) -> None:
        self.values: Values = {}
        self.missing: Dict[str, str] = {}

    def text(self, directory: str, name: str) -> bytes:
        """Empty when it cannot be read."""
        path = "{}/{}".format(directory, name)
        try:
            return read_file(path)
        except OSError as error:
            reason = why(error, path)
            if error.errno in GONE:
                absent = "{} is not there: the top of a hierarchy lacks it, and so may this kernel".format(path)
                reason = absent if os.path.isdir(directory) else "the group {} is gone".format(directory)
            self.missing[name] = printable(reason)
            return b""

    def number(self, directory: str, name: str, metric: str) -> None:
        """A file that holds one number, or "max": no limit."""
        data = self.text(directory, name).strip()
        value = to_int(data)
        if value is not None and value < _NO_LIMIT:
            self.values[metric] = value
        elif data != b"max" and value is None and name not in self.missing:
            self.missing[name] = "{} holds no number".format(name)

    def keys(self, directory: str, name: str, prefix: str, parse: Callable[[bytes], Values]) -> None:
        """A file of keys and values."""
        data = self.text(directory, name)
        found = parse(data)
        self.values.update((prefix + key, value) for key, value in found.items())
        if not found and name not in self.missing:
            self.missing[name] = "{} holds nothing that is understood".format(name)


def _read_version_2(files: _Files, place: CgroupPlace) -> None:
    for name in _V2_NUMBERS:
        files.number(place.memory, name, name)
    files.keys(place.memory, "memory.stat", _STAT, parse_keys)
    files.keys(place.memory, "memory.events", "memory.events.", parse_keys)


def _read_version_1(files: _Files, place: CgroupPlace) -> None:
    for name, metric in _V1_NUMBERS:
        files.number(place.memory, name, metric)
    files.keys(place.memory, "memory.stat", _STAT, parse_v1_stat)
    swap = files.values.pop(_STAT + "swap", None)
    if swap is not None:
        files.values["memory.swap.current"] = swap
    else:
        files.missing["memory.swap.current"] = "memory.stat has no total_swap: swap is not accounted for"
    files.keys(place.memory, "memory.oom_control", "memory.events.", _kills)


def _kills(data: bytes) -> Values:
    return {key: value for key, value in parse_keys(data).items() if key == "oom_kill"}


def _read_pressure(files: _Files, place: CgroupPlace) -> None:
    if place.pressure is None:
        files.missing["memory.pressure"] = "the process has no group of its own in a version 2 hierarchy"
        return
    data = files.text(place.pressure, "memory.pressure")
    found = pressure.parse_as(data, "memory.pressure.{}_avg10", "memory.pressure_total.{}")
    files.values.update(found)
    if not found:
        files.missing.setdefault("memory.pressure", "memory.pressure holds nothing that is understood")


def _our_mountinfo(proc_mount: str, pid: int) -> bytes:
    """Mounts as we see them; those of the process where the mount point does not know us (a tree that was captured)."""
    try:
        return read_file(proc_mount + "/self/mountinfo")
    except OSError as error:
        if error.errno not in GONE:
            raise
        return read_file(process_directory(proc_mount, pid) + "/mountinfo")


def _group(memberships: Sequence[Membership], mounts: Sequence[Mount], base: str, controller: str) -> _Group | None:
    """The group for one v1 controller, or `_VERSION_2`, if a mount below ``base`` shows it."""
    visible = {mount.point: mount for mount in mounts}  # a later mount hides an earlier one at the same place
    for membership in memberships:
        if controller in (membership.controllers or (_VERSION_2,)):
            path = membership.path
            for mount in visible.values():
                top = _reachable(mount.point, base)
                if top is not None and controller in (mount.controllers or (_VERSION_2,)):
                    below = _below(path, mount.root)
                    if below is not None:
                        return _Group(top, below, path)
    return None


def _reachable(point: str, base: str) -> str | None:
    """Where a mount point of ``mountinfo`` is for us: as it says, or, if hierarchies are shown elsewhere, there."""
    base = base.rstrip("/")
    if _climbs(point):
        return None
    for start, there in ((base, base), (_DEFAULT_MOUNT, base)):
        if point == start or point.startswith(start + "/"):
            return there + point[len(start) :]
    return None


def _below(path: str, root: str) -> str | None:
    """The path within a mount that shows only the part of the hierarchy from ``root`` on; None if it is not in it."""
    if _climbs(path) or _climbs(root):  # a group outside of our namespace is shown as /../x
        return None
    path, root = path.rstrip("/"), root.rstrip("/")
    if path == root or path.startswith(root + "/"):
        return path[len(root) :]
    return None


def _climbs(path: str) -> bool:
    return ".." in path.split("/") or "\0" in path


def _nearest(group: _Group, file: str) -> _Group | None:
    """The group or the nearest above, within the mount, that has the file."""
    while not os.path.exists("{}/{}".format(group.directory, file)):
        if not group.below:
            return None
        group = _Group(group.top, group.below.rpartition("/")[0], group.path.rpartition("/")[0] or "/")
    return group


def _unescaped(field: bytes) -> str:
    return _OCTAL.sub(lambda found: chr(int(found.group(1), 8)), os.fsdecode(field))


def _shown(path: str) -> str:
    return printable(os.fsencode(path).decode("utf-8", "replace"))[:_NAME_CAP]
