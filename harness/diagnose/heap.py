"""What the allocators of a pool's stable workers hold, round by round: exact counters, which know no pages.

Two ways lead to the same numbers (docs/outside.md, docs/python.md): read from outside, and told by an agent. From outside comes
first, for it is of the same instant as the sweep; the agent is asked after it.

What is *live* was asked for and not given back; *committed* was got from the kernel; *held* is the difference: free, but not
the kernel's. None of them says what is resident. Sources: mallinfo2(3), Objects/obmalloc.c, Zend/zend_alloc.c.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from harness.diagnose.gaps import without_gaps
from harness.diagnose.growth import Growth, Yardstick, judge, judge_workers
from harness.diagnose.pool import ARENA_BYTES, PoolView

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# (live, committed) of one allocator, in order of trust. Sums of metrics; all of a row must be there.
_Source = tuple[tuple[str, ...], tuple[str, ...]]
_PYMALLOC: tuple[_Source, ...] = (
    (("runtime.python.pymalloc.live",), ("runtime.python.pymalloc.held",)),
    (("agent.python.pymalloc.live",), ("agent.python.pymalloc.held",)),
)
_ZEND: tuple[_Source, ...] = (
    (("runtime.php.heap.size",), ("runtime.php.heap.real",)),
    (("agent.php.heap.size",), ("agent.php.heap.real",)),
)
_GLIBC: tuple[_Source, ...] = (
    (("runtime.glibc.used", "runtime.glibc.mmapped"), ("runtime.glibc.system", "runtime.glibc.mmapped")),
    (("agent.python.glibc.used", "agent.python.glibc.mmapped"), ("agent.python.glibc.system", "agent.python.glibc.mmapped")),
)  # fmt: skip
_OTHERS: tuple[_Source, ...] = (
    (("agent.python.jemalloc.allocated",), ("agent.python.jemalloc.resident",)),
    (("agent.python.tcmalloc.allocated",), ("agent.python.tcmalloc.heap",)),
)
# Python allocations that went to malloc because they are larger than 512 bytes: all of them less those in pymalloc's pools.
_LARGE_BLOCKS = ("runtime.python.raw_blocks",)
_ALL_BLOCKS, _POOL_BLOCKS = "agent.python.blocks", "agent.python.pymalloc.blocks"
_COUNTER_NOISE = 16 * 1024.0  # bytes that an idle worker's live memory moves by from round to round


@dataclass(frozen=True, slots=True)
class Allocator:
    """One allocator in all stable workers: (workers, rounds) bytes, NaN where a worker could not be read."""

    name: str  # pymalloc, zend, glibc, jemalloc, tcmalloc
    live: Floats
    committed: Floats

    @property
    def held(self) -> Floats:
        """Free, but not given back."""
        return self.committed - self.live


class HeapView:
    """The allocators of a pool. Curves are sums over the stable workers; None where a worker's allocator is not known."""

    def __init__(self, pool: PoolView) -> None:
        self._pool = pool

    @cached_property
    def runtime(self) -> Allocator | None:
        """The language's own allocator."""
        name, sources = ("zend", _ZEND) if self._pool.runtime == "php" else ("pymalloc", _PYMALLOC)
        return self._read(name, sources)

    @cached_property
    def native(self) -> Allocator | None:
        """malloc: glibc's, or what is preloaded in its place."""
        for name, sources in (("jemalloc", _OTHERS[:1]), ("tcmalloc", _OTHERS[1:]), ("glibc", _GLIBC)):
            found = self._read(name, sources)
            if found is not None:
                return found
        return None

    @property
    def allocators(self) -> Sequence[Allocator]:
        """Those that are known."""
        return [a for a in (self.runtime, self.native) if a is not None]

    @cached_property
    def complete(self) -> bool:
        """Whether both the runtime's and the C library's allocator are known: only then the live bytes are all there are."""
        return self.native is not None and (self.runtime is not None or self._pool.runtime == "any")

    @cached_property
    def live(self) -> Growth | None:
        """Live bytes of all allocators; None unless all are known."""
        return self._judged([a.live for a in self.allocators]) if self.complete else None

    @cached_property
    def runtime_live(self) -> Growth | None:
        return None if self.runtime is None else self._judged([self.runtime.live])

    @cached_property
    def native_live(self) -> Growth | None:
        return None if self.native is None else self._judged([self.native.live])

    @cached_property
    def held(self) -> Growth | None:
        """Free memory that allocators keep: it may come and go by whole arenas."""
        if not self.complete:
            return None
        total = sum((a.held for a in self.allocators), np.zeros(()))
        return self._judge(total, _COUNTER_NOISE * 4, ARENA_BYTES)

    @cached_property
    def large_blocks(self) -> Growth | None:
        """Python objects and buffers of more than 512 bytes, which malloc holds; a number."""
        matrix = self._pool.counters(_LARGE_BLOCKS)
        if matrix is None:
            every, small = self._pool.counters((_ALL_BLOCKS,)), self._pool.counters((_POOL_BLOCKS,))
            matrix = None if every is None or small is None else every - small
        workers = max(1, len(self._pool.stable))
        if matrix is None:
            return None
        return judge(without_gaps(matrix).sum(axis=0), Yardstick(floor=10 * math.sqrt(workers), quantum=20, doubt=40))

    def _read(self, name: str, sources: Sequence[_Source]) -> Allocator | None:
        for live, committed in sources:
            levels = self._pool.counters(live), self._pool.counters(committed)
            if levels[0] is not None and levels[1] is not None and np.nan_to_num(levels[1]).any():
                return Allocator(name, levels[0], levels[1])
        return None

    def _judged(self, parts: Sequence[Floats]) -> Growth:
        return self._judge(sum(parts, np.zeros(())), _COUNTER_NOISE, _COUNTER_NOISE)

    @property
    def yardstick(self) -> Yardstick:
        """What counts as something for live bytes."""
        return self._yardstick(_COUNTER_NOISE, _COUNTER_NOISE)

    def _yardstick(self, floor: float, quantum: float) -> Yardstick:
        workers = max(1, len(self._pool.stable))
        return Yardstick(floor * math.sqrt(workers), quantum, doubt=4 * quantum, relative=0.0005)

    def _judge(self, levels: Floats, floor: float, quantum: float) -> Growth:
        return judge_workers(without_gaps(levels), self._yardstick(floor, quantum))


def heap_of(pool: PoolView) -> HeapView:
    """The allocators of ``pool``, looked at once."""
    return pool.once("heap", lambda: HeapView(pool))
