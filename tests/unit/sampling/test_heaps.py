"""Who is looked into, how often, and what becomes of readings that are refused. The process is real, the runtimes are not."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.sampling import heaps as heaps_module
from harness.sampling.details import boot_on_monotonic_ns
from harness.sampling.heaps import Heaps
from harness.sampling.missing import MissingSignals
from harness.sampling.outside.process import Process
from harness.sampling.outside.reader import Reader, TypeCount, Values
from harness.sampling.outside.refusal import Refused, Torn, Unreadable
from harness.sampling.protocol import Identity
from harness.sampling.reading import ProcessFiles
from harness.sampling.sources import pid_stat
from harness.sampling.tree import Followed

SECOND = 1_000_000_000
LATER = 100 * SECOND


class Runtime(Reader):
    """Answers what a test has put there; an exception is raised."""

    runtime = "python"

    def __init__(self) -> None:
        super().__init__()
        self.facts = {"version": "1"}
        self.answers: list[Values | Exception] = []
        self.asked = 0

    def _answer(self) -> Values:
        self.asked += 1
        answer = self.answers.pop(0) if self.answers else {"runtime.python.threads": 1}
        if isinstance(answer, Exception):
            raise answer
        return answer

    def counters(self) -> Values:
        return self._answer()

    def walk(self) -> Values:
        return {"runtime.python.pymalloc.live": 1, **self._answer()}

    def types(self, every: int) -> list[TypeCount]:
        return [TypeCount("dict", 3 * every, 900)]


class World:
    """A `Heaps`, its processes and everything it has said."""

    def __init__(self, budget_ns: float = 10_000_000) -> None:
        self._lines: list[bytes] = []
        missing = MissingSignals(self._lines.append)
        self.heaps = Heaps("/proc", missing, self._lines.append, budget_ns, freeze=False)
        self.runtimes: list[Runtime] = []
        self.processes: list[Followed] = []

    def said(self, kind: str) -> list[dict[str, Any]]:
        return [m for m in map(json.loads, self._lines) if m["k"] == kind]

    def attach(self, now_ns: int = 0, *, everything: bool = True) -> None:
        at_ns = time.monotonic_ns() + LATER + now_ns
        self.heaps.attach(self.processes, at_ns, boot_on_monotonic_ns(), everything)


@pytest.fixture
def sleepers() -> Iterator[list[int]]:
    """Three processes that wait."""
    program = "print('ready', flush=True); input()"
    started = [
        subprocess.Popen([sys.executable, "-I", "-S", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    yield [process.pid for process in started]
    for process in started:
        process.kill()
        process.communicate()


def follow(pid: int, pool: str = "app") -> Followed:
    stat = pid_stat.read("/proc", pid)
    assert stat is not None
    return Followed(Identity(pid, stat.start_ticks), stat, pool, ProcessFiles("/proc", pid, keep=False))


@pytest.fixture
def make(sleepers: list[int], monkeypatch: pytest.MonkeyPatch) -> Callable[..., World]:
    def build(attach: Callable[[World, Process], Reader | None] | None = None, **options: float) -> World:
        world = World(**options)

        def default(world: World, _: Process) -> Reader:
            world.runtimes.append(Runtime())
            return world.runtimes[-1]

        monkeypatch.setattr(heaps_module, "ATTACH", {"python": lambda process: (attach or default)(world, process)})
        world.processes = [follow(pid) for pid in sleepers]
        return world

    return build


def test_a_runtime_is_announced_once_and_read_every_time(make: Callable[..., World]) -> None:
    world = make()
    for _ in range(3):
        world.attach()
    assert [m["pid"] for m in world.said("runtime")] == [p.who.pid for p in world.processes]
    for _ in range(2):
        found = world.heaps.counters(world.processes, 0, everything=True)
        assert {who: v["runtime.python.threads"] for who, v in found.items()} == {p.who: 1 for p in world.processes}
        assert {v["runtime.refused"] for v in found.values()} == {0}


def test_the_young_wait_unless_it_is_a_floor(make: Callable[..., World]) -> None:
    world = make()
    now_ns = time.monotonic_ns()
    world.processes = [follow(p.who.pid) for p in world.processes]
    born_ns = boot_on_monotonic_ns() + world.processes[0].who.start_ticks * 10_000_000
    world.heaps.attach(world.processes[:1], born_ns + SECOND // 2, boot_on_monotonic_ns(), everything=False)
    assert world.said("runtime") == []
    world.heaps.attach(world.processes[:1], born_ns + SECOND // 2, boot_on_monotonic_ns(), everything=True)
    assert len(world.said("runtime")) == 1
    assert now_ns


def test_attaching_is_paid_off_before_the_next(make: Callable[..., World]) -> None:
    def dear(world: World, _: Process) -> Reader:
        end_ns = time.thread_time_ns() + 3_000_000
        while time.thread_time_ns() < end_ns:
            pass
        world.runtimes.append(Runtime())
        return world.runtimes[-1]

    world = make(dear, budget_ns=1_000_000)
    seen = []
    world.attach(everything=False)
    assert world.runtimes == [], "they have done nothing yet"
    for process in world.processes:
        process.stat = process.stat._replace(cpu_ticks=10**6)
    for _ in range(30):
        world.attach(everything=False)
        seen.append(len(world.runtimes))
    assert seen[:6] == [1] * 6, "half of the budget in each sweep pays for 3 ms in six"
    assert seen[-1] == 3


def test_when_counters_are_too_dear_they_are_read_in_turns(make: Callable[..., World]) -> None:
    world = make(budget_ns=0.001)
    world.attach()
    world.heaps.counters(world.processes, 0, everything=True)  # learns what all of them cost
    each = 10 * SECOND  # idle ones are read this often
    sweeps = [set(world.heaps.counters(world.processes, n * each, everything=False)) for n in range(1, 2000)]
    assert all(len(read) <= 1 for read in sweeps)
    assert len(world.heaps.counters(world.processes, 0, everything=True)) == 3, "a floor leaves nothing out"


def test_who_has_done_nothing_is_not_read_again_for_a_while(make: Callable[..., World]) -> None:
    world = make()
    world.attach()
    assert len(world.heaps.counters(world.processes, SECOND, everything=False)) == 3
    assert world.heaps.counters(world.processes, 2 * SECOND, everything=False) == {}
    world.processes[1].stat = world.processes[1].stat._replace(cpu_ticks=10**6)
    assert list(world.heaps.counters(world.processes, 3 * SECOND, everything=False)) == [world.processes[1].who]
    assert len(world.heaps.counters(world.processes, 4 * SECOND, everything=True)) == 3
    assert world.heaps.counters(world.processes, 5 * SECOND, everything=False) == {}
    assert len(world.heaps.counters(world.processes, 14 * SECOND, everything=False)) == 3


def test_a_refused_reading_is_missing_and_counted_and_said_when_it_happens_again(make: Callable[..., World]) -> None:
    world = make()
    world.processes = world.processes[:1]
    world.attach()
    (runtime,) = world.runtimes
    runtime.answers = [Refused("once"), {"runtime.python.threads": 4}, Refused("twice"), Refused("twice")]
    found = [world.heaps.counters(world.processes, 0, everything=True)[world.processes[0].who] for _ in range(4)]
    assert found == [
        {"runtime.refused": 1},
        {"runtime.python.threads": 4, "runtime.refused": 1},
        {"runtime.refused": 2},
        {"runtime.refused": 3},
    ]
    assert [(m["signal"], m["reason"]) for m in world.said("missing")] == [("runtime.python.readings", "twice")]


@pytest.mark.parametrize("value", [1 << 63, (1 << 64) - 1, -(1 << 63)])
def test_a_number_that_nobody_can_hold_is_refused(make: Callable[..., World], value: int) -> None:
    world = make()
    world.processes = world.processes[:1]
    world.attach()
    (runtime,) = world.runtimes
    runtime.answers = [{"runtime.python.threads": 4, "runtime.python.arenas": value}]
    found = world.heaps.counters(world.processes, 0, everything=True)
    assert found == {world.processes[0].who: {"runtime.refused": 1}}


def test_types_of_numbers_that_nobody_can_hold_are_left_out(
    make: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [TypeCount("dict", 1 << 63, 1), TypeCount("list", 1, 1 << 63), TypeCount("set", 2, 400)]
    monkeypatch.setattr(Runtime, "types", lambda _self, _every: rows)
    world = make()
    world.processes = world.processes[:1]
    world.attach()
    walked = {p.who: world.heaps.walk(p, 0) for p in world.processes}
    world.heaps.types(world.processes, walked, 0)
    (said,) = world.said("types")
    assert said["rows"] == [["set", 2, 400]]


def test_a_torn_reading_is_normal_unless_it_goes_on(make: Callable[..., World]) -> None:
    """PHP's counters do not add up for some ms at the end of a request."""
    world = make()
    world.processes = world.processes[:1]
    world.attach()
    (runtime,) = world.runtimes
    for count, said in ((19, 0), (1, 0), (20, 1)):
        runtime.answers = [Torn("not of one moment")] * count + ([{}] if count == 19 else [])
        for _ in range(len(runtime.answers)):
            world.heaps.counters(world.processes, 0, everything=True)
        assert len(world.said("missing")) == said


