"""``/proc/PID/numa_maps``: on which memory node the process's pages are (CONFIG_NUMA). Needs ptrace access to the process.

::

    7f5e1c000000 default anon=512 dirty=512 active=0 N0=384 N1=128 kernelpagesize_kB=4
    7f5e2c000000 bind:1 file=/var/lib/some\\040file mapped=30 mapmax=2 N1=30 kernelpagesize_kB=4
    7f5e40000000 default file=/anon_hugepage\\040(deleted) huge anon=4 dirty=4 N0=4 kernelpagesize_kB=2048

A walk over the page tables like smaps, and as dear. Counts are in pages of ``kernelpagesize_kB``; here they become bytes.
Transparent huge pages count as the small pages they are made of. Source: proc_pid_numa_maps(5), fs/proc/task_mmu.c.
"""

from __future__ import annotations

import re
from typing import Dict, NamedTuple

from ..reading import process_directory
from .numbers import bounded
from .pieces import read_pieces, whole_lines

_MOST_NODES = 1024  # the kernel's limit (MAX_NUMNODES)
_ANY = re.compile(rb"^[0-9a-f]+ [a-z]", re.MULTILINE)  # a mapping without resident pages ends after its name
_LINE = re.compile(rb"^[0-9a-f]+ [^\n]* kernelpagesize_kB=([0-9]{1,8})$", re.MULTILINE)
# Blanks in file names are escaped, so a name cannot pose as one of these; " file=... N0=9" is not a name the kernel prints.
_COUNT = re.compile(rb" (anon|dirty|N[0-9]{1,4})=([0-9]{1,15})(?= )")


class NumaMaps(NamedTuple):
    """Resident memory of one process, in bytes. ``anon``, ``dirty`` and ``huge`` are 0 when no mapping has any."""

    by_node: Dict[int, int]  # node -> bytes
    anon: int | None
    dirty: int | None
    huge: int | None  # in mappings of hugetlb pages


class _Sums:
    """Running sums, fed with whole lines."""

    def __init__(self) -> None:
        self.understood = False
        self.fields: Dict[bytes, int] = {}

    def add(self, data: bytes) -> None:
        fields = self.fields
        self.understood = self.understood or _ANY.search(data) is not None
        for line in _LINE.finditer(data):
            page_bytes = int(line.group(1)) << 10
            huge = b" huge " in line.group(0)
            for name, field in _COUNT.findall(line.group(0)):
                size = int(field) * page_bytes
                fields[name] = fields.get(name, 0) + size
                if huge and name.startswith(b"N"):
                    fields[b"huge"] = fields.get(b"huge", 0) + size

    def result(self) -> NumaMaps | None:
        if not self.understood:
            return None
        nodes = {int(name[1:]): bounded(size) for name, size in self.fields.items() if name.startswith(b"N")}
        return NumaMaps(
            by_node={node: size for node, size in sorted(nodes.items()) if size is not None and node < _MOST_NODES},
            anon=bounded(self.fields.get(b"anon", 0)),
            dirty=bounded(self.fields.get(b"dirty", 0)),
            huge=bounded(self.fields.get(b"huge", 0)),
        )


def parse(data: bytes) -> NumaMaps | None:
    """All of the file summed; None when no mapping was understood (a kernel thread, a zombie)."""
    sums = _Sums()
    sums.add(data)
    return sums.result()


def read(mount: str, pid: int) -> NumaMaps | None:
    """The same, a piece at a time. Raises OSError: ENOENT also on a kernel without NUMA."""
    sums = _Sums()
    for piece in read_pieces(process_directory(mount, pid) + "/numa_maps", whole_lines):
        sums.add(piece)
    return sums.result()
