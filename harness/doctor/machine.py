"""Looks at this machine and this user: what decides which signals there are. Reads only."""

from __future__ import annotations

import gzip
import itertools
import os
import platform
import pwd
import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from harness.doctor.model import Clock, Limit, Machine, Place
from harness.sampling.outside.python import layouts
from harness.sampling.sources import cgroup
from harness.targets import own_cgroup

_OPTIONS = ("CONFIG_PSI", "CONFIG_PSI_DEFAULT_DISABLED", "CONFIG_CONNECTOR", "CONFIG_PROC_EVENTS", "CONFIG_TASKSTATS",
            "CONFIG_TASK_XACCT", "CONFIG_PROC_PAGE_MONITOR", "CONFIG_MEMCG")  # fmt: skip
_OPTION = re.compile(rb"^(CONFIG_[A-Z0-9_]+)=([ym])$", re.MULTILINE)
_CONFIG_CAP = 4 << 20
_HOST_PID_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO, include/linux/proc_ns.h
_CLOCK = Path("/sys/devices/system/clocksource/clocksource0")
_CLOCK_READS = 500
_MOST_LEVELS = 64
_NO_LIMIT = 1 << 62  # version 1 writes the largest multiple of the page size
_FSTYPE_PROC = re.compile(r"^\S+ /proc proc (\S+)", re.MULTILINE)


def look_at_machine(out: Path, least_free_bytes: int | None, pid: int | None = None) -> Machine:
    """``out``: where runs are made; ``pid``: a process of the target, for the limits on it (None: this one's)."""
    uid = os.geteuid()
    group, why_not = _own_group()
    account = cgroup_of(os.getpid() if pid is None else pid)
    return Machine(
        uid=uid,
        user=_user(uid),
        capabilities=_capabilities(_text("/proc/self/status")),
        kernel=platform.release(),
        options=kernel_options(),
        ptrace_scope=_number("/proc/sys/kernel/yama/ptrace_scope"),
        hidepid=hides_processes(_text("/proc/self/mounts")),
        host_namespaces=_link("/proc/self/ns/pid") == _HOST_PID_NAMESPACE,
        sudo=shutil.which("sudo") is not None,
        systemd=Path("/run/systemd/system").is_dir(),
        user_systemd=Path(f"/run/user/{uid}/systemd").is_dir(),
        container=Path("/.dockerenv").exists() or Path("/run/.containerenv").exists(),
        cgroup=why_not,
        cgroup_place=group,
        cgroup_version=None if account is None else account.version,
        clock=_clock(),
        place=place(out, least_free_bytes),
        limits=() if account is None else limits(account),
        layouts=tuple(layout.version for layout in sorted(layouts.shipped(), key=lambda layout: layout.hexversion)),
    )


def cgroup_of(pid: int) -> cgroup.CgroupPlace | None:
    """The memory cgroup of a process."""
    try:
        return cgroup.locate("/proc", "/sys/fs/cgroup", pid)
    except OSError:
        return None


def limits(account: cgroup.CgroupPlace, top: Path = Path("/sys/fs/cgroup")) -> tuple[Limit, ...]:
    """Memory limits of a group and of those above it, the nearest first."""
    name = "memory.limit_in_bytes" if account.version == 1 else "memory.max"
    found = []
    directory, path = Path(account.memory), account.name
    for _ in range(_MOST_LEVELS):
        if not directory.is_relative_to(top):
            break
        limit = _number(str(directory / name))
        if limit is not None and limit < _NO_LIMIT:
            found.append(Limit(path, limit))
        if path in ("/", "") or directory == top:  # inside a container its own group is what is mounted at the top
            break
        directory, path = directory.parent, path.rpartition("/")[0] or "/"
    return tuple(found)


def place(out: Path, least_free_bytes: int | None) -> Place:
    """A run's directory is made below ``out``, which is made where it is not there."""
    there = out.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    return Place(there, there.is_dir() and os.access(there, os.W_OK | os.X_OK), shutil.disk_usage(there).free,
                 least_free_bytes)  # fmt: skip


def kernel_options() -> Mapping[str, str]:
    """How the kernel was built, of the options that matter here; empty when it does not say."""
    for path, opened in (("/proc/config.gz", gzip.open), (f"/boot/config-{platform.release()}", open)):
        try:
            with opened(path, "rb") as file:
                return options_in(file.read(_CONFIG_CAP))
        except (OSError, EOFError):
            continue
    return {}


def options_in(data: bytes) -> Mapping[str, str]:
    """``CONFIG_PSI=y`` lines; what is there but not set is "n"."""
    found = {name.decode(): value.decode() for name, value in _OPTION.findall(data)}
    return {name: found.get(name, "n") for name in _OPTIONS} if found else {}


def hides_processes(mounts: str) -> bool:
    """Whether /proc is mounted so that processes of other users cannot be seen (``hidepid``)."""
    match = _FSTYPE_PROC.search(mounts)
    values = (
        {option.partition("=")[2] for option in match[1].split(",") if option.startswith("hidepid=")} if match else ()
    )
    return bool(set(values) - {"0", "off"})


def _capabilities(status: str) -> int:
    match = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return int(match[1], 16) if match else 0


def _own_group() -> tuple[str, str]:
    """Where a launched target's own cgroup would be made, or why there would be none."""
    try:
        return str(own_cgroup.place()), ""
    except own_cgroup.Refused as refused:
        return "", str(refused)


def _clock() -> Clock:
    stamps = [time.monotonic_ns() for _ in range(_CLOCK_READS)]
    steps = [after - before for before, after in itertools.pairwise(stamps)]
    return Clock(
        _text(_CLOCK / "current_clocksource").strip(),
        tuple(_text(_CLOCK / "available_clocksource").split()),
        sorted(steps)[len(steps) // 2],
        min((step for step in steps if step), default=0),
    )


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _number(path: str) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isascii() and text.isdigit() else None


def _link(path: str) -> str:
    try:
        return str(Path(path).readlink())
    except OSError:
        return ""


def _text(path: str | Path) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20).decode("utf-8", "replace")
    except OSError:
        return ""
