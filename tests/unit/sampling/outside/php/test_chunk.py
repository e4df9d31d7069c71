"""The inside of chunks built by hand."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from memory_dump import DumpedMemory

from harness.sampling.outside.php.chunk import PAGES, SLOTS, Chunks, map_offset, parse
from harness.sampling.outside.php.heap import CHUNK_BYTES, PAGE_BYTES
from harness.sampling.outside.refusal import Refused, Torn

MAIN = 0x7F00_0040_0000
HEAP = MAIN + 64

Run = tuple[str, int]  # ("free", pages), ("large", pages), ("small", which size)
runs = st.lists(
    st.one_of(
        st.tuples(st.just("free"), st.integers(1, 40)),
        st.tuples(st.just("large"), st.integers(1, 40)),
        st.tuples(st.just("small"), st.integers(0, 29)),
    ),
    max_size=60,
)


def header(content: list[Run], words_at: int, following: int = MAIN) -> tuple[bytes, int, int]:
    """(first page of a chunk, what its runs can hold, its free bytes)."""
    words, used = [0] * PAGES, 1
    words[0] = 0x40000001
    page, capacity = 1, 0
    for kind, number in content:
        pages = SLOTS[number][1] if kind == "small" else number
        if page + pages > PAGES:
            break
        if kind == "large":
            words[page] = 1 << 30 | pages
            capacity += pages * PAGE_BYTES
        elif kind == "small":
            words[page] = 1 << 31 | number
            words[page + 1 : page + pages] = [3 << 30 | number | k << 16 for k in range(1, pages)]
            capacity += SLOTS[number][0] * (pages * PAGE_BYTES // SLOTS[number][0])
        if kind != "free":
            used |= ((1 << pages) - 1) << page
        page += pages
    free = PAGES - used.bit_count()
    data = bytearray(PAGE_BYTES)
    struct.pack_into("<QQQI", data, 0, HEAP, following, MAIN, free)
    data[words_at - 64 : words_at] = used.to_bytes(64, "little")
    struct.pack_into(f"<{PAGES}I", data, words_at, *words)
    return bytes(data), capacity, free * PAGE_BYTES


@example([("free", 1), ("large", 1)], 520)  # bits and words agree in number 8 bytes further on, too
@given(runs, st.sampled_from([520, 544, 608]))  # 7.4 and 8.2.32, 8.2.36, 8.4
def test_capacity_and_free_pages(content: list[Run], words_at: int) -> None:
    data, capacity, free = header(content, words_at)
    assert map_offset(data, HEAP) == words_at
    use = parse(data, HEAP, words_at)
    assert (use.following, use.capacity, use.free_pages) == (MAIN, capacity, free)


def test_sizes_are_those_of_zend_alloc_sizes() -> None:
    assert [size for size, _ in SLOTS][:9] == [8, 16, 24, 32, 40, 48, 56, 64, 80]
    assert [size for size, _ in SLOTS][-3:] == [2048, 2560, 3072]
    elements = [pages * PAGE_BYTES // size for size, pages in SLOTS]
    assert elements[8:] == [51, 42, 36, 32, 25, 21, 18, 16, 64, 32, 9, 8, 32, 16, 9, 8, 16, 8, 16, 8, 8, 4]


@given(runs, st.integers(0, PAGE_BYTES - 4), st.binary(min_size=4, max_size=4))
def test_damaged_headers_are_refused_or_sane(content: list[Run], at: int, garbage: bytes) -> None:
    data, _, _ = header(content, 544)
    damaged = data[:at] + garbage + data[at + 4 :]
    try:
        use = parse(damaged, HEAP, 544)
    except Torn:
        return
    assert 0 <= use.capacity <= CHUNK_BYTES
    assert use.capacity + use.free_pages <= CHUNK_BYTES


def test_the_ring_has_as_many_chunks_as_the_books_say() -> None:
    second = MAIN + 4 * CHUNK_BYTES
    first, capacity, free = header([("large", 3), ("small", 2)], 544, second)
    last, more, rest = header([("free", 5), ("small", 29)], 544, MAIN)
    memory = DumpedMemory([(MAIN, first), (second, last)])
    chunks = Chunks(memory, MAIN, HEAP)
    assert chunks.use(2) == (capacity + more, free + rest)
    assert chunks.places == [MAIN, second]
    for wrong in (1, 3):
        with pytest.raises(Torn, match="does not close"):
            chunks.use(wrong)


def test_a_number_of_chunks_that_cannot_be_is_refused() -> None:
    data, _, _ = header([("large", 3)], 544, MAIN)  # a ring of one
    memory = DumpedMemory([(MAIN, data)])
    chunks = Chunks(memory, MAIN, HEAP)
    memory.reads = 0
    with pytest.raises(Refused, match="more than"):
        chunks.use((1 << 31) - 1)
    assert not memory.reads


def test_size_of_the_block_at_an_address() -> None:
    data, _, _ = header([("large", 3), ("small", 2), ("small", 28)], 544)
    other = bytes(8) + data[8:]  # not of this heap
    memory = DumpedMemory([(MAIN, data), (MAIN + CHUNK_BYTES, other)])
    chunks = Chunks(memory, MAIN, HEAP)
    seen: dict[int, object] = {}
    page = MAIN + PAGE_BYTES

    def size(address: int) -> int | None:
        return chunks.block_bytes(address, seen)  # type: ignore[arg-type]

    assert size(page) == 3 * PAGE_BYTES
    assert size(page + 3 * PAGE_BYTES + 24 * 7) == 24
    assert size(page + 4 * PAGE_BYTES + 2560 * 4) == 2560  # on the third page of its run
    assert size(page + 50 * PAGE_BYTES) is None  # free
    assert size(page + CHUNK_BYTES) is None
    assert size(page + 9 * CHUNK_BYTES) is None


def test_a_main_chunk_that_is_not_understood_is_refused() -> None:
    data, _, _ = header([("large", 3)], 544)
    with pytest.raises(Torn, match="not understood"):
        Chunks(DumpedMemory([(MAIN, data[:24] + struct.pack("<I", 7) + data[28:])]), MAIN, HEAP)
