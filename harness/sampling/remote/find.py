"""Which process is meant, on this host: ``find ORDER`` with ``{"port": N}``, ``{"pid": N}`` or ``{"pidfile": "path"}``.

Says ``{"pids": [N]}``, or why there is none and exit code 1. Reads /proc, and sends nothing to anybody.

`look` is for `harness doctor`, which sends this one file as a program and leaves nothing there: it imports no part of ours.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import sys
from typing import Dict, Iterator, List, Optional, Set

_LISTEN = "0A"  # include/net/tcp_states.h
_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_CMDLINE_CAP = 4096
_MOST_ROOTS = 1024
_WORDS = 3  # further ones may be secrets


class NotFound(Exception):  # noqa: N818  # says what is the matter
    """Why there is no such process."""


def find(order: Dict[str, object]) -> List[int]:
    """The process to follow; its children are found by the sampler. Raises NotFound."""
    if "port" in order:
        return [listener(int(str(order["port"])))]
    pid = _pid_in(str(order["pidfile"])) if "pidfile" in order else int(str(order["pid"]))
    if not os.path.isdir("/proc/{}".format(pid)):
        raise NotFound("there is no process {}".format(pid))
    return [pid]


def listener(port: int) -> int:
    """The topmost process that holds a socket listening on ``port``: the master of a pre-forked server. Raises NotFound."""
    sockets = {"socket:[{}]".format(inode) for inode in _listening(port)}
    if not sockets:
        raise NotFound("nobody listens on port {}".format(port))
    owners = {pid for pid in _pids() if _holds(pid, sockets)}
    if not owners:
        raise NotFound(
            "port {} belongs to a process of another user; attach by match finds it all the same".format(port)
        )
    return min(pid for pid in owners if not _is_below(pid, owners))


def _listening(port: int) -> Iterator[str]:
    for table in _TABLES:
        try:
            with open(table, encoding="ascii") as file:
                lines = file.read().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if len(fields) > 9 and fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _pids() -> List[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _holds(pid: int, sockets: Set[str]) -> bool:
    directory = "/proc/{}/fd".format(pid)
    try:
        return any(os.readlink(os.path.join(directory, name)) in sockets for name in os.listdir(directory))
    except OSError:
        return False


def _is_below(pid: int, others: Set[int]) -> bool:
    seen: Set[int] = set()
    parent = _parent(pid)
    while parent and parent not in seen:
        if parent in others:
            return True
        seen.add(parent)
        parent = _parent(parent)
    return False


def _parent(pid: int) -> Optional[int]:
    try:
        with open("/proc/{}/stat".format(pid), "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None


def _pid_in(path: str) -> int:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read(32).split()[0])
    except OSError as error:
        raise NotFound("cannot read a pid from {}: {}".format(path, error.strerror)) from error
    except (ValueError, IndexError) as error:
        raise NotFound("cannot read a pid from {}: no number in it".format(path)) from error


def look(text: str) -> str:
    """What a run would have here: ``text`` is an order as above, ``{"match": "words"}``, or ``{"programs":
    [...]}`` when it starts these itself.

    JSON with ``system``, ``user``, ``python``, ``why`` (there is no such process; else None), ``name`` and ``pid`` of the first
    process, its executable and the first words of its command line (``exe``, ``command``; by them its runtime is known), all that
    are meant (``roots``), and how many there are with those below them (``processes``), whose memory may be added up
    (``totals``) and looked into (``memory``).
    """
    order: Dict[str, object] = json.loads(text)
    name = os.uname()
    said: Dict[str, object] = {
        "system": "{} {}".format(name.sysname, name.release),
        "user": _user(os.geteuid()),
        "python": ".".join(map(str, sys.version_info[:3])),
        "why": None,
    }
    try:
        roots = _roots(order)
    except NotFound as reason:
        said["why"] = str(reason)
        return json.dumps(said)
    if roots:
        wanted = set(roots)
        all_of_it = roots + [pid for pid in _pids() if pid not in wanted and _is_below(pid, wanted)]
        said.update(
            name=_line(roots[0], "comm").strip(),
            pid=roots[0],
            exe=_exe(roots[0]),
            command=" ".join(_line(roots[0], "cmdline").split()[:_WORDS]),
            roots=roots[:_MOST_ROOTS],
            processes=len(all_of_it),
            totals=sum(_may_read(pid, "smaps_rollup") for pid in all_of_it),
            memory=sum(_may_read(pid, "mem", 0) for pid in all_of_it),
        )
    return json.dumps(said)


def _roots(order: Dict[str, object]) -> List[int]:
    """The processes that are meant; none for programs that are yet to be started. Raises NotFound, also when these are
    not there."""
    if "match" in order:
        return matching(str(order["match"]))
    programs = order.get("programs", ())
    for program in programs if isinstance(programs, list) else ():
        if shutil.which(str(program)) is None:
            raise NotFound("there is no program {} (PATH is {})".format(program, os.environ.get("PATH", "not set")))
    return [] if not order or "programs" in order else find(order)


def matching(text: str) -> List[int]:
    """The processes with this text in their command line, but for this one and those above it. Raises NotFound."""
    above = {os.getpid()}
    parent = os.getppid()
    while parent and parent not in above:
        above.add(parent)
        parent = _parent(parent) or 0
    found = [pid for pid in sorted(_pids()) if pid not in above and text in _line(pid, "cmdline")]
    if not found:
        raise NotFound("no process has {!r} in its command line".format(text))
    return found


def _line(pid: int, name: str) -> str:
    try:
        with open("/proc/{}/{}".format(pid, name), "rb") as file:
            return file.read(_CMDLINE_CAP).replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""


def _exe(pid: int) -> str:
    try:
        return os.readlink("/proc/{}/exe".format(pid))
    except OSError:
        return ""


def _may_read(pid: int, name: str, size: int = _CMDLINE_CAP) -> bool:
    """Opening ``mem`` asks the kernel whether this user may look into the process, and does nothing to it (proc_mem_open)."""
    try:
        with open("/proc/{}/{}".format(pid, name), "rb", 0) as file:
            file.read(size)
    except OSError:
        return False
    return True


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def main() -> int:
    """Exit code 1 when there is no such process."""
    try:
        pids = find(json.loads(sys.argv[1]))
    except NotFound as reason:
        sys.stderr.write("{}\n".format(reason))
        return 1
    sys.stdout.write(json.dumps({"pids": pids}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
