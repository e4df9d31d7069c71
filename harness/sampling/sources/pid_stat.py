"""``/proc/PID/stat``: identity, parent, faults, CPU time, threads and resident pages; readable by everyone.

::

    2917 (php-fpm8.2) S 2911 2911 2911 0 -1 4194624 1093 0 0 0 11 4 0 0 20 0 1 0 88061 ...

The name in parentheses is chosen by the process and may hold spaces, parentheses and newlines, so fields are counted from
the last closing parenthesis. See proc_pid_stat(5).
"""

from __future__ import annotations

from operator import itemgetter
from typing import NamedTuple

from ..reading import process_directory, read_file
from .numbers import LIMIT, at, bounded

_COMM_CAP = 64  # the kernel's limit is 15, or 64 for kernel threads
_ENDED = frozenset(b"ZXx")

# Positions after the name; the manual counts from 1 with the state as field 3.
_PPID, _MINFLT, _MAJFLT, _UTIME, _STIME, _THREADS, _START = 1, 7, 9, 11, 12, 17, 19
_VSIZE, _RSS, _STARTCODE, _STARTSTACK = 20, 21, 23, 25
_WANTED = itemgetter(
    _PPID, _MINFLT, _MAJFLT, _UTIME, _STIME, _THREADS, _START, _VSIZE, _RSS, _STARTCODE, _STARTSTACK
)  # fmt: skip


class PidStat(NamedTuple):
    """One reading; None = the field was not there."""

    comm: bytes
    state: bytes  # one letter
    ppid: int
    start_ticks: int  # clock ticks between boot and the fork that made it
    minor_faults: int | None
    major_faults: int | None
    cpu_ticks: int | None  # user and system time of all threads, dead ones included
    threads: int | None
    rss_pages: int | None  # None when the process has no memory of its own (kernel thread, zombie)
    image: tuple[int | None, int | None]  # start of code and of stack: both move when the process executes a program

    @property
    def ended(self) -> bool:
        """A zombie. A leader that ended while other threads live on also shows as one, but is counted with them."""
        return self.state[0] in _ENDED and (self.threads or 0) <= 1


def parse(data: bytes) -> PidStat | None:
    """The fields used here; None when identity (name, parent, start time) cannot be read."""
    opening, closing = data.find(b"("), data.rfind(b")")
    if not 0 <= opening < closing:
        return None
    comm = data[opening + 1 : closing][:_COMM_CAP]
    fields = data[closing + 1 :].split()
    return _at_once(comm, fields) or _one_by_one(comm, fields)


def _at_once(comm: bytes, fields: list[bytes]) -> PidStat | None:
    """What every living process looks like, in a fifth of the time; None for anything else."""
    try:
        ppid, minor, major, user, system, threads, start, vsize, rss, code, stack = map(int, _WANTED(fields))
    except (IndexError, ValueError):
        return None
    if min(ppid, minor, major, user, system, threads, start, vsize, rss, code, stack) < 0 or len(fields[0]) != 1:
        return None
    if max(minor, major, user + system, start, rss, code, stack) > LIMIT:
        return None
    return PidStat(
        comm, fields[0], ppid, start, minor, major, user + system, threads, rss if vsize else None, (code, stack)
    )  # fmt: skip


def _one_by_one(comm: bytes, fields: list[bytes]) -> PidStat | None:
    ppid, start = at(fields, _PPID), at(fields, _START)
    if ppid is None or start is None or len(fields[0]) != 1:
        return None
    user, system = at(fields, _UTIME), at(fields, _STIME)
    return PidStat(
        comm=comm,
        state=fields[0],
        ppid=ppid,
        start_ticks=start,
        minor_faults=at(fields, _MINFLT),
        major_faults=at(fields, _MAJFLT),
        cpu_ticks=None if user is None or system is None else bounded(user + system),
        threads=at(fields, _THREADS),
        rss_pages=at(fields, _RSS) if at(fields, _VSIZE) else None,
        image=(at(fields, _STARTCODE), at(fields, _STARTSTACK)),
    )


def read(mount: str, pid: int) -> PidStat | None:
    """The process as it is now. Raises OSError (ENOENT or ESRCH once it is gone)."""
    return parse(read_file(process_directory(mount, pid) + "/stat"))
