"""A memory cgroup of the target's own, where this user may make one: the kernel then counts the whole pool exactly.

The group sets no limit, lives below (v1) or beside (v2, which allows no processes in inner groups) the one this process is
in, and is removed when the target has ended. Standard library only and Python 3.8: the guard makes it, also on other hosts.

Sources: Documentation/admin-guide/cgroup-v2.rst, Documentation/admin-guide/cgroup-v1/memory.rst.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

PREFIX = "harness-"
SIGNAL = "cgroup.own"
COSTS = "short-lived processes and the exact total of the pool are not accounted for by the kernel"
_CAP = 1 << 16
_LIMITS = ("memory.max", "memory.high", "memory.swap.max", "cpu.max")  # what would change how the target behaves


class Refused(Exception):  # noqa: N818  # a normal outcome
    """Why there will be none."""


@dataclass(frozen=True)
class OwnCgroup:
    """A group that exists and holds nothing yet."""

    path: Path

    def enter(self) -> None:
        """Move the calling process into it; what it starts afterwards is in it too. Raises OSError."""
        descriptor = os.open(self.path / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, b"0")
        finally:
            os.close(descriptor)

    def remove(self) -> None:
        """Does nothing while processes are in it."""
        with contextlib.suppress(OSError):
            self.path.rmdir()


def make(name: str, proc: Path = Path("/proc"), root: Path = Path("/sys/fs/cgroup")) -> OwnCgroup:
    """Make the group ``harness-<name>``, and remove empty ones that killed runs left there. Raises Refused."""
    parent = _parent(proc, root)
    path = parent / (PREFIX + re.sub(r"[^A-Za-z0-9_-]+", "-", name)[:100])
    _sweep(parent)
    try:
        path.mkdir(0o755)
    except OSError as error:
        raise Refused(f"{parent}: {error.strerror}; needs root or a delegated cgroup") from error
    group = OwnCgroup(path)
    if not (path / "cgroup.procs").exists() or not _has_memory(path):
        group.remove()
        raise Refused(f"{parent} gives the groups below it no memory controller")
    return group


def place(proc: Path = Path("/proc"), root: Path = Path("/sys/fs/cgroup")) -> Path:
    """The group below which `make` would make one; only looks. Raises Refused where `make` would be, as far as can be seen.

    In version 2 entering also takes the right to write to ``cgroup.procs`` of the nearest group above both the old and the
    new one, which is this one.
    """
    parent = _parent(proc, root)
    unified = (parent / "cgroup.controllers").exists()
    if unified and "memory" not in _text(parent / "cgroup.subtree_control").split():
        raise Refused(f"{parent} gives the groups below it no memory controller")
    needed = (parent, parent / "cgroup.procs") if unified else (parent,)
    refused = next((path for path in needed if not os.access(path, os.W_OK)), None)
    if refused is not None:
        raise Refused(f"{refused} may not be written to; needs root or a delegated cgroup")
    return parent


def _parent(proc: Path, root: Path) -> Path:
    unified, memory = _memberships(_text(proc / "self" / "cgroup"))
    if memory is not None and (root / "memory").is_dir():
        return _below(root / "memory", memory)
    if unified is None or not (root / "cgroup.controllers").exists():
        raise Refused(f"no memory controller is mounted below {root}")
    own = _below(root, unified)
    if own == root:
        return root
    limit = next((name for name in _LIMITS if _text(own / name).split()[:1] not in ([], ["max"])), None)
    if limit is not None:
        raise Refused(f"this process is in a group with a limit ({limit}), which the target must not escape")
    return own.parent


def _memberships(text: str) -> tuple[str | None, str | None]:
    """Paths in the v2 hierarchy and in the v1 hierarchy of the memory controller."""
    unified = memory = None
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if colon and number == "0" and not controllers:
            unified = path
        elif colon and "memory" in controllers.split(","):
            memory = path
    return unified, memory


def _below(root: Path, path: str) -> Path:
    """Inside a container the kernel may name a path that this mount does not show: then its root is our own group."""
    if ".." in path.split("/"):
        return root
    joined = root / path.strip("/")
    return joined if joined.is_dir() else root


def _has_memory(path: Path) -> bool:
    return any((path / name).exists() for name in ("memory.current", "memory.usage_in_bytes"))


def _sweep(parent: Path) -> None:
    with contextlib.suppress(OSError):
        for directory in parent.glob(PREFIX + "*"):
            OwnCgroup(directory).remove()


def _text(path: Path) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_CAP)
    except OSError:
        return ""
