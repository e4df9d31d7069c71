"""Tiles of a map are read through mappings of a file, which are kept. ``size``: bytes of a tile; ``directory``: of the file."""

import mmap
import os
import tempfile

_file = []
_mapped = []
_COUNT = 4000


def start(settings):
    _file.append(settings["directory"])


def _tiles(size):
    if isinstance(_file[0], str):
        handle, path = tempfile.mkstemp(dir=_file[0], suffix=".tiles")
        os.truncate(path, size * _COUNT)
        _file[0] = handle
    return _file[0]


def use(size, number):
    tile = mmap.mmap(_tiles(size), size, access=mmap.ACCESS_READ, offset=size * (number % _COUNT))  # <- kept here
    _mapped.append((tile, sum(tile[::4096])))
