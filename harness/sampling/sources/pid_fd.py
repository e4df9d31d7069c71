"""``/proc/PID/fd``: how many files are open. Listing it needs ptrace access to the process; since 6.2 its size says it to all."""

from __future__ import annotations

import os

from ..reading import process_directory


def size_is_count(mount: str) -> bool:
    """Whether this kernel states the number as the directory's size (6.2+), found out on ourselves."""
    path = mount + "/self/fd"
    try:
        size, names = os.stat(path).st_size, len(os.listdir(path))
    except OSError:
        return False
    return names - 1 <= size <= names and size > 0  # listing opens one more


def read(mount: str, pid: int, by_size: bool) -> int:
    """Number of open files; ``by_size`` is what `size_is_count` said. Raises OSError."""
    path = process_directory(mount, pid) + "/fd"
    return os.stat(path).st_size if by_size else len(os.listdir(path))
