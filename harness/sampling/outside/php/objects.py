"""Living objects by class: ``objects_store`` in ``executor_globals``, an array of pointers with a number for each object.

``zend_objects_store`` is {buckets, top, size, head of the free list}, at a place in executor_globals that moves inside minor
versions and is found by its shape: 1024 << n entries, the first of which is never used. Entries with bit 0 set are free.
An object is {reference count, kind and flags, handle, ..., class @16, ...}; its handle is its place in the array.

When a server's request ends PHP gives the store back, or drops the whole heap and leaves the store as it was until the next
request: then no object lives, although the store is full of them.
"""

from __future__ import annotations

import struct
from collections import Counter
from typing import Dict, Iterable, List, NamedTuple, Sequence, Tuple

from ...redact import printable
from ..image import Symbol
from ..memory import Memory
from ..reader import TypeCount
from ..refusal import Refused, Torn
from .chunk import Chunks
from .heap import PAGE_BYTES, Heap

LEAST_BYTES = 56  # zend_object without properties: what an object has at least
_FIRST_SIZE = 1024
LEAST_STORE_BYTES = 8 * _FIRST_SIZE  # of the heap; with less handed out there is no object
_MOST_OBJECTS = 1 << 24  # 15 s of reading
_LARGEST_GLOBALS = 1 << 14
_AT_ONCE = 1 << 14
_OBJECT = struct.Struct("<4xIIxxxxQ")
_DENSE = 8  # objects in a page
_KIND = 8  # IS_OBJECT
_INTERNAL, _USER = 1, 2  # first byte of a class
_NAME = 8  # of the class entry: pointer to its name
_LENGTH, _TEXT = 16, 24  # of a zend_string
_LONGEST_NAME = 200
_RUN = 64  # neighbours that are taken together when only a part is looked at
_PROOFS = 16
_TRIES = 8
_TRIED_OBJECTS = 1 << 19  # looked at in vain before no further try is made: about 0.3 s


class Store(NamedTuple):
    """One reading of objects_store."""

    buckets: int  # address
    room: int  # numbers there is room for
    top: int  # first number never used


def find(words: Sequence[int]) -> List[int]:
    """Words of executor_globals at which the store may be."""
    found = []
    for k in range(len(words) - 2):
        buckets, top, size, free = words[k], words[k + 1] & 0xFFFFFFFF, words[k + 1] >> 32, words[k + 2] & 0xFFFFFFFF
        shaped = size >= _FIRST_SIZE and not size & size - 1 and 1 <= top <= size and (free == 0xFFFFFFFF or free < top)
        if shaped and buckets >= 4096 and not buckets & 7:
            found.append(k)
    return found


