"""The sampler as a process, watching real processes, on this Python and on the oldest one found from 3.8 on."""

from __future__ import annotations

import functools
import itertools
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import DEADLINE_S

pytestmark = pytest.mark.integration

CHECKOUT = Path(__file__).parents[2]
SECOND = 1_000_000_000
MIB = 1 << 20

# Specimens obey one-word commands on stdin and answer each with a line.
PRELUDE = """
import mmap, os, signal, sys
def say(*words): print(*words, flush=True)
def commands():
    for line in sys.stdin: yield line.strip()
"""


@functools.cache
def oldest_python() -> str:
    """The oldest interpreter from 3.8 on that starts on this machine: a 3.8 where there is one, else at worst our own."""
    names = [f"python3.{minor}" for minor in range(8, sys.version_info.minor)]
    for name in names:
        minor = name.removeprefix("python3.")
        managed = map(str, sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python")))
        for candidate in filter(None, [shutil.which(name), *managed]):
            done = subprocess.run([candidate, "-V"], capture_output=True, text=True, check=False)
            if done.stdout.startswith(f"Python 3.{minor}."):  # a version manager's shim may name one it does not have
                return candidate
    return sys.executable


class Sampler:
    """One sampler and everything it has said."""

    def __init__(self, interpreter: str, *argv: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"}
        self.process = subprocess.Popen(
            [interpreter, *(argv or ("-m", "harness.sampling"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd="/",
        )
        self.messages: list[dict[str, Any]] = []
        self._rest = b""
        self._floors = itertools.count(1)

    def start(self, *pids: int, interval_s: float = 0.05, pool: str = "app", **more: object) -> None:
        roots = [{"pid": pid, "pool": pool} for pid in pids]
        self.send(cmd="start", host="", proc="/proc", interval_ns=int(interval_s * SECOND), roots=roots, **more)

    def send(self, **message: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def until(self, condition: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """The first message from now on for which ``condition`` holds."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + DEADLINE_S
        seen = len(self.messages)
        while True:
            for message in self.messages[seen:]:
                seen += 1
                if condition(message):
                    return message
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            data = os.read(self.process.stdout.fileno(), 1 << 20) if ready else b""
            assert data, (
                f"no {what}; {self.process.poll()}, {self.complaint() if self.process.poll() is not None else ''}"
            )
            *lines, self._rest = (self._rest + data).split(b"\n")
            self.messages += [json.loads(line) for line in lines]

    def floor(self) -> dict[str, Any]:
        number = next(self._floors)
        self.send(cmd="floor", id=number)
        return self.until(lambda m: m["k"] == "tick" and m["floor"] == number, f"floor {number}")

    def floor_deep(self, depth: int) -> dict[str, Any]:
        number = next(self._floors)
        self.send(cmd="floor", id=number, depth=depth)
        return self.until(lambda m: m["k"] == "tick" and m["floor"] == number, f"floor {number}")

    def more(self, tick: dict[str, Any], pid: int) -> dict[str, int]:
        """What a sweep said of a process beside its row."""
        names = {m["set"]: m["names"] for m in self.messages if m["k"] == "names"}
        rows = [row for m in self.messages if m["k"] == "more" and m["t"] == tick["t"] for row in m["x"]]
        return next(dict(zip(names[n], values, strict=True)) for p, _, n, values in rows if p == pid)

    def values(self, tick: dict[str, Any], pid: int) -> dict[str, int | None]:
        """The row of a process; KeyError when it is not in the tick."""
        columns = self.messages[0]["columns"]
        return {p: dict(zip(columns, values, strict=True)) for p, _, values in tick["p"]}[pid]

    def finish(self) -> list[dict[str, Any]]:
        """End of file; everything it said."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.until(lambda m: m["k"] == "bye", "bye")
        assert self.process.stdout.read() == b""
        assert self.process.wait(DEADLINE_S) == 0
        assert self.complaint() == ""
        return self.messages

    def complaint(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()


class Specimen:
    """A process of known behaviour."""

    def __init__(self, program: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", PRELUDE + program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self.process.pid
        self.answer("ready")

    def answer(self, expected: str) -> list[str]:
        assert self.process.stdout is not None
        word, *rest = self.process.stdout.readline().split()
        assert word == expected
        return rest

    def tell(self, command: str, expected: str) -> list[str]:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.answer(expected)


def end(process: subprocess.Popen[Any]) -> None:
    """Kill, reap and close the pipes, whatever state the test left it in."""
    process.kill()
    with process:
        pass


@pytest.fixture(params=["this Python", "the oldest"])
def interpreter(request: pytest.FixtureRequest) -> str:
    return sys.executable if request.param == "this Python" else oldest_python()


@pytest.fixture
def sampler(interpreter: str) -> Iterator[Sampler]:
    one = Sampler(interpreter)
    yield one
    end(one.process)


@pytest.fixture
def specimen() -> Iterator[Callable[..., Specimen]]:
    started: list[Specimen] = []

    def start(program: str, *arguments: str) -> Specimen:
        started.append(Specimen(program, *arguments))
        return started[-1]

    yield start
    for one in started:
        end(one.process)


IDLE = "say('ready')\nfor c in commands(): pass\n"
FORKING = """
say('ready')
children = []
for command in commands():
    if command == 'fork':
        back, to = os.pipe()
        pid = os.fork()
        if pid == 0:
            grandchild = os.fork()
            if grandchild == 0:
                os.write(to, b'x')
            signal.pause()
        os.read(back, 1)
        children.append(pid)
        grand = open('/proc/%d/task/%d/children' % (pid, pid)).read().split()
        say('forked', pid, *grand)
    if command == 'kill':
        os.kill(children[-1], 9)
        say('killed')
    if command == 'reap':
        os.waitpid(children[-1], 0)
        say('reaped')
"""


def is_tick(message: dict[str, Any]) -> bool:
    return bool(message["k"] == "tick")


def test_hello_ticks_and_bye(sampler: Sampler, specimen: Callable[..., Specimen]) -> None:
    target = specimen(IDLE)
    before_ns = time.monotonic_ns()
    sampler.start(target.pid)
    for _ in range(5):
        sampler.until(is_tick, "tick")
    messages = sampler.finish()
    assert [messages[0]["k"], messages[-1]["k"]] == ["hello", "bye"]
    assert messages[0]["version"] == 2
    assert messages[0]["clock_ticks"] == os.sysconf("SC_CLK_TCK")
    ticks = [m for m in messages if m["k"] == "tick"]
    (introduction,) = [m for m in messages if m["k"] == "proc"]
    assert (introduction["pid"], introduction["ppid"], introduction["pool"]) == (target.pid, os.getpid(), "app")
    assert introduction["uid"] == os.getuid()
    assert messages[-1]["ticks"] == len(ticks)
    assert before_ns < ticks[0]["t"] < ticks[-1]["end"] < messages[-1]["t"] < time.monotonic_ns()
    for tick in ticks:
        assert tick["t"] <= tick["end"]
        assert tick["floor"] is None
        assert tick["s"]["system.meminfo.MemTotal"] > 0


def test_ticks_lie_on_the_grid(sampler: Sampler, specimen: Callable[..., Specimen]) -> None:
    interval_ns = SECOND // 20
    sampler.start(specimen(IDLE).pid, interval_s=0.05)
    for _ in range(12):
        sampler.until(is_tick, "tick")
    ticks = [m for m in sampler.finish() if m["k"] == "tick"]
    planned = [m["t"] - m["late"] for m in ticks]
    assert {(b - a) % interval_ns for a, b in itertools.pairwise(planned)} == {0}
    passed = [(b - a) // interval_ns - 1 for a, b in itertools.pairwise(planned)]
    assert passed == [m["missed"] for m in ticks[1:]]


def test_birth_is_on_the_monotonic_clock(sampler: Sampler, specimen: Callable[..., Specimen]) -> None:
    before_ns = time.monotonic_ns()
    target = specimen(IDLE)
    after_ns = time.monotonic_ns()
    sampler.start(target.pid)
    born_ns = sampler.until(lambda m: m["k"] == "proc", "introduction")["born"]
    tick_ns = SECOND // os.sysconf("SC_CLK_TCK")
    assert before_ns - 2 * tick_ns <= born_ns <= after_ns


def test_a_forking_tree(sampler: Sampler, specimen: Callable[..., Specimen]) -> None:
    target = specimen(FORKING)
    sampler.start(target.pid)
    sampler.floor()
    child, grandchild = map(int, target.tell("fork", "forked"))
    tick = sampler.floor()
    assert {pid for pid, _, _ in tick["p"]} == {target.pid, child, grandchild}
    introduced = {m["pid"]: m for m in sampler.messages if m["k"] == "proc"}
    assert introduced[grandchild]["ppid"] == child
    assert introduced[child]["t"] <= tick["t"]

    target.tell("kill", "killed")
    with_zombie = sampler.until(lambda m: m["k"] == "exit", "exit of the child")
    assert (with_zombie["pid"], with_zombie["start"]) == (child, introduced[child]["start"])
    tick = sampler.floor()
    assert {pid for pid, _, _ in tick["p"]} == {target.pid, grandchild}  # orphaned, and kept
    target.tell("reap", "reaped")
    sampler.floor()
    messages = sampler.finish()
    os.kill(grandchild, signal.SIGKILL)
    assert [m["pid"] for m in messages if m["k"] == "exit"] == [child]
    assert [m["pid"] for m in messages if m["k"] == "proc"].count(grandchild) == 1


def test_a_root_that_ends(sampler: Sampler, specimen: Callable[..., Specimen]) -> None:
    target = specimen(IDLE)
    sampler.start(target.pid)
    sampler.floor()
    target.process.kill()
    target.process.wait()
    assert sampler.until(lambda m: m["k"] == "exit", "exit")["pid"] == target.pid
    assert sampler.floor()["p"] == []


def test_executing_another_program_is_noticed(sampler: Sampler, specimen: Callable[..., Specimen]) -> None:
    program = f"""
say('ready')
for command in commands():
    os.execv({sys.executable!r}, ['renamed', '-I', '-S', '-c', sys.argv[1], '--password', 'hunter2', command])
"""
    target = specimen(program, PRELUDE + IDLE)
    sampler.start(target.pid)
    first = sampler.until(lambda m: m["k"] == "proc", "introduction")
    target.tell("second-life", "ready")
    second = sampler.until(lambda m: m["k"] == "proc", "second introduction")
    assert (second["pid"], second["start"], second["born"]) == (first["pid"], first["start"], first["born"])
    assert first["cmd"] != second["cmd"]
    assert second["cmd"].startswith("renamed ")
    assert second["cmd"].endswith("--password *** second-life")
    assert "hunter2" not in json.dumps([first, second])


def test_known_allocation(sampler: Sampler, specimen: Callable[..., Specimen]) -> None:
    program = """
say('ready')
for command in commands():
    block = mmap.mmap(-1, 64 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for page in range(0, 64 << 20, 4096): block[page] = 1
    say('allocated')
"""
    target = specimen(program)
    sampler.start(target.pid, interval_s=0.2)
    before = sampler.values(sampler.floor(), target.pid)
    target.tell("allocate", "allocated")
    after = sampler.values(sampler.floor(), target.pid)
    for metric in ("rss", "uss", "pss", "pss_anon"):
        a, b = before[f"process.memory.{metric}"], after[f"process.memory.{metric}"]
        assert a is not None
        assert b is not None
        assert abs(b - a - 64 * MIB) < MIB, metric
    for metric, least in (("process.memory.hwm", 63 * MIB), ("process.faults.minor", 1), ("process.cpu", 0)):
        a, b = before[metric], after[metric]
        assert a is not None
        assert b is not None
        assert b - a >= least, metric


def test_shared_memory_is_shared_out(sampler: Sampler, specimen: Callable[..., Specimen]) -> None:
    program = """
block = mmap.mmap(-1, 32 << 20)
for page in range(0, 32 << 20, 4096): block[page] = 1
back, to = os.pipe()
if os.fork() == 0:
    for page in range(0, 32 << 20, 4096): block[page]
    os.write(to, b'x')
    sys.stdin.buffer.raw.read(1)
    os._exit(0)
os.read(back, 1)
say('ready')
for command in commands(): pass
"""
    target = specimen(program)
    sampler.start(target.pid)
    tick = sampler.floor()
    assert len(tick["p"]) == 2
    for pid, _, _ in tick["p"]:
        values = sampler.values(tick, pid)
        assert values["process.memory.rss"] is not None
        assert values["process.memory.rss"] > 32 * MIB
        assert values["process.memory.pss_shmem"] == pytest.approx(16 * MIB, abs=MIB)


def test_threads_and_open_files(sampler: Sampler, specimen: Callable[..., Specimen]) -> None:
    program = """
import threading
say('ready')
kept = []
for command in commands():
    kept += [os.pipe() for _ in range(10)]
    for _ in range(3): threading.Thread(target=threading.Event().wait, daemon=True).start()
    say('done')
"""
    target = specimen(program)
    sampler.start(target.pid)
    before = sampler.values(sampler.floor(), target.pid)
    target.tell("grow", "done")
    after = sampler.values(sampler.floor(), target.pid)
    assert (before["process.threads"], after["process.threads"]) == (1, 4)
    assert before["process.fds"] is not None
    assert after["process.fds"] == before["process.fds"] + 20


def test_a_floor_is_answered_between_ticks(sampler: Sampler, specimen: Callable[..., Specimen]) -> None:
    sampler.start(specimen(IDLE).pid, interval_s=3600)
    sampler.until(is_tick, "first tick")
    assert [sampler.floor()["floor"] for _ in range(3)] == [1, 2, 3]  # would wait an hour for the next tick
    assert sampler.finish()[-1]["missed"] == 0


def test_roots_added_later_and_several_pools(sampler: Sampler, specimen: Callable[..., Specimen]) -> None:
    first, second = specimen(IDLE), specimen(IDLE)
    sampler.start(first.pid, pool="one")
    sampler.floor()
    sampler.send(cmd="roots", add=[{"pid": second.pid, "pool": "two"}, {"pid": 2**22 + 5, "pool": "nobody"}])
    tick = sampler.floor()
    assert {pid for pid, _, _ in tick["p"]} == {first.pid, second.pid}
    pools = {m["pid"]: m["pool"] for m in sampler.messages if m["k"] == "proc"}
    assert pools == {first.pid: "one", second.pid: "two"}


def test_match_by_command_line(sampler: Sampler, specimen: Callable[..., Specimen]) -> None:
    mark = f"specimen-{os.getpid()}-of-pool"
    early = specimen(IDLE, mark)
    sampler.start()
    sampler.send(cmd="match", pool="www", text=mark)
    assert [pid for pid, _, _ in sampler.floor()["p"]] == [early.pid]
    late = specimen(IDLE, mark)
    sampler.until(lambda m: m["k"] == "proc" and m["pid"] == late.pid and m["pool"] == "www", "the second match")


def test_a_stopped_sampler_owns_up_to_the_gap(sampler: Sampler, specimen: Callable[..., Specimen]) -> None:
    interval_ns = SECOND // 20
    sampler.start(specimen(IDLE).pid, interval_s=0.05)
    sampler.until(is_tick, "tick")
    sampler.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, sampler.process.pid, os.WSTOPPED)
    stopped_ns = time.monotonic_ns()
    while time.monotonic_ns() < stopped_ns + 12 * interval_ns:
        time.sleep(0.01)  # the gap itself, not a wait for something
    sampler.process.send_signal(signal.SIGCONT)
    resumed = sampler.until(lambda m: is_tick(m) and m["t"] > stopped_ns + 12 * interval_ns, "tick after the gap")
    assert resumed["missed"] >= 11
    assert resumed["late"] < interval_ns
    assert sampler.finish()[-1]["missed"] >= 11


def test_stop(sampler: Sampler) -> None:
    sampler.start()
    sampler.send(cmd="stop")
    sampler.until(lambda m: m["k"] == "bye", "bye")
    assert sampler.process.wait(DEADLINE_S) == 0


def test_end_of_file_before_the_start(sampler: Sampler) -> None:
    assert [m["k"] for m in sampler.finish()] == ["hello", "bye"]


def test_ctrl_c_is_not_for_us(sampler: Sampler, specimen: Callable[..., Specimen]) -> None:
    sampler.start(specimen(IDLE).pid)
    sampler.until(is_tick, "tick")
    sampler.process.send_signal(signal.SIGINT)
    sampler.floor()
    sampler.finish()


def test_when_nobody_listens_it_ends_quietly(sampler: Sampler, specimen: Callable[..., Specimen]) -> None:
    sampler.start(specimen(IDLE).pid)
    sampler.until(is_tick, "tick")
    assert sampler.process.stdout is not None
    sampler.process.stdout.close()
    assert sampler.process.wait(DEADLINE_S) == 0
    assert sampler.complaint() == ""


def test_nonsense_is_one_line_and_exit_2(sampler: Sampler) -> None:
    sampler.send(cmd="dance")
    assert sampler.process.wait(DEADLINE_S) == 2
    complaint = sampler.complaint()
    assert "unknown command" in complaint
    assert complaint.count("\n") == 1


def test_a_tree_in_turmoil_is_no_trouble(sampler: Sampler, specimen: Callable[..., Specimen]) -> None:
    """Hundreds of processes that live for less than an interval: every row belongs to a process introduced and not ended."""
    program = """
say('ready')
for command in commands():
    for _ in range(40):
        pids = [os.fork() for _ in range(1)]
        if 0 in pids: os._exit(0)
        [os.waitpid(p, 0) for p in pids]
        batch = []
        for _ in range(10):
            pid = os.fork()
            if pid == 0: os.execv('/bin/true', ['true'])
            batch.append(pid)
        [os.waitpid(p, 0) for p in batch]
    say('calm')
"""
    target = specimen(program)
    sampler.start(target.pid, interval_s=0.005, budget_percent=50)
    sampler.floor()
    target.tell("churn", "calm")
    assert [pid for pid, _, _ in sampler.floor()["p"]] == [target.pid]
    alive: set[tuple[int, int]] = set()
    short_lived = 0
    for message in sampler.finish():
        if message["k"] == "proc":
            alive.add((message["pid"], message["start"]))
        elif message["k"] == "exit":
            short_lived += 1
            alive.remove((message["pid"], message["start"]))
        elif message["k"] == "tick":
            assert {(pid, start) for pid, start, _ in message["p"]} == alive
    assert short_lived > 0
    assert not [m for m in sampler.messages if m["k"] == "missing" and m["signal"].startswith("process.")]


def test_without_permission_it_says_so_and_keeps_what_is_left(interpreter: str) -> None:
    """An unprivileged sampler and a process of root's: us when we are root, else init."""
    program = (
        "import os, sys; from harness.sampling.__main__ import main; "
        "os.getuid() or (os.setgid(65534), os.setuid(65534)); sys.exit(main())"
    )
    pid = os.getpid() if os.getuid() == 0 else 1
    sampler = Sampler(interpreter, "-c", program)
    try:
        sampler.start(pid)
        values = sampler.values(sampler.floor(), pid)
        messages = sampler.finish()
    finally:
        end(sampler.process)
    missing = {m["signal"]: m for m in messages if m["k"] == "missing"}
    assert {"process.memory.pss", "system.slab"} <= set(missing)
    assert "no permission" in missing["process.memory.pss"]["reason"]
    assert "judged on RSS" in missing["process.memory.pss"]["costs"]
    assert values["process.memory.pss"] is None
    assert values["process.memory.rss"] is not None
    assert values["process.memory.rss"] > MIB
    assert values["process.memory.hwm"] is not None
    assert len([m for m in messages if m["k"] == "missing"]) == len(missing)  # each once


def test_own_memory_stays_flat(sampler: Sampler, specimen: Callable[..., Specimen]) -> None:
    """It watches itself through a second pair of eyes: the same rows a target gets."""
    sampler.start(specimen(IDLE).pid, interval_s=0.002, budget_percent=100)
    sampler.floor_deep(2)  # attaches to the runtime, which takes memory once
    watched = []
    for _ in range(4):
        for _ in range(200):
            sampler.until(is_tick, "tick")
        sampler.messages[1:] = []
        status = Path(f"/proc/{sampler.process.pid}/status").read_text()
        watched.append(int(status.split("VmRSS:")[1].split()[0]) * 1024)
    assert watched[-1] - watched[1] < MIB


def root_only(reason: str) -> None:
    """These tests are about what the kernel gives to root alone, and CI runs as root."""
    assert os.geteuid() == 0, reason


def test_a_process_that_comes_and_goes_between_two_sweeps_is_told(
    sampler: Sampler, specimen: Callable[..., Specimen]
) -> None:
    root_only("the kernel's process events are root's")
    program = """
say('ready')
for command in commands():
    pid = os.fork()
    if pid == 0:
        block = mmap.mmap(-1, 64 << 20)
        for at in range(0, 64 << 20, 4096): block[at] = 1
        os._exit(7)
    os.waitpid(pid, 0)
    say('gone', pid)
"""
    target = specimen(program)
    sampler.start(target.pid, interval_s=600, pool="jobs")
    sampler.until(is_tick, "the only sweep of the grid")
    before_ns = time.monotonic_ns()
    (pid,) = target.tell("work", "gone")
    after_ns = time.monotonic_ns()
    sampler.floor()
    born = next(m for m in sampler.messages if m["k"] == "proc" and m["pid"] == int(pid))
    ended = next(m for m in sampler.messages if m["k"] == "exit" and m["pid"] == int(pid))
    assert (born["ppid"], born["pool"], born["uid"]) == (target.pid, "jobs", os.getuid())
    assert before_ns < born["born"] < ended["t"] < after_ns
    assert (ended["code"], ended["signal"]) == (7, None)
    assert 64 * MIB < ended["last"]["process.memory.hwm"] < 96 * MIB


def acknowledgements(listener: socket.socket) -> int:
    """Orders to start or to stop telling of events, by anybody, that the kernel has acknowledged to all who listen."""
    found = 0
    for _ in range(10_000):  # forks and exits of the whole host are among them
        if not select.select([listener], [], [], 0.2)[0]:
            break
        found += struct.unpack_from("<I", listener.recv(1024), 36)[0] == 0
    return found


def test_the_kernel_is_told_that_nobody_listens_any_more(sampler: Sampler, specimen: Callable[..., Specimen]) -> None:
    """Before Linux 6.6 it would make events for nobody until the next boot."""
    root_only("the kernel's process events are root's")
    target = specimen(IDLE)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 11) as listener:
        listener.setsockopt(socket.SOL_SOCKET, 33, 1 << 25)  # SO_RCVBUFFORCE: the events of a busy host
        listener.bind((0, 1))
        sampler.start(target.pid)
        sampler.until(is_tick, "tick")
        assert acknowledgements(listener) >= 1
        sampler.finish()
        assert acknowledgements(listener) >= 1


def test_how_a_followed_process_ended_is_told(sampler: Sampler, specimen: Callable[..., Specimen]) -> None:
    root_only("the kernel's process events are root's")
    program = """
pid = os.fork()
if pid == 0: signal.pause()
say('ready', pid)
for command in commands():
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    say('gone')
"""
    target = specimen(program)
    sampler.start(target.pid, interval_s=600)
    sampler.until(is_tick, "the only sweep of the grid")
    children = [pid for pid, _, _ in sampler.floor()["p"] if pid != target.pid]
    target.tell("kill", "gone")
    sampler.floor()
    ended = next(m for m in sampler.messages if m["k"] == "exit")
    assert [ended["pid"]] == children
    assert (ended["code"], ended["signal"]) == (None, signal.SIGKILL)


def test_inside_a_python_from_outside(sampler: Sampler, specimen: Callable[..., Specimen]) -> None:
    """Everything a deep floor adds, on a process whose truth is known."""
    program = """
class Kept: pass
kept = [Kept() for _ in range(50_000)]
say('ready')
for command in commands():
    import gc
    say('stats', *(s['collections'] for s in gc.get_stats()), sys.getallocatedblocks())
"""
    target = specimen(program)
    sampler.start(target.pid, interval_s=600)
    tick = sampler.floor_deep(3)
    values = sampler.more(tick, target.pid)
    *collections, blocks = map(int, target.tell("stats", "stats"))
    assert [values[f"runtime.python.gc.collections{n}"] for n in range(3)] == collections
    assert abs(values["runtime.python.pymalloc.blocks"] - blocks) < 1000  # what answering took
    assert values["runtime.python.pymalloc.live"] < values["runtime.python.pymalloc.held"]
    assert values["runtime.glibc.used"] > 0
    assert values["process.smaps.heap.pss"] > 0
    types = next(m for m in sampler.messages if m["k"] == "types")
    assert {name: number for name, number, _ in types["rows"]}["Kept"] == 50_000
    runtimes = {m["runtime"] for m in sampler.messages if m["k"] == "runtime"}
    assert runtimes == {"python", "glibc", "native"}
    settings = next(m for m in sampler.messages if m["k"] == "settings")
    assert settings["facts"]["kernel.release"] == os.uname().release


def test_nothing_is_looked_into_unless_asked(sampler: Sampler, specimen: Callable[..., Specimen]) -> None:
    target = specimen("say('ready')\nfor command in commands(): pass\n")
    sampler.start(target.pid, interval_s=600, look=False)
    values = sampler.more(sampler.floor_deep(3), target.pid)
    assert values
    assert not [name for name in values if name.startswith("runtime.")]


def test_a_frozen_walk_says_how_long_the_process_stood(sampler: Sampler, specimen: Callable[..., Specimen]) -> None:
    root_only("stopping a process needs the right to trace it")
    target = specimen("say('ready')\nfor command in commands(): say('still here')\n")
    sampler.start(target.pid, interval_s=600, freeze=True)
    tick = sampler.floor_deep(2)
    (pause,) = [m for m in sampler.messages if m["k"] == "pause"]
    assert (pause["pid"], pause["t"]) == (target.pid, tick["t"])
    assert 0 < pause["paused"] < 10 * SECOND
    assert sampler.more(tick, target.pid)["runtime.python.pymalloc.live"] > 0
    assert target.tell("alive?", "still") == ["here"]
