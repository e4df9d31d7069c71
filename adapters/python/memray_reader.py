"""Reads a recording of memray with the memray that made it: ``PYTHON memray_reader.py FILE [OPTIONS]``, JSON on stdout.

Stands alone, on Python 3.8 and later: recordings of one version of memray cannot be read by another, so this runs under the
target's interpreter, outside the target. The recording is hostile, and memray's parser is C++: limits are set first.

``--packages DIR``... where memray is if not in the interpreter; ``--own DIR``: files below it are the agent's, whose frames
and blocks are left out; ``--marks N,N,N``: sizes that tell the thread of the request, without them all threads count.

The answer: ``memray`` (version), ``records``, ``native``, ``threads``; ``thread_found``; ``peak_exact`` (of this thread alone;
else of the process); ``kept_bytes``, ``kept_blocks``, ``peak_bytes``, ``peak_blocks`` of this thread, ``process_kept_bytes``,
``process_peak_bytes`` of all; ``frames``: [function, file, line]; ``stacks_total``; ``stacks``, largest first: ``frames``
(numbers, outermost first), ``line`` (number of the innermost Python frame, or -1), kept and peak bytes and blocks.
"""

from __future__ import annotations

import argparse
import importlib
import json
import resource
import sys
from typing import Any, Callable, Iterator, Sequence, Tuple

Place = Tuple[str, str, int]  # function, file, line
Record = Any  # memray.AllocationRecord
Counts = Callable[[Record], bool]

STACKS = 5_000
FRAMES = 50_000  # different ones
DEPTH = 200  # the innermost frames of a stack
WHOLE = 100_000  # asked for the whole stack, memray leaves out some of the thread that started it
TEXT = 400
EXACT_RECORDS = 20_000_000  # a second for two millions; beyond that memray's own high-water mark must do
MEMORY_BYTES = 6 << 30
CPU_S = 100


class Block:
    """One live allocation, or all of one origin: ``record`` has the stack."""

    __slots__ = ("blocks", "record", "size")

    def __init__(self, record: Record, size: int, blocks: int) -> None:
        self.record = record
        self.size = size
        self.blocks = blocks


class Heap:
    """What is live in a recording that is played back, record by record."""

    def __init__(self, kinds: Any, counts: Counts) -> None:
        self._frees = {int(kinds.FREE), int(kinds.PYMALLOC_FREE)}
        self._unmap = int(kinds.MUNMAP)
        self._map = int(kinds.MMAP)
        self._counts = counts
        self._blocks: dict[int, Block] = {}
        self._mapped: dict[int, Block] = {}
        self.held = 0

    def play(self, record: Record) -> None:
        """Apply one record; `held` is the number of bytes afterwards."""
        kind = record.allocator
        if kind in self._frees:
            block = self._blocks.pop(record.address, None)
            if block is not None:
                self.held -= block.size
        elif kind == self._unmap:
            self._unmapped(record.address, record.size)
        elif self._counts(record):
            live = self._mapped if kind == self._map else self._blocks
            before = live.get(record.address)
            if before is not None:  # its free was not recorded
                self.held -= before.size
            live[record.address] = Block(record, record.size, 1)
            self.held += record.size

    def _unmapped(self, address: int, size: int) -> None:
        for start, block in list(self._mapped.items()):
            gone = min(start + block.size, address + size) - max(start, address)
            if gone > 0:
                self.held -= gone
                block.size -= gone
                if block.size == 0:
                    del self._mapped[start]

    def blocks(self) -> Iterator[Block]:
        """All live blocks."""
        yield from self._blocks.values()
        yield from self._mapped.values()


