"""Inside the chunks of the Zend heap: 512 pages each, handed out whole or cut into slots of one of 30 sizes.

The header of a chunk is {heap, next, previous, number of free pages, ..., a bit for each page in use, a word for each page};
the page words start behind the bits, at a place that differs between versions and is found by its shape: page 0, the header
itself, is always in use as a run of one page.
"""

from __future__ import annotations

import struct
from typing import Dict, List, NamedTuple, Sequence, Tuple

from ..memory import Memory
from ..refusal import Refused, Torn
from .heap import CHUNK_BYTES, PAGE_BYTES

PAGES = CHUNK_BYTES // PAGE_BYTES
HEADER_BYTES = PAGE_BYTES
_FIRST_PAGE = 0x40000001  # a run of one page
_SMALL = 1 << 31  # the run is cut into slots; lowest five bits: which size
_LARGE = 1 << 30  # lowest ten bits: pages; with _SMALL: a page of a run that started before it
_HEAD = struct.Struct("<QQQI")
_LEAST_WORDS_AT, _MOST_WORDS_AT = 368, 2048
_MOST_CHUNKS = 1 << 15  # 64 GiB, 3 s of reading
_TRIES = 4
# Bytes of a slot and pages of a run, ZEND_MM_BINS_INFO in Zend/zend_alloc_sizes.h
SLOTS: Tuple[Tuple[int, int], ...] = tuple(
    zip(
        [8 * k for k in range(1, 9)] + [m << s for s in range(4, 10) for m in (5, 6, 7, 8)][:-2],
        [1] * 16 + [5, 3, 1, 1, 5, 3, 2, 2, 5, 3, 7, 4, 5, 3],
    )
)


class ChunkUse(NamedTuple):
    """What one chunk holds; bytes."""

    following: int  # address of the next chunk in the ring
    capacity: int  # in slots and large blocks, whether free slots or not
    free_pages: int


def map_offset(header: bytes, heap: int) -> int | None:
    """Where the page words start in the first page of a chunk that is at rest; None when that is not the only place at which
    words and bits agree."""
    found = [at for at in range(_LEAST_WORDS_AT, _MOST_WORDS_AT, 8) if _agrees(header, heap, at)]
    return found[0] if len(found) == 1 else None


def parse(header: bytes, heap: int, words_at: int) -> ChunkUse:
    """The first page of a chunk. Raises Torn when it is none of this heap, or torn."""
    owner, following, _, free = _HEAD.unpack_from(header)
    in_use = int.from_bytes(header[words_at - 64 : words_at], "little")
    pages = struct.unpack_from("<{}I".format(PAGES), header, words_at)
    if owner != heap or pages[0] != _FIRST_PAGE or bin(in_use).count("1") != PAGES - free or following % CHUNK_BYTES:
        raise Torn("php: not a chunk of this heap, or in change")
    capacity, page = 0, 1
    while page < PAGES:
        if not in_use >> page & 1:
            page += 1
            continue
        size, run = _run(pages[page])
        every = (1 << run) - 1
        if in_use >> page & every != every:
            raise Torn("php: a run over free pages")
        capacity += size
        page += run
    return ChunkUse(following, capacity, free * PAGE_BYTES)


def _agrees(header: bytes, heap: int, words_at: int) -> bool:
    if int.from_bytes(header[words_at : words_at + 4], "little") != _FIRST_PAGE:
        return False
    try:
        parse(header, heap, words_at)
    except Torn:
        return False
    return True


def _run(word: int) -> Tuple[int, int]:
    """Bytes that a run starting here can hold, and its pages."""
    if word & _SMALL:
        kind = word & 31
        if word & _LARGE or kind >= len(SLOTS):
            raise Torn("php: a page of a run without its start")
        size, pages = SLOTS[kind]
        return pages * PAGE_BYTES // size * size, pages
    pages = word & 1023
    if not word & _LARGE or not pages:
        raise Torn("php: a page in use that says nothing")
    return pages * PAGE_BYTES, pages


def block_bytes(pages: Sequence[int], offset: int) -> int | None:
    """Size of the block that the byte at ``offset`` of a chunk is in; None when it is in no run's start or slot."""
    word = pages[offset // PAGE_BYTES]
    if word & _SMALL:
        return SLOTS[word & 31][0] if word & 31 < len(SLOTS) else None
    return (word & 1023) * PAGE_BYTES or None if word & _LARGE else None


class Chunks:
    """The ring of chunks of one heap. Raises Torn when the main chunk's page words cannot be found."""

    def __init__(self, memory: Memory, main_chunk: int, heap: int) -> None:
        self._memory = memory
        self._main = main_chunk
        self._heap = heap
        self.torn = 0  # readings that were repeated
        self.places: List[int] = []  # addresses of the chunks at the last use()
        for _ in range(2 * _TRIES):
            at = map_offset(memory.read(main_chunk, HEADER_BYTES), heap)
            if at is not None:
                break
        else:
            raise Torn("php: the pages of the main chunk are not understood")
        self._words_at = at

    def use(self, expected: int) -> "tuple[int, int]":
        """Capacity and free pages of all, in bytes; ``expected``: number of chunks. Raises Torn."""
        if expected > _MOST_CHUNKS:
            raise Refused("php: more than {} chunks".format(_MOST_CHUNKS))
        capacity = free_pages = 0
        at = self._main
        self.places = []
        for _ in range(expected):
            self.places.append(at)
            one = self._one(at)
            capacity += one.capacity
            free_pages += one.free_pages
            at = one.following
        if at != self._main:
            raise Torn("php: the ring of chunks does not close")
        return capacity, free_pages

    def block_bytes(self, address: int, seen: Dict[int, Sequence[int]]) -> int | None:
        """Size of the block at the address, None when it is not in a chunk of this heap. ``seen``: page words by chunk,
        kept by the caller for as long as it asks."""
        chunk = address & -CHUNK_BYTES
        if chunk not in seen:
            seen[chunk] = self._page_words(chunk)
        return block_bytes(seen[chunk], address - chunk) if seen[chunk] else None

    def _page_words(self, chunk: int) -> Sequence[int]:
        try:
            header = self._memory.read(chunk, HEADER_BYTES)
        except Torn:
            return ()
        if _HEAD.unpack_from(header)[0] != self._heap:
            return ()
        return struct.unpack_from("<{}I".format(PAGES), header, self._words_at)

    def _one(self, at: int) -> ChunkUse:
        for attempt in range(_TRIES):
            try:
                return parse(self._memory.read(at, HEADER_BYTES), self._heap, self._words_at)
            except Torn:
                self.torn += 1
                if attempt == _TRIES - 1:
                    raise
        raise AssertionError("not reached")
