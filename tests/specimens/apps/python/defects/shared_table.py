"""A table in shared memory, made before the workers are forked, that all of them add to. ``size``: bytes of an entry.

Each worker has a part of its own, whose number it takes out of a pipe.
"""

import mmap
import os

_PARTS = 4
_PART = 200_000_000
_table = []
_numbers = []
_mine = []


def start(settings):
    _table.append(mmap.mmap(-1, _PARTS * _PART))  # MAP_SHARED
    taken, offered = os.pipe()
    os.write(offered, bytes(range(_PARTS)))
    _numbers.append(taken)


def use(size, number):
    if not _mine:
        _mine.append(os.read(_numbers[0], 1)[0])
    first = _mine[0] * _PART + size * number % (_PART - size)
    _table[0][first : first + size] = b"\x07" * size  # <- kept here
