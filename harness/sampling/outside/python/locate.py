"""Whether there is a CPython in a process, which one, and where its exported data is."""

from __future__ import annotations

import re
from typing import List, NamedTuple

from ..image import Image
from ..memory import LARGEST_READ_BYTES, Memory
from ..process import Process
from ..refusal import Refused, Torn

_OLDEST, _OLDEST_PRECISE = 0x0308, 0x030B  # 3.8; 3.11, since when Py_Version is exported
_LARGEST_RUNTIME = 1 << 24
_MOST_IMAGES = 16
_NAME = re.compile(r"python3\.(\d{1,2})(?!\d)")
# The text of Py_GetVersion, which sys.version is made of: "3.9.18 (main, Aug 27 2024, 12:00:00) [GCC 12.2.0]"
_TEXT = re.compile(rb"(?<![\w.])3\.(\d{1,2})\.(\d{1,3})(?:(?:a|b|rc)\d+)?\+? \([^)\0]{1,200}\)")


class Found(NamedTuple):
    """A CPython in a process."""

    image: Image
    runtime: int  # address of _PyRuntime
    runtime_bytes: int
    version: str  # such as "3.11.2"; "" when it cannot be known
    minor: "int | None"  # such as 0x030B; None when it cannot be known


def find(process: Process) -> "Found | None":
    """Raises Refused for a CPython that is too old."""
    program = process.executable()
    for image in process.images(lambda path: "libpython" in path or path == program)[:_MOST_IMAGES]:
        runtime = image.symbol("_PyRuntime")
        if runtime is None or not 0 < runtime.size < _LARGEST_RUNTIME:
            continue
        version, minor = _version(process.memory, image)
        if minor is not None and minor < _OLDEST:
            raise Refused("CPython {}: 3.8 and later can be read".format(version or _dotted(minor)))
        return Found(image, runtime.address, runtime.size, version, minor)
    return None


def version_text(data: bytes) -> str:
    """The version out of the text of Py_GetVersion somewhere in an image's data; empty when it is not there."""
    found = _TEXT.search(data)
    return found[0].split()[0].decode("ascii") if found else ""


def version_number(hexversion: int) -> str:
    """Out of PY_VERSION_HEX, as sys.version has it."""
    level = {0xA: "a", 0xB: "b", 0xC: "rc"}.get(hexversion >> 4 & 15)
    text = "{}.{}.{}".format(hexversion >> 24, hexversion >> 16 & 255, hexversion >> 8 & 255)
    return "{}{}{}".format(text, level, hexversion & 15) if level else text


def _version(memory: Memory, image: Image) -> "tuple[str, int | None]":
    exact = image.symbol("Py_Version")
    if exact is not None:
        number = memory.word(exact.address)
        if number >> 24 != 3 or number >> 16 < _OLDEST_PRECISE:
            raise Refused("an implausible version: {:#x}".format(number))
        return version_number(number), number >> 16
    named = _NAME.search(image.path.rpartition("/")[2])
    text = version_text(b"\0".join(_data(memory, image)))
    if text:
        minor = 0x0300 | int(text.split(".")[1])
        if named is None or minor == 0x0300 | int(named[1]):
            return text, minor
    return "", 0x0300 | int(named[1]) if named else None


def _data(memory: Memory, image: Image) -> "List[bytes]":
    pieces = []
    for address, size in image.writable:
        if size <= LARGEST_READ_BYTES // 4:
            try:
                pieces.append(memory.read(address, size))
            except Torn:
                continue
    return pieces


def _dotted(minor: int) -> str:
    return "{}.{}".format(minor >> 8, minor & 255)
