"""Reads more texts every time, too long for Python's own allocator. A few live until the next time, and keep the C library from
giving back what is between them. ``size``: texts by which each time is larger than the last.
"""

import random

_SURVIVORS = 1500
_FIRST = 3000
_dice = random.Random(7)
_kept = []


def use(size, number):
    read = [bytearray(_dice.randrange(600, 1000)) for _ in range(_FIRST + size * number)]  # <- kept here: what is read
    _kept[:] = read[:: len(read) // _SURVIVORS]  # <- kept here: the survivors
