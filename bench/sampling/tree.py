"""The target: a master with shared memory and pre-forked workers, whose pages are all present. Lives until its stdin closes.

As a program: ``python -I -S tree.py CHILDREN SHARED_MIB INHERITED_MIB PRIVATE_MIB still|changing MARK``. It prints one line
with its pids, master first, when all of it is ready. ``shared`` is one MAP_SHARED block that everybody has touched; ``inherited``
is private memory of the master, copied on write; ``private`` is each worker's own. Huge pages are off, so that a page-table walk
costs the same everywhere. ``changing`` workers do what workers of a web server do to memory: see `Worker`.
"""

from __future__ import annotations

import mmap
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

MIB = 1 << 20
PAGE = mmap.PAGESIZE
STEP_S = 0.05


class Shape(NamedTuple):
    """What a tree looks like."""

    children: int
    shared_mib: int
    inherited_mib: int
    private_mib: int
    changing: bool = False

    @property
    def processes(self) -> int:
        """Master included."""
        return self.children + 1

    def __str__(self) -> str:
        if self.children == 0:
            return f"one process with {self.inherited_mib} MiB"
        text = f"{self.processes} processes, {self.shared_mib} MiB shared, {self.private_mib} MiB private each"
        return f"{text}, {self.inherited_mib} MiB inherited" if self.inherited_mib else text


class Tree(NamedTuple):
    """A running one."""

    pids: tuple[int, ...]  # at the start, master first
    mark: str  # a word in every command line

    @property
    def root(self) -> int:
        """The master's pid."""
        return self.pids[0]


@contextmanager
def running(shape: Shape) -> Iterator[Tree]:
    """A tree for as long as the context lasts."""
    mark = f"harness-bench-{os.getpid()}-{time.monotonic_ns()}"
    kind = "changing" if shape.changing else "still"
    numbers = map(str, (shape.children, shape.shared_mib, shape.inherited_mib, shape.private_mib))
    argv = [sys.executable, "-I", "-S", __file__, *numbers, kind, mark]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as master:
        assert master.stdin is not None
        assert master.stdout is not None
        try:
            pids = tuple(map(int, master.stdout.readline().split()))
            if len(pids) != shape.processes:
                raise RuntimeError("the tree of the benchmark did not start; see above")
            yield Tree(pids, mark)
        finally:
            master.stdin.close()


def block(size_mib: int, flags: int) -> mmap.mmap | None:
    """Memory that nobody has touched yet."""
    if size_mib == 0:
        return None
    made = mmap.mmap(-1, size_mib * MIB, flags)
    made.madvise(mmap.MADV_NOHUGEPAGE)
    return made


def write(memory: mmap.mmap | None, start: int = 0, end: int | None = None) -> None:
    """Make pages present and this process's own (a shared mapping's: everybody's)."""
    if memory is not None:
        for offset in range(start, len(memory) if end is None else end, PAGE):
            memory[offset] = 1


def look(memory: mmap.mmap | None, start: int = 0, end: int | None = None) -> None:
    """Map pages that are present anyway."""
    if memory is not None:
        for offset in range(start, len(memory) if end is None else end, PAGE):
            memory[offset]


class Worker:
    """One worker that changes, by a kind its number decides. Speeds are per second; phases differ between workers.

    0 grows by 512 KiB; 1 saw-tooth: 16 MiB in 8 s, then freed at once; 2 every 6 s 12 MiB more, or back; 3 writes to 512 KiB of
    what it inherited; 4 looks at 2 MiB of shared pages it had not mapped, drops them at the end; 5 every 10 s forks a child that
    writes 8 MiB and lives for 2 s; 6 and 7 idle.
    """

    KINDS = 8

    def __init__(self, number: int, shared: mmap.mmap | None, inherited: mmap.mmap | None) -> None:
        self.kind = number % self.KINDS
        self.phase_s = number * 0.37
        self.shared = shared
        self.inherited = inherited
        self.own = block(256, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.done = 0  # bytes of whatever it works through
        self.child_ends_s = 0.0
        self.child = 0

    def step(self, now_s: float) -> None:
        """Be where a worker of this kind is at this time since its start."""
        at_s = now_s + self.phase_s
        if self.kind == 0:
            self._reach(self.own, int(now_s * MIB / 2))
        elif self.kind == 1:
            self._reach(self.own, int(at_s % 8 * 2 * MIB))
        elif self.kind == 2:
            self._reach(self.own, int(at_s / 6) % 2 * 12 * MIB)
        elif self.kind == 3 and self.inherited is not None:
            self._reach(self.inherited, min(len(self.inherited), int(now_s * MIB / 2)))
        elif self.kind == 4 and self.shared is not None:
            self._map_shared(int(at_s * 2 * MIB) % len(self.shared))
        elif self.kind == 5:
            self._fork(at_s)

    def _reach(self, memory: mmap.mmap | None, size: int) -> None:
        assert memory is not None
        size = size // PAGE * PAGE
        if size < self.done:
            memory.madvise(mmap.MADV_DONTNEED, 0, self.done)
            self.done = 0
        write(memory, self.done, size)
        self.done = size

    def _map_shared(self, size: int) -> None:
        assert self.shared is not None
        size = size // PAGE * PAGE
        if size < self.done:
            self.shared.madvise(mmap.MADV_DONTNEED, 0, self.done)
            self.done = 0
        look(self.shared, self.done, size)
        self.done = size

    def _fork(self, at_s: float) -> None:
        if self.child and at_s >= self.child_ends_s:
            os.waitpid(self.child, 0)
            self.child = 0
        if not self.child and at_s % 10 < 1:
            self.child, self.child_ends_s = os.fork(), at_s + 2.2
            if self.child == 0:
                write(self.own, 0, 8 * MIB)
                time.sleep(2)
                os._exit(0)


def live(children: int, shared_mib: int, inherited_mib: int, private_mib: int, kind: str) -> None:
    """The master's life, and in the children theirs."""
    shared = block(shared_mib, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
    inherited = block(inherited_mib, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    write(shared)
    write(inherited)
    ready, say_ready = os.pipe()
    alive, keep_alive = os.pipe()  # end of file in the children when the master has gone
    pids = [os.getpid()]
    for number in range(children):
        pid = os.fork()
        if pid == 0:
            os.close(keep_alive)
            os.close(0)
            private = block(private_mib, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            write(private)
            look(shared)
            worker = Worker(number, shared, inherited)
            os.write(say_ready, b"x")
            timeout_s = STEP_S if kind == "changing" else None
            start_s = time.monotonic()
            while not select.select([alive], [], [], timeout_s)[0]:
                worker.step(time.monotonic() - start_s)
            os._exit(0)
        pids.append(pid)
    for _ in range(children):
        os.read(ready, 1)
    print(*pids, flush=True)
    sys.stdin.read()
    os.close(keep_alive)
    for pid in pids[1:]:
        os.waitpid(pid, 0)


if __name__ == "__main__":
    live(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
