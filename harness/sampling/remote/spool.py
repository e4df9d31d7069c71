"""Messages that the other end has not confirmed yet: a few in memory, more of them on disk, up to a cap."""

from __future__ import annotations

import collections
import contextlib
import os
from typing import Deque, Iterator, List, NamedTuple, Optional, Tuple

from . import frames

MEMORY_BYTES = 256 << 10
DISK_BYTES = 64 << 20


class _Segment(NamedTuple):
    """A file with the frames of the messages ``first`` to ``last``."""

    path: str
    first: int
    last: int
    size: int


class Spool:
    """Keeps frames in order until they are confirmed. Numbers begin at 1.

    While the line works nothing is written to disk: frames are confirmed long before they fill ``memory_bytes``. Once they
    do, all that is in memory becomes a file. ``full`` asks whoever fills it to wait: what is added all the same is kept too.
    Without a directory, or where the disk takes no more (``trouble`` says why), everything stays in memory.
    """

    def __init__(
        self, directory: Optional[str], memory_bytes: int = MEMORY_BYTES, disk_bytes: int = DISK_BYTES
    ) -> None:
        self._directory = directory
        self._memory_bytes = memory_bytes
        self._disk_bytes = disk_bytes
        self._recent: Deque[Tuple[int, bytes]] = collections.deque()
        self._recent_size = 0
        self._segments: List[_Segment] = []
        self._stored_size = 0
        self.last = 0  # number of the newest message
        self.most_stored = 0  # bytes on disk when there were most
        self.trouble = ""  # why the last attempt to store failed

    @property
    def full(self) -> bool:
        """Whether what is held has reached the cap."""
        stuck = bool(self.trouble) and self._recent_size > self._memory_bytes
        return stuck or self._stored_size + self._recent_size >= self._disk_bytes

    @property
    def empty(self) -> bool:
        """Whether everything is confirmed."""
        return not self._recent and not self._segments

    def add(self, program: bytes, line: bytes) -> int:
        """Keep a message; its number. ValueError when it cannot be a frame."""
        frame = frames.message(self.last + 1, program, line)
        self.last += 1
        self._recent.append((self.last, frame))
        self._recent_size += len(frame)
        if self._recent_size > self._memory_bytes and self._directory is not None:
            self._store()
        return self.last

    def _store(self) -> None:
        assert self._directory is not None
        first, last = self._recent[0][0], self._recent[-1][0]
        path = os.path.join(self._directory, "{}.spool".format(first))
        data = b"".join(frame for _, frame in self._recent)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
        except OSError as error:
            self._remove(path)
            self.trouble = "{}: {}".format(self._directory, error.strerror or error)
            return
        self.trouble = ""
        self._segments.append(_Segment(path, first, last, len(data)))
        self._stored_size += len(data)
        self.most_stored = max(self.most_stored, self._stored_size)
        self._recent.clear()
        self._recent_size = 0

    def confirm(self, last: int) -> None:
        """Everything up to this number has arrived."""
        while self._segments and self._segments[0].last <= last:
            segment = self._segments.pop(0)
            self._stored_size -= segment.size
            self._remove(segment.path)
        while self._recent and self._recent[0][0] <= last:
            self._recent_size -= len(self._recent.popleft()[1])

    def after(self, number: int) -> Iterator[Tuple[int, bytes]]:
        """The messages after this one, oldest first, as a piece at a time: the number of its last message, and their frames.

        A file is one piece, and what is in memory is one for each message. Raises OSError.
        """
        for segment in self._segments:
            if segment.last > number:
                with open(segment.path, "rb") as file:
                    data = file.read()
                if segment.first <= number:
                    data = b"\n".join(data.split(b"\n")[number + 1 - segment.first :])
                yield segment.last, data
        for held, frame in self._recent:
            if held > number:
                yield held, frame

    def close(self) -> None:
        """Remove the files."""
        for segment in self._segments:
            self._remove(segment.path)
        self._segments.clear()
        self._recent.clear()
        self._stored_size = self._recent_size = 0

    @staticmethod
    def _remove(path: str) -> None:
        with contextlib.suppress(OSError):
            os.unlink(path)