def test_a_torn_walk_is_tried_again(make: Callable[..., World]) -> None:
    world = make()
    world.processes = world.processes[:1]
    world.attach()
    (runtime,) = world.runtimes
    runtime.answers = [Torn("x"), Torn("x"), {"runtime.python.pymalloc.blocks": 7}]
    values = world.heaps.walk(world.processes[0], 5)
    assert (values["runtime.python.pymalloc.blocks"], values["runtime.refused"]) == (7, 0)
    runtime.answers = [Torn("x")] * 3
    assert world.heaps.walk(world.processes[0], 5) == {"runtime.refused": 1}


@pytest.mark.parametrize(("refusal", "tries"), [(Torn("starting"), 3), (Refused("another build"), 1)])
def test_what_may_be_a_bad_moment_is_tried_again_later(
    make: Callable[..., World], refusal: Refused, tries: int
) -> None:
    attempts = []

    def refuse(_world: World, process: Process) -> Reader | None:
        attempts.append(process.pid)
        raise refusal

    world = make(refuse)
    world.processes = world.processes[:1]
    for second in range(12):
        world.attach(second * SECOND)
    assert len(attempts) == tries
    assert [(m["signal"], m["reason"]) for m in world.said("missing")] == [("runtime.python", str(refusal))]


def test_a_process_that_may_not_be_looked_into_is_asked_once(
    make: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def closed(mount: str, pid: int) -> Process:
        opened.append((mount, pid))
        raise Unreadable("no permission to read its memory")

    monkeypatch.setattr(heaps_module, "Process", closed)
    world = make()
    for second in range(5):
        world.attach(second * SECOND)
    assert len(opened) == 3
    assert [m["signal"] for m in world.said("missing")] == ["runtime.memory"]


def test_after_an_exec_it_is_another_program(make: Callable[..., World]) -> None:
    world = make()
    world.processes = world.processes[:1]
    world.attach()
    process = world.processes[0]
    world.attach()
    assert len(world.runtimes) == 1
    process.stat = process.stat._replace(image=(1, 2))  # where code and stack begin: both move with an exec
    world.attach()
    assert len(world.runtimes) == 2
    assert len(world.said("runtime")) == 2


def test_objects_are_counted_in_two_processes_of_a_pool_and_in_the_same_ones_again(make: Callable[..., World]) -> None:
    world = make()
    world.attach()
    busy = {p.who: p for p in world.processes}
    for position, process in enumerate(world.processes):
        process.stat = process.stat._replace(cpu_ticks=10 * position)
    walked = {who: world.heaps.walk(process, 5) for who, process in busy.items()}
    world.heaps.types(world.processes, walked, 5)
    first = [m["pid"] for m in world.said("types")]
    assert sorted(first) == sorted(p.who.pid for p in world.processes[1:]), "those that did most"
    for position, process in enumerate(world.processes):
        process.stat = process.stat._replace(cpu_ticks=1000 - position)
    world.heaps.types(world.processes, walked, 6)
    assert sorted(m["pid"] for m in world.said("types")[2:]) == sorted(first)


def test_a_heap_that_was_not_walked_is_not_counted(make: Callable[..., World]) -> None:
    world = make()
    world.attach()
    world.heaps.types(world.processes, {}, 5)
    assert world.said("types") == []


def test_nothing_stays_open_of_a_process_that_has_ended(make: Callable[..., World]) -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = open_files()
    world = make()
    world.attach()
    assert open_files() > before
    for process in world.processes:
        world.heaps.forget(process.who)
    assert open_files() == before
    assert world.heaps.counters(world.processes, 0, everything=True) == {}


def test_a_defect_in_a_reader_ends_nothing(make: Callable[..., World]) -> None:
    world = make()
    world.processes = world.processes[:1]
    world.attach()
    (runtime,) = world.runtimes
    runtime.answers = [KeyError("x"), ZeroDivisionError(), RecursionError()]
    for _ in range(3):
        values = world.heaps.counters(world.processes, 0, everything=True)[world.processes[0].who]
        assert set(values) == {"runtime.refused"}
    (missing,) = world.said("missing")
    assert "ZeroDivisionError" in missing["reason"]


def test_a_defect_while_attaching_ends_nothing(make: Callable[..., World]) -> None:
    def broken(_world: World, _process: Process) -> Reader | None:
        raise IndexError

    world = make(broken)
    world.attach()
    (missing,) = world.said("missing")
    assert (missing["signal"], "IndexError" in missing["reason"]) == ("runtime.python", True)
