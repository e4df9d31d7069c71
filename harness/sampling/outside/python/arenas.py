"""pymalloc: its arenas found by their shape, and how full they are. No table of offsets, no symbols of pymalloc's own.

Objects/obmalloc.c, the same from 3.8 to 3.14. An array of ``struct arena_object`` {address, pool_address, nfreepools,
ntotalpools, freepools, nextarena, prevarena} of 48 bytes, empty slots with address 0. An arena is a run of pools. Each pool
starts with a ``struct pool_header`` {count, freeblock, nextpool, prevpool, arenaindex, szidx, nextoffset, maxnextoffset} of 48
bytes, and all of its blocks have ``16 * (szidx + 1)`` bytes. The array is known by its arenas: the first pool of arena i says
that it is arena i's, and some global holds exactly the address of the array.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections import Counter
from typing import Dict, Iterator, List, NamedTuple, Sequence, Tuple

from ..memory import LARGEST_READ_BYTES, Memory
from ..refusal import Refused, Torn

ALIGNMENT = 16
CLASSES = 32  # of sizes: 16 to 512 bytes
HEADER_BYTES = 48  # struct pool_header
_ENTRY_BYTES = 48  # struct arena_object
_POOL_TAIL = struct.Struct("<4I")  # arenaindex szidx nextoffset maxnextoffset
_PAGE = 4096
_POOLS_OF_AN_ARENA = (63, 64)  # 63 where the arena does not start at a pool's boundary
_NEAR_BYTES = 64  # maxarenas is at most this far from the pointer to the array
_FIRST_ARRAY, _LARGEST_ARRAY = 16, 1 << 17  # entries
_MOST_POOLS = 1 << 21  # 32 GB of 16 KiB pools
_MOST_CANDIDATES, _MOST_SLOTS = 1 << 18, 16
_WORD = (1 << 64) - 1
_ARENAS_AT_ONCE = 256
_TORN_POOLS, _TORN_PERCENT = 8, 1  # more than both together: not a reading

Spans = Sequence[Tuple[int, int]]


class Geometry(NamedTuple):
    """Sizes fixed when Python is built."""

    pool_bytes: int
    arena_bytes: int


SMALL = Geometry(4096, 1 << 18)  # up to 3.9, and later without WITH_PYMALLOC_RADIX_TREE
LARGE = Geometry(16384, 1 << 20)  # 3.10 and later


class Arena(NamedTuple):
    """One arena: pools from ``first`` up to ``end`` have been in use at some time."""

    number: int  # in the array
    address: int
    first: int
    end: int
    free_pools: int  # never used or empty now
    pools: int


class Place(NamedTuple):
    """Where the array of arenas is to be found."""

    geometry: Geometry
    slots: Tuple[int, ...]  # addresses of globals that held the array's address


class Occupancy(NamedTuple):
    """How full the arenas are."""

    held_bytes: int
    live_bytes: int  # in blocks that are in use
    blocks: int
    pools: int  # in use, or in use before
    free_pools: int
    torn: int  # pools and arenas whose numbers did not agree: left out of the sums


def find(memory: Memory, anonymous: Spans, writable: Spans, geometries: Sequence[Geometry]) -> Place:
    """The one array of arenas of the process, by shape.

    ``anonymous``: private anonymous memory, (start, end), sorted. ``writable``: the image's data, (address, bytes).
    Raises Refused when there is none or more than one.
    """
    data = _read_all(memory, writable)
    values = _pointers(data, anonymous)
    entries = memory.scatter(values, _ENTRY_BYTES)
    found: Dict[int, Place] = {}
    for geometry in geometries:
        for array in _arrays(memory, values, entries, anonymous, geometry):
            slots = _slots(data, array) if array not in found else ()
            if slots:
                try:
                    table(memory, Place(geometry, slots))
                except Torn:
                    continue
                found[array] = Place(geometry, slots)
    if len(found) != 1:
        raise Refused("{} arrays of arenas (PYTHONMALLOC=malloc has none)".format(len(found)))
    return found.popitem()[1]


class Array(NamedTuple):
    """The array as it was at one moment."""

    address: int
    arenas: List[Arena]


def table(memory: Memory, place: Place) -> Array:
    """The arenas as they are now. Raises Torn when they do not hang together."""
    for address, raw in _tables(memory, place):
        arenas = _parse(raw, place.geometry)
        if arenas and _first_pool_agrees(memory, arenas, place.geometry):
            return Array(address, arenas)
    raise Torn("the array of arenas does not hang together")


def count(memory: Memory, place: Place) -> int:
    """Number of arenas, with fewer checks than `table`. Raises Torn."""
    for _, raw in _tables(memory, place):
        words = memoryview(raw).cast("Q")
        addresses = words[0::6].tolist()
        totals = [numbers >> 32 for address, numbers in zip(addresses, words[2::6].tolist()) if address]
        if not totals or any(total not in _POOLS_OF_AN_ARENA for total in totals):
            continue
        first = next(k for k, address in enumerate(addresses) if address)
        start = first * _ENTRY_BYTES
        arena = _parse(raw[start : start + _ENTRY_BYTES], place.geometry, first)
        if arena and (arena[0].first == arena[0].end or _first_pool_agrees(memory, arena, place.geometry)):
            return len(totals)
    raise Torn("the array of arenas does not hang together")


def occupancy(memory: Memory, arenas: Sequence[Arena], geometry: Geometry) -> Occupancy:
    """Sums over the headers of all pools. Raises Torn when too many of them are implausible."""
    pools = sum((arena.end - arena.first) // geometry.pool_bytes for arena in arenas)
    if pools > _MOST_POOLS:
        raise Refused("more than {} pools".format(_MOST_POOLS))
    live = blocks = torn = 0
    for start in range(0, len(arenas), _ARENAS_AT_ONCE):
        part = arenas[start : start + _ARENAS_AT_ONCE]
        addresses = [p for arena in part for p in range(arena.first, arena.end, geometry.pool_bytes)]
        sums = _sum_headers(memory.scatter(addresses, HEADER_BYTES), part, geometry)
        live, blocks, torn = live + sums[0], blocks + sums[1], torn + sums[2]
    if torn > _TORN_POOLS + pools * _TORN_PERCENT // 100:
        raise Torn("{} of {} pools implausible".format(torn, pools))
    return Occupancy(
        held_bytes=len(arenas) * geometry.arena_bytes,
        live_bytes=live,
        blocks=blocks,
        pools=pools,
        free_pools=sum(arena.free_pools for arena in arenas),
        torn=torn,
    )


def _sum_headers(raw: bytes, arenas: Sequence[Arena], geometry: Geometry) -> Tuple[int, int, int]:
    """Bytes and blocks in use, and what is torn, out of the headers of all pools of ``arenas``, one behind the other."""
    words = memoryview(raw).cast("I")
    counts, indices, classes, limits = (words[k::12].tolist() for k in (0, 8, 9, 11))
    torn = position = 0
    expected: List[int] = []
    for arena in arenas:
        pools = (arena.end - arena.first) // geometry.pool_bytes
        expected += [arena.number] * pools
        empty = counts[position : position + pools].count(0)
        torn += arena.pools - pools + empty != arena.free_pools
        position += pools
    if indices != expected:
        classes = [c if is_ == should else CLASSES for c, is_, should in zip(classes, indices, expected)]
    live = blocks = 0
    for (used, klass, limit), pools in Counter(zip(counts, classes, limits)).items():
        size = ALIGNMENT * (klass + 1)
        if (
            klass < CLASSES
            and limit == geometry.pool_bytes - size
            and used * size <= geometry.pool_bytes - HEADER_BYTES
        ):
            blocks += used * pools
            live += used * size * pools
        else:
            torn += pools
    return live, blocks, torn


def _read_all(memory: Memory, writable: Spans) -> List[Tuple[int, bytes]]:
    """An image's data, (address, bytes); what cannot be read whole is left out."""
    pieces = []
    for address, size in writable:
        if size <= LARGEST_READ_BYTES // 4:
            try:
                pieces.append((address, memory.read(address, size)))
            except Torn:
                continue
    return pieces


