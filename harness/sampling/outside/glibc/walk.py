"""Bytes in use and free of a stretch of chunks, by their headers.

A chunk is {size of the chunk before it if that is free, own size with flags in the lowest three bits, ...}; whether it is in use
says PREV_INUSE in the next header (malloc/malloc.c, "malloc_chunk details"). The stretch is read in blocks while the target
goes on. Where headers do not add up any more the walk goes back 1, 2, 4.. blocks and reads again.
"""

from __future__ import annotations

from typing import Callable, List, NamedTuple, Tuple

from ..memory import Memory
from ..refusal import Torn
from .arenas import Span

BLOCK_BYTES = 1 << 16
PATIENCE = 64  # torn blocks before a walk is given up
_SPARE_BLOCKS = 1024  # that may be read on top of twice the stretch
_LEAST_CHUNK = 32
_MOST_MARKS = 2048  # known boundaries to go back to, 128 MiB of blocks
_PREV_INUSE = 1
_NEVER = 2 | 8  # IS_MMAPPED has no place in an arena, sizes are multiples of 16

_Mark = Tuple[
    int, int, int, int
]  # address of a chunk, size of the chunk before it, used and free bytes before that one


class Counted(NamedTuple):
    """Bytes, and how often a block had to be read again."""

    used: int
    free: int
    torn: int


def walk(memory: Memory, span: Span, top: Callable[[], int]) -> Counted:
    """Raises Torn when the patience is at its end. ``top``: where the end is now, of a span whose end moves."""
    end, torn, back = span.end, 0, 1
    blocks_left = 2 * (end - span.first) // BLOCK_BYTES + _SPARE_BLOCKS
    marks: List[_Mark] = [(span.first, 0, 0, 0)]
    best = span.first
    while True:
        try:
            while marks[-1][0] < end:
                blocks_left -= 1
                marks.append(_block(memory, marks[-1], end))
                if marks[-1][0] > best:
                    best, back = marks[-1][0], 1
                if len(marks) > _MOST_MARKS:
                    del marks[1 : _MOST_MARKS // 2]
            if marks[-1][0] != end:
                raise Torn("chunks run past the end")
            _, last, used, free = marks[-1]
            if memory.word(end + 8) & _PREV_INUSE:
                return Counted(used + last, free, torn)
            return Counted(used, free + last, torn)
        except Torn:
            torn += 1
            if torn > PATIENCE or blocks_left <= 0:
                raise
            if span.moving:
                end = top()
            del marks[max(1, len(marks) - back) :]
            back *= 2


def _block(memory: Memory, mark: _Mark, end: int) -> _Mark:
    """The first boundary behind the block that starts at the mark."""
    start, last, used, free = mark
    room = end - start >> 3
    words = memoryview(memory.read(start, min(BLOCK_BYTES, end + 16 - start) & -8)).cast("Q")
    stop = min(len(words) - 1, room)
    i = 0
    while i < stop:
        head = words[i + 1]
        size = head & -8
        if size < _LEAST_CHUNK or head & _NEVER or size >> 3 > room - i:
            raise Torn("not a chunk header at {:#x}".format(start + 8 * i))
        if head & _PREV_INUSE:
            used += last
        elif last and words[i] != last:
            raise Torn("a free chunk before {:#x} says another size".format(start + 8 * i))
        else:
            free += last
        last = size
        i += size >> 3
    return start + 8 * i, last, used, free
