"""Reads here and there in a file that is larger than the memory there is. ``size``: bytes of the file; ``directory``: of it."""

import mmap
import os
import random
import tempfile

_mapped = []
_READ = 49_152
_dice = random.Random(4)


def start(settings):
    with tempfile.TemporaryFile(dir=settings["directory"]) as stream:
        for _ in range(settings["size"] >> 20):
            stream.write(os.urandom(1 << 20))
        stream.flush()
        os.fsync(stream.fileno())
        _mapped.append(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))


def use(size, number):
    first = _dice.randrange(size - _READ)
    sum(_mapped[0][first : first + _READ : 4096])
