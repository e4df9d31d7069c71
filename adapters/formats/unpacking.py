"""Files of a target as chunks of bytes, plain or gzip, never more than a limit."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

_CHUNK_BYTES = 1 << 20
_GZIP = b"\x1f\x8b"


class TooLargeError(ValueError):
    """The file is beyond a limit; reading on would use too much memory or time."""


def unpacked(path: Path, cap_bytes: int) -> Iterator[bytes]:
    """The contents in chunks of at most 1 MiB; gzip is told by the first bytes, never by the name.

    A damaged or cut archive ends where the damage is. Raises TooLargeError before the chunk that would exceed ``cap_bytes``,
    OSError when the file cannot be read.
    """
    with open(path, "rb") as file:
        data = file.read(_CHUNK_BYTES)
        unpack = zlib.decompressobj(31) if data.startswith(_GZIP) else None
        total = 0
        while data:
            part, rest = data, b""
            if unpack is not None:
                try:
                    part = unpack.decompress(data, _CHUNK_BYTES)
                except zlib.error:
                    return
                rest = unpack.unconsumed_tail
            total += len(part)
            if total > cap_bytes:
                raise TooLargeError(f"the file unpacks to more than {cap_bytes >> 20} MiB")
            yield part
            if unpack is not None and unpack.eof:
                return
            data = rest or file.read(_CHUNK_BYTES)
