"""The heap's struct in the layouts that were measured: 7.4, 8.2 before and after a security release, 8.4."""

from __future__ import annotations

import struct

import pytest
from memory_dump import DumpedMemory

from harness.sampling.outside.mappings import Mapping
from harness.sampling.outside.php.heap import CHUNK_BYTES, Heap, find_shape, main_chunks, parse, places
from harness.sampling.outside.refusal import Refused, Torn

MAIN = 0x7F00_0040_0000
LIST = MAIN + 5000 * 8
# version -> bytes from the heap's start to real_size and to main_chunk
LAYOUTS = {"7.4.33": (272, 312), "8.2.32": (272, 312), "8.2.36": (272, 328), "8.4.24": (280, 320)}


def heap_words(version: str, *, size: int, chunks: int, cached: int, huge: int, first: int | None = None) -> list[int]:
    real_at, main_at = (offset // 8 for offset in LAYOUTS[version])
    words = [0] * 64
    words[2], words[3] = size, size + 64
    words[32:34] = [MAIN + 0x7000, MAIN + 0x9000]  # lists of free slots
    real = (chunks + cached) * CHUNK_BYTES + huge
    words[real_at : real_at + 3] = [real, real + CHUNK_BYTES, 128 << 20]
    words[main_at - 1] = (LIST if huge else 0) if first is None else first
    words[main_at], words[main_at + 1] = MAIN, MAIN + CHUNK_BYTES if cached else 0
    words[main_at + 2] = chunks | (chunks + 1) << 32
    words[main_at + 3] = cached
    return words


@pytest.fixture(params=LAYOUTS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def pack(words: list[int]) -> bytes:
    return struct.pack(f"<{len(words)}Q", *words)


def in_memory(words: list[int], *huge: int) -> DumpedMemory:
    entries: list[int] = []
    for k, size in enumerate(huge):
        entries += [MAIN + 8 * CHUNK_BYTES, size, LIST + 24 * (k + 1) if k + 1 < len(huge) else 0]
    head = pack([MAIN + 64, MAIN, MAIN, 0, 0, 0, 0, 0])
    return DumpedMemory([(MAIN, head + pack(words)), (LIST, pack(entries) if entries else bytes(8))])


def test_the_shape_of_every_known_layout(version: str) -> None:
    huge = (4 << 20, 6 << 20)
    heap = Heap(in_memory(heap_words(version, size=5_000_000, chunks=3, cached=1, huge=sum(huge)), *huge), MAIN)
    assert tuple(8 * word for word in heap.shape) == LAYOUTS[version]
    books = heap.read()
    assert (books.size, books.peak) == (5_000_000, 5_000_064)
    assert (books.real, books.real_peak) == (18 << 20, 20 << 20)
    assert (books.chunks, books.cached, books.huge) == (3, 1, 10 << 20)


def test_books_that_do_not_balance_are_refused(version: str) -> None:
    good = heap_words(version, size=100_000, chunks=2, cached=0, huge=0)
    real_at, main_at = (offset // 8 for offset in LAYOUTS[version])
    shape = find_shape(good, MAIN, 0)
    assert shape is not None
    parse(good, MAIN, shape)
    for word, value in (
        (2, 200_000),  # size over the peak
        (2, 8 << 20),
        (real_at, CHUNK_BYTES),  # fewer than its chunks
        (real_at, 2 * CHUNK_BYTES + 1),
        (real_at + 1, CHUNK_BYTES),  # over its peak
        (real_at, 3 * CHUNK_BYTES),  # huge blocks, but no list
        (main_at - 1, LIST),  # a list, but nothing in it
        (main_at, MAIN + CHUNK_BYTES),
        (main_at + 2, 0),
        (main_at + 2, 0xFFFF_FFFF),
        (main_at + 3, 0xFFFF_FFFF),
    ):
        bad = list(good)
        bad[word] = value
        with pytest.raises(Torn):
            parse(bad, MAIN, shape)
    assert find_shape(good, MAIN, 4096) is None
    assert find_shape(good, MAIN + CHUNK_BYTES, 0) is None


def test_the_list_of_huge_blocks_is_followed_when_it_changes() -> None:
    words = heap_words("8.2.36", size=1000, chunks=1, cached=0, huge=4 << 20)
    memory = in_memory(words, 4 << 20)
    heap = Heap(memory, MAIN)
    memory.reads = 0
    heap.read()
    assert memory.reads == 1  # nothing has changed: the struct only
    memory.poke(LIST + 8, struct.pack("<Q", 6 << 20))
    words[34] += 2 << 20
    memory.poke(MAIN + 64, pack(words))
    assert heap.read().huge == 6 << 20
    words[34] -= 1 << 20  # less than the list says
    memory.poke(MAIN + 64, pack(words))
    with pytest.raises(Torn, match="do not balance"):
        heap.read()
    assert heap.torn
    memory.poke(LIST + 16, struct.pack("<Q", LIST))  # a list that leads to itself
    with pytest.raises(Torn, match="does not end"):
        heap.read()


def test_where_a_chunk_may_be() -> None:
    def mapping(start: int, end: int, permissions: str = "rw-p", path: str = "") -> Mapping:
        return Mapping(start, end, permissions, 0, path)

    assert places([mapping(MAIN - 4096, MAIN + 2 * CHUNK_BYTES)]) == [MAIN, MAIN + CHUNK_BYTES]
    assert places([mapping(MAIN + 4096, MAIN + CHUNK_BYTES + 4096)]) == []
    assert places([mapping(MAIN, MAIN + CHUNK_BYTES, "rw-s"), mapping(MAIN, MAIN + CHUNK_BYTES, path="/lib")]) == []
    with pytest.raises(Refused, match="more anonymous memory"):
        places([mapping(0, 1 << 46)])


def test_a_main_chunk_points_to_itself_and_to_chunks() -> None:
    head = pack([MAIN + 64, MAIN, MAIN])
    for at, value, expected in ((0, MAIN + 64, [MAIN]), (0, MAIN + 65, []), (8, MAIN + 8, []), (16, 0, [])):
        memory = DumpedMemory([(MAIN, head)])
        memory.poke(MAIN + at, struct.pack("<Q", value))
        assert main_chunks(memory, [MAIN - CHUNK_BYTES, MAIN]) == expected
