"""Where objects_store is in executor_globals, as the headers of three versions say; a store built by hand."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_dump import DumpedMemory

from harness.sampling.outside.image import Symbol
from harness.sampling.outside.php.chunk import Chunks
from harness.sampling.outside.php.heap import CHUNK_BYTES, Books, Heap
from harness.sampling.outside.php.objects import LEAST_BYTES, Objects, find
from harness.sampling.outside.reader import TypeCount
from harness.sampling.outside.refusal import Refused, Torn

GLOBALS, BUCKETS, OBJECTS, CLASSES = 0x5500_0000_0000, 0x7F00_0001_0000, 0x7F00_0010_0000, 0x7F00_0100_0000
# bytes: sizeof(executor_globals), offsetof(objects_store)
HEADERS = {"7.4.33": (1664, 840), "8.2.32": (1776, 840), "8.2.36": (1800, 840), "8.4.24": (1960, 856)}


def globals_words(version: str, top: int, room: int = 1024, free: int = -1) -> list[int]:
    size, offset = HEADERS[version]
    words = [0x7F00_0000_1000 + 16 * k if k % 3 else k for k in range(size // 8)]
    words[offset // 8 : offset // 8 + 3] = [BUCKETS, top | room << 32, free & 0xFFFF_FFFF]
    return words


@pytest.mark.parametrize("version", HEADERS)
def test_the_store_is_where_the_headers_say(version: str) -> None:
    for top, room, free in ((1, 1024, -1), (700, 1024, 5), (3000, 4096, -1)):
        assert find(globals_words(version, top, room, free)) == [HEADERS[version][1] // 8]
    for top, room, free in ((0, 1024, -1), (1025, 1024, -1), (700, 1000, -1), (700, 512, -1), (5, 1024, 7)):
        assert find(globals_words(version, top, room, free)) == []


@given(st.lists(st.integers(0, (1 << 64) - 1), max_size=300))
def test_any_words(words: list[int]) -> None:
    assert all(k < len(words) - 2 for k in find(words))


class FixedHeap(Heap):
    """Books that do not change."""

    def __init__(self, size: int) -> None:
        self.size = size

    def read(self) -> Books:
        return Books(self.size, self.size, CHUNK_BYTES, CHUNK_BYTES, 1, 0, 0, 0)


class NoChunks(Chunks):
    """A heap that has none of the objects."""

    def __init__(self) -> None:
        pass

    def block_bytes(self, address: int, seen: object) -> int | None:
        return None


def store(names: list[str | None]) -> DumpedMemory:
    """One object a name, from number 1; None: a free number."""
    classes = sorted({name for name in names if name})
    pointers, objects = [0], bytearray()
    for number, name in enumerate(names, 1):
        pointers.append(OBJECTS + 64 * number if name else 2 * number + 1)
        entry = CLASSES + 256 * classes.index(name) if name else 0
        objects += struct.pack("<IIIIQ40x", 1, 8 | 1 << 16, number, 0, entry)
    text = bytearray()
    for k, name in enumerate(classes):
        raw = name.encode()
        at = CLASSES + 256 * k + 32
        text += (struct.pack("<Q Q 16x", 2, at) + struct.pack("<8x8xQ", len(raw)) + raw[:180]).ljust(256, b"\0")
    words = globals_words("8.2.32", len(pointers))
    return DumpedMemory(
        [
            (GLOBALS, struct.pack(f"<{len(words)}Q", *words)),
            (BUCKETS, struct.pack("<1024Q", *pointers, *[0] * (1024 - len(pointers)))),
            (
                OBJECTS,
                (bytes(64) + bytes(objects)).ljust(len(objects) + 8192 & -4096, b"\0"),
            ),  # whole pages, as everywhere
            (CLASSES, bytes(text).ljust(256, b"\0")),
        ]
    )


def objects(memory: DumpedMemory, size: int = 1_000_000) -> Objects:
    return Objects(memory, FixedHeap(size), NoChunks(), Symbol(GLOBALS, HEADERS["8.2.32"][0]))


def test_living_objects_are_counted_free_numbers_are_not() -> None:
    found = objects(store(["App\\Order", None, "App\\Order", "Closure", None])).count(1)
    assert found == [TypeCount("App\\Order", 2, 2 * LEAST_BYTES), TypeCount("Closure", 1, LEAST_BYTES)]


def test_names_are_made_printable() -> None:
    (one,) = objects(store(["class@anonymous\0/srv/a.php:3$0"])).count(1)
    assert one.name == "class@anonymous /srv/a.php:3$0"
    (one,) = objects(store(["\x1b[31mRed\u202e"])).count(1)
    assert one.name == "\\x1b[31mRed\\u202e"


def test_a_part_is_scaled_up() -> None:
    found = objects(store(["A", "B"] * 400)).count(4)  # 13 runs of 64 numbers, 4 of them looked at
    assert sum(one.number for one in found) == pytest.approx(800, abs=1)
    assert [one.number for one in found] == pytest.approx([400, 400], abs=8)


def test_objects_that_are_not_what_their_number_says_are_torn() -> None:
    memory = store(["A"] * 200)
    reader = objects(memory)
    for number in range(100, 140):
        memory.poke(OBJECTS + 64 * number + 8, struct.pack("<I", 7))
    with pytest.raises(Torn, match="in change"):
        reader.count(1)
    assert reader.torn


def test_more_objects_than_the_heap_holds_are_torn() -> None:
    memory = store(["A"] * 200)
    assert objects(memory, 200 * LEAST_BYTES).count(1)
    with pytest.raises(Torn, match="just ended"):
        objects(memory, 200 * LEAST_BYTES - 1).count(1)
    assert objects(memory, 8191).count(1) == []  # not even the store


def test_a_store_that_was_given_back_has_no_objects() -> None:
    memory = store(["A"] * 200)
    reader = objects(memory)
    memory.poke(GLOBALS + 840, bytes(8))
    assert reader.count(1) == []
    memory.poke(GLOBALS + 840, struct.pack("<QQ", BUCKETS, 1 | 1000 << 32))
    with pytest.raises(Torn, match="not what it was"):
        reader.count(1)


def test_implausible_globals_are_refused() -> None:
    memory = store(["A"])
    with pytest.raises(Refused, match="implausible size"):
        Objects(memory, FixedHeap(9000), NoChunks(), Symbol(GLOBALS, 1 << 20))
    memory.poke(GLOBALS + 840, bytes(8))
    with pytest.raises(Torn, match="before the first request"):
        objects(memory)
