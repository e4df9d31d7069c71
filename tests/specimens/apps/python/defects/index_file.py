"""A search index in one large file that is mapped once; every request looks into parts that nobody has looked into before.

``size``: bytes that a request reads, ``directory``: where the file is.
"""

import mmap
import os
import tempfile

_index = []
_LARGE = 800_000_000


def start(settings):
    _index.append(settings["directory"])


def use(size, number):
    if isinstance(_index[0], str):
        handle, path = tempfile.mkstemp(dir=_index[0], suffix=".index")
        os.truncate(path, _LARGE)
        _index[0] = mmap.mmap(handle, _LARGE, access=mmap.ACCESS_READ)
        os.close(handle)
    first = size * number % (_LARGE - size)
    sum(_index[0][first : first + size : 4096])  # <- kept here
