"""Which file sets a sysctl at boot, so that a change goes where the present value comes from. Source: sysctl.d(5)."""

from __future__ import annotations

import re
from pathlib import Path

from harness.sampling.redact import printable

# Directories by rising precedence: a file hides those of the same name in earlier ones; then all are read in the order of names.
_DIRECTORIES = ("usr/lib/sysctl.d", "lib/sysctl.d", "usr/local/lib/sysctl.d", "run/sysctl.d", "etc/sysctl.d")
_LAST = "etc/sysctl.conf"  # read last by procps; systemd reads it through a link in /etc/sysctl.d
_LINE = re.compile(r"-?\s*([A-Za-z0-9_./*-]{1,200})\s*=")
_MOST_FILES, _CAP = 512, 1 << 20


def read(root: str) -> dict[str, str]:
    """Sysctl -> ``/etc/sysctl.d/10-x.conf:3``, the last line that sets it. Files that cannot be read are passed "
    "over."""
    base = Path(root)
    files: dict[str, Path] = {}
    for directory in _DIRECTORIES:
        try:
            names = sorted(path for path in (base / directory).iterdir() if path.suffix == ".conf")
        except OSError:
            continue
        files.update((path.name, path) for path in names[:_MOST_FILES])
    found: dict[str, str] = {}
    for path in (*(files[name] for name in sorted(files)), base / _LAST):
        shown = "/" + str(path.relative_to(base))
        found.update((name, printable(f"{shown}:{line}")) for name, line in _lines(path))
    return found


def _lines(path: Path) -> list[tuple[str, int]]:
    try:
        with path.open("rb") as file:
            text = file.read(_CAP).decode("utf-8", "replace")
    except OSError:
        return []
    matches = ((number, _LINE.match(line.strip())) for number, line in enumerate(text.splitlines(), 1))
    return [(_dotted(match[1]), number) for number, match in matches if match is not None]


def _dotted(name: str) -> str:
    """``vm/swappiness`` is ``vm.swappiness``; the first separator decides which of the two separates."""
    first = re.search(r"[./]", name)
    return name.translate(str.maketrans("/.", "./")) if first is not None and first[0] == "/" else name
