"""Scratch space from anonymous private mappings, which are never unmapped. ``size``: bytes, all of them written."""

import mmap

_scratch = []


def use(size, number):
    space = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # <- kept here
    space.write(b"\x01" * size)
    _scratch.append(space)
