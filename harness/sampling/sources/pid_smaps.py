"""``/proc/PID/smaps_rollup`` (4.14+), or ``/proc/PID/smaps`` summed: what the process's pages really cost.

::

    55a0c8e5c000-7ffd3f9f5000 ---p 00000000 00:00 0                          [rollup]
    Rss:                3584 kB
    Pss:                1011 kB
    Pss_Anon:            540 kB

Both walk the page tables under the process's mmap lock, so they cost it and us about 11 us per resident MB. ``Pss_Anon``,
``Pss_File`` and ``Pss_Shmem`` are in the rollup only, since 5.3. Needs ptrace access to the process.

Source: Documentation/ABI/testing/procfs-smaps_rollup, Documentation/filesystems/proc.rst.
"""

from __future__ import annotations

import re
from typing import Dict, NamedTuple

from ..reading import process_directory, read_file
from .numbers import bounded, scaled
from .pieces import read_pieces, whole_lines

# A mapping's first line begins with its address and its path is escaped, so no file name can look like a field.
_FIELD = re.compile(rb"^([A-Za-z_]+):[ \t]+([0-9]+) kB$", re.MULTILINE)
_WANTED = frozenset(
    (
        b"Rss", b"Pss", b"Pss_Anon", b"Pss_File", b"Pss_Shmem", b"Private_Clean", b"Private_Dirty", b"Private_Hugetlb",
        b"Shared_Dirty", b"AnonHugePages", b"Swap", b"SwapPss",
    )
)  # fmt: skip
Fields = Dict[bytes, int]


class Walk(NamedTuple):
    """One page-table walk; bytes, None = this kernel does not say."""

    rss: int | None
    pss: int | None
    uss: int | None
    pss_anon: int | None
    pss_file: int | None
    pss_shmem: int | None
    shared_dirty: int | None
    anon_huge: int | None
    swap: int | None
    swap_pss: int | None


def add_fields(data: bytes, into: Fields) -> None:
    """Add every wanted field of whole lines to the running sums."""
    for name, kilobytes in _FIELD.findall(data):
        if name in _WANTED:
            value = scaled(kilobytes, 1024)
            if value is not None:
                into[name] = into.get(name, 0) + value


def from_fields(fields: Fields) -> Walk | None:
    """A walk from summed fields; None when there were none (a process without memory of its own)."""
    if b"Rss" not in fields:
        return None
    private = [fields[n] for n in (b"Private_Clean", b"Private_Dirty", b"Private_Hugetlb") if n in fields]
    fields = {name: value for name, value in fields.items() if bounded(value) is not None}
    return Walk(
        rss=fields.get(b"Rss"),
        pss=fields.get(b"Pss"),
        uss=bounded(sum(private)) if len(private) >= 2 else None,
        pss_anon=fields.get(b"Pss_Anon"),
        pss_file=fields.get(b"Pss_File"),
        pss_shmem=fields.get(b"Pss_Shmem"),
        shared_dirty=fields.get(b"Shared_Dirty"),
        anon_huge=fields.get(b"AnonHugePages"),
        swap=fields.get(b"Swap"),
        swap_pss=fields.get(b"SwapPss"),
    )


def parse(data: bytes) -> Walk | None:
    """A rollup, or all of smaps summed: the two share their format. None = no memory of its own."""
    fields: Fields = {}
    add_fields(data, fields)
    return from_fields(fields)


def read_rollup(mount: str, pid: int) -> Walk | None:
    """Raises OSError: ENOENT also when the kernel is older than 4.14, ESRCH when the process has no memory."""
    return parse(read_file(process_directory(mount, pid) + "/smaps_rollup"))


def read_summed(mount: str, pid: int) -> Walk | None:
    """The same from smaps, a piece at a time: 65,530 mappings make 70 MB of text. Raises OSError.

    The kernel cuts each mapping's Pss to whole kB, so the sum is lower than the rollup by up to 1 kB a mapping.
    """
    fields: Fields = {}
    for piece in read_pieces(process_directory(mount, pid) + "/smaps", whole_lines):
        add_fields(piece, fields)
    return from_fields(fields)
