"""The cycle collector: ``gc_globals``, a private struct that the exported function ``gc_enabled()`` reads one byte of.

Its code is one load in all builds for x86-64 from 7.4 to 8.4: ``movzx eax, byte [rip+x]``. The byte is 8 into the struct.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from ..image import Image
from ..memory import Memory
from ..refusal import Refused, Torn

# optional endbr64, then the load
_CODE = re.compile(rb"(?:\xf3\x0f\x1e\xfa)?\x0f\xb6\x05(....)\xc3", re.DOTALL)
_CODE_BYTES = 16
# buffer; enabled, active, protected, full; unused, first_unused, threshold, buffer size, roots, runs, collected
_STRUCT = struct.Struct("<Q4B7I")
_MOST_ROOTS = 1 << 30  # GC_MAX_BUF_SIZE is 0x40000000
_TRIES = 4


class Collector(NamedTuple):
    """What gc_status() says."""

    enabled: bool
    threshold: int  # possible roots that start a run
    roots: int  # possible roots collected so far
    runs: int  # since the start of the request
    collected: int  # objects and arrays, since the start of the request


def locate(memory: Memory, image: Image) -> int:
    """Address of gc_globals. Raises Refused when the function is another one than known."""
    symbol = image.symbol("gc_enabled")
    if symbol is None:
        raise Refused("php: gc_enabled() is not exported")
    found = _CODE.match(memory.read(symbol.address, _CODE_BYTES))
    if found is None:
        raise Refused("php: gc_enabled() is not the code known from x86-64 builds")
    return symbol.address + found.end() - 1 + int.from_bytes(found.group(1), "little", signed=True) - 8


def parse(data: bytes) -> Collector:
    """Raises Torn when this is not a collector's state, or not of one moment."""
    _, enabled, active, protected, full, _, _, threshold, size, roots, runs, collected = _STRUCT.unpack(data)
    if max(enabled, active, protected, full) > 1 or roots > size or size > _MOST_ROOTS or threshold > _MOST_ROOTS + 1:
        raise Torn("php: gc_globals has another shape")
    return Collector(bool(enabled), threshold, roots, runs, collected)


def read(memory: Memory, address: int) -> Collector:
    """Raises Torn."""
    for _ in range(_TRIES - 1):
        try:
            return parse(memory.read(address, _STRUCT.size))
        except Torn:
            continue
    return parse(memory.read(address, _STRUCT.size))
