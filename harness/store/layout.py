"""Names inside a run directory and the version of what is in them."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from pathlib import Path

FORMAT = "harness-run/2"
FORMAT_1 = "harness-run/1"  # one row per value; still read, no longer written
DATABASE = "run.sqlite"
WORK = "work"
HOSTS = "hosts"  # in it: what has come from agents on other hosts, a directory each
RECORDS = "work/records"
ARTIFACTS = "artifacts"
REPORT_HTML = "report.html"
REPORT_JSON = "report.json"


def new_run_directory(parent: Path, stamp: str, name: str) -> Path:
    """Create and return ``parent/<stamp>-<name>`` with its sub-directories; a number is added while the name is taken.

    ``work`` may be crossed by a worker of another uid (0711); the database, artifacts and reports are the
    owner's alone. OSError passes through.
    """
    parent.mkdir(parents=True, exist_ok=True)
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:64].strip(".-") or "run"
    for attempt in range(1000):
        path = parent / (f"{stamp}-{slug}" if attempt == 0 else f"{stamp}-{slug}-{attempt + 1}")
        try:
            path.mkdir(mode=0o711)
        except FileExistsError:
            continue
        (path / WORK).mkdir(mode=0o711)
        (path / ARTIFACTS).mkdir(mode=0o700)
        return path.absolute()
    raise FileExistsError(f"{parent}: too many runs named {stamp}-{slug}")


def write_atomically(path: Path, data: bytes) -> None:
    """Write beside ``path`` and rename, so that a reader never sees half a file and a failure leaves the old one."""
    write_pieces_atomically(path, (data,))


def write_pieces_atomically(path: Path, pieces: Iterable[bytes]) -> None:
    """The same for content that comes in pieces; what making them raises passes through. Devices and ``/dev/stdout`` are written
    to and never replaced: whoever is root could."""
    if not path.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if _is_device(path):
        with path.open("wb") as file:
            for piece in pieces:
                file.write(piece)
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.touch(mode=0o600)
        with temporary.open("wb") as file:
            for piece in pieces:
                file.write(piece)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _is_device(path: Path) -> bool:
    """Something of the kernel's, or a link that stands for it. Elsewhere links are replaced: a target may have put them there."""
    inside = path.absolute().parts[1:2] in (("dev",), ("proc",))
    return inside and (path.is_symlink() or (path.exists() and not path.is_file()))
