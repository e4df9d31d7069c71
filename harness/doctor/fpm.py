"""Where a running php-fpm pool is configured: the master's title names its file, ``include`` lines the rest. Reads only.

Source: https://www.php.net/manual/en/install.fpm.configuration.php
"""

from __future__ import annotations

import re
from pathlib import Path

from harness.doctor.model import FpmPool
from harness.targets.detect import FPM_POOL, PROC, Seen, look

_MASTER = re.compile(r"php-fpm: master process \((?P<file>/.*)\)\s*\Z")
_INCLUDE = re.compile(r"^\s*include\s*=\s*(?P<glob>[^;\n]+?)\s*$", re.MULTILINE)
_SECTION = "^\\s*\\[{}\\]\\s*(;.*)?$"
_CAP_BYTES = 1 << 20
_MOST_FILES = 256


def pool_of(seen: Seen, proc: Path = PROC) -> FpmPool | None:
    """The pool a process works for; None when it is no php-fpm worker."""
    title = FPM_POOL.match(seen.cmdline)
    if title is None:
        return None
    master = look(seen.ppid, proc)
    configured = None if master is None else _MASTER.match(master.cmdline)
    return FpmPool(title[1], None if configured is None else pool_file(Path(configured["file"]), title[1]))


def pool_file(main: Path, pool: str) -> Path | None:
    """The file that has the section of a pool, among ``main`` and what it includes; None when none that can be read has."""
    section = re.compile(_SECTION.format(re.escape(pool)), re.MULTILINE)
    text = _text(main)
    if section.search(text):
        return main
    included = (path for match in _INCLUDE.finditer(text) for path in _matching(main, match["glob"].strip("\"'")))
    for _, path in zip(range(_MOST_FILES), included, strict=False):
        if section.search(_text(path)):
            return path
    return None


def _matching(main: Path, pattern: str) -> list[Path]:
    """Files that an include means, in php-fpm's order."""
    absolute = Path(pattern) if pattern.startswith("/") else main.parent / pattern
    try:
        return sorted(Path("/").glob(str(absolute).lstrip("/")))
    except (OSError, ValueError, NotImplementedError):
        return []


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            return file.read(_CAP_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