def _pointers(data: Sequence[Tuple[int, bytes]], anonymous: Spans) -> List[int]:
    """All different words that are aligned addresses of anonymous memory. Raises Refused when there are too many."""
    if not anonymous:
        raise Refused("no anonymous memory")
    lowest, highest = anonymous[0][0], anonymous[-1][1]
    starts = [start for start, _ in anonymous]
    words = set().union(*(memoryview(piece).cast("Q").tolist() for _, piece in data))
    aligned = [w for w in words if lowest <= w < highest and not w & (ALIGNMENT - 1)]
    found = [w for w in aligned if w < anonymous[bisect_right(starts, w) - 1][1]]
    if len(found) > _MOST_CANDIDATES:
        raise Refused("more than {} pointers among its globals".format(_MOST_CANDIDATES))
    return found


def _slots(data: Sequence[Tuple[int, bytes]], value: int) -> Tuple[int, ...]:
    """Addresses of the globals that hold a value."""
    wanted = struct.pack("<Q", value & _WORD)
    slots = []
    for address, piece in data:
        at = piece.find(wanted)
        while at >= 0:
            if not at % 8:
                slots.append(address + at)
            at = piece.find(wanted, at + 1)
    return tuple(slots[:_MOST_SLOTS])


def _arrays(memory: Memory, values: Sequence[int], entries: bytes, anonymous: Spans, geometry: Geometry) -> List[int]:
    """Where the array would have to start, for every value that looks like the address of an entry."""
    starts = [start for start, _ in anonymous]
    looking, pools = [], []
    for position, value in enumerate(values):
        entry = entries[position * _ENTRY_BYTES : (position + 1) * _ENTRY_BYTES]
        arenas = _parse(entry, geometry)
        if arenas and arenas[0].first < arenas[0].end:
            span = bisect_right(starts, arenas[0].address) - 1
            if span >= 0 and arenas[0].end <= anonymous[span][1]:
                looking.append(value)
                pools.append(arenas[0].first)
    raw = memory.scatter(pools, HEADER_BYTES)
    indices = [_pool_of(raw[k : k + HEADER_BYTES], geometry) for k in range(0, len(raw), HEADER_BYTES)]
    return [value - _ENTRY_BYTES * index for value, index in zip(looking, indices) if index >= 0]


