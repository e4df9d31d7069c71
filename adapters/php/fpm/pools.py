"""The php-fpm pools among running processes: who works for whom, and where each pool listens. Looks only.

A process gives itself its title, so a title alone makes nobody a php-fpm: the program must be one, where that may be read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from adapters.php.command import is_fpm
from adapters.php.fpm.fastcgi import Address, listen_address
from adapters.php.inspection.fpm_files import pools_of, read_fpm
from adapters.php.inspection.processes import look_at

PROC = Path("/proc")
_TITLE = re.compile(rb"php-fpm: pool (?P<name>[A-Za-z0-9._-]{1,64})[\s\0]*\Z")
_PPID = re.compile(rb"^PPid:\s*([0-9]+)$", re.MULTILINE)
_MOST_POOLS = 16


@dataclass(frozen=True, slots=True)
class RunningPool:
    """``workers``: those that were asked about, the oldest pid first. ``settings``: its lines in the configuration.

    ``trouble``: why the configuration is not known, then ``settings`` is empty.
    """

    name: str
    master: int
    workers: tuple[int, ...]
    settings: Mapping[str, str] = field(default_factory=dict)
    trouble: str = ""
    prefix: str = ""  # where we see its files, "" for its own paths
    other_network: bool = False

    @property
    def address(self) -> Address | None:
        """Where it listens; None when that is not known."""
        return self._address("listen")

    @property
    def status(self) -> tuple[Address, str] | None:
        """Where its status page is, by FastCGI, and the page's path; None when it has none."""
        path = self.settings.get("pm.status_path", "")
        address = self._address("pm.status_listen") or self.address
        return None if address is None or not path.startswith("/") else (address, path)

    @property
    def own_paths(self) -> frozenset[str]:
        """Paths that php-fpm answers itself."""
        return frozenset(p for name in ("pm.status_path", "ping.path") if (p := self.settings.get(name, "")))

    def _address(self, setting: str) -> Address | None:
        text = self.settings.get(setting, "").replace("$pool", self.name)
        if text.startswith("/proc/self/"):
            text = f"{PROC}/{self.master}/{text.removeprefix('/proc/self/')}"
        elif text.startswith("/"):
            text = self.prefix + text
        elif self.other_network:
            return None
        return listen_address(text)


def workers_among(pids: Iterable[int]) -> list[int]:
    """Those whose title says that they work for a pool."""
    return [pid for pid in pids if _pool_of(pid) is not None]


def pools_among(pids: Iterable[int]) -> tuple[RunningPool, ...]:
    """The pools these processes work for."""
    members: dict[tuple[int, str], list[int]] = {}
    for pid in pids:
        found = _pool_of(pid)
        if found is not None:
            members.setdefault(found, []).append(pid)
    return tuple(_pool(master, name, workers) for (master, name), workers in list(members.items())[:_MOST_POOLS])


def running_pools() -> Iterator[RunningPool]:
    """Every pool that has a worker on this machine now, as far as we may look."""
    try:
        names = [entry.name for entry in PROC.iterdir()]
    except OSError:
        return
    yield from pools_among(int(name) for name in names if name.isdigit())


def _pool_of(pid: int) -> tuple[int, str] | None:
    """(pid of the master, name of the pool)"""
    try:
        title = _TITLE.match(_bytes(PROC / str(pid) / "cmdline"))
        parent = _PPID.search(_bytes(PROC / str(pid) / "status"))
    except OSError:
        return None
    return None if title is None or parent is None else (int(parent[1]), title["name"].decode())


def _pool(master: int, name: str, workers: Sequence[int]) -> RunningPool:
    process = look_at(master, PROC)
    ordered = tuple(sorted(workers))
    if process is None or process.fpm_config is None or not is_fpm(process.exe.removesuffix(" (deleted)") or "php-fpm"):
        return RunningPool(name, master, ordered, trouble="its master process does not say which configuration it has")
    lines, unread = read_fpm(process.root, process.fpm_config)
    pool = next((p for p in pools_of(lines) if p.name == name), None)
    if pool is None:
        why = f"{unread[0].what}: {unread[0].why}" if unread else f"{process.fpm_config} has no such pool"
        return RunningPool(name, master, ordered, trouble=why)
    settings = {key: value for key, (value, _) in pool.lines.items()}
    return RunningPool(name, master, ordered, settings, "", process.root.prefix, _has_other_network(master))


def _has_other_network(pid: int) -> bool:
    try:
        return os.readlink(PROC / str(pid) / "ns/net") != os.readlink("/proc/self/ns/net")  # noqa: PTH115  # no paths
    except OSError:
        return False  # of another user: a container of root's is none of ours either


def _bytes(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(1 << 16)
