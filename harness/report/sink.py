"""A file that is made in pieces: what writers that want a file write to. Pure."""

from __future__ import annotations

import io


class Sink(io.RawIOBase):
    """Cannot seek; gives out what was written and keeps nothing of it."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        """Bytes written since the begin."""
        return self._position

    def write(self, data: object) -> int:
        """Takes any buffer, as `io.RawIOBase.write` does."""
        piece = bytes(memoryview(data))  # type: ignore[arg-type]  # typeshed's name for buffers is newer than Python 3.11
        self._pieces.append(piece)
        self._position += len(piece)
        return len(piece)

    def taken(self) -> bytes:
        """What was written since the last call."""
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data
