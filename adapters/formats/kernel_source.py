"""Where the compiled reader of profiles and its source are. Imports next to nothing: asked at each start, and by the build."""

from __future__ import annotations

import zlib
from pathlib import Path

SOURCE = Path(__file__).with_name("_cachegrind.c")
LIBRARY = Path(__file__).with_name("_cachegrind.so")


def version_of(source: Path = SOURCE) -> str:
    """What a library must say that it was built from: size and checksum of the source."""
    text = source.read_bytes()
    return f"{len(text)}-{zlib.crc32(text):08x}"
