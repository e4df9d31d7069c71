"""Looks at a running process from outside: is it a CPython that the agent may be put into? Read-only, and /proc is hostile."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from adapters.python import silence
from adapters.python.interpreter import Interpreter
from harness.plugins import orders

PROC = Path("/proc")
_MAPS_CAP = 8 << 20
_STATUS_CAP = 16384
_CAP_SYS_PTRACE = 19  # include/uapi/linux/capability.h
_NAMESPACES = {"pid": "process ids", "mnt": "files", "user": "user ids"}
# A program called python3.11, the library of one that is linked dynamically, an extension module that was loaded.
_NAMES = re.compile(r"/(?:python|libpython)(3)\.(\d{1,2})(t?)(?:\.so[0-9.]*)?(?: \(deleted\))?$")
_EXTENSION = re.compile(r"\.cpython-(3)(\d{1,2})(t?)(?:d)?-[\w-]+\.so(?: \(deleted\))?$")


@dataclass(frozen=True, slots=True)
class Running:
    """A process. ``version``: (3, 11), None when it does not look like CPython. ``tracer``: the pid of a debugger, or 0.
    ``stopped``: by a signal.
    ``foreign``: what it does not share with us, such as ``files``. ``uids``: real, effective, saved, of file access.
    ``takes_orders``: it handles our signal, so an agent is there already."""

    pid: int
    version: tuple[int, int] | None
    free_threaded: bool
    uids: tuple[int, ...]
    tracer: int
    stopped: bool
    foreign: tuple[str, ...]
    takes_orders: bool

    @property
    def interpreter(self) -> Interpreter:
        """As far as it can be told from outside."""
        assert self.version is not None
        major, minor = self.version
        return Interpreter((major, minor, 0), "cpython", f"cpython-{major}{minor}", self.free_threaded)


@dataclass(frozen=True, slots=True)
class Means:
    """What we may do: our user id, CAP_SYS_PTRACE, and kernel.yama.ptrace_scope (0 where Yama is not there)."""

    uid: int
    may_trace: bool
    yama: int


def look(pid: int, proc: Path = PROC) -> Running | None:
    """The process; None when it has ended. Raises PermissionError when it may not be looked at."""
    base = proc / str(pid)
    try:
        status = _read(base / "status", _STATUS_CAP)
        if (state := _field(status, "State")) is None or state[0] in "ZX":
            return None
        exe = str((base / "exe").readlink())
        maps = _read(base / "maps", _MAPS_CAP)
        foreign = foreign_of(base, proc / "self")
    except (FileNotFoundError, ProcessLookupError):
        return None
    found = version_of(exe, maps)
    return Running(
        pid=pid,
        version=None if found is None else found[0],
        free_threaded=found is not None and found[1],
        uids=tuple(int(word) for word in (_field(status, "Uid") or "").split()[:4]),
        tracer=int(_field(status, "TracerPid") or 0),
        stopped=state[0] in "Tt",
        foreign=foreign,
        takes_orders=orders.takes_orders(pid),
    )


def foreign_of(theirs: Path, ours: Path) -> tuple[str, ...]:
    """What two processes, given by their directories in /proc, do not share; OSError when they may not be looked at."""
    found = tuple(what for name, what in _NAMESPACES.items() if _namespace(theirs, name) != _namespace(ours, name))
    own_root = str((theirs / "root").readlink()) != "/"
    return (*found, "the root directory") if own_root else found


def version_of(exe: str, maps: str) -> tuple[tuple[int, int], bool] | None:
    """((major, minor), whether free-threaded) by the names of the program and of what it has mapped; None: no CPython. Pure."""
    paths = dict.fromkeys(
        line.split(maxsplit=5)[5] for line in maps.splitlines() if line.count(" ") > 4 and "/" in line
    )
    for pattern, names in ((_NAMES, (exe, *paths)), (_EXTENSION, paths)):
        for name in names:
            if (match := pattern.search(name)) is not None:
                return (int(match[1]), int(match[2])), bool(match[3])
    return None


def means(proc: Path = PROC) -> Means:
    """Ours."""
    capabilities = int(_field(_read(proc / "self" / "status", _STATUS_CAP), "CapEff") or "0", 16)
    try:
        yama = int((proc / "sys/kernel/yama/ptrace_scope").read_text("ascii"))
    except (OSError, ValueError):
        yama = 0
    return Means(os.geteuid(), bool(capabilities >> _CAP_SYS_PTRACE & 1), yama)


def obstacle(found: Running, ours: Means) -> tuple[str, str | None] | None:
    """Why nothing may be put into a process, and what to do about it; None when nothing is known to forbid it. Pure."""
    who = f"process {found.pid}"
    if found.version is None:
        return f"{who} does not run CPython, as far as its program and libraries tell", None
    if found.version < silence.OLDEST:
        return f"{who} runs Python {_dotted(found.version)}; the agent needs 3.8 or newer", None
    if found.free_threaded:
        return f"{who} runs a free-threaded Python {_dotted(found.version)}, which the agent does not support", None
    if found.foreign:
        what = ", ".join(found.foreign)
        return f"{who} has {what} of its own, as in a container: neither its files nor its ids are ours", (
            "run harness inside the container"
        )
    if found.takes_orders:
        return f"an agent is in {who} already, or it handles signal {orders.NUMBER} itself", (
            "wait for the other run to end; where one was killed, restart the service"
        )
    if found.tracer:
        return f"{who} is being traced by process {found.tracer}", "end the debugger first"
    if found.stopped:
        return f"{who} is stopped", f"let it go on: kill -CONT {found.pid}"
    return _forbidden(who, found, ours)


def _forbidden(who: str, found: Running, ours: Means) -> tuple[str, str | None] | None:
    if ours.yama >= 3:
        return f"{who} cannot be stopped: kernel.yama.ptrace_scope is 3, until the next boot", None
    if ours.may_trace:
        return None
    if set(found.uids) != {ours.uid}:
        return (
            f"{who} belongs to another user (uid {found.uids[0] if found.uids else '?'})",
            "run as that user or as root",
        )
    if ours.yama:
        return f"{who} may not be stopped by us: kernel.yama.ptrace_scope is {ours.yama}", (
            "run as root, or set kernel.yama.ptrace_scope=0 while the run lasts"
        )
    return None


def _read(path: Path, cap: int) -> str:
    with path.open("rb") as stream:
        return stream.read(cap).decode("utf-8", "surrogateescape")


def _field(status: str, name: str) -> str | None:
    match = re.search(rf"^{name}:\s*(.*)$", status, re.MULTILINE)
    return None if match is None or not match[1] else match[1]


def _namespace(base: Path, name: str) -> str:
    return str((base / "ns" / name).readlink())


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
