"""Reading configuration files as a process sees them: below its root directory, with every size bounded. Looks only.

Links are followed inside that root: the kernel would follow an absolute link from /proc/PID/root into our own root.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

CAP_BYTES = 1 << 20
_MOST_LINKS = 40  # the kernel's own bound, include/linux/namei.h
_MOST_NAMES = 512


@dataclass(frozen=True, slots=True)
class Root:
    """``prefix``: "" for this machine's root, else ``/proc/PID/root``. Paths are absolute, as the process has them."""

    prefix: str = ""

    def real(self, path: str) -> str:
        """Where we find ``path``, no link left in it. Raises OSError for loops and for links that may not be read."""
        if not self.prefix:
            return os.path.realpath(path)
        todo = [part for part in path.split("/") if part][::-1]
        done: list[str] = []
        links = 0
        while todo:
            part = todo.pop()
            if part in (".", ".."):
                done = done[:-1] if part == ".." else done
                continue
            here = "/".join((self.prefix, *done, part))
            try:
                target = str(Path(here).readlink())
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOENT):
                    raise
                done.append(part)
                continue
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            if target.startswith("/"):
                done = []
            todo += [piece for piece in target.split("/") if piece][::-1]
        return "/".join((self.prefix, *done))

    def stat(self, path: str) -> os.stat_result:
        return Path(self.real(path)).stat()

    def exists(self, path: str) -> bool:
        try:
            self.stat(path)
        except (OSError, ValueError):
            return False
        return True

    def text(self, path: str) -> str:
        """At most 1 MiB of a regular file. Raises OSError, also for what is no regular file (a pipe would never end)."""
        descriptor = os.open(self.real(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "not a regular file", path)
            return file.read(CAP_BYTES).decode("utf-8", "replace")

    def names(self, directory: str) -> list[str]:
        """What is in a directory, sorted as PHP sorts it; at most 512 names. Empty when it cannot be read."""
        try:
            return sorted(os.listdir(self.real(directory)))[:_MOST_NAMES]
        except (OSError, ValueError):
            return []

    def matching(self, pattern: str) -> list[str]:
        """Paths that a glob means, sorted. ``*`` and ``?`` in any part; at most 512."""
        found = ["/"] if pattern.startswith("/") else []
        for part in (piece for piece in pattern.split("/") if piece):
            if re.search(r"[*?\[]", part):
                names = [(base, name) for base in found for name in self.names(base)]
                found = [
                    str(Path(base, name))
                    for base, name in names
                    if fnmatchcase(name, part) and (not name.startswith(".") or part.startswith("."))
                ]
            else:
                found = [str(Path(base, part)) for base in found]
            found = found[:_MOST_NAMES]
        return [path for path in found if self.exists(path)]