class Origins:
    """Sums by stack of this thread, of what is still held and of what was held at the peak."""

    def __init__(self) -> None:
        self._rows: dict[tuple[int, ...], tuple[Record, list[int]]] = {}

    def add(self, record: Record, column: int, size: int, blocks: int) -> None:
        """``column``: 0 for held at the end, 2 for the peak."""
        key = (record.tid, record.stack_id, record.native_stack_id, record.native_segment_generation)
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = (record, [0, 0, 0, 0])
        row[1][column] += size
        row[1][column + 1] += blocks

    def largest(self) -> list[tuple[Record, list[int]]]:
        """[(record, [kept bytes, blocks, peak bytes, blocks])]."""
        return sorted(self._rows.values(), key=lambda row: max(row[1][0], row[1][2]), reverse=True)


class Ours:
    """Which blocks the agent itself allocated: their innermost Python frame is in its directory."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._known: dict[tuple[int, int], bool] = {}

    def allocated(self, record: Record) -> bool:
        key = (record.tid, record.stack_id)
        known = self._known.get(key)
        if known is None:
            top = record.stack_trace(1)
            known = self._known[key] = bool(top) and self.has(top[0])
        return known

    def has(self, frame: Place) -> bool:
        return bool(self._directory) and frame[1].startswith(self._directory)

    def outside(self, python: Sequence[Place]) -> int:
        """How many of a stack's outermost frames are the server's and, up to the application's first one, the agent's."""
        ours = [self.has(frame) for frame in python]
        if True not in ours:
            return 0
        first = ours.index(True)
        return ours.index(False, first) if False in ours[first:] else 0


def joined(python: list[Place], mixed: list[Place], skip: int) -> list[Place]:
    """Python and native frames of a stack (outermost first) without its ``skip`` first Python frames, from both kinds of stack:
    memray leaves the outermost Python frames of the thread that started it out of mixed ones, one too many for us."""
    places: dict[int, int] = {}
    left = len(python) - 1
    for place in range(len(mixed) - 1, -1, -1):
        if left >= 0 and mixed[place] == python[left]:
            places[left] = place
            left -= 1
    if not python:
        return mixed
    return mixed[places[skip] :] if skip in places else python[skip : left + 1] + mixed


def thread_of(reader: Any, marks: Sequence[int], frees: Sequence[int]) -> int | None:
    """The number of the thread that was first to make blocks of these sizes, in this order; None when none did."""
    progress: dict[int, int] = {}
    for record in reader.get_allocation_records():
        step = progress.get(record.tid, 0)
        if (
            record.size == marks[step] + 1 and record.allocator not in frees
        ):  # a bytearray takes a byte more than it holds
            progress[record.tid] = step + 1
            if step + 1 == len(marks):
                return int(record.tid)
    return None


def replay(memray: Any, reader: Any, counts: Counts, origins: Origins) -> None:
    """Fill ``origins`` with what ``counts``: the peak is its own, whatever else there was at the time."""
    heap, peak, at = Heap(memray.AllocatorType, counts), 0, 0
    for number, record in enumerate(reader.get_allocation_records(), 1):
        heap.play(record)
        if heap.held > peak:
            peak, at = heap.held, number
    for block in heap.blocks():
        origins.add(block.record, 0, block.size, block.blocks)
    heap = Heap(memray.AllocatorType, counts)
    if at:
        for number, record in enumerate(reader.get_allocation_records(), 1):
            heap.play(record)
            if number == at:
                break
    for block in heap.blocks():
        origins.add(block.record, 2, block.size, block.blocks)


def summed(reader: Any, counts: Counts, origins: Origins) -> None:
    """Fill ``origins`` from memray's own sums: the peak is that of the whole process."""
    for column, records in (
        (0, reader.get_leaked_allocation_records(merge_threads=False)),
        (2, reader.get_high_watermark_allocation_records(merge_threads=False)),
    ):
        for record in records:
            if counts(record):
                origins.add(record, column, record.size, record.n_allocations)


