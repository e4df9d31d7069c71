"""Private directories for the sockets of shared SSH connections. One that a killed session left is removed by the next.

A directory is in use while somebody holds the lock on it (flock(2)), which ends with its holder however that ends; so an empty
one whose connection rests for the moment is told from one that nobody needs.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
import tempfile
import time
from pathlib import Path

SOCKET = "m"
_PREFIX = "harness-ssh-"
_YOUNG_S = 60.0  # it may have been made this moment, and not be locked yet


def private_directory(parent: str) -> tuple[Path, int]:
    """A new one, and the descriptor that holds its lock. Raises OSError."""
    remove_abandoned(parent)
    path = tempfile.mkdtemp(prefix=_PREFIX, dir=parent)
    lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return Path(path), lock


def remove_abandoned(parent: str, young_s: float = _YOUNG_S) -> None:
    """Those of this user below ``parent`` that nobody holds, once the process that keeps their connection has gone."""
    try:
        names = [name for name in os.listdir(parent) if name.startswith(_PREFIX)]
    except OSError:
        return
    for name in names:
        with contextlib.suppress(OSError):  # in use, another's, or going already
            _remove(os.path.join(parent, name), young_s)  # noqa: PTH118  # few words, as text


def _remove(path: str, young_s: float) -> None:
    held = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        state = os.fstat(held)
        if state.st_uid != os.geteuid() or time.time() - state.st_mtime < young_s:
            return
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for name in os.listdir(held):
            kind = os.stat(name, dir_fd=held, follow_symlinks=False).st_mode
            if name != SOCKET or not stat.S_ISSOCK(kind) or _answers(f"{path}/{name}"):
                return
            os.unlink(name, dir_fd=held)
        Path(path).rmdir()
    finally:
        os.close(held)


def _answers(path: str) -> bool:
    """Whether a process still listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
        asked.settimeout(1.0)
        try:
            asked.connect(path)
        except ConnectionRefusedError:
            return False
        return True
