"""``/proc/slabinfo``: memory in the kernel's object caches; readable by root only.

::

    slabinfo - version: 2.1
    # name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables ...
    dentry             200163 200802    192   21    1 : tunables    0    0    0 : slabdata   9562   9562      0

Caches of equal layout may be merged by the kernel under one name.
"""

from __future__ import annotations

import re

from .numbers import times, to_int
from .system import SystemSource, Values

PREFIX = "system.slab."
_LARGEST = 20
_MOST = 128  # caches ever reported in one run
_LINE = re.compile(rb"^([^\s#]{1,64}) +[0-9]+ +([0-9]+) +([0-9]+) ", re.MULTILINE)
_ALWAYS = re.compile(r"dentry$|.*inode|sock|skbuff|(TCP|UDP|UNIX|PING|RAW)(v6)?$")


def parse(data: bytes) -> Values:
    """Bytes held by every cache (objects in existence times object size), by cache name."""
    caches: Values = {}
    for name, objects, size in _LINE.findall(data):
        count, each = to_int(objects), to_int(size)
        size_bytes = None if each is None else times(count, each)
        if size_bytes is not None:
            caches[name.decode("ascii", "replace")] = size_bytes
    return caches


class Selection:
    """Which caches to report: those of dentries, inodes and sockets, and the largest. Once reported, always reported."""

    def __init__(self) -> None:
        self._chosen: set[str] = set()

    def __call__(self, data: bytes) -> Values:
        caches = parse(data)
        by_size = sorted(caches, key=lambda name: -caches[name])
        for rank, name in enumerate(by_size):
            if len(self._chosen) >= _MOST:
                break
            if caches[name] and (rank < _LARGEST or _ALWAYS.match(name)):
                self._chosen.add(name)
        return {PREFIX + name: caches[name] for name in sorted(self._chosen) if name in caches}


def source() -> SystemSource:
    """A source with a selection of its own."""
    return SystemSource(
        signal="system.slab",
        path="slabinfo",
        every_ns=5_000_000_000,  # 0.3 ms a read, under the kernel's slab lock
        parse=Selection(),
        costs="growth of kernel memory cannot be put down to a cache (dentries, inodes, sockets)",
        fix="root",
    )