class Objects:
    """The objects of one process. Raises Refused when their store is not found, Torn before the first request."""

    def __init__(self, memory: Memory, heap: Heap, chunks: Chunks, executor_globals: Symbol) -> None:
        self._memory = memory
        self._heap = heap
        self._chunks = chunks
        self.torn = 0  # readings that were repeated
        if not 64 <= executor_globals.size <= _LARGEST_GLOBALS:
            raise Refused("php: executor_globals has an implausible size")
        places: List[int] = []
        for _ in range(_TRIES):
            words = memory.words(executor_globals.address, executor_globals.size // 8)
            places = [executor_globals.address + 8 * k for k in find(words)]
            places = [at for at in places if self._proves(at)]
            if len(places) == 1:
                break
        else:
            raise Torn(
                "php: {} places look like objects_store; before the first request there is none".format(len(places))
            )
        self._store_at = places[0]
        self.offset = places[0] - executor_globals.address

    def count(self, every: int) -> List[TypeCount]:
        """The largest by bytes first. The size is that of the block that the heap gave one object of the class, without what
        the object points to; where it has none in this heap, the least that an object has.

        ``every``: look at one of so many runs of neighbours, and scale. Raises Torn.
        """
        tried = tries = 0
        while True:
            try:
                store = self._store(self._store_at)
                tried += store.top // max(every, 1)
                return self._count(store, max(every, 1))
            except Torn:
                self.torn += 1
                tries += 1
                if tries >= _TRIES or tried > _TRIED_OBJECTS:
                    raise

    def _count(self, store: Store, every: int) -> List[TypeCount]:
        size_before = self._heap.read().size
        if not store.buckets or size_before < 8 * store.room:  # given back, or dropped with the heap
            return []
        if store.top > _MOST_OBJECTS:
            raise Refused("php: more than {} objects".format(_MOST_OBJECTS))
        numbers: Counter[int] = Counter()
        example: Dict[int, int] = {}
        alive = looked_at = odd = 0
        for first in range(0, store.top, _AT_ONCE):
            pointers = self._memory.words(store.buckets + 8 * first, min(_AT_ONCE, store.top - first))
            living = [k for k, p in enumerate(pointers) if p and not p & 1 and (k or first)]
            alive += len(living)
            if every > 1:
                living = [k for k in living if not (first + k) // _RUN % every]
            looked_at += len(living)
            where, entries = self._classes([first + k for k in living], [pointers[k] for k in living])
            odd += len(living) - len(entries)
            numbers.update(entries)
            example.update(zip(entries, where))
        if odd > 8 + looked_at // 50:
            raise Torn("php: objects_store is in change")
        seen: Dict[int, Sequence[int]] = {}
        sizes = {entry: self._chunks.block_bytes(p, seen) or LEAST_BYTES for entry, p in example.items()}
        if sum(sizes[entry] * number for entry, number in numbers.items()) > max(size_before, self._heap.read().size):
            raise Torn("php: more objects than the heap holds: the request has just ended")
        return self._named(numbers, sizes, alive / looked_at if looked_at else 1.0)

    def _named(self, numbers: "Counter[int]", sizes: Dict[int, int], scale: float) -> List[TypeCount]:
        result = []
        for entry, number in numbers.items():
            total = round(number * scale)
            result.append(TypeCount(self._name(entry), total, total * sizes[entry]))
        return sorted(result, key=lambda one: (-one.size_bytes, one.name))

    def _classes(self, numbers: Sequence[int], pointers: Sequence[int]) -> Tuple[List[int], List[int]]:
        """Addresses and classes of those objects that are what their number says."""
        where, entries = [], []
        for number, pointer, (kind, handle, entry) in zip(numbers, pointers, self._heads(pointers)):
            if handle == number and kind & 15 == _KIND and entry:
                where.append(pointer)
                entries.append(entry)
        return where, entries

    def _heads(self, pointers: Sequence[int]) -> "Iterable[Tuple[int, int, int]]":
        """(kind, handle, class) of each. Whole pages are read where there are many objects in them: a third of the time."""
        places: Dict[int, int] = {}
        for pointer in pointers:
            places.setdefault(pointer >> 12, len(places))
        if _DENSE * len(places) > len(pointers):
            return _OBJECT.iter_unpack(self._memory.scatter(pointers, _OBJECT.size))
        pages = self._memory.scatter([page << 12 for page in places], PAGE_BYTES)
        unpack, last = _OBJECT.unpack_from, PAGE_BYTES - _OBJECT.size
        return [
            unpack(pages, (places[pointer >> 12] << 12) + (pointer & 4095))
            if pointer & 4095 <= last
            else unpack(self._memory.scatter([pointer], _OBJECT.size))
            for pointer in pointers
        ]

    def _name(self, entry: int) -> str:
        """Raises Torn when this is no class."""
        if self._memory.read(entry, 1)[0] not in (_INTERNAL, _USER):
            raise Torn("php: an object whose class is none")
        text = self._memory.word(entry + _NAME)
        length = self._memory.word(text + _LENGTH)
        if not 0 < length < 1 << 20:
            raise Torn("php: a class without a name")
        raw = self._memory.read(text + _TEXT, min(length, _LONGEST_NAME))
        # class@anonymous, a zero byte, then the file and line that declare it
        return printable(raw.replace(b"\0", b" ").decode("utf-8", "replace"))

    def _store(self, at: int) -> Store:
        words = self._memory.words(at, 3)
        if words[0] and find(words) != [0]:
            raise Torn("php: objects_store is not what it was")
        return Store(words[0], words[1] >> 32, words[1] & 0xFFFFFFFF)

    def _proves(self, at: int) -> bool:
        """Number 0 is never given, and the first living objects carry their numbers."""
        try:
            store = self._store(at)
            pointers = self._memory.words(store.buckets, min(store.top, _AT_ONCE))
        except Torn:
            return False
        living = [k for k, p in enumerate(pointers) if p and not p & 1][:_PROOFS]
        _, entries = self._classes(living, [pointers[k] for k in living])
        return not pointers[0] and len(entries) == len(living)
