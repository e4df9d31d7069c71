"""CPython's structures built by hand, for any layout of the table: what a reader of them must find is known."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from memory_dump import DumpedMemory

from harness.sampling.outside.python.arenas import Geometry
from harness.sampling.outside.python.layouts import Layout

RUNTIME, INTERPRETERS, THREADS = 0x10_0000, 0x100_0000, 0x800_0000
_INTERPRETER_BYTES, _THREAD_BYTES = 1 << 16, 1 << 8
ARRAY, SLOT, ARENAS = 0x300_0000, 0x40_0080, 0x4000_0000


@dataclass(frozen=True)
class Collector:
    """One interpreter's collector and number of threads."""

    enabled: int = 1
    thresholds: tuple[int, int, int] = (700, 10, 10)
    counts: tuple[int, int, int] = (1, 2, 3)
    stats: tuple[tuple[int, int, int], ...] = ((11, 12, 13), (21, 22, 23), (31, 32, 33))
    frozen: bool = False
    threads: int = 1


def runtime(layout: Layout, collectors: Sequence[Collector]) -> DumpedMemory:
    """``_PyRuntime`` at `RUNTIME` with its interpreters, the first of them the main one (the last in the list)."""
    offsets = layout.offsets
    memory = DumpedMemory(
        [
            (RUNTIME, bytes(layout.runtime_bytes)),
            (INTERPRETERS, bytes(_INTERPRETER_BYTES * len(collectors))),
            (THREADS, bytes(_THREAD_BYTES * 1024)),
        ]
    )

    def word(address: int, value: int) -> None:
        memory.poke(address, value.to_bytes(8, "little"))

    used = following = 0
    for number, collector in enumerate(collectors):
        at = INTERPRETERS + number * _INTERPRETER_BYTES
        word(at + offsets["interpreter.next"], following)
        following = at
        gc = at + offsets["interpreter.gc"] if "interpreter.gc" in offsets else RUNTIME + offsets["runtime.gc"]
        _write_collector(memory, layout, gc, collector, at + _INTERPRETER_BYTES - 64)
        states = [THREADS + _THREAD_BYTES * (used + k) for k in range(collector.threads)]
        used += collector.threads
        word(at + offsets["interpreter.threads"], states[0] if states else 0)
        for k, state in enumerate(states):
            word(state + offsets["thread.previous"], states[k - 1] if k else 0)
            word(state + offsets["thread.next"], states[k + 1] if k + 1 < len(states) else 0)
            word(state + offsets["thread.interpreter"], at)
    word(RUNTIME + offsets["runtime.interpreters_head"], following)
    return memory


def _write_collector(memory: DumpedMemory, layout: Layout, gc: int, collector: Collector, an_object: int) -> None:
    offsets = layout.offsets
    memory.poke(gc + offsets["gc.enabled"], struct.pack("<i", collector.enabled))
    heads = [gc + offsets["gc.generations"] + 24 * k for k in range(3)]
    for k, head in enumerate(heads):
        memory.poke(head, struct.pack("<QQii", head, head, collector.thresholds[k], collector.counts[k]))
        memory.poke(gc + offsets["gc.stats"] + 24 * k, struct.pack("<3q", *collector.stats[k]))
    if "gc.generation0" in offsets:
        memory.poke(gc + offsets["gc.generation0"], struct.pack("<Q", heads[0]))
    head = gc + offsets["gc.permanent"]
    if collector.frozen:
        memory.poke(an_object, struct.pack("<QQ", head, head | 3))
        memory.poke(head, struct.pack("<QQ", an_object, an_object))
    else:
        memory.poke(head, struct.pack("<QQ", head, head))


def pool(geometry: Geometry, address: int, arena: int, klass: int, blocks: Sequence[bytes | None]) -> bytes:
    """One pool; None is a block on the free list."""
    size = 16 * (klass + 1)
    free = [48 + k * size for k, block in enumerate(blocks) if block is None]
    out = bytearray(geometry.pool_bytes)
    used = len(blocks) - len(free)
    struct.pack_into("<I4xQ16x", out, 0, used, address + free[0] if free else 0)
    struct.pack_into("<4I", out, 32, arena, klass, 48 + len(blocks) * size, geometry.pool_bytes - size)
    for k, block in enumerate(blocks):
        if block is not None:
            out[48 + k * size : 48 + k * size + len(block)] = block
    for here, following in zip(free, [*free[1:], 0], strict=False):
        struct.pack_into("<Q", out, here, address + following if following else 0)
    return bytes(out)


def allocator(
    geometry: Geometry, arenas: Sequence[Sequence[tuple[int, Sequence[bytes | None]]]], shift: int = 0
) -> DumpedMemory:
    """Arenas of pools (class, blocks), the array of them at `ARRAY`, a global that points at it at `SLOT`.

    ``shift``: how far from a pool's boundary the arenas start.
    """
    entries = bytearray(48 * 16)
    pieces = []
    for number, pools in enumerate(arenas):
        address = ARENAS + 2 * number * geometry.arena_bytes + shift
        first = -(-address // geometry.pool_bytes) * geometry.pool_bytes
        total = (address + geometry.arena_bytes - first) // geometry.pool_bytes
        data = bytearray(geometry.arena_bytes)
        empty = 0
        for k, (klass, blocks) in enumerate(pools):
            at = first + k * geometry.pool_bytes
            data[at - address : at - address + geometry.pool_bytes] = pool(geometry, at, number, klass, blocks)
            empty += all(block is None for block in blocks)
        end = first + len(pools) * geometry.pool_bytes
        struct.pack_into("<QQIIQQQ", entries, 48 * number, address, end, total - len(pools) + empty, total, 0, 0, 0)
        pieces.append((address, bytes(data)))
    writable = bytearray(4096)
    struct.pack_into("<QI", writable, SLOT & 0xFFF, ARRAY, 16)
    return DumpedMemory([(SLOT & ~0xFFF, bytes(writable)), (ARRAY, bytes(entries)), *pieces])
