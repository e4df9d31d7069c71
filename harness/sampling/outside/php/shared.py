"""Memory that all workers share: opcache's segment and APCu's.

opcache's starts with ``zend_smm_shared_globals`` {segments, their number, free bytes, wasted bytes, full, positions, free bytes
saved, opcache's own globals} (zend_shared_alloc.h); those start with {hits, misses, blacklisted misses, restarts for lack of
memory, of hash slots, by hand} (ZendAccelerator.h). APCu's starts with a lock, the size of the segment and the bytes available
(apc_sma.c).
"""

from __future__ import annotations

from typing import NamedTuple, Sequence

from ..mappings import Mapping
from ..memory import Memory
from ..refusal import Torn

_LEAST_BYTES = 1 << 20
_HEAD_WORDS = 8
_APP = 7  # word of the pointer to opcache's own globals
_APCU_WORDS = range(2, 24)  # where the segment's size is looked for
_TRIES = 4


class Opcache(NamedTuple):
    """What opcache_get_status() says; bytes, and numbers since the start of the server."""

    size: int
    free: int
    wasted: int
    full: bool
    hits: int
    misses: int
    restarts: int


class Apcu(NamedTuple):
    """What apcu_sma_info() says; bytes."""

    size: int
    free: int


class OpcacheSegment:
    """A segment that was found; addresses."""

    def __init__(self, memory: Memory, start: int, end: int) -> None:
        """Raises Torn when it is none."""
        self._memory = memory
        self.start = start
        self._end = end
        self._bytes = 0
        head = memory.words(start, _HEAD_WORDS)
        segments, number = head[0], head[1] & 0xFFFFFFFF
        if not all(start <= head[k] < end and not head[k] & 7 for k in (0, 5, _APP)) or number != 1:
            raise Torn("php: not opcache's segment")
        self._app = head[_APP]
        # {size, end, position, start} with an end before what is reserved for compiled code; no end before PHP 8.0
        size, behind, third, fourth = memory.words(memory.word(segments), 4)
        if fourth == start and behind <= size:
            self._bytes = behind
        elif third == start:
            self._bytes = size
        else:
            raise Torn("php: opcache's segment does not know where it is")
        self.read()

    def read(self) -> Opcache:
        """Raises Torn."""
        for attempt in range(_TRIES):
            try:
                return self._read()
            except Torn:
                if attempt == _TRIES - 1:
                    raise
        raise AssertionError("not reached")

    def _read(self) -> Opcache:
        head = self._memory.words(self.start, _HEAD_WORDS)
        hits, misses, _, memory, hashes, manual = self._memory.words(self._app, 6)
        free, wasted, full = head[2], head[3], head[4] & 255
        if head[_APP] != self._app or free + wasted > self._bytes or full > 1:
            raise Torn("php: opcache's segment is not what it was")
        return Opcache(self._bytes, free, wasted, bool(full), hits, misses, memory + hashes + manual)


class ApcuSegment:
    """A segment that was found."""

    def __init__(self, memory: Memory, start: int, end: int) -> None:
        """Raises Torn when it is none."""
        self._memory = memory
        self._bytes = end - start
        words = memory.words(start, _APCU_WORDS.stop + 1)
        places = [k for k in _APCU_WORDS if words[k] == self._bytes]
        if len(places) != 1 or not 0 < words[places[0] + 1] < self._bytes:
            raise Torn("php: not APCu's segment")
        self._at = start + 8 * places[0]

    def read(self) -> Apcu:
        """Raises Torn."""
        size, free = self._memory.words(self._at, 2)
        if size != self._bytes or free > size:
            raise Torn("php: APCu's segment is not what it was")
        return Apcu(size, free)


def find_opcache(memory: Memory, mappings: Sequence[Mapping]) -> OpcacheSegment | None:
    """None when no shared mapping is one."""
    for mapping in _shared(mappings):
        try:
            return OpcacheSegment(memory, mapping.start, mapping.end)
        except Torn:
            continue
    return None


def find_apcu(memory: Memory, mappings: Sequence[Mapping], opcache: OpcacheSegment | None) -> ApcuSegment | None:
    """None when APCu is not loaded, or no shared mapping other than opcache's is its."""
    if not any(mapping.path.endswith("/apcu.so") for mapping in mappings):
        return None
    for mapping in _shared(mappings):
        if opcache is not None and mapping.start == opcache.start:
            continue
        try:
            return ApcuSegment(memory, mapping.start, mapping.end)
        except Torn:
            continue
    return None


def _shared(mappings: Sequence[Mapping]) -> Sequence[Mapping]:
    return [m for m in mappings if m.permissions[0] + m.permissions[3] == "rs" and m.size >= _LEAST_BYTES]
