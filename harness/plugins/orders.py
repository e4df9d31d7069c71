"""Orders to agents between requests: what is wanted goes into a file, and a signal says that it is there.

The signal would end a process that does not handle it, so it goes only to processes whose /proc/PID/status says that they do
(SigCgt, see proc(5)), through a pidfd, so that a pid given to somebody else in between is not hit.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

NUMBER = int(signal.SIGRTMAX) - 9
ANSWER_WITHIN_NS = 3_000_000_000  # afterwards nobody waits, and a busy process must not be held up for nothing
_CAUGHT = re.compile(rb"^SigCgt:\s*([0-9a-f]+)$", re.MULTILINE)


def post(path: Path, number: int, verb: str, rest: str, pids: Iterable[int]) -> list[int]:
    """Write one order and signal the processes; those that take orders are returned.

    ``number`` must be larger than that of every earlier order. OSError when the file cannot be written.
    """
    write(path, number, verb, rest)
    return [pid for pid in pids if tell(pid)]


def write(path: Path, number: int, verb: str, rest: str) -> None:
    """The first half of `post`: the order is there, nobody knows. OSError when the file cannot be written.

    The directory may be one that a container has mounted, whose root can put links anywhere in it: none is followed.
    """
    parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fresh = f".{path.name}.new"
        with suppress(FileNotFoundError):
            os.unlink(fresh, dir_fd=parent)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(fresh, flags, 0o600, dir_fd=parent), "w", encoding="ascii") as file:
            file.write(f"{number} {verb} {rest}\n")
            os.fchmod(file.fileno(), 0o644)
        os.replace(fresh, path.name, src_dir_fd=parent, dst_dir_fd=parent)
    finally:
        os.close(parent)


def tell(pid: int, may: Callable[[int], bool] | None = None) -> bool:
    """Signal one process if it takes orders, and if ``may`` (asked last, of its pid) does not object; whether it was."""
    try:
        process = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if not takes_orders(pid) or (may is not None and not may(pid)):
            return False
        signal.pidfd_send_signal(process, NUMBER)
    except OSError:
        return False
    finally:
        os.close(process)
    return True


def takes_orders(pid: int) -> bool:
    """Whether a process handles the signal; OSError when it cannot be looked at."""
    with open(f"/proc/{pid}/status", "rb") as stream:
        found = _CAUGHT.search(stream.read(16384))
    return found is not None and bool(int(found[1], 16) >> (NUMBER - 1) & 1)
