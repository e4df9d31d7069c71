"""Which processes does ``attach:`` mean? Read-only: nothing is sent to them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.errors import TargetError
from harness.targets.detect import PROC, listening_inodes, look, socket_owners, topmost


@dataclass(frozen=True, slots=True)
class Attachment:
    """Running processes to follow as one pool: a process with everything below it, or whatever ``match`` is part of."""

    pool: str
    pid: int | None = None  # exactly one of pid and match is set
    match: str | None = None


def attached_pids(*, port: int | None, pid: int | None, pidfile: Path | None, proc: Path = PROC) -> frozenset[int]:
    """The process to follow (its children are found by the sampler). Raises TargetError when there is none."""
    if port is not None:
        return frozenset({listener_pid(port, proc)})
    if pidfile is not None:
        pid = _pid_in(pidfile)
    assert pid is not None
    if look(pid, proc) is None:
        raise TargetError(f"there is no process {pid}", hint="is the service running? `ps -ef` lists what is")
    return frozenset({pid})


def listener_pid(port: int, proc: Path) -> int:
    """The topmost process that holds a socket listening on ``port``: the master of a pre-forked server."""
    inodes = listening_inodes(port, proc)
    if not inodes:
        raise TargetError(
            f"nobody listens on port {port}",
            hint="start the service first; `ss -ltn` lists the ports that are listened on",
        )
    owners = [seen for owner in socket_owners(inodes, proc) if (seen := look(owner, proc)) is not None]
    if not owners:
        raise TargetError(
            f"port {port} belongs to a process of another user",
            hint="run as that user or as root, or name its pid instead",
        )
    return topmost(owners).pid


def _pid_in(pidfile: Path) -> int:
    try:
        text = pidfile.read_text(encoding="ascii")[:32].split()
        number = int(text[0])
    except (OSError, ValueError, IndexError) as error:
        why = getattr(error, "strerror", None) or "no number in it"
        raise TargetError(f"cannot read a pid from {pidfile}: {why}", hint="is the service running?") from error
    if number <= 0:
        raise TargetError(f"{pidfile} holds {number}, which is no pid")
    return number
