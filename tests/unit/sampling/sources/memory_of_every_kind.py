"""Started by test_pid_smaps_classes.py: maps memory of every kind, says how much it touched, waits for its stdin to end.

The data file lies in the directory argv[1].
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import sys
import threading
from pathlib import Path

KIB = 1024
READ_WRITE = mmap.PROT_READ | mmap.PROT_WRITE
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p

kept: list[object] = []
touched: dict[str, int] = {}


def keep(kind: str, area: mmap.mmap, size: int) -> None:
    """Touch every page and hold on to the mapping."""
    for offset in range(0, size, mmap.PAGESIZE):
        area[offset] = 1
    kept.append(area)
    touched[kind] = size


def file_of(descriptor: int, size: int) -> mmap.mmap:
    os.ftruncate(descriptor, size)
    return mmap.mmap(descriptor, size)


def system_v(size: int) -> None:
    """A segment that is gone when the last process lets go of it."""
    segment = libc.shmget(0, size, 0o600 | 0o1000)
    address = libc.shmat(segment, None, 0)
    libc.shmctl(segment, 0, None)  # IPC_RMID
    ctypes.memset(address, 1, size)
    touched["sysv"] = size


def threads(number: int) -> None:
    waiting = threading.Barrier(number + 1)
    for _ in range(number):
        threading.Thread(target=lambda: (waiting.wait(), threading.Event().wait()), daemon=True).start()
    waiting.wait()
    touched["threads"] = number


keep("memfd", file_of(os.memfd_create("specimen"), 512 * KIB), 512 * KIB)
shm = f"/dev/shm/harness-test-{os.getpid()}"
keep("shm", file_of(os.open(shm, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), 256 * KIB), 256 * KIB)
Path(shm).unlink()
awkward = sys.argv[1] + "/data\x1b[31m\nRss: 9 kB"
keep("data_file", file_of(os.open(awkward, os.O_RDWR | os.O_CREAT, 0o600), 384 * KIB), 384 * KIB)
keep("shared_anonymous", mmap.mmap(-1, 640 * KIB), 640 * KIB)
keep("anonymous", mmap.mmap(-1, 3072 * KIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=READ_WRITE), 3072 * KIB)
keep(
    "jit",
    mmap.mmap(-1, 64 * KIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=READ_WRITE | mmap.PROT_EXEC),
    64 * KIB,
)
system_v(128 * KIB)
threads(3)
shown = awkward.replace("\x1b", "\\x1b").replace("\n", "\\012")
sys.stdout.write(json.dumps({"touched": touched, "file": shown}) + "\n")
sys.stdout.flush()
sys.stdin.read()
