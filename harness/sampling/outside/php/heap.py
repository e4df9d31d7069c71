"""The Zend heap: ``struct _zend_mm_heap``, which lives in the main chunk, a 2 MiB block that is aligned to its own size.

Known in all versions: the first word of a chunk points to the heap, which is 64 bytes into the main chunk; size @16, peak @24.
Found by shape: ``main_chunk`` is the word that holds the chunk's own address, the list of huge blocks is the word before it,
the numbers of chunks are behind it; ``real_size`` is the word that makes the books balance, ``real_peak`` the one after it.
"""

from __future__ import annotations

import struct
from typing import List, NamedTuple, Sequence, Tuple

from ..mappings import Mapping
from ..memory import Memory
from ..refusal import Refused, Torn

CHUNK_BYTES = 2 << 20
PAGE_BYTES = 4096
HEAP_SLOT = 64  # of the heap in its chunk
_WINDOW_WORDS = 64  # the struct is smaller in all versions
_SIZE, _PEAK = 2, 3  # words
_FIRST_WORD = 30  # before it are the lists of free slots
_MOST_PLACES = 1 << 18  # 2 MiB places looked at: 512 GiB of anonymous memory
_MOST_HUGE = 1 << 13  # of 2 MiB and more each
_TRIES = 8


class Shape(NamedTuple):
    """Where the fields are that move, in words from the heap's start."""

    real: int
    main_chunk: int


class Books(NamedTuple):
    """One reading of the heap's counters; bytes unless said otherwise."""

    size: int  # handed out: memory_get_usage()
    peak: int
    real: int  # got from the kernel: memory_get_usage(true), cached chunks included
    real_peak: int
    chunks: int  # number, in use
    cached: int  # number, kept for later
    huge: int  # in blocks of their own
    huge_list: int  # address of the first of these blocks' entries


def places(mappings: Sequence[Mapping]) -> List[int]:
    """Addresses at which a chunk may be."""
    found: List[int] = []
    for mapping in mappings:
        if mapping.private_anonymous:
            inside = range(mapping.start + CHUNK_BYTES - 1 & -CHUNK_BYTES, mapping.end - CHUNK_BYTES + 1, CHUNK_BYTES)
            if len(found) + len(inside) > _MOST_PLACES:
                raise Refused("php: more anonymous memory than is looked through")
            found += inside
    return found


def main_chunks(memory: Memory, candidates: Sequence[int]) -> List[int]:
    """Those of the addresses at which there is a main chunk: it points to its heap and to its neighbours in the ring."""
    heads = struct.iter_unpack("<3Q", memory.scatter(candidates, 24))
    return [
        at
        for at, (heap, following, before) in zip(candidates, heads)
        if heap == at + HEAP_SLOT and following and before and not (following | before) & CHUNK_BYTES - 1
    ]


def find_shape(words: Sequence[int], main_chunk: int, huge: int) -> Shape | None:
    """``words``: the first 64 of the heap; ``huge``: sum of the huge blocks. None when the books balance nowhere."""
    try:
        at = words.index(main_chunk, _FIRST_WORD, len(words) - 3)
        real = words.index(_chunks_bytes(words, at) + huge, _FIRST_WORD, at - 1)
    except ValueError:
        return None
    return Shape(real, at)


def parse(words: Sequence[int], main_chunk: int, shape: Shape) -> Books:
    """Raises Torn when these are not the books of a heap, or not of one moment."""
    at = shape.main_chunk
    chunks, cached = _chunk_numbers(words, at)
    size, peak, real, real_peak = words[_SIZE], words[_PEAK], words[shape.real], words[shape.real + 1]
    huge = real - _chunks_bytes(words, at)
    if words[at] != main_chunk or not 0 < chunks < 1 << 31 or cached >= 1 << 31:
        raise Torn("php: not the heap that was found")
    if not (size <= peak and size <= real <= real_peak and huge >= 0 and not huge & PAGE_BYTES - 1):
        raise Torn("php: the heap's books do not balance")
    if (huge > 0) != (words[at - 1] != 0):
        raise Torn("php: the heap's books do not balance with its huge blocks")
    return Books(size, peak, real, real_peak, chunks, cached, huge, words[at - 1])


class Heap:
    """The heap of one process. Raises Refused when there is not exactly one, Torn while it does not prove itself."""

    def __init__(self, memory: Memory, main_chunk: int) -> None:
        self._memory = memory
        self.main_chunk = main_chunk
        self.torn = 0  # readings that were repeated
        self._listed = (0, 0)  # the list of huge blocks that was seen to add up: its first entry, its bytes
        self.shape = self._find_shape()
        self.read()

    @property
    def address(self) -> int:
        """Of the struct."""
        return self.main_chunk + HEAP_SLOT

    def read(self) -> Books:
        """Balanced books. Raises Torn."""
        for attempt in range(_TRIES):
            try:
                books = parse(self._words(), self.main_chunk, self.shape)
                self._check_huge(books)
                return books
            except Torn:
                self.torn += 1
                if attempt == _TRIES - 1:
                    raise
        raise AssertionError("not reached")

    def _words(self) -> Sequence[int]:
        return self._memory.words(self.address, _WINDOW_WORDS)

    def _find_shape(self) -> Shape:
        for _ in range(_TRIES):
            words = self._words()
            try:
                at = words.index(self.main_chunk, _FIRST_WORD)
                shape = find_shape(words, self.main_chunk, self._huge_bytes(words[at - 1]))
            except (ValueError, Torn):
                continue
            if shape is not None:
                return shape
        raise Torn("php: the heap's books do not balance: a debug build, or too busy")

    def _check_huge(self, books: Books) -> None:
        """Follow the list again only when it has changed: the counters are read at every tick."""
        listed = (books.huge_list, books.huge)
        if listed != self._listed:
            if self._huge_bytes(books.huge_list) != books.huge:
                raise Torn("php: the heap's books do not balance with its huge blocks")
            self._listed = listed

    def huge_blocks(self, books: Books) -> "List[Tuple[int, int]]":
        """(start, end) of those that the books are about. Raises Torn."""
        blocks = self._huge(books.huge_list)
        if sum(end - start for start, end in blocks) != books.huge:
            raise Torn("php: the huge blocks are not those that the heap's books are about")
        return blocks

    def _huge_bytes(self, entry: int) -> int:
        return sum(end - start for start, end in self._huge(entry))

    def _huge(self, entry: int) -> "List[Tuple[int, int]]":
        blocks: List[Tuple[int, int]] = []
        for _ in range(_MOST_HUGE):
            if not entry:
                return blocks
            start, size, entry = self._memory.words(entry, 3)
            blocks.append((start, start + size))
        raise Torn("php: the list of huge blocks does not end")


def _chunk_numbers(words: Sequence[int], main_chunk_at: int) -> "tuple[int, int]":
    """chunks_count and cached_chunks_count; the peak of the former is between them."""
    return words[main_chunk_at + 2] & 0xFFFFFFFF, words[main_chunk_at + 3] & 0xFFFFFFFF


def _chunks_bytes(words: Sequence[int], main_chunk_at: int) -> int:
    return sum(_chunk_numbers(words, main_chunk_at)) * CHUNK_BYTES