def _tables(memory: Memory, place: Place) -> Iterator[Tuple[int, bytes]]:
    """The array's bytes as each slot has them, longest first: how long it is stands near the pointer to it."""
    for slot in place.slots:
        around = memory.read(slot - _NEAR_BYTES, 2 * _NEAR_BYTES)
        array = int.from_bytes(around[_NEAR_BYTES : _NEAR_BYTES + 8], "little")
        numbers = set(memoryview(around).cast("I").tolist())
        lengths = sorted((n for n in numbers if _FIRST_ARRAY <= n <= _LARGEST_ARRAY and not n & (n - 1)), reverse=True)
        for length in lengths:
            try:
                yield array, memory.read(array, _ENTRY_BYTES * length)
            except Torn:
                continue


def _parse(raw: bytes, geometry: Geometry, index: int = 0) -> List[Arena]:
    """The arenas in a piece of the array that starts at entry ``index``; empty when one of them is implausible."""
    words = memoryview(raw).cast("Q")
    arenas = []
    for position, address in enumerate(words[0::6].tolist()):
        if not address:
            continue
        end, numbers = words[6 * position + 1], words[6 * position + 2]
        free, total = numbers & 0xFFFFFFFF, numbers >> 32
        if (
            total not in _POOLS_OF_AN_ARENA
            or free > total
            or address % _PAGE
            or not address <= end <= address + geometry.arena_bytes
        ):
            return []
        first = -(-address // geometry.pool_bytes) * geometry.pool_bytes
        if (end - first) % geometry.pool_bytes:
            return []
        arenas.append(Arena(index + position, address, first, max(first, end), free, total))
    return arenas if len({arena.address for arena in arenas}) == len(arenas) else []


def _first_pool_agrees(memory: Memory, arenas: Sequence[Arena], geometry: Geometry) -> bool:
    """Whether the first pool of the first arena with one says that it is that arena's. Raises Torn."""
    arena = next((a for a in arenas if a.first < a.end), None)
    return arena is not None and _pool_of(memory.read(arena.first, HEADER_BYTES), geometry) == arena.number


def _pool_of(header: bytes, geometry: Geometry) -> int:
    """The arena that a pool says it is of; -1 for what is no pool that has been used."""
    index, klass, _, limit = _POOL_TAIL.unpack_from(header, 32)
    sound = klass < CLASSES and limit == geometry.pool_bytes - ALIGNMENT * (klass + 1)
    return int(index) if sound else -1
