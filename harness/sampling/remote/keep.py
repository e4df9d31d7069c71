"""Begins on the other host, from the archive in its private directory: ``keep DIRECTORY ORDER``. Says one line of JSON and
leaves a keeper behind that belongs to nobody's session.

``ORDER`` is JSON: ``silence_s``, ``grace_s``, ``spool_bytes``.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shutil
import stat
import sys
import time
from typing import Any, Dict, Optional

from .keeper import ARCHIVE, LOCK, Keeper, Patience
from .spool import DISK_BYTES, Spool

PREFIX = "harness-"
_YOUNG_S = 3600


def main() -> int:
    """Exit code 0 once the keeper listens. When it cannot, the directory is removed."""
    directory, order = sys.argv[1], json.loads(sys.argv[2])
    try:
        keeper = _made(directory, order)
    except BaseException:  # a full disk, no room for another process, an end of the connection
        shutil.rmtree(directory, ignore_errors=True)
        raise
    if keeper is not None:
        keeper.run()
    return 0


def _made(directory: str, order: Dict[str, Any]) -> Optional[Keeper]:
    """The keeper, in a process of its own; None in the one that is to go."""
    remove_abandoned(os.path.dirname(directory))
    lock = os.open(os.path.join(directory, LOCK), os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    patience = Patience(
        silence=float(order.get("silence_s", Patience().silence)), grace=float(order.get("grace_s", Patience().grace))
    )
    command = [sys.executable, "-I", "-S", os.path.join(directory, ARCHIVE)]
    keeper = Keeper(
        directory, command, patience, Spool(directory, disk_bytes=int(order.get("spool_bytes", DISK_BYTES)))
    )
    sys.stdout.write(json.dumps(_facts(directory)) + "\n")
    sys.stdout.flush()
    if os.fork():
        return None
    os.setsid()
    if os.fork():
        os._exit(0)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.chdir("/")
    return keeper


def _facts(directory: str) -> Dict[str, Any]:
    """What home wants to know of this host, keys as in `harness.session.host.host_facts`."""
    page = os.sysconf("SC_PAGE_SIZE")
    libc_name, libc_version = platform.libc_ver()
    return {
        "directory": directory,
        "python": sys.executable,
        "uid": os.geteuid(),
        "home": os.path.expanduser("~"),
        "host": {
            "node": platform.node(),
            "kernel": platform.release(),
            "machine": platform.machine(),
            "cpus": os.cpu_count(),
            "memory_bytes": page * os.sysconf("SC_PHYS_PAGES"),
            "page_size_bytes": page,
            "libc": "{} {}".format(libc_name, libc_version).strip() or None,
            "harness_python": platform.python_version(),
        },
    }


def remove_abandoned(parent: str) -> None:
    """Directories of keepers that were killed: ours by name and owner, whose lock nobody holds."""
    try:
        entries = list(os.scandir(parent))
    except OSError:
        return
    for entry in entries:
        if not entry.name.startswith(PREFIX):
            continue
        try:
            info = entry.stat(follow_symlinks=False)
            if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid() or time.time() - info.st_mtime < _YOUNG_S:
                continue
            if not os.path.isfile(os.path.join(entry.path, ARCHIVE)):
                continue
            lock = os.open(os.path.join(entry.path, LOCK), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(entry.path, ignore_errors=True)
        except OSError:
            pass
        finally:
            os.close(lock)


if __name__ == "__main__":
    sys.exit(main())
