"""Walks over chunks built by hand: any sequence, across blocks, torn and damaged."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_dump import DumpedMemory

from harness.sampling.outside.glibc import walk as module
from harness.sampling.outside.glibc.arenas import Span
from harness.sampling.outside.glibc.walk import PATIENCE, walk
from harness.sampling.outside.refusal import Torn

FIRST = 0x5555_0000_0000
PREV_INUSE = 1

Chunk = tuple[int, bool]  # size, in use
chunks = st.lists(st.tuples(st.integers(2, 5000).map(lambda k: 16 * k), st.booleans()), max_size=60)


def heap(content: list[Chunk]) -> tuple[bytes, int]:
    """The bytes of a heap that starts with these chunks, its top chunk's header behind; and the address of the top."""
    data, before = bytearray(), (0, True)
    for size, in_use in [*content, (64, True)]:
        data += struct.pack("<QQ", 0 if before[1] else before[0], size | (PREV_INUSE if before[1] else 0))
        data += b"\xaa" * (size - 16)
        before = (size, in_use)
    return bytes(data), FIRST + len(data) - 64


def span(end: int, moving: bool = True) -> Span:
    return Span(FIRST, end, 0, moving)


def always(value: int) -> Callable[[], int]:
    return lambda: value


@given(chunks)
def test_used_and_free_are_the_sums(content: list[Chunk]) -> None:
    data, top = heap(content)
    counted = walk(DumpedMemory([(FIRST, data)]), span(top), always(top))
    assert counted == (sum(s for s, used in content if used), sum(s for s, used in content if not used), 0)


class Tearing(DumpedMemory):
    """Some of the first reads come back with one word of garbage."""

    def __init__(self, data: bytes, torn: dict[int, int]) -> None:
        super().__init__([(FIRST, data)])
        self._torn = torn  # number of the read -> word

    def read(self, address: int, size: int) -> bytes:
        data = super().read(address, size)
        word = self._torn.get(self.reads)
        if word is None or size < 16:
            return data
        at = 8 * (word % (size // 8))
        return data[:at] + b"\xff" * 8 + data[at + 8 :]


@given(chunks, st.dictionaries(st.integers(1, 60), st.integers(0, 1 << 13), max_size=30))
def test_torn_blocks_are_read_again(content: list[Chunk], torn: dict[int, int]) -> None:
    data, top = heap(content)
    try:
        counted = walk(Tearing(data, torn), span(top), always(top))
    except Torn:
        pytest.fail("given up after fewer torn reads than its patience")
    assert counted.used + counted.free == top - FIRST
    if not counted.torn:
        assert counted.used == sum(s for s, used in content if used)


def test_many_small_chunks_that_are_never_right_are_given_up() -> None:
    content = [(32, True)] * 200_000
    data, top = heap(content)
    memory = DumpedMemory([(FIRST, data)])
    memory.poke(top - 32 * 50 + 8, struct.pack("<Q", 0xFFFF_FFFF_FFFF))
    with pytest.raises(Torn, match="not a chunk header"):
        walk(memory, span(top), always(top))
    blocks = len(data) // module.BLOCK_BYTES
    assert memory.reads < 3 * blocks + module._SPARE_BLOCKS + PATIENCE  # and not as often as its patience


def test_an_end_that_moved_is_looked_up_again() -> None:
    data, top = heap([(4096, True), (512, False)] * 40)
    memory = DumpedMemory([(FIRST, data)])
    for stale in (top - 64, top + 64):
        counted = walk(memory, span(stale), always(top))
        assert (counted.used, counted.free) == (40 * 4096, 40 * 512)
        assert counted.torn > 0
    with pytest.raises(Torn):  # a heap that was given up has a fixed end
        walk(memory, span(top - 64, moving=False), always(top))


def test_boundaries_to_go_back_to_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", 64)
    monkeypatch.setattr(module, "_MOST_MARKS", 16)
    data, top = heap([(32, True), (48, False)] * 500)
    memory = Tearing(data, dict.fromkeys(range(300, 330), 1))
    counted = walk(memory, span(top), always(top))
    assert counted.used + counted.free == top - FIRST
    assert counted.torn


def test_a_chunk_larger_than_a_block_is_stepped_over() -> None:
    data, top = heap([(1 << 20, True), (32, True)])
    memory = DumpedMemory([(FIRST, data)])
    assert walk(memory, span(top), always(top)).used == (1 << 20) + 32
    assert memory.bytes_read < 3 * module.BLOCK_BYTES
