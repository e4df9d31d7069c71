"""What memray's recordings are made into, without memray: blocks that come and go, stacks of both kinds. The reader itself is run
on real recordings of every Python in the integration tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.python import memray_reader
from adapters.python.memray_reader import Heap, Origins, Ours, Table, joined, replay, thread_of


class Kind(IntEnum):
    """As memray numbers them."""

    PYMALLOC_FREE = 1
    PYMALLOC_MALLOC = 2
    FREE = 5
    MALLOC = 6
    MMAP = 14
    MUNMAP = 15


@dataclass
class Record:
    allocator: Kind
    address: int
    size: int = 0
    tid: int = 1
    stack_id: int = 0
    native_stack_id: int = 0
    native_segment_generation: int = 0
    frames: Sequence[tuple[str, str, int]] = ()

    def stack_trace(self, most: int) -> Sequence[tuple[str, str, int]]:
        return self.frames[:most]


class Recording:
    def __init__(self, records: Sequence[Record]) -> None:
        self._records = records

    def get_allocation_records(self) -> Iterator[Record]:
        return iter(self._records)


def everything(record: Record) -> bool:
    return True


def held(records: Sequence[Record], counts: object = everything) -> list[int]:
    heap = Heap(Kind, counts)
    course = []
    for record in records:
        heap.play(record)
        course.append(heap.held)
    assert sum(block.size for block in heap.blocks()) == heap.held
    return course


def test_blocks_come_and_go() -> None:
    assert held(
        [
            Record(Kind.MALLOC, 100, 10),
            Record(Kind.PYMALLOC_MALLOC, 200, 5),
            Record(Kind.FREE, 100),
            Record(Kind.FREE, 999),  # of a block from before the recording
            Record(Kind.PYMALLOC_MALLOC, 200, 7),  # its free was not recorded
            Record(Kind.PYMALLOC_FREE, 200),
        ]
    ) == [10, 15, 5, 5, 7, 0]


def test_a_mapping_may_go_in_parts() -> None:
    assert held(
        [
            Record(Kind.MMAP, 0x1000, 0x3000),
            Record(Kind.MMAP, 0x8000, 0x1000),
            Record(Kind.MUNMAP, 0x1000, 0x1000),
            Record(Kind.MUNMAP, 0x7000, 0x9000),
            Record(Kind.MUNMAP, 0x20000, 0x1000),
        ]
    ) == [0x3000, 0x4000, 0x3000, 0x2000, 0x2000]


def test_another_threads_free_counts_for_the_block_and_not_for_the_thread() -> None:
    mine = [Record(Kind.MALLOC, 1, 10, tid=1), Record(Kind.MALLOC, 2, 99, tid=2), Record(Kind.FREE, 1, tid=2)]
    assert held(mine, lambda record: record.tid == 1) == [10, 10, 0]


BLOCKS = st.lists(st.tuples(st.booleans(), st.integers(1, 6), st.integers(1, 50), st.integers(1, 2)), max_size=40)


@given(steps=BLOCKS)
def test_the_peak_is_that_of_what_counts(steps: list[tuple[bool, int, int, int]]) -> None:
    records, live, course = [], {}, [0]
    for allocate, address, size, tid in steps:
        place = address + 10 * tid
        if allocate and place not in live:
            live[place] = size
            records.append(Record(Kind.MALLOC, place, size, tid, stack_id=address))
        elif not allocate and live.pop(place, None):
            records.append(Record(Kind.FREE, place, tid=3 - tid))
        course.append(sum(size for at, size in live.items() if at < 20))
    origins = Origins()
    replay(SimpleNamespace(AllocatorType=Kind), Recording(records), lambda record: record.tid == 1, origins)
    rows = [values for _, values in origins.largest()]
    assert sum(row[0] for row in rows) == course[-1]
    assert sum(row[2] for row in rows) == max(course)


def test_the_thread_is_the_one_that_left_the_marks() -> None:
    def block(tid: int, size: int) -> Record:
        return Record(Kind.MALLOC, 1, size, tid)

    marks = [31, 25]
    noise = [block(2, 26), block(2, 32), block(1, 32), Record(Kind.FREE, 1, 26, 2), block(1, 56)]
    frees = (Kind.FREE,)
    assert thread_of(Recording([*noise, block(1, 26)]), marks, frees) == 1
    assert thread_of(Recording(noise), marks, frees) is None


OWN = "/run/python/"
SERVER, AGENT, APP, VIEW = (
    ("serve", "srv.py", 1),
    ("call", OWN + "agent/trigger.py", 2),
    ("app", "a.py", 3),
    ("view", "a.py", 4),
)
EVAL, ALLOC = ("_PyEval", "ceval.c", 5), ("alloc", "n.c", 6)


@pytest.mark.parametrize(
    ("python", "mixed", "expected"),
    [
        ([SERVER, AGENT, APP, VIEW], [EVAL, SERVER, AGENT, EVAL, APP, VIEW, ALLOC], [APP, VIEW, ALLOC]),
        ([SERVER, AGENT, APP, VIEW], [VIEW, ALLOC], [APP, VIEW, ALLOC]),
        ([SERVER, AGENT, APP, APP], [APP, ALLOC], [APP, APP, ALLOC]),
        ([SERVER, AGENT], [EVAL, SERVER, AGENT, ALLOC], [SERVER, AGENT, ALLOC]),
        ([VIEW], [EVAL, VIEW, ALLOC], [VIEW, ALLOC]),
        ([], [EVAL, ALLOC], [EVAL, ALLOC]),
    ],
)
def test_stacks_begin_at_the_application(
    python: list[tuple[str, str, int]], mixed: list[tuple[str, str, int]], expected: list[tuple[str, str, int]]
) -> None:
    assert joined(python, mixed, Ours(OWN).outside(python)) == expected


def test_blocks_of_the_agent_are_known_by_their_innermost_frame() -> None:
    ours = Ours(OWN)
    assert ours.allocated(Record(Kind.MALLOC, 1, 1, stack_id=1, frames=(AGENT, APP)))
    assert not ours.allocated(Record(Kind.MALLOC, 1, 1, stack_id=2, frames=(APP, AGENT)))
    assert not ours.allocated(Record(Kind.MALLOC, 1, 1, stack_id=3))
    assert not Ours("").allocated(Record(Kind.MALLOC, 1, 1, stack_id=1, frames=(AGENT,)))


def test_too_many_frames_become_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memray_reader, "FRAMES", 2)
    table = Table()
    assert [table.number((name, "f.py", 1)) for name in "abcad"] == [0, 1, 2, 0, 2]
    assert table.frames[2][0] == "<more functions>"


def test_a_python_without_memray_says_so_in_its_last_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = subprocess.run(
        [sys.executable, "-I", "-S", memray_reader.__file__, str(tmp_path / "file")],
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'memray'"


_LIMITED = """
import os, resource
from adapters.python.memray_reader import limit
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
if os.geteuid() == 0:  # may raise limits
    os.setuid(65534)
limit(resource.RLIMIT_CPU, 100)
limit(resource.RLIMIT_CORE, 0)
print(*resource.getrlimit(resource.RLIMIT_CPU), *resource.getrlimit(resource.RLIMIT_CORE))
"""


def test_limits_that_are_lower_already_are_kept() -> None:
    done = subprocess.run([sys.executable, "-c", _LIMITED], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["60", "60", "0", "0"]
