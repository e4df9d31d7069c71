"""``/proc/PID/task/TID/children`` (CONFIG_PROC_CHILDREN): the children a thread has made, without a pass over all processes.

A child that ends during the read can hide a sibling from that one read; the next sweep sees it.
"""

from __future__ import annotations

import os

from ..reading import GONE, process_directory, read_file
from .numbers import to_int


def parse(data: bytes) -> list[int]:
    """Pids, in the order of their birth."""
    return [pid for pid in map(to_int, data.split()) if pid]


def available(mount: str, pid: int) -> bool:
    """Whether this kernel has the file, tried on a process that exists."""
    return os.path.exists("{0}/task/{1}/children".format(process_directory(mount, pid), pid))


def read(mount: str, pid: int, threads: int | None) -> list[int]:
    """Children of all threads. Raises OSError, but not for a thread that ended meanwhile."""
    task = process_directory(mount, pid) + "/task"
    if threads == 1:
        return parse(read_file("{}/{}/children".format(task, pid)))
    found: list[int] = []
    for name in os.listdir(task):
        try:
            found += parse(read_file("{}/{}/children".format(task, name)))
        except OSError as error:
            if error.errno not in GONE:
                raise
    return found
