"""Objects by type: every block of pymalloc's pools, except free ones and objects without references. No table of offsets.

Where the object's type is in a block (Include/object.h, pycore_object.h): word 1, or word 3 behind a header of the collector, or
word 5 behind that and a managed dictionary (3.11+); two words further under PYTHONMALLOC=debug. The first one that is a type
counts, so a tuple that holds a type is no object of that type. A value is a type when its own type leads to ``PyType_Type``
(exported), the READY flag is set and its name is text. Types are larger than pymalloc's blocks, so words that point into arenas
are none.

Objects of more than 512 bytes are not in pools and not counted; an object's size is that of its block, without what
it points at.
"""

from __future__ import annotations

import random
import struct
from collections import Counter
from typing import Counter as CounterType
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Set, Tuple

from ...redact import printable
from ..mappings import Mapping
from ..memory import Memory
from ..pagemap import merged
from ..reader import TypeCount
from ..refusal import Refused, Torn
from .arenas import ALIGNMENT, CLASSES, HEADER_BYTES, Arena, Geometry

NAME_CAP = 200  # characters
MOST_TYPES = 200  # in the answer: the largest by bytes
UNTYPED = "(untyped: keys of dicts, items of lists, buffers)"
_DEBUG_MARK = (
    0xFDFDFDFDFDFDFD  # in front of every block under PYTHONMALLOC=debug, above the byte that names the allocator
)
_DEBUG_WORDS = 2
_PAIRS = 3  # words 0 and 1, 2 and 3, 4 and 5: references and type
_POOLS_AT_ONCE = 256
_MOST_POOLS = 1 << 18  # looked at in one census
_TORN_POOLS, _TORN_PERCENT = 8, 2
_TYPE = struct.Struct("<8xQ8xQq128xQ")  # PyTypeObject: ob_type, tp_name, tp_basicsize, tp_flags
_READY, _TYPE_SUBCLASS = 1 << 12, 1 << 31
_LARGEST_OBJECT = 1 << 20  # tp_basicsize
_METACLASSES_DEEP = 4
_MOST_NAMES, _MOST_REJECTED = 1 << 16, 1 << 19
_REGION_BITS = 16  # memory is told apart in regions of 64 KiB: one look-up a word
_MOST_REGIONS = 1 << 20
_PAGE = 4096


class Pool(NamedTuple):
    """One pool, taken apart. Columns: word 0 of every block, word 1 of every block, and so on as far as types are looked for."""

    block_bytes: int
    used: int  # blocks
    free: Set[int]  # numbers of blocks on the free list
    columns: List[List[int]]


def parse_pool(
    raw: memoryview, address: int, index: int, geometry: Geometry, shift: int, moving: bool = False
) -> "Pool | None":
    """The pool at ``address`` of arena ``index``; None for one that is empty or not in use yet. Raises Torn.

    ``raw``: its words ("Q"). ``shift``: words before each object. ``moving``: take it also when its free list is not whole
    because the target allocates from it all the time. Free blocks are then told by their first word, which leads to another
    block of the pool where an object has its references; objects with a header of the collector have no references when free.
    """
    used = raw[0] & 0xFFFFFFFF
    if not used:
        return None
    arena, klass, carved = raw[4] & 0xFFFFFFFF, raw[4] >> 32, raw[5] & 0xFFFFFFFF
    size = ALIGNMENT * (klass + 1)
    if arena != index or klass >= CLASSES or raw[5] >> 32 != geometry.pool_bytes - size:
        raise Torn("implausible pool")
    blocks = min(carved - HEADER_BYTES, geometry.pool_bytes - HEADER_BYTES) // size
    if used > blocks:
        raise Torn("more blocks in use than there are")
    words = size // 8
    first, last = HEADER_BYTES // 8, (HEADER_BYTES + blocks * size) // 8
    columns = [raw[first + word : last : words].tolist() for word in range(shift, min(words, shift + 2 * _PAIRS) & -2)]
    free: Set[int] = set()
    try:
        free = _free_list(raw, address, size, blocks)
        if abs(used + len(free) - blocks) > 1:  # one block may be on its way: the list is changed before the count is
            raise Torn("the free list of a pool is not as long as it should be")
    except Torn:
        if not moving:
            raise
        inside = range(address + HEADER_BYTES, address + HEADER_BYTES + blocks * size, size)
        columns[0] = [0 if value in inside else value for value in columns[0]]
        return Pool(size, used, set(), columns)
    return Pool(size, blocks - len(free), free, columns)


