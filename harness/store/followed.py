"""Follow a log that somebody else writes, rotates and truncates: whole lines, from where it ended when following began.

The file is named by the scenario, its content is a target's: nothing in it is trusted, only regular files are read, and a line
over the cap is skipped. After a rotation the old file is read beside the new one, for its writers may not have changed yet.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from harness.plugins.records import LINE_CAP

READ_CAP = 4 << 20  # bytes at a time
_TAIL = 64


class _Opened:
    """One file, held open so that renaming it changes nothing. ``offset``: read so far."""

    def __init__(self, descriptor: int, status: os.stat_result, offset: int) -> None:
        self._descriptor = descriptor
        self.identity = (status.st_dev, status.st_ino)
        self._offset = offset
        self._tail = b"" if offset == 0 else os.pread(descriptor, _TAIL, max(offset - _TAIL, 0))
        # what it ended with when following began may be half a line; its other half is not of this run
        self._skipping = offset > 0 and not self._tail.endswith(b"\n")
        self._rest = b""

    def lines(self) -> tuple[list[bytes], int]:
        """Whole lines that were added, and how many bytes were read."""
        if self._cut():
            self._offset, self._tail, self._rest, self._skipping = 0, b"", b"", False
        data = os.pread(self._descriptor, READ_CAP, self._offset)
        self._offset += len(data)
        self._tail = (self._tail + data[-_TAIL:])[-_TAIL:]
        *whole, self._rest = (self._rest + data).split(b"\n")
        if self._skipping and whole:
            self._skipping = False
            del whole[0]
        if len(self._rest) > LINE_CAP:
            self._rest, self._skipping = b"", True
        return whole, len(data)

    def _cut(self) -> bool:
        """Whether it was truncated, even if it has grown past the old end since (with other bytes than were there)."""
        if os.fstat(self._descriptor).st_size < self._offset:
            return True
        return (
            bool(self._tail)
            and os.pread(self._descriptor, len(self._tail), self._offset - len(self._tail)) != self._tail
        )

    def close(self) -> None:
        os.close(self._descriptor)


class Followed:
    """``path`` need not be there yet. ``consumed``: bytes read so far, of all files that had the name."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.consumed = 0
        self._current = self._open(at_end=True)
        self._former: _Opened | None = None

    def lines(self) -> list[bytes]:
        """Lines added since the last call, without their ends; of a rotated log the old file's first."""
        self._turn()
        found = []
        for opened in (self._former, self._current):
            if opened is not None:
                lines, size = opened.lines()
                found += lines
                self.consumed += size
        return found

    def close(self) -> None:
        for opened in (self._former, self._current):
            if opened is not None:
                opened.close()
        self._former = self._current = None

    def _turn(self) -> None:
        """Take up a new file of the same name."""
        try:
            status = self._path.stat()
        except OSError:
            return
        if self._current is not None and self._current.identity == (status.st_dev, status.st_ino):
            return
        fresh = self._open(at_end=False)
        if fresh is None:
            return
        if self._former is not None:
            self._former.close()
        self._former, self._current = self._current, fresh

    def _open(self, *, at_end: bool) -> _Opened | None:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:
            return None
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            return None
        return _Opened(descriptor, status, status.st_size if at_end else 0)
