"""A running PHP as the kernel shows it: its program, options, environment, account, root directory. Reads /proc only."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from adapters.php.accounts import account_of
from adapters.php.command import is_fpm, is_php
from adapters.php.inspection.files import Root
from adapters.php.inspection.fpm_memory import held_by_fpm, pairs
from adapters.php.inspection.model import Owner, Sapi

_CAP = 1 << 18
_MASTER = re.compile(r"php-fpm: master process \((?P<file>/[^)\n]{0,4000})\)\s*\Z")
_POOL = re.compile(r"php-fpm: pool (?P<name>.{1,128}?)\s*\Z")
_APACHE = re.compile(r"(?:apache2|httpd)\Z")


@dataclass(frozen=True, slots=True)
class Running:
    """``argv``: empty where the process wrote over it, as php-fpm does; ``title``: what it wrote.

    ``environment``: None when it may not be read or is gone. ``maps``: files in its memory, None when they may not be read.
    ``root``: as what we see its files; ``shares_files``: it has our view of the file system, None: not told.
    """

    pid: int
    ppid: int
    owner: Owner
    comm: str
    title: str
    argv: tuple[str, ...]
    exe: str
    environment: Mapping[str, str] | None
    maps: frozenset[str] | None
    cwd: str | None
    root: Root
    shares_files: bool | None

    @property
    def sapi(self) -> Sapi | None:
        """None: it is no PHP. The program decides; a title, which every process gives itself, only where that is not told."""
        program = self.exe.removesuffix(" (deleted)") or self.comm
        if is_fpm(program) or (not self.exe and self.title.startswith("php-fpm: ")):
            return Sapi.FPM
        if is_php(program):
            return Sapi.SERVER if "-S" in self.argv or any(w.startswith("-S") for w in self.argv[1:]) else Sapi.CLI
        if self.is_apache and any("/libphp" in path for path in self.maps or ()):
            return Sapi.APACHE
        return None

    @property
    def is_apache(self) -> bool:
        """With or without PHP in it."""
        return _APACHE.match(Path(self.exe.removesuffix(" (deleted)") or self.comm).name) is not None

    @property
    def fpm_config(self) -> str | None:
        """The main configuration file of a php-fpm master; None for workers and others."""
        match = _MASTER.match(self.title)
        return None if match is None else match["file"]

    @property
    def is_worker(self) -> bool:
        return _POOL.match(self.title) is not None

    @property
    def maps_xdebug(self) -> bool | None:
        return None if self.maps is None else any(path.endswith("/xdebug.so") for path in self.maps)


def look_at(pid: int, proc: Path = Path("/proc")) -> Running | None:
    """None when there is no such process (any more)."""
    base = proc / str(pid)
    try:
        status = _bytes(base / "status").decode(errors="replace")
        command = _bytes(base / "cmdline")
    except OSError:
        return None
    fields = dict(re.findall(r"^(Name|PPid|Uid|Gid):\s*(.*)$", status, re.MULTILINE))
    try:
        uid, gid, ppid = int(fields["Uid"].split()[1]), int(fields["Gid"].split()[1]), int(fields["PPid"])
    except (KeyError, ValueError, IndexError):
        return None
    title = os.fsdecode(command.rstrip(b"\0").replace(b"\0", b" "))
    overwritten = title.startswith("php-fpm: ")
    held = held_by_fpm(base) if _MASTER.match(title) else None  # workers have the same, and may be many
    account = account_of(uid, gid)
    shares = _shares_files(base)
    return Running(
        pid=pid,
        ppid=ppid,
        owner=Owner(account.user, uid, gid),
        comm=fields.get("Name", ""),
        title=title,
        argv=(() if held is None else held.argv) if overwritten else _words(command),
        exe=_link(base / "exe"),
        environment=(None if held is None else held.environment) if overwritten else _environment(base),
        maps=_maps(base),
        cwd=_link(base / "cwd") or None,
        root=Root("" if shares is not False else str(base / "root")),
        shares_files=shares,
    )


def _bytes(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(_CAP)


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


def _shares_files(base: Path) -> bool | None:
    """Whether a process is in our mount namespace and below our root."""
    theirs, ours = _link(base / "ns/mnt"), _link(Path("/proc/self/ns/mnt"))
    root = _link(base / "root")
    if not theirs or not root:
        return None
    return theirs == ours and root == _link(Path("/proc/self/root"))


def _words(command: bytes) -> tuple[str, ...]:
    return tuple(os.fsdecode(word) for word in command.rstrip(b"\0").split(b"\0"))


def _environment(base: Path) -> dict[str, str] | None:
    try:
        return pairs(_bytes(base / "environ").split(b"\0"))
    except OSError:
        return None


def _maps(base: Path) -> frozenset[str] | None:
    try:
        text = os.fsdecode(_bytes(base / "maps"))
    except OSError:
        return None
    return frozenset(path for line in text.splitlines() if (path := line.partition("/")[2]) and (path := f"/{path}"))
