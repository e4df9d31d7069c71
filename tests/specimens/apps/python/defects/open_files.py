"""Lock files that are opened and never closed. ``size``: of them, per request."""

import os

_locks = []


def use(size, number):
    for _ in range(size):
        _locks.append(os.open("/dev/null", os.O_RDONLY))  # <- kept here
