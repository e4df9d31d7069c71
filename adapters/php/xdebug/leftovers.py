"""Raw files of Xdebug that earlier runs left in their directories because they were killed: hundreds of MB that nobody will read.

A run writes down which process it is. Where that process is gone, nobody collects any more. Runs of another machine, of another
container and from before a reboot are left alone: whether they go on cannot be seen from here. The directory of runs may be
shared with others, so only what this user alone can have made counts as a run.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from adapters.php.state import Places
from adapters.php.xdebug.local_outputs import LocalOutputs
from adapters.php.xdebug.output_names import parse_name
from adapters.php.xdebug.tools import TOOLS
from harness.clock import SystemClock

_OWNER = "owner"
_MOST_RUNS = 1000


def claim(places: Places) -> None:
    """Write down that this process collects what will be in this run's directories, which exist."""
    pid = os.getpid()
    (places.outputs / _OWNER).write_text(f"{_world()} {pid} {_started(pid)}\n")


def sweep(places: Places) -> None:
    """Remove what dead runs beside this one left behind. Names other than Xdebug's stay."""
    runs = places.work_dir.resolve().parent.parent
    with suppress(OSError):
        for run in sorted(runs.iterdir())[:_MOST_RUNS]:
            work = run / places.work_dir.name
            if not all(_is_own_directory(path) for path in (run, work)):
                continue
            other = Places(work)
            if other.root != places.root and _is_dead(other):
                _empty(other)


def _empty(places: Places) -> None:
    for tool in TOOLS.values():
        directory = places.output(tool.name)
        if directory.is_symlink():
            continue
        outputs = LocalOutputs(directory, SystemClock(), ours=True)
        outputs.remove(entry.name for entry in outputs.entries() if parse_name(tool, entry.name) is not None)


def _is_own_directory(path: Path) -> bool:
    return _is_own(path, stat.S_ISDIR)


def _is_own(path: Path, kind: Callable[[int], bool]) -> bool:
    """Whether it is of that kind itself, no link to one, and this user's."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return kind(status.st_mode) and status.st_uid == os.geteuid()


def _is_dead(places: Places) -> bool:
    """Only where a run has said who it is, and that process is no more: pids are used again, start times are not."""
    if not all(_is_own_directory(path) for path in (places.root, places.outputs)):
        return False
    if not _is_own(places.outputs / _OWNER, stat.S_ISREG):
        return False
    try:
        world, pid, started = (places.outputs / _OWNER).read_text().split()
    except (OSError, ValueError):
        return False
    return world == _world() and pid.isdigit() and _started(int(pid)) != started


def _world() -> str:
    """Among whom a pid means one process: this boot of this machine, and the namespace of pids."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"


def _started(pid: int) -> str:
    """When the process began, in clock ticks since boot; "" when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
