"""A table in shared memory, made before the workers are forked, that all of them add to. ``size``: bytes of an entry."""

import mmap
import os

_table = []
_LARGE = 600_000_000


def start(settings):
    _table.append(mmap.mmap(-1, _LARGE))  # MAP_SHARED


def use(size, number):
    half = _LARGE // 2
    first = (os.getpid() % 2) * half + size * number % (half - size)
    _table[0][first : first + size] = b"\x07" * size  # <- kept here
