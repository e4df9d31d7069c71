"""Which pages are in memory."""

from __future__ import annotations

import ctypes
import mmap
import os

import pytest

from harness.sampling.outside import pagemap

PAGE = mmap.PAGESIZE


def test_counts_the_highest_bit() -> None:
    entries = (
        (1 << 63).to_bytes(8, "little") + (3 << 61).to_bytes(8, "little") + (1 << 62).to_bytes(8, "little") + bytes(16)
    )
    assert pagemap.present(entries) == 1
    assert pagemap.present(entries + entries[:8]) == 2
    assert pagemap.present(b"") == 0


def test_ranges_are_merged() -> None:
    assert pagemap.merged([(5, 9), (1, 2), (9, 12), (2, 3), (20, 21), (6, 7)]) == [(1, 3), (5, 12), (20, 21)]
    assert pagemap.merged([]) == []


def test_pages_of_this_process() -> None:
    with mmap.mmap(-1, 64 * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as block:
        block.madvise(mmap.MADV_NOHUGEPAGE)
        for page in (0, 7, 8, 63):
            block[page * PAGE] = 1
        anchor = ctypes.c_char.from_buffer(block)
        start = ctypes.addressof(anchor)
        whole = [(start, start + 64 * PAGE)]
        assert pagemap.resident("/proc", os.getpid(), whole) == 4 * PAGE
        assert pagemap.resident("/proc", os.getpid(), [(start + 7 * PAGE, start + 9 * PAGE)]) == 2 * PAGE
        del anchor


def test_no_such_process() -> None:
    with pytest.raises(OSError, match="No such file"):
        pagemap.resident("/nonexistent", 1, [(0, PAGE)])