def _free_list(raw: memoryview, address: int, size: int, blocks: int) -> Set[int]:
    """Numbers of the blocks on a pool's free list. Raises Torn."""
    free: Set[int] = set()
    link = raw[1]
    while link:
        number, beside = divmod(link - address - HEADER_BYTES, size)
        if beside or not 0 <= number < blocks or number in free:
            raise Torn("the free list of a pool leads out of it")
        free.add(number)
        link = raw[(link - address) // 8]
    return free


def count_pool(pool: Pool, names: Dict[int, str]) -> "CounterType[str]":
    """Objects by name of their type; what has none is `UNTYPED`."""
    seen: CounterType[Optional[str]] = Counter()
    before: List[Optional[str]] = []
    for references, types in zip(pool.columns[0::2], pool.columns[1::2]):
        found = list(map(names.get, types))
        if not any(found):
            continue
        for number in pool.free:
            found[number] = None
        if 0 in references:
            found = [name if count else None for name, count in zip(found, references)]
        if before:
            found = [None if earlier else name for name, earlier in zip(found, before)]
            before = [earlier or name for name, earlier in zip(found, before)]
        else:
            before = found
        seen.update(found)
    del seen[None]
    counted: CounterType[str] = Counter({name: number for name, number in seen.items() if name is not None})
    counted[UNTYPED] = max(0, pool.used - sum(counted.values()))
    return counted


class Types:
    """What is known of the values that may be types. Made anew for each census: addresses are used again."""

    def __init__(
        self, memory: Memory, mappings: Sequence[Mapping], arenas: Sequence[Arena], type_type: int, arena_bytes: int
    ) -> None:
        """``type_type``: address of ``PyType_Type``."""
        self.names: Dict[int, str] = {}
        self._memory = memory
        self._metaclasses = {type_type}
        self._rejected: Set[int] = set()
        self._regions = _regions(mappings, arenas, arena_bytes)

    def candidates(self, pool: Pool) -> Set[int]:
        """Values of a pool that may be types and are not known yet."""
        values: Set[int] = set()
        for column in pool.columns[1::2]:
            values.update(v for v in set(column) if v >> _REGION_BITS in self._regions and not v & 7)
        return values - self._rejected - self.names.keys()

    def learn(self, values: Iterable[int]) -> None:
        """Look at all of them at once."""
        if len(self._rejected) > _MOST_REJECTED:
            self._rejected.clear()
        waiting = self._heads(values)
        for _ in range(_METACLASSES_DEEP):  # a metaclass is itself of a metaclass
            for address, (meta, name, size, flags) in waiting.items():
                if meta in self._metaclasses and flags & _READY and 0 < size < _LARGEST_OBJECT:
                    self._name(address, name)
                    if address in self.names and flags & _TYPE_SUBCLASS:
                        self._metaclasses.add(address)
            waiting = {address: head for address, head in waiting.items() if address not in self.names}
            metas = {head[0] for head in waiting.values()} - self._metaclasses - self._rejected - waiting.keys()
            metas = {meta for meta in metas if meta >> _REGION_BITS in self._regions and not meta & 7}
            if not metas and not any(head[0] in self._metaclasses for head in waiting.values()):
                break
            waiting.update(self._heads(metas))
        self._rejected.update(waiting)

    def _heads(self, values: Iterable[int]) -> Dict[int, Tuple[int, int, int, int]]:
        addresses = list(values)
        return dict(zip(addresses, _TYPE.iter_unpack(self._memory.scatter(addresses, _TYPE.size))))

    def _name(self, address: int, place: int) -> None:
        text = _text(self._memory, place)
        if text and len(self.names) < _MOST_NAMES:
            self.names[address] = text


def take(
    memory: Memory,
    mappings: Sequence[Mapping],
    arenas: Sequence[Arena],
    geometry: Geometry,
    type_type: int,
    every: int,
    seed: int = 0,
) -> List[TypeCount]:
    """Living objects by type, the largest by bytes first, from one of ``every`` pools, scaled up.

    The pool is drawn from each ``every`` neighbours. Pools whose headers stay implausible are left out; raises Torn when there
    are too many of them, Refused when there are more pools than may be looked at.
    """
    pools = [(a.number, p) for a in arenas for p in range(a.first, a.end, geometry.pool_bytes)]
    if len(pools) > _MOST_POOLS * every:
        raise Refused("more than {} pools: look at fewer of them".format(_MOST_POOLS))
    draw = random.Random(seed)  # noqa: S311  # a sample, not a secret
    chosen = [pools[min(at + draw.randrange(every), len(pools) - 1)] for at in range(0, len(pools), every)]
    types = Types(memory, mappings, arenas, type_type, geometry.arena_bytes)
    shift = _shift(memory, chosen, geometry)
    totals: CounterType[Tuple[str, int]] = Counter()
    left = chosen
    for moving in (False, False, True):  # all pools first: a thread may have lost the processor in the middle of one
        torn: List[Tuple[int, int]] = []
        for at in range(0, len(left), _POOLS_AT_ONCE):
            parsed, bad = _parse_pools(memory, left[at : at + _POOLS_AT_ONCE], geometry, shift, moving)
            torn += bad
            types.learn({value for pool in parsed for value in types.candidates(pool)})
            for pool in parsed:
                for name, number in count_pool(pool, types.names).items():
                    totals[name, pool.block_bytes] += number
        left = torn
    if len(left) > _TORN_POOLS + len(chosen) * _TORN_PERCENT // 100:
        raise Torn("{} of {} pools implausible".format(len(left), len(chosen)))
    return _ranked(totals, len(pools), len(chosen))


def _ranked(totals: "CounterType[Tuple[str, int]]", pools: int, read: int) -> List[TypeCount]:
    numbers: CounterType[str] = Counter()
    sizes: CounterType[str] = Counter()
    for (name, size), number in totals.items():
        numbers[name] += number
        sizes[name] += number * size
    rows = [
        TypeCount(name, number * pools // max(read, 1), sizes[name] * pools // max(read, 1))
        for name, number in numbers.items()
        if number
    ]
    return sorted(rows, key=lambda row: (-row.size_bytes, row.name))[:MOST_TYPES]


def _parse_pools(
    memory: Memory, chosen: Sequence[Tuple[int, int]], geometry: Geometry, shift: int, moving: bool
) -> Tuple[List[Pool], List[Tuple[int, int]]]:
    """Those that are in use, taken apart, and those that were torn."""
    raw = memoryview(memory.scatter([address for _, address in chosen], geometry.pool_bytes))
    pools, torn = [], []
    for k, (index, address) in enumerate(chosen):
        words = raw[k * geometry.pool_bytes : (k + 1) * geometry.pool_bytes].cast("Q")
        try:
            pool = parse_pool(words, address, index, geometry, shift, moving)
        except Torn:
            torn.append((index, address))
            continue
        if pool is not None:
            pools.append(pool)
    return pools, torn


def _shift(memory: Memory, chosen: Sequence[Tuple[int, int]], geometry: Geometry) -> int:
    """Words before each object: two where most pools have the mark of the debugging allocator."""
    pools, _ = _parse_pools(memory, chosen[:_POOLS_AT_ONCE], geometry, 0, False)
    marked = sum(any(value >> 8 == _DEBUG_MARK for value in pool.columns[1]) for pool in pools)
    return _DEBUG_WORDS if 2 * marked > len(pools) else 0


def _regions(mappings: Sequence[Mapping], arenas: Sequence[Arena], arena_bytes: int) -> Set[int]:
    """Numbers of the 64 KiB regions in which types may be: writable memory, except what is wholly arenas."""
    regions: Set[int] = set()
    writable = [m for m in mappings if m.permissions.startswith("rw") and not m.path.startswith("[stack")]
    for mapping in sorted(writable, key=lambda m: m.size):
        numbers = range(mapping.start >> _REGION_BITS, (mapping.end - 1 >> _REGION_BITS) + 1)
        if len(regions) + len(numbers) > _MOST_REGIONS:
            break
        regions.update(numbers)
    for start, end in merged((arena.address, arena.address + arena_bytes) for arena in arenas):
        first = -(-start >> _REGION_BITS)
        regions.difference_update(range(first, end >> _REGION_BITS))
    return regions


def _text(memory: Memory, place: int) -> str:
    """A C string as printable text of at most `NAME_CAP` characters; empty when it is not one."""
    try:
        data = memory.read(place, min(NAME_CAP + 1, _PAGE - place % _PAGE))
        if b"\0" not in data and len(data) <= NAME_CAP:
            data += memory.read(place + len(data), NAME_CAP + 1 - len(data))
    except Torn:
        return ""
    text, end, _ = data.partition(b"\0")
    if not end:
        text = text[:NAME_CAP]
    try:
        return printable(text.decode("utf-8", "strict" if end else "ignore"))[:NAME_CAP]
    except UnicodeDecodeError:
        return ""
