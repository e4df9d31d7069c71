"""The ring of arenas: ``struct malloc_state`` of each, and the heaps of those that belong to threads."""

from __future__ import annotations

import struct
from typing import List, NamedTuple, Sequence

from ..memory import Memory
from ..refusal import Refused, Torn

# Distance from the bins, bytes; see malloc_state in malloc/malloc.c
_TOP, _NEXT, _SYSTEM, _MAX_SYSTEM, _END = -16, 2048, 2072, 2080, 2088
_FIELDS = (_TOP, _NEXT, _SYSTEM, _MAX_SYSTEM)
STARTS = (112, 24)  # from the start of the struct to its bins: until 2.42, since 2.43
_NONCONTIGUOUS = 2  # in flags, the second int of the struct
HEAP_BYTES = 64 << 20  # heaps of threads are aligned to it (twice DEFAULT_MMAP_THRESHOLD_MAX)
_LARGEST_HEADER = 48  # struct heap_info: 48 bytes since 2.35, 32 before
_MOST_ARENAS = 4096
_MOST_HEAPS = 1 << 16
_TRIES = 8


class Arena(NamedTuple):
    """One arena; sizes in bytes."""

    bins: int  # address
    top: int  # address of the chunk that borders on memory not yet used
    top_bytes: int
    system: int  # got from the kernel


class Span(NamedTuple):
    """Chunks that lie one behind the other."""

    first: int  # address of the first chunk
    end: int  # address of the chunk that is not counted any more
    overhead: int  # bytes around them that are malloc's own
    moving: bool  # the end is the arena's top


class Ring:
    """All arenas of a process, found from the main one. Raises Torn unless they are arenas and their ring closes."""

    def __init__(self, memory: Memory, main_bins: int, start: int) -> None:
        """``start``: one of `STARTS`."""
        self._memory = memory
        self._start = start
        self.main_bins = main_bins
        self._known = [main_bins]
        self.torn = 0  # readings that were repeated
        self.read()

    def read(self) -> List[Arena]:
        """The main arena, then the others, oldest first: a new arena goes to the end. Two calls of the kernel where the
        arenas are still the same."""
        for _ in range(_TRIES):
            try:
                self._follow_if_new()
                return self._arenas()
            except Torn:
                self.torn += 1
        return self._arenas()

    def top(self, arena: Arena) -> int:
        """The address of its top chunk now."""
        return self._memory.word(arena.bins + _TOP)

    def contiguous(self, arena: Arena) -> bool:
        """Whether its memory is in one piece, as far as malloc knows."""
        flags = self._memory.word(arena.bins - self._start) >> 32
        return not flags & _NONCONTIGUOUS

    def heaps(self, arena: Arena) -> List[Span]:
        """Of an arena that is not the main one: the newest first. Raises Torn when they do not belong to it."""
        owner = arena.bins - self._start
        oldest = owner & -HEAP_BYTES
        header = owner - oldest  # the struct follows the heap_info of the arena's first heap
        if not 0 < header <= _LARGEST_HEADER:
            raise Refused("heaps of threads are not aligned to 64 MiB: huge-page tunables are in use")
        spans: List[Span] = []
        heap, total = arena.top & -HEAP_BYTES, 0
        while heap:
            belongs_to, older, size = self._memory.words(heap, 3)
            if belongs_to != owner or size & 4095 or not header < size <= HEAP_BYTES or len(spans) >= _MOST_HEAPS:
                raise Torn("a heap that does not belong to its arena")
            first = (arena.bins + _END if heap == oldest else heap + header) + 15 & -16
            end = arena.top if not spans else self._fence(heap + size)
            overhead = first - heap + (heap + size - end if spans else 0)
            if not first <= end <= heap + size - 16:
                raise Torn("a heap whose end is not in it")
            spans.append(Span(first, end, overhead, moving=not spans))
            heap, total = older, total + size
        if total != arena.system:
            raise Torn("the heaps of an arena are not as large as it says")
        return spans

    def _fence(self, end: int) -> int:
        """A heap that was given up ends in one or two headers without a chunk (sysmalloc in malloc/malloc.c)."""
        return end - 32 if self._memory.word(end - 24) & -8 == 16 else end - 16

    def _follow_if_new(self) -> None:
        main = self._known[0]
        newest = self._memory.word(main + _NEXT) + self._start
        if newest == self._known[-1]:
            return
        found: List[int] = []
        bins = newest
        while bins != main:
            if len(found) >= _MOST_ARENAS:
                raise Torn("the ring of arenas does not close")
            found.append(bins)
            bins = self._memory.word(bins + _NEXT) + self._start
        self._known = [main, *reversed(found)]

    def _arenas(self) -> List[Arena]:
        pieces = self._memory.scatter([bins + field for bins in self._known for field in _FIELDS], 8)
        states = list(struct.iter_unpack("<4Q", pieces))
        sizes = self._memory.scatter([state[0] + 8 for state in states], 8)
        arenas = []
        for k, (bins, (top, following, system, most)) in enumerate(zip(self._known, states)):
            top_bytes = int.from_bytes(sizes[8 * k : 8 * k + 8], "little") & -8
            # the main arena, then the newest: each leads to the one before it in the order of age
            if following + self._start != self._known[k - 1]:
                raise Torn("the ring of arenas does not close")
            if not system or system & 15 or system > most or not 0 < top_bytes <= system or top & 15:
                raise Torn("not an arena in use")
            arenas.append(Arena(bins, top, top_bytes, system))
        return arenas


def main_span(arena: Arena, sbrk_base: int) -> Span:
    """The chunks of the main arena. Raises Torn when its top is not behind its start."""
    first = sbrk_base + 15 & -16
    if not first <= arena.top < first + arena.system:
        raise Torn("the top of the main arena is not in its heap")
    return Span(first, arena.top, first - sbrk_base, moving=True)


def length(spans: Sequence[Span]) -> int:
    """Bytes between the first and the last headers."""
    return sum(span.end - span.first for span in spans)
