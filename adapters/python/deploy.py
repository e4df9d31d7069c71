"""Puts the agent's files into a run's work directory and says how a launch finds them."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from adapters.python.collect import open_regular

_AGENT_SOURCE = Path(__file__).parent / "agent"
_BOOTSTRAP = "sitecustomize.py"
RECORDS_PATTERN = "records/python-*.ndjson"
_FIRST_LINES_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class AgentLayout:
    """Where things are, all absolute: the directory for PYTHONPATH, that of the agent's modules, the records file, the
    directory for tool results, the file with orders to the agents."""

    boot_dir: Path
    agent_dir: Path
    records_file: Path
    results_dir: Path
    orders_file: Path


def orders_file(work_dir: Path) -> Path:
    """Where orders to the agents of a run are written."""
    return work_dir.resolve() / "python" / "orders" / "order"


def enter_dir(work_dir: Path) -> Path:
    """Where files are put that running processes are to execute; made on first use, OSError when that is not possible."""
    directory = work_dir.resolve() / "python" / "enter"
    _make_directory(directory, 0o711)
    return directory


def install_agent(work_dir: Path, *, for_all: bool = False) -> AgentLayout:
    """Copy the agent below ``work_dir`` and make the places it writes to; OSError when that is not possible.

    A second call, for another launch of the same run, finds everything in place and changes nothing: processes of the first
    launch may be reading these files.

    Workers may run under other uids than the harness, but only when the harness is root (or they are root themselves).
    So for root the records file is writable (not readable) for everybody, in a directory nobody can list, under a name
    nobody can guess; and everybody may create results, but list or remove only what is theirs. Otherwise all is private.
    ``for_all``: as for root; the user ids of a container are not those of its engine's user.
    """
    shared = for_all or os.geteuid() == 0
    work_dir = work_dir.resolve()
    root = work_dir / "python"
    boot_dir, agent_dir = root / "boot", root / "agent"
    orders = orders_file(work_dir)
    for directory in (root, boot_dir, agent_dir, orders.parent):
        _make_directory(directory, 0o755)
    for source in sorted(_AGENT_SOURCE.glob("*.py")):
        copy = (boot_dir if source.name == _BOOTSTRAP else agent_dir) / source.name
        if not copy.exists():
            shutil.copyfile(source, copy)
            copy.chmod(0o644)

    records_dir, results_dir = work_dir / "records", work_dir / "results"
    if not records_dir.is_dir():  # it may be there already: every adapter writes records
        _make_directory(records_dir, 0o711)
    records_file = min(work_dir.glob(RECORDS_PATTERN), default=None)
    if records_file is None:
        records_file = records_dir / f"python-{secrets.token_hex(8)}.ndjson"
        records_file.touch(exist_ok=False)
        records_file.chmod(0o622 if shared else 0o600)
    if not results_dir.is_dir():
        _make_directory(results_dir, 0o1733 if shared else 0o700)
    return AgentLayout(boot_dir, agent_dir, records_file, results_dir, orders)


def closed_to_others(work_dir: Path) -> Path | None:
    """For root: the outermost directory on the way to the run's that workers with another user id cannot enter."""
    if os.geteuid() != 0:
        return None
    resolved = work_dir.resolve()
    closed = [p for p in (resolved, *resolved.parents) if p.is_dir() and not p.stat().st_mode & stat.S_IXOTH]
    return closed[-1] if closed else None


def has_announcements(work_dir: Path) -> bool:
    """Whether any process of this run said that the agent is in it; the first thing an agent writes."""
    for path in work_dir.glob(RECORDS_PATTERN):
        try:
            stream = open_regular(path)
        except OSError:
            continue  # not a file of ours
        with stream:
            if b'"k":"boot"' in stream.read(_FIRST_LINES_BYTES):
                return True
    return False


def obstacles(work_dir: Path) -> list[str]:
    """What may keep an agent from writing its records into this run."""
    found = []
    closed = closed_to_others(work_dir)
    if closed is not None:
        found.append(f"{closed} is closed to other users: a program that runs as another user cannot load the agent")
    try:
        room = os.statvfs(work_dir)
    except OSError:
        return found
    if room.f_bfree == 0 or room.f_ffree == 0 < room.f_files:
        found.append(f"the file system of {work_dir} is full: the agent could not write its records")
    return found


def _make_directory(path: Path, mode: int) -> None:
    path.mkdir(exist_ok=True)
    path.chmod(mode)  # mkdir's mode is cut by the umask
