"""Kernel files too long to hold: read in pieces that end where a record ends."""

from __future__ import annotations

import os
from typing import Callable, Iterator

PIECE_BYTES = 1 << 16
_RECORD_CAP = 1 << 16  # a path is at most 4 KiB, escaped four times that; the rest of a record is shorter


def whole_lines(data: bytes) -> int:
    """How much of ``data`` is whole lines."""
    return data.rfind(b"\n") + 1


def read_pieces(path: str, whole: Callable[[bytes], int], piece_bytes: int | None = None) -> Iterator[bytes]:
    """The file in pieces of about ``piece_bytes`` (`PIECE_BYTES` by default), each cut where ``whole`` says. Raises OSError.

    A record that is longer than any the kernel writes loses its beginning, so memory is bounded whatever the file holds.
    """
    size = PIECE_BYTES if piece_bytes is None else piece_bytes
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        rest = b""
        while True:
            data = _read_at_least(descriptor, size)
            rest += data
            end = whole(rest) if data else len(rest)
            if end:
                yield rest[:end]
            if not data:
                return
            rest = rest[max(end, len(rest) - _RECORD_CAP) :]
    finally:
        os.close(descriptor)


def _read_at_least(descriptor: int, size: int) -> bytes:
    """The kernel gives out some 4 KiB a call, whatever is asked for; gathered here, so that parsers work on larger pieces."""
    chunks = []
    missing = size
    while missing > 0:
        data = os.read(descriptor, missing)
        if not data:
            break
        chunks.append(data)
        missing -= len(data)
    return b"".join(chunks)
