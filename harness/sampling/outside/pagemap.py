"""``/proc/PID/pagemap``: which pages of a process are in memory. Eight bytes a page; see proc_pid_pagemap(5).

Readable with the right to look into the process; frame numbers, which need more, are not used. A page that somebody read
without it ever having been written counts as present (the zero page), so this is for ranges that were touched anyway.
"""

from __future__ import annotations

import os
from typing import Iterable, List, Tuple

from ..reading import process_directory

PAGE = os.sysconf("SC_PAGE_SIZE")
_ENTRY = 8
_CHUNK = 1 << 18  # entries at a time: 1 GiB of addresses
_PRESENT = bytes(int(b >= 0x80) for b in range(256))  # bit 63 of an entry, for its highest byte


def present(entries: bytes) -> int:
    """Number of pages that are in memory, out of their entries."""
    return entries[_ENTRY - 1 :: _ENTRY].translate(_PRESENT).count(1)


def resident(mount: str, pid: int, ranges: Iterable[Tuple[int, int]]) -> int:
    """Bytes in memory of page-aligned ranges (start, end). Raises OSError."""
    descriptor = os.open(process_directory(mount, pid) + "/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return PAGE * sum(_count(descriptor, start // PAGE, end // PAGE) for start, end in merged(ranges))
    finally:
        os.close(descriptor)


def merged(ranges: Iterable[Tuple[int, int]]) -> List[Tuple[int, int]]:
    """The same addresses in as few ranges as there can be, sorted."""
    found: List[Tuple[int, int]] = []
    for start, end in sorted(ranges):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def _count(descriptor: int, first: int, last: int) -> int:
    number = 0
    while first < last:
        entries = os.pread(descriptor, _ENTRY * min(_CHUNK, last - first), _ENTRY * first)
        if len(entries) < _ENTRY:
            break
        number += present(entries)
        first += len(entries) // _ENTRY
    return number
