"""Stopping a process for the time of a walk, on real processes: nothing moves meanwhile, and it always goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.sampling.outside.freeze import Frozen
from harness.sampling.outside.process import Process
from harness.sampling.outside.refusal import Unreadable

pytestmark = pytest.mark.integration

CHECKOUT = Path(__file__).parents[2]
BUSY = """
import signal, sys, threading
count = [0] * 4
def spin(k):
    while True: count[k] += 1
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})  # inherited: it is for the main thread, which alone would print
for k in range(4): threading.Thread(target=spin, args=(k,), daemon=True).start()
signal.signal(signal.SIGUSR1, lambda *_: print("caught", flush=True))
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
print("ready", flush=True)
for line in sys.stdin: print(*count, flush=True)
"""


@pytest.fixture
def busy() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as target:
        assert target.stdout is not None
        assert target.stdout.readline() == "ready\n"
        yield target
        target.kill()


def counts(target: subprocess.Popen[str]) -> list[int]:
    assert target.stdin is not None
    assert target.stdout is not None
    target.stdin.write("?\n")
    target.stdin.flush()
    return [int(word) for word in target.stdout.readline().split()]


def cpu_ticks(pid: int) -> tuple[str, ...]:
    return tuple(Path(f"/proc/{pid}/stat").read_text().split()[13:15])


def states(pid: int) -> set[str]:
    return {
        task.joinpath("stat").read_text().rpartition(")")[2].split()[0] for task in Path(f"/proc/{pid}/task").iterdir()
    }


def test_every_thread_stands_still_and_then_goes_on(busy: subprocess.Popen[str]) -> None:
    process = Process("/proc", busy.pid)
    before = counts(busy)
    with Frozen(process) as frozen:
        assert states(busy.pid) == {"t"}
        ticks = cpu_ticks(busy.pid)
        spent = time.process_time_ns()
        while time.process_time_ns() - spent < 50_000_000:  # time in which the target would have used some
            pass
        assert cpu_ticks(busy.pid) == ticks
    assert frozen.paused_ns > 0
    assert "t" not in states(busy.pid)
    while not all(now > then for now, then in zip(counts(busy), before, strict=True)):
        pass  # pytest's own time limit ends a target that does not go on
    process.close()


def test_a_signal_that_arrives_meanwhile_is_delivered_afterwards(busy: subprocess.Popen[str]) -> None:
    process = Process("/proc", busy.pid)
    with Frozen(process):
        os.kill(busy.pid, signal.SIGUSR1)
    assert busy.stdin is not None
    assert busy.stdout is not None
    # A question as well: Python's own handler waits for the interpreter, which may just be entering its read.
    busy.stdin.write("?\n")
    busy.stdin.flush()
    assert "caught\n" in (busy.stdout.readline(), busy.stdout.readline())
    process.close()


def test_when_the_one_who_froze_it_is_killed_the_kernel_lets_it_go_on(busy: subprocess.Popen[str]) -> None:
    program = f"""
import sys
from harness.sampling.outside.freeze import Frozen
from harness.sampling.outside.process import Process
with Frozen(Process("/proc", {busy.pid})):
    print("frozen", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "frozen\n"
        assert states(busy.pid) == {"t"}
        reader.kill()
    assert len(counts(busy)) == 4


def test_a_process_that_is_traced_already_is_refused_and_runs_on(busy: subprocess.Popen[str]) -> None:
    first, second = (
        Process("/proc", busy.pid),
        f"""
from harness.sampling.outside.freeze import Frozen
from harness.sampling.outside.process import Process
from harness.sampling.outside.refusal import Unreadable
try:
    with Frozen(Process("/proc", {busy.pid})): print("frozen")
except Unreadable as refusal: print(refusal)
""",
    )
    with Frozen(first):
        done = subprocess.run([sys.executable, "-c", second], capture_output=True, text=True, check=True, cwd=CHECKOUT)
    assert "debugger" in done.stdout
    assert len(counts(busy)) == 4
    first.close()


def test_a_process_that_has_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as target:
        process = Process("/proc", target.pid)
        target.kill()
    with pytest.raises(Unreadable), Frozen(process):
        raise AssertionError("frozen after its end")
    process.close()
