"""Containers of this machine: what an engine says of one, and which process of ours is which process of its.

Nothing is put into a container here and nothing in it is changed. See docs/containers.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from harness.errors import TargetError, UsageError
from harness.targets.engines.spec import EngineError, Knowing, NoSuchContainerError, short

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}\Z")
_ID = re.compile(r"[0-9a-f]{12,64}\Z")
_NSPID = re.compile(rb"^NSpid:((?:\t\d{1,7})+)$", re.MULTILINE)
_MOST_PID = 1 << 22
_MOST_BYTES = 1 << 62
_MOST_TICKS = 1 << 62  # of another host, which may say anything
_MOST_MOUNTS = 256
_MOST_PORTS = 64
_STATUS_CAP = 16384
PROC = Path("/proc")
_Knows = TypeVar("_Knows", bound=Knowing)


@dataclass(frozen=True, slots=True)
class Mounted:
    """A directory or file of this machine (``source``) that the container sees as ``destination``."""

    source: str
    destination: str
    writable: bool


@dataclass(frozen=True, slots=True)
class ContainerState:
    """A container as its engine describes it. ``pid``: its first process by the engine's word, None while it does not run.
    ``oom_killed``: it ended for lack of memory. Limits in bytes, None = none."""

    id: str
    name: str
    image: str
    running: bool
    restarting: bool
    pid: int | None
    started: str
    exit_code: int | None
    oom_killed: bool | None
    memory_bytes: int | None
    memory_and_swap_bytes: int | None
    most_processes: int | None
    mounts: tuple[Mounted, ...]
    published: tuple[int, ...] = ()  # TCP ports of this machine that lead to it


@dataclass(frozen=True, slots=True)
class Life:
    """One life of a container on this machine. ``begin``: start time of its first process in clock ticks (/proc/PID/stat), which
    tells it from a later process of that pid."""

    state: ContainerState
    pid: int
    begin: int

    def lasts(self, proc: Path = PROC) -> bool:
        """Whether its first process is still there."""
        return begin_of(self.pid, proc) == self.begin


def checked_name(text: str) -> str:
    """A name or id, which becomes a word of command lines and part of paths. Raises UsageError."""
    if not NAME.match(text):
        raise UsageError(f"{text!r} is no name of a container", hint="write its name or id as `docker ps` shows it")
    return text


def parse_inspect(data: bytes) -> ContainerState:
    """What ``inspect`` says: one object of Docker's API, or a list with it. Raises EngineError. Pure."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    state, host = _mapping(value, "State"), _mapping(value, "HostConfig")
    identifier = value.get("Id") if isinstance(value, dict) else None
    if not isinstance(identifier, str) or not _ID.match(identifier) or not state:
        raise EngineError("the engine gave no answer that can be read")
    running = state.get("Running") is True
    return ContainerState(
        id=identifier,
        name=_text(value.get("Name")).lstrip("/"),
        image=_text(value.get("ImageName"))
        or _text(_mapping(value, "Config").get("Image"))
        or _text(value.get("Rootfs")),
        running=running,
        restarting=state.get("Restarting") is True,
        pid=_whole(state.get("Pid"), 1, _MOST_PID) if running else None,
        started=_text(state.get("StartedAt")),
        exit_code=None if running else _whole(state.get("ExitCode"), -(1 << 31), 1 << 31),
        oom_killed=killed if isinstance(killed := state.get("OOMKilled"), bool) else None,
        memory_bytes=_whole(host.get("Memory"), 1, _MOST_BYTES),
        memory_and_swap_bytes=_whole(host.get("MemorySwap"), 1, _MOST_BYTES),
        most_processes=_whole(host.get("PidsLimit"), 1, _MOST_PID),
        mounts=tuple(_mounts(value.get("Mounts"))),
        published=tuple(_published(_mapping(value, "NetworkSettings").get("Ports"))),
    )


def find(name: str, engines: Sequence[_Knows]) -> tuple[_Knows, ContainerState]:
    """The container and the first engine that knows it, running or not. Raises TargetError."""
    if not engines:
        raise TargetError(
            "there is neither docker nor podman here",
            hint="apt-get install podman, or name the engine's socket in DOCKER_HOST",
        )
    said: list[str] = []
    for engine in engines:
        try:
            return engine, parse_inspect(engine.inspect(name))
        except EngineError as error:
            said.append(str(error))
    raise TargetError(
        f"the container {name} is not found: {'; '.join(dict.fromkeys(said))}",
        hint="write its name or id as `docker ps` or `podman ps` shows it to this user; root's containers need root",
    )