class Table:
    """Frames by number; of too many the rest is one."""

    def __init__(self) -> None:
        self.frames: list[Place] = []
        self._numbers: dict[Place, int] = {}

    def number(self, frame: Place) -> int:
        function, file, line = frame
        key = (str(function)[:TEXT], str(file)[:TEXT], int(line))
        number = self._numbers.get(key)
        if number is None:
            if len(self.frames) >= FRAMES:
                key = ("<more functions>", "", 0)
                if key in self._numbers:
                    return self._numbers[key]
            number = self._numbers[key] = len(self.frames)
            self.frames.append(key)
        return number


def read(memray: Any, path: str, own: str, marks: Sequence[int]) -> dict[str, Any]:
    """The answer, see above."""
    reader = memray.FileReader(path)
    about = reader.metadata
    kinds = memray.AllocatorType
    frees = (int(kinds.FREE), int(kinds.PYMALLOC_FREE), int(kinds.MUNMAP))
    everything = about.file_format == memray.FileFormat.ALL_ALLOCATIONS
    thread = thread_of(reader, marks, frees) if marks and everything else None
    ours = Ours(own)

    def counts(record: Record) -> bool:
        return (thread is None or record.tid == thread) and not ours.allocated(record)

    origins = Origins()
    exact = everything and about.total_allocations <= EXACT_RECORDS
    if exact:
        replay(memray, reader, counts, origins)
    else:
        summed(reader, counts, origins)
    process_kept = 0
    threads = set()
    for record in reader.get_leaked_allocation_records(merge_threads=False):
        process_kept += record.size
        threads.add(record.tid)
    rows = origins.largest()
    sums = [sum(values[column] for _, values in rows) for column in range(4)]
    table = Table()
    return {
        "memray": memray.__version__,
        "records": about.total_allocations,
        "native": about.has_native_traces,
        "threads": len(threads),
        "thread_found": thread is not None,
        "peak_exact": exact,
        "kept_bytes": sums[0],
        "kept_blocks": sums[1],
        "peak_bytes": sums[2],
        "peak_blocks": sums[3],
        "process_kept_bytes": process_kept,
        "process_peak_bytes": about.peak_memory,
        "stacks_total": len(rows),
        "stacks": [stack(record, values, about.has_native_traces, ours, table) for record, values in rows[:STACKS]],
        "frames": table.frames,
    }


def stack(record: Record, values: Sequence[int], native: bool, ours: Ours, table: Table) -> dict[str, Any]:
    """One row of the answer."""
    python = record.stack_trace(WHOLE)[::-1]
    skip = ours.outside(python)
    frames = joined(python, record.hybrid_stack_trace()[::-1], skip) if native else python[skip:]
    frames = [frame for frame in frames if not ours.has(frame)][-DEPTH:]
    innermost = python[-1] if python and python[-1] in frames else None
    return {
        "frames": [table.number(frame) for frame in frames],
        "line": -1 if innermost is None else table.number(innermost),
        "kept_bytes": values[0],
        "kept_blocks": values[1],
        "peak_bytes": values[2],
        "peak_blocks": values[3],
    }


def limit(what: int, most: int) -> None:
    """Allow at most this much; only root may raise a limit that is lower already."""
    hard = resource.getrlimit(what)[1]
    least = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (least, least))


def main() -> None:
    """The command line; of a problem, the last line of the traceback says what it is."""
    options = argparse.ArgumentParser()
    options.add_argument("file")
    options.add_argument("--packages", action="append", default=[])
    options.add_argument("--own", default="")
    options.add_argument("--marks", default="")
    chosen = options.parse_args()
    limit(resource.RLIMIT_AS, MEMORY_BYTES)
    limit(resource.RLIMIT_CPU, CPU_S)
    limit(resource.RLIMIT_CORE, 0)
    sys.path += chosen.packages
    marks = [int(size) for size in chosen.marks.split(",") if size]
    memray = importlib.import_module("memray")
    sys.stdout.write(json.dumps(read(memray, chosen.file, chosen.own, marks)))


if __name__ == "__main__":
    main()
