"""What runs in a container: enough to write a first scenario. Reads /proc and asks the engine once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.errors import TargetError
from harness.targets.containers import ContainerState, life_of
from harness.targets.detect import (
    PROC,
    Detection,
    Recognise,
    Seen,
    container_of,
    describe,
    look,
    name_of,
    own_ports,
    pids,
    printable,
)


def detect_container(state: ContainerState, recognise: Recognise, proc: Path = PROC) -> Detection:
    """TargetError when it does not run on this machine."""
    life = life_of(state, proc)
    first = None if life is None else look(life.pid, proc)
    if first is None:
        raise TargetError(
            f"the container {printable(state.name)} does not run on this machine", hint=f"docker start {state.name}"
        )
    inside = sorted(_processes(state.id, first, proc), key=lambda seen: (seen.pid != first.pid, seen.pid))
    known = ((seen, recognise(seen.comm, seen.cmdline, seen.exe)) for seen in inside)
    server, runtime = next(((seen, name) for seen, name in known if name is not None), (first, None))
    url = _url(state, inside, proc)
    count = f"{len(inside)} process{'es' if len(inside) > 1 else ''}"
    found = [
        f"the container {printable(state.name)}: {describe(server)}, {count}, {runtime or 'which no adapter knows: no profilers'}"
    ]
    if url is None:
        found.append("no port of it is published on this machine: add target.url if it answers HTTP")
    return Detection(name_of(state.name), runtime or "any", url, tuple(found), container=state.name or state.id[:12])


def _processes(identifier: str, first: Seen, proc: Path) -> Iterator[Seen]:
    for pid in pids(proc):
        if pid == first.pid or container_of(pid, proc) == identifier:
            seen = look(pid, proc)
            if seen is not None:
                yield seen


def _url(state: ContainerState, inside: list[Seen], proc: Path) -> str | None:
    """The published port, or in the host's network the one it listens on; the smallest of several."""
    if state.published:
        return f"http://127.0.0.1:{min(state.published)}"
    if not inside or not _in_our_network(inside[0].pid, proc):
        return None
    ports = sorted(port for seen in inside for port in own_ports(seen.pid, proc))
    return None if not ports else f"http://{ports[0][1]}:{ports[0][0]}"


def _in_our_network(pid: int, proc: Path) -> bool:
    try:
        return (proc / str(pid) / "ns" / "net").readlink() == (proc / "self" / "ns" / "net").readlink()
    except OSError:
        return False
