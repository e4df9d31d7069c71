"""malloc's books read from outside, against what mallinfo2 says inside the same process at the same moment."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from native import compiled
from obedient import Target, running

from harness.sampling.outside.glibc.reader import Glibc, attach
from harness.sampling.outside.process import Process
from harness.sampling.outside.refusal import Refused, Torn, Unreadable

pytestmark = pytest.mark.integration

JEMALLOC = Path(f"/usr/lib/{os.uname().machine}-linux-gnu/libjemalloc.so.2")


class Mallinfo(NamedTuple):
    """The fields of struct mallinfo2 that the program prints."""

    arena: int
    hblkhd: int
    uordblks: int
    fsmblks: int
    fordblks: int
    keepcost: int


def mallinfo(said: list[str]) -> Mallinfo:
    (line,) = said
    return Mallinfo(*map(int, line.split()))


@contextmanager
def reader(pid: int) -> Iterator[Glibc]:
    process = Process("/proc", pid)
    try:
        yield attach(process)
    finally:
        process.close()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled("malloc_states", tmp_path_factory.mktemp("malloc"))


def assert_equal_at_rest(target: Target, glibc: Glibc) -> dict[str, int]:
    """All equalities that the reader's docstring claims."""
    with target.at_rest() as said:
        values = {**glibc.counters(), **glibc.walk()}
    info = mallinfo(said)
    assert values["runtime.glibc.system"] == info.arena
    assert values["runtime.glibc.mmapped"] == info.hblkhd
    assert values["runtime.glibc.used"] == info.uordblks + info.fsmblks
    assert values["runtime.glibc.free"] == info.fordblks - info.fsmblks
    assert values["runtime.glibc.torn"] == 0
    if values["runtime.glibc.arenas"] == 1:
        assert values["runtime.glibc.top"] == info.keepcost
    for name in ("used", "free"):
        parts = [v for k, v in values.items() if k.startswith(f"runtime.glibc.{name}_arena.")]
        assert len(parts) == values["runtime.glibc.arenas"]
        assert sum(parts) == values[f"runtime.glibc.{name}"]
    return values


def test_equal_to_mallinfo2_to_the_byte_in_every_state(program: Path) -> None:
    with running(program) as target:
        target.do("fill")  # a program that has allocated nothing yet has no arena
        with reader(target.pid) as glibc:
            full = assert_equal_at_rest(target, glibc)
            assert full["runtime.glibc.used"] > 30_000_000
            target.do("thin")
            thinned = assert_equal_at_rest(target, glibc)
            assert thinned["runtime.glibc.free"] > 20_000_000
            target.do("large")
            assert assert_equal_at_rest(target, glibc)["runtime.glibc.mmapped"] > 8 << 20
            target.do("threads")  # each leaves two heaps, the first of which ends in a fence
            threads = assert_equal_at_rest(target, glibc)
            assert threads["runtime.glibc.arenas"] > 1
            assert threads["runtime.glibc.used"] > thinned["runtime.glibc.used"] + 100_000_000
            target.do("trim")
            assert_equal_at_rest(target, glibc)
        with reader(target.pid) as again:  # found anew in a process with many arenas
            assert assert_equal_at_rest(target, again)["runtime.glibc.arenas"] == threads["runtime.glibc.arenas"]


def test_fast_bins_count_as_used(program: Path) -> None:
    with running(program, env={"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}) as target:
        target.do("fill", "thin")
        with reader(target.pid) as glibc, target.at_rest() as said:
            values = glibc.walk()
        assert mallinfo(said).fsmblks > 0
        assert values["runtime.glibc.used"] == mallinfo(said).uordblks + mallinfo(said).fsmblks


def test_under_four_threads_that_do_nothing_but_allocate(program: Path) -> None:
    tries = 20
    with running(program) as target:
        target.do("hammer")
        with reader(target.pid) as glibc:
            walks, refused = [], 0
            for _ in range(tries):
                try:
                    walks.append({**glibc.walk(), **glibc.counters()})
                except Torn:
                    refused += 1
            target.do("calm")
            live = assert_equal_at_rest(target, glibc)["runtime.glibc.used"]
    assert refused <= tries // 10
    assert any(values["runtime.glibc.torn"] for values in walks), "nothing was torn, so nothing was tested"
    for values in walks:  # the sizes are drawn anew all the time, so what is live stays the same
        assert values["runtime.glibc.used"] == pytest.approx(live, rel=0.05)


def test_python_and_its_threads() -> None:
    code = """
import ctypes, os, signal, sys, threading
class Info(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]
mallinfo2 = ctypes.CDLL(None).mallinfo2
mallinfo2.restype = Info
kept = [bytearray(2000) for _ in range(5000)]
del kept[::3]
pid, stop, kill = os.getpid(), signal.SIGSTOP, os.kill
print("ready", flush=True)
for line in sys.stdin:
    m = mallinfo2()
    kill(pid, stop)
    print(m.arena, m.hblkhd, m.uordblks, m.fsmblks, m.fordblks, m.keepcost, flush=True)
"""
    with running(sys.executable, "-c", code, env={"PYTHONMALLOC": "malloc"}) as target, reader(target.pid) as glibc:
        with target.at_rest() as said:
            values = {**glibc.counters(), **glibc.walk()}
        # between mallinfo2 and the stop the interpreter makes a few objects of its own
        assert abs(values["runtime.glibc.used"] - mallinfo(said).uordblks - mallinfo(said).fsmblks) < 4096
        assert values["runtime.glibc.system"] == mallinfo(said).arena


def test_another_malloc_is_refused_by_its_name(program: Path) -> None:
    assert JEMALLOC.exists(), "this test needs jemalloc: apt install libjemalloc2"
    reason = "jemalloc is in the maps, its counters cannot be read from outside"
    with (
        running(program, env={"LD_PRELOAD": str(JEMALLOC)}) as target,
        pytest.raises(Refused, match=reason),
        reader(target.pid),
    ):
        pass


def test_musl_and_static_programs_are_refused(tmp_path: Path) -> None:
    musl = compiled("say_ready", tmp_path, compiler="musl-gcc", package="musl-tools")
    with running(musl) as target, pytest.raises(Refused, match="musl"), reader(target.pid):
        pass
    static = compiled("say_ready", tmp_path, "-static")
    with running(static) as target, pytest.raises(Refused, match="static program"), reader(target.pid):
        pass


def test_a_heap_in_pieces_has_counters_and_no_walk(tmp_path: Path) -> None:
    """A mapping right behind the heap keeps brk from growing; malloc takes memory from elsewhere."""
    program = compiled("blocked_brk", tmp_path)
    with running(program) as target, reader(target.pid) as glibc:
        assert glibc.counters()["runtime.glibc.system"] > 30_000_000
        with pytest.raises(Refused, match="several pieces"):
            glibc.walk()


def test_after_the_process_has_gone_nothing_is_read(program: Path) -> None:
    with running(program) as target:
        target.do("fill")
        with reader(target.pid) as glibc:
            target.process.kill()
            target.process.wait()
            with pytest.raises(Unreadable):
                glibc.counters()
            with pytest.raises(Unreadable):
                glibc.walk()
