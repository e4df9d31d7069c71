"""Puts the agent's files into a run's work directory and says how a launch finds them."""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

_AGENT_SOURCE = Path(__file__).parent / "agent"
_BOOTSTRAP = "sitecustomize.py"
RECORDS_PATTERN = "records/python-*.ndjson"


@dataclass(frozen=True, slots=True)
class AgentLayout:
    """Where things are, all absolute: the directory for PYTHONPATH, the records file, the directory for tool results, the file
    with orders to the agents."""

    boot_dir: Path
    records_file: Path
    results_dir: Path
    orders_file: Path


def orders_file(work_dir: Path) -> Path:
    """Where orders to the agents of a run are written."""
    return work_dir.resolve() / "python" / "orders" / "order"


def install_agent(work_dir: Path) -> AgentLayout:
    """Copy the agent below ``work_dir`` and make the places it writes to; OSError when that is not possible.

    A second call, for another launch of the same run, finds everything in place and changes nothing: processes of the first
    launch may be reading these files.

    Workers may run under other uids than the harness, but only when the harness is root (or they are root themselves).
    So for root the records file is writable (not readable) for everybody, in a directory nobody can list, under a name
    nobody can guess; and everybody may create results, but list or remove only what is theirs. Otherwise all is private.
    """
    shared = os.geteuid() == 0
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
    return AgentLayout(boot_dir, records_file, results_dir, orders)


def _make_directory(path: Path, mode: int) -> None:
    path.mkdir(exist_ok=True)
    path.chmod(mode)  # mkdir's mode is cut by the umask
