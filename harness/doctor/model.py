"""What a check-up is about and what it says. Frozen; texts are raw and may come from a target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class State(StrEnum):
    """Of one signal."""

    OK = "ok"
    PARTLY = "partly"  # of some processes, or with a flaw
    MISSING = "missing"
    NONE = "none"  # nothing of the kind is there, which is no fault
    UNCHECKED = "unchecked"


@dataclass(frozen=True, slots=True)
class Line:
    """One signal. ``found``: what there is, or why not. ``costs``: what the verdict loses. ``fix``: a command or a setting."""

    signal: str
    state: State
    found: str
    costs: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Signals of one kind, in the order in which they are shown."""

    name: str
    lines: tuple[Line, ...]


class Kind(StrEnum):
    """What was looked at."""

    TARGET = "target"  # processes that run
    LAUNCH = "launch"  # programs of ours that stand for what the scenario would start
    MACHINE = "machine"  # programs of ours: one that may be looked into, and one that is not dumpable


@dataclass(frozen=True, slots=True)
class FpmPool:
    """A php-fpm pool; ``file``: where it is configured, None when that is not known."""

    name: str
    file: Path | None


@dataclass(frozen=True, slots=True)
class Looked:
    """One process that the sampler is to look at. ``include``: directory of its Python's headers, where it is a probe."""

    pid: int
    pool: str
    uid: int | None
    fpm: FpmPool | None = None
    include: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom the check-up is about. ``again``: the command that a fix may put ``sudo`` before; ``total``: processes that there
    are, of which ``processes`` are looked at."""

    kind: Kind
    text: str
    again: str
    processes: tuple[Looked, ...]
    total: int
    fpm: tuple[FpmPool, ...] = ()  # that run here, for a check-up of the machine


@dataclass(frozen=True, slots=True)
class Place:
    """Where the run would be written: ``directory`` (or what is there of it), bytes free, bytes a run wants left free."""

    directory: Path
    writable: bool
    free_bytes: int
    least_bytes: int | None


@dataclass(frozen=True, slots=True)
class Limit:
    """A memory limit on the target. ``path``: of the group that has it."""

    path: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Clock:
    """CLOCK_MONOTONIC as measured: nanoseconds that reading it takes, and its smallest step."""

    source: str
    available: tuple[str, ...]
    read_ns: int
    step_ns: int


@dataclass(frozen=True, slots=True)
class Machine:
    """This machine and this user, as far as they decide what can be seen."""

    uid: int
    user: str
    capabilities: int  # effective; bits of linux/capability.h
    kernel: str
    options: Mapping[str, str]  # of the kernel's build, "CONFIG_PSI" -> "y"; empty when it is not told
    ptrace_scope: int | None  # None: no Yama
    hidepid: bool
    host_namespaces: bool
    sudo: bool
    systemd: bool
    user_systemd: bool
    container: bool
    cgroup: str  # why a launched target gets no cgroup of its own; empty when it does
    cgroup_place: str  # below which group it is made
    cgroup_version: int | None
    clock: Clock
    place: Place
    limits: tuple[Limit, ...] = ()  # on the target, the nearest first
    layouts: tuple[str, ...] = ()  # versions of CPython whose fields are known, the oldest first


CAP_NET_ADMIN, CAP_SYS_PTRACE = 12, 19  # include/uapi/linux/capability.h
