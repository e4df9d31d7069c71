"""Objects by type: pools taken apart, types learned, and what must not count."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_python import OBJECTS
from memory_dump import DumpedMemory, DumpedProcess
from python_world import ARENAS, SLOT, allocator, pool

from harness.sampling.outside.mappings import Mapping
from harness.sampling.outside.python import arenas, census
from harness.sampling.outside.python.arenas import LARGE, SMALL
from harness.sampling.outside.python.census import UNTYPED
from harness.sampling.outside.python.reader import attach
from harness.sampling.outside.refusal import Refused, Torn

DATA = 0x50_0000  # where types are
TYPE, INT, META, MADE, STR = (DATA + 0x400 * k for k in range(5))
NAMES = DATA + 0x8000
READY, SUBCLASS = 1 << 12, 1 << 31


def type_object(kind: int, name: int, flags: int = READY, size: int = 32) -> bytes:
    return struct.pack("<QQQQq128xQ", 1, kind, 0, name, size, flags)


def types_memory(names: dict[int, bytes] | None = None) -> bytes:
    """`type`, `int` and `str` of it, a metaclass, and a class of the metaclass."""
    out = bytearray(0x10000)
    names = names or {TYPE: b"type", INT: b"int", META: b"Meta", MADE: b"Made", STR: b"str"}
    for k, (address, name) in enumerate(names.items()):
        place = 0x8000 + 0x400 * k
        out[place : place + len(name) + 1] = name + b"\0"
        kind = META if address == MADE else TYPE
        flags = READY | (SUBCLASS if address in (TYPE, META) else 0)
        out[address - DATA : address - DATA + 176] = type_object(kind, DATA + place, flags)
    return bytes(out)


def an_object(kind: int, references: int = 1, words_before: int = 0) -> bytes:
    return struct.pack(f"<{words_before}QQQ", *[0] * words_before, references, kind)


def take(blocks: dict[int, list[bytes | None]], names: dict[int, bytes] | None = None, every: int = 1, geometry=LARGE):
    """A census of one arena with a pool for each class."""
    world = allocator(geometry, [list(blocks.items())])
    memory = DumpedMemory([*[(a, bytes(d)) for a, d in world._pieces], (DATA, types_memory(names))])
    place = arenas.find(
        memory, [(0x300_0000, 0x300_0300), (ARENAS, ARENAS + (1 << 22))], [(SLOT & ~0xFFF, 4096)], (geometry,)
    )
    mappings = [
        Mapping(DATA, DATA + 0x10000, "rw-p", 0, "/usr/lib/libpython3.so"),
        Mapping(ARENAS, ARENAS + geometry.arena_bytes, "rw-p", 0, ""),
    ]
    found = arenas.table(memory, place).arenas
    return {
        row.name: (row.number, row.size_bytes) for row in census.take(memory, mappings, found, geometry, TYPE, every)
    }


@pytest.mark.parametrize("geometry", [SMALL, LARGE])
def test_where_types_are(geometry) -> None:
    rows = take(
        {
            1: [an_object(INT)] * 5 + [None] + [an_object(STR)],  # 32 bytes
            3: [an_object(STR, words_before=2)] * 3 + [an_object(MADE, words_before=4)] * 4,  # 64 bytes
            0: [b"\0" * 16, b"\xff" * 16, an_object(INT)],  # 16 bytes
        },
        geometry=geometry,
    )
    assert rows == {"int": (6, 176), "str": (4, 224), "Made": (4, 256), UNTYPED: (2, 32)}


def test_free_blocks_and_objects_without_references_do_not_count() -> None:
    assert take({1: [an_object(INT), None, None, an_object(INT, references=0)]}) == {"int": (1, 32), UNTYPED: (1, 32)}


def test_a_tuple_that_holds_types_is_one_object() -> None:
    holder = struct.pack("<QQQQQQ", 0, 0, 1, MADE, 7, INT)  # header of the collector, references, type, items
    assert take({5: [holder]}) == {"Made": (1, 96)}


def test_debugging_blocks_start_later() -> None:
    mark = struct.pack("<QQ", 24, 0xFDFDFDFDFDFDFD6F)
    rows = take({3: [mark + an_object(INT)] * 3 + [None], 4: [mark + an_object(STR, words_before=2)] * 2})
    assert rows == {"int": (3, 192), "str": (2, 160)}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"x" * 199, "x" * 199),
        (b"x" * 5000, "x" * 200),
        (b"evil\x1b[2J\r\n", "evil\\x1b[2J\\x0d\\x0a"),
        ("Größe".encode(), "Größe"),
        (b"\xe2\x80\xae" * 90, "\\u202e" * 33 + "\\u"),
    ],
)
def test_names_are_capped_and_printable(name: bytes, shown: str) -> None:
    if len(name) > 1000:
        name = name[:1000]
    assert set(take({1: [an_object(INT)]}, {TYPE: b"type", INT: name})) == {shown}


@pytest.mark.parametrize("name", [b"", b"\xff\xfe"])
def test_what_has_no_name_is_no_type(name: bytes) -> None:
    assert take({1: [an_object(INT)]}, {TYPE: b"type", INT: name}) == {UNTYPED: (1, 32)}


def test_the_largest_200_types() -> None:
    totals = census.Counter({(f"t{k}", 32): k + 1 for k in range(500)})
    ranked = census._ranked(totals, 10, 10)
    assert [row.name for row in ranked] == [f"t{k}" for k in range(499, 299, -1)]


def test_a_sample_is_scaled_up() -> None:
    totals = census.Counter({("t", 32): 100})
    assert census._ranked(totals, 81, 10) == [census.TypeCount("t", 810, 25920)]


@pytest.mark.parametrize(
    ("place", "value"),
    [(8, 0xDEAD0), (8, ARENAS + 49), (0, 4), (0, 6), (40, 48 | 16352 << 32), (32, 1 << 32 | 9), (36, 99)],
)
def test_torn_pools(place: int, value: int) -> None:
    raw = bytearray(pool(LARGE, ARENAS, 0, 1, [an_object(INT), None, an_object(INT), None]))
    whole = census.parse_pool(memoryview(bytes(raw)).cast("Q"), ARENAS, 0, LARGE, 0)
    assert whole is not None
    assert (whole.used, whole.free) == (2, {1, 3})
    struct.pack_into("<Q", raw, place, value)
    with pytest.raises(Torn):
        census.parse_pool(memoryview(bytes(raw)).cast("Q"), ARENAS, 0, LARGE, 0)


def test_a_free_list_in_a_circle() -> None:
    raw = bytearray(pool(LARGE, ARENAS, 0, 1, [None, None, an_object(INT)]))
    struct.pack_into("<Q", raw, 48 + 32, ARENAS + 48)
    with pytest.raises(Torn):
        census.parse_pool(memoryview(bytes(raw)).cast("Q"), ARENAS, 0, LARGE, 0)


def test_a_pool_that_is_moving_all_the_time() -> None:
    """Its free list is not whole; what is free is told by the blocks themselves."""
    tracked = struct.pack(
        "<QQQQ", ARENAS + 48 + 3 * 32, 0, 1, MADE
    )  # its neighbour in the collector's list is in the pool
    blocks = [an_object(INT), None, an_object(INT), None, tracked, an_object(INT), None]
    raw = bytearray(pool(LARGE, ARENAS, 0, 1, blocks))
    for number in (1, 3):  # they were integers once: the type is still there
        struct.pack_into("<Q", raw, 48 + 32 * number + 8, INT)
    struct.pack_into("<Q", raw, 48 + 32 * 3, 1)  # and this one has just been one again
    words = memoryview(bytes(raw)).cast("Q")
    with pytest.raises(Torn):
        census.parse_pool(words, ARENAS, 0, LARGE, 0)
    moving = census.parse_pool(words, ARENAS, 0, LARGE, 0, moving=True)
    assert moving is not None
    assert census.count_pool(moving, {INT: "int", MADE: "Made"}) == {"int": 4, "Made": 1, UNTYPED: 0}


@settings(max_examples=300)
@given(head=st.binary(min_size=48, max_size=48), rest=st.binary(max_size=64), shift=st.sampled_from([0, 2]))
def test_no_pool_makes_it_fail(head: bytes, rest: bytes, shift: int) -> None:
    raw = memoryview((head + rest).ljust(4096, b"\0")).cast("Q")
    arena = raw[4] & 0xFFFFFFFF
    with suppress(Torn):
        census.parse_pool(raw, ARENAS, arena, SMALL, shift)


def test_too_many_pools_are_refused() -> None:
    arena = arenas.Arena(0, 0, 0, (census._MOST_POOLS + 1) * 16384, 0, 64)
    with pytest.raises(Refused, match="fewer"):
        census.take(DumpedMemory([]), [], [arena], LARGE, TYPE, 1)


def test_regions_of_a_huge_address_space_are_capped() -> None:
    mappings = [Mapping(1 << 40, 1 << 46, "rw-p", 0, ""), Mapping(DATA, DATA + 0x10000, "rw-p", 0, "/lib")]
    assert census._regions(mappings, [], 1 << 20) == {DATA >> 16}


def test_of_a_real_one(dumped_python: DumpedProcess) -> None:
    reader = attach(dumped_python)
    assert reader is not None
    rows = {row.name: row for row in reader.types(1)}
    assert rows["Plain"].number == rows["Slotted"].number == OBJECTS
    total = sum(row.size_bytes for row in reader.types(1))
    live = reader.walk()["runtime.python.pymalloc.live"]
    assert 0.98 * live <= total <= live
