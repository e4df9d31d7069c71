"""Formats of profile files: what the entry point group ``harness.formats`` names, and finding the one a file is in.

A format is a module-level `FileFormat`. It says by the first bytes whether it is meant, and reads the file.
"""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.model.profile import Profile

HEAD_BYTES = 16_384
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class FileFormat:
    """One format. ``title``: what it is, in words.

    ``recognises``: of the first `HEAD_BYTES` of the content, already unpacked where the file is gzip; cheap, never raises.
    ``read``: the profile; ValueError with the reason when it is none after all or beyond a limit, OSError when it cannot be read,
    nothing else whatever the file holds. It unpacks gzip itself, and bounds what it takes.
    """

    name: str
    title: str
    recognises: Callable[[bytes], bool]
    read: Callable[[Path], Profile]


def head_of(path: Path) -> bytes:
    """The first bytes of a file's content. OSError when it cannot be read; ValueError for what is no regular file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO would wait for its writer
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("not a regular file")
        head = file.read(HEAD_BYTES)
    if not head.startswith(_GZIP):
        return head
    try:
        return zlib.decompressobj(31).decompress(head, HEAD_BYTES)
    except zlib.error:
        return b""


def recognised(head: bytes, formats: Sequence[FileFormat]) -> tuple[FileFormat, ...]:
    """Those whose file this may be; one, unless two formats claim it or none does."""
    return tuple(format_ for format_ in formats if format_.recognises(head))
