"""pymalloc's arenas, built by hand: found by their shape, counted, and refused when they are not what they seem."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_dump import DumpedMemory
from python_world import ARENAS, ARRAY, SLOT, allocator

from harness.sampling.outside.python import arenas
from harness.sampling.outside.python.arenas import LARGE, SMALL, Geometry, Occupancy, Place
from harness.sampling.outside.refusal import Refused, Torn

BLOCK = b"\1" * 8
WRITABLE = [(SLOT & ~0xFFF, 4096)]
ANONYMOUS = [(ARRAY, ARRAY + 768), (ARENAS, ARENAS + (1 << 27))]
both = pytest.mark.parametrize("geometry", [SMALL, LARGE], ids=["small", "large"])


def some(geometry: Geometry) -> DumpedMemory:
    """Two arenas: a full pool of 16 bytes, one of 512 with two of three blocks in use; an empty pool and one of 64."""
    full = [BLOCK] * ((geometry.pool_bytes - 48) // 16)
    return allocator(
        geometry, [[(0, full), (31, [BLOCK, None, BLOCK])], [(3, [None, None]), (3, [BLOCK] * 5)]], shift=0x3000
    )


def find(memory: DumpedMemory, geometries=(SMALL, LARGE)) -> Place:
    return arenas.find(memory, ANONYMOUS, WRITABLE, geometries)


@both
@pytest.mark.parametrize("order", [(SMALL, LARGE), (LARGE, SMALL)])
def test_found_by_shape(geometry: Geometry, order: tuple[Geometry, Geometry]) -> None:
    assert find(some(geometry), order) == Place(geometry, (SLOT,))


@both
def test_occupancy(geometry: Geometry) -> None:
    memory = some(geometry)
    place = find(memory)
    array = arenas.table(memory, place)
    assert array.address == ARRAY
    assert [arena.number for arena in array.arenas] == [0, 1]
    assert arenas.count(memory, place) == 2
    full = (geometry.pool_bytes - 48) // 16
    pools_of_an_arena = 64 if geometry is SMALL else 63
    assert arenas.occupancy(memory, array.arenas, geometry) == Occupancy(
        held_bytes=2 * geometry.arena_bytes,
        live_bytes=16 * full + 2 * 512 + 5 * 64,
        blocks=full + 2 + 5,
        pools=4,
        free_pools=2 * (pools_of_an_arena - 2) + 1,
        torn=0,
    )


def test_none_without_arenas() -> None:
    memory = DumpedMemory([(SLOT & ~0xFFF, bytes(4096))])
    with pytest.raises(Refused, match="0 arrays"):
        find(memory)
    with pytest.raises(Refused, match="no anonymous"):
        arenas.find(memory, [], WRITABLE, (LARGE,))


def test_two_arrays_are_one_too_many() -> None:
    memory = some(LARGE)
    copy = 0x301_0000
    pieces = [*[(a, bytes(d)) for a, d in memory._pieces], (copy, memory.read(ARRAY, 768))]
    both_there = DumpedMemory(pieces)
    both_there.poke(SLOT + 256, struct.pack("<QI", copy, 16))
    with pytest.raises(Refused, match="2 arrays"):
        arenas.find(both_there, [*ANONYMOUS[:1], (copy, copy + 768), *ANONYMOUS[1:]], WRITABLE, (LARGE,))


def test_an_array_that_has_grown_is_followed() -> None:
    memory = some(LARGE)
    place = find(memory)
    moved = 0x310_0000
    grown = DumpedMemory([*[(a, bytes(d)) for a, d in memory._pieces], (moved, memory.read(ARRAY, 768) + bytes(768))])
    grown.poke(ARRAY, b"\xdd" * 768)  # freed
    grown.poke(SLOT, struct.pack("<QI", moved, 32))
    assert arenas.table(grown, place).address == moved
    assert arenas.count(grown, place) == 2


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, struct.pack("<Q", ARENAS + 0x3001)),  # not at a page
        (8, struct.pack("<Q", ARENAS)),  # pools end before the arena begins
        (8, struct.pack("<Q", ARENAS + (1 << 21))),  # or behind it
        (16, struct.pack("<I", 65)),  # more free pools than pools
        (20, struct.pack("<I", 62)),
        (48, struct.pack("<Q", ARENAS + 0x3000)),  # twice the same arena
    ],
)
def test_an_array_that_does_not_hang_together(place: int, value: bytes) -> None:
    memory = some(LARGE)
    at = find(memory)
    memory.poke(ARRAY + place, value)
    with pytest.raises(Torn):
        arenas.table(memory, at)
    with pytest.raises(Refused):
        find(memory)


@pytest.mark.parametrize(("offset", "value"), [(32, 7), (36, 32), (36, 1), (44, 16384), (0, 5000)])
def test_implausible_pools_are_counted_and_left_out(offset: int, value: int) -> None:
    memory = some(LARGE)
    array = arenas.table(memory, find(memory))
    before = arenas.occupancy(memory, array.arenas, LARGE)
    memory.poke(ARENAS + 0x4000 + 0x4000 + offset, struct.pack("<I", value))  # the second pool of the first arena
    after = arenas.occupancy(memory, array.arenas, LARGE)
    assert (after.torn, after.blocks, after.live_bytes) == (1, before.blocks - 2, before.live_bytes - 1024)


def test_too_many_implausible_pools_are_refused() -> None:
    memory = allocator(LARGE, [[(0, [BLOCK])] * 60])
    array = arenas.table(memory, find(memory))
    for number in range(1, 10):
        memory.poke(ARENAS + number * LARGE.pool_bytes + 44, bytes(4))
    with pytest.raises(Torn, match="9 of 60 pools"):
        arenas.occupancy(memory, array.arenas, LARGE)


def test_free_pools_that_do_not_add_up_are_torn() -> None:
    memory = some(LARGE)
    array = arenas.table(memory, find(memory))
    wrong = [arena._replace(free_pools=arena.free_pools - 1) for arena in array.arenas]
    assert arenas.occupancy(memory, wrong, LARGE).torn == 2


def test_a_target_that_claims_too_much_is_refused_before_it_is_read() -> None:
    memory = some(LARGE)
    arena = arenas.table(memory, find(memory)).arenas[0]
    claimed = [arena._replace(first=0, end=1 << 20)] * (1 << 16)
    memory.reads = 0
    with pytest.raises(Refused, match="more than"):
        arenas.occupancy(memory, claimed, LARGE)
    assert memory.reads == 0


blocks = st.lists(st.sampled_from([BLOCK, None]), min_size=1, max_size=31)
pools = st.lists(st.tuples(st.integers(0, 31), blocks), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(
    contents=st.lists(pools, min_size=1, max_size=4), geometry=st.sampled_from([SMALL, LARGE]), pages=st.integers(0, 3)
)
def test_sums_are_exact(contents, geometry: Geometry, pages: int) -> None:
    capacity = {k: (geometry.pool_bytes - 48) // (16 * (k + 1)) for k in range(32)}
    contents = [[(klass, blocks[: capacity[klass]]) for klass, blocks in arena] for arena in contents]
    memory = allocator(geometry, contents, shift=pages * 4096)
    array = arenas.table(memory, find(memory))
    found = arenas.occupancy(memory, array.arenas, geometry)
    everything = [(klass, blocks) for arena in contents for klass, blocks in arena]
    assert found.blocks == sum(len(blocks) - blocks.count(None) for _, blocks in everything)
    assert found.live_bytes == sum(16 * (k + 1) * (len(blocks) - blocks.count(None)) for k, blocks in everything)
    assert (found.pools, found.torn) == (len(everything), 0)
