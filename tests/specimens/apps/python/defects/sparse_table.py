"""A hash table over a large mapping that asks for huge pages, and has few entries: each new one costs 2 MiB instead of 4 KiB.

``size``: entries that a request adds.
"""

import mmap

_HUGE = 2 * 1024 * 1024
_LARGE = 1500 * _HUGE
_table = []
_used = [0]


def _reserved():
    if not _table:
        table = mmap.mmap(-1, _LARGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        table.madvise(mmap.MADV_HUGEPAGE)
        _table.append(table)
    return _table[0]


def use(size, number):
    table = _reserved()
    for _ in range(size):
        _used[0] += 1
        table[(_used[0] * _HUGE + 4096 * (_used[0] % 200)) % _LARGE] = 1  # <- kept here
