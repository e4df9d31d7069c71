"""Running processes as a way into their file systems, and what their pids are called outside of their namespace. Reads /proc."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
_CMDLINE_CAP = 4096
_STATUS_CAP = 1 << 16
_MOST_PARENTS = 64
_NSPID = re.compile(rb"^NSpid:((?:\t[0-9]+)+)$", re.MULTILINE)
_PARENT = re.compile(rb"^PPid:\t([0-9]+)$", re.MULTILINE)


def pids_matching(text: str, proc: Path = PROC) -> list[int]:
    """Processes with ``text`` in their command line, ascending; never this one nor what it was started by (``sudo harness``
    has the scenario's words too)."""
    wanted, ours = os.fsencode(text), _ourselves(proc)
    return [pid for pid in _pids(proc) if pid not in ours and wanted in _cmdline(proc / str(pid))]


def begin_of(pid: int, proc: Path = PROC) -> int | None:
    """The process's start in ticks since boot, which tells it from a later one with its pid; None: it ended."""
    fields = _bytes(proc / str(pid) / "stat", _STATUS_CAP).rpartition(b")")[2].split()
    return int(fields[19]) if len(fields) > 19 and fields[19].isdigit() else None


def pid_inside(pid: int, proc: Path = PROC) -> int | None:
    """What a process of ours is called in its own pid namespace; the same where that is ours. None: it ended."""
    match = _NSPID.search(_bytes(proc / str(pid) / "status", _STATUS_CAP))
    return None if match is None else int(match[1].split()[-1])


def pid_outside(namespace_of: int, pid: int, proc: Path = PROC) -> int | None:
    """What process ``pid`` of the pid namespace of ``namespace_of`` is called here. None: not found, or it may not be
    looked at."""
    namespace = _namespace(namespace_of, proc)
    if namespace is None:
        return None
    if namespace == _namespace(os.getpid(), proc):
        return pid if (proc / str(pid)).is_dir() else None
    for candidate in _pids(proc):
        match = _NSPID.search(_bytes(proc / str(candidate) / "status", _STATUS_CAP))
        if match is not None and int(match[1].split()[-1]) == pid and _namespace(candidate, proc) == namespace:
            return candidate
    return None


def _namespace(pid: int, proc: Path) -> int | None:
    try:
        return (proc / str(pid) / "ns" / "pid").stat().st_ino
    except OSError:
        return None


def _ourselves(proc: Path) -> set[int]:
    above, pid = set[int](), os.getpid()
    while pid > 0 and pid not in above and len(above) < _MOST_PARENTS:
        above.add(pid)
        match = _PARENT.search(_bytes(proc / str(pid) / "status", _STATUS_CAP))
        pid = 0 if match is None else int(match[1])
    return above


def _pids(proc: Path) -> Iterator[int]:
    try:
        names = os.listdir(proc)
    except OSError:
        return iter(())
    return iter(sorted(int(name) for name in names if name.isascii() and name.isdigit()))


def _cmdline(process: Path) -> bytes:
    return _bytes(process / "cmdline", _CMDLINE_CAP).replace(b"\0", b" ")


def _bytes(path: Path, cap: int) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(cap)
    except OSError:
        return b""
