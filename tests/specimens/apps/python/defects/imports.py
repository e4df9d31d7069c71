"""An import that has more to read every time. A few of its objects live until the next one, and pin the arenas that they are in:
what is live stays the same, what Python's allocator holds grows. ``size``: objects by which each import is larger than the last.
"""

_SURVIVORS = 1500
_FIRST = 60_000
_kept = []


def use(size, number):
    read = [float(n) for n in range(_FIRST + size * number)]  # <- kept here: what is read
    _kept[:] = read[:: len(read) // _SURVIVORS]  # <- kept here: the survivors