def life_of(state: ContainerState, proc: Path = PROC) -> Life | None:
    """Its present life; None while it does not run, has just ended, or its first process is none of this machine's."""
    begin = None if state.pid is None else begin_of(state.pid, proc)
    return None if state.pid is None or begin is None else Life(state, state.pid, begin)


def is_here(life: Life, proc: Path = PROC) -> bool:
    """Whether the process of that pid is the container's: an engine in a virtual machine speaks of pids that may be anybody's
    here. It is if its control group is named after the container, or it is the first one of its own namespace."""
    try:
        with open(proc / str(life.pid) / "cgroup", "rb") as file:
            groups = file.read(_STATUS_CAP)
    except OSError:
        return False
    return belongs_to(life.state, life.pid, groups, inside_pid(life.pid, proc))


def belongs_to(state: ContainerState, pid: int, groups: bytes, inner: int | None) -> bool:
    """See `is_here`. ``groups``: its ``/proc/PID/cgroup``; ``inner``: its id in its own namespace. Pure."""
    return state.id.encode() in groups or (pid != 1 and inner == 1)


def look_again(engine: Knowing, name: str) -> ContainerState | None:
    """What it is now; None while the engine knows no such container, as between the two of ``compose up --force-recreate``.
    Raises EngineError."""
    try:
        return parse_inspect(engine.inspect(name))
    except NoSuchContainerError:
        return None


# --- processes ------------------------------------------------------------------------------------------------------


def begin_of(pid: int, proc: Path = PROC) -> int | None:
    """When a process began, in clock ticks since boot; None when there is none, or it is a zombie."""
    try:
        with open(proc / str(pid) / "stat", "rb") as file:
            return parse_begin(file.read(_STATUS_CAP))
    except OSError:
        return None


def parse_begin(stat: bytes) -> int | None:
    """As `begin_of`, of ``/proc/PID/stat``. Pure."""
    try:
        fields = stat.rpartition(b") ")[2].split()
        begin = int(fields[19])
        return None if fields[0] in (b"Z", b"X") or not 0 <= begin < _MOST_TICKS else begin
    except (ValueError, IndexError):
        return None


def inside_pid(pid: int, proc: Path = PROC) -> int | None:
    """The id that a process of ours has in its own namespace; the same where that is ours. None when it has ended."""
    try:
        with open(proc / str(pid) / "status", "rb") as file:
            return parse_nspid(file.read(_STATUS_CAP))
    except OSError:
        return None


def parse_nspid(status: bytes) -> int | None:
    """``NSpid:`` of ``/proc/PID/status``: the ids from our namespace inwards (Linux 4.1). None without it. Pure."""
    found = _NSPID.search(status)
    return None if found is None else int(found[1].split()[-1])


# --- words of an engine ---------------------------------------------------------------------------------------------


def _mapping(value: object, key: str) -> Mapping[str, object]:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str:
    return short(value) if isinstance(value, str) else ""


def _whole(value: object, least: int, most: int) -> int | None:
    """A number within bounds; engines write 0 or -1 for "none"."""
    return value if type(value) is int and least <= value <= most else None


def _mounts(value: object) -> list[Mounted]:
    found = []
    for item in value[:_MOST_MOUNTS] if isinstance(value, list) else []:
        source, destination = (item.get("Source"), item.get("Destination")) if isinstance(item, dict) else (None, None)
        if isinstance(source, str) and isinstance(destination, str) and source.startswith("/"):
            found.append(Mounted(source, destination, item.get("RW") is True))
    return found


def _published(value: object) -> list[int]:
    """``{"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}``; without an address, or with 0.0.0.0, on all of them."""
    found = []
    for inside, outside in list(value.items())[:_MOST_PORTS] if isinstance(value, dict) else []:
        for item in outside[:_MOST_PORTS] if isinstance(outside, list) and str(inside).endswith("/tcp") else []:
            port = item.get("HostPort") if isinstance(item, dict) else None
            if isinstance(port, str) and port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536:
                found.append(int(port))
    return found
