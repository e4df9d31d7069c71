"""One process: identity, mappings, threads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.sampling.outside.process import Process
from harness.sampling.outside.refusal import Unreadable
from harness.sampling.sources import pid_stat

PROGRAM = """
import os, sys, threading
done = threading.Event()
threading.Thread(target=done.wait, daemon=True).start()
print("ready", flush=True)
sys.stdin.readline()
os.execv("/bin/cat", ["cat"])
"""


@pytest.fixture
def child():
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.communicate()


def same(process: Process) -> bool:
    stat = pid_stat.read("/proc", process.pid)
    assert stat is not None
    return process.same(stat.start_ticks, stat.image)


def test_a_living_process(child: subprocess.Popen[str]) -> None:
    process = Process("/proc", child.pid)
    assert process.executable() == os.path.realpath(sys.executable)
    assert process.tasks() == 2
    assert same(process)
    (program,) = process.images(lambda path: path == process.executable())
    assert process.memory.read(program.segments[0][0], 4) == b"\x7fELF"
    process.close()


def test_another_program_under_the_same_pid(child: subprocess.Popen[str]) -> None:
    process = Process("/proc", child.pid)
    place = process.mappings[0].start
    process.memory.read(place, 8)
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write("go\nready\n")
    child.stdin.flush()
    while Path(f"/proc/{child.pid}/exe").readlink() == Path(sys.executable).resolve():
        pass
    assert not same(process)
    with pytest.raises(Unreadable):
        process.memory.read(place, 8)
    process.close()


def test_a_process_that_has_gone(child: subprocess.Popen[str]) -> None:
    process = Process("/proc", child.pid)
    child.kill()
    child.wait()
    with pytest.raises(Unreadable):
        process.reload()
    with pytest.raises(Unreadable):
        process.tasks()
    assert process.executable() == ""
    process.close()
    with pytest.raises(Unreadable):
        Process("/proc", child.pid)


def test_no_descriptor_left_is_not_a_process_that_has_gone() -> None:
    program = """
import os, resource
from harness.sampling.outside.process import Process
from harness.sampling.outside.refusal import Unreadable
last = os.dup(0)
os.close(last)
for spare in range(3):  # none for stat; one for mem, and so none for maps; enough
    resource.setrlimit(resource.RLIMIT_NOFILE, (last + spare, 1000))
    try:
        Process("/proc", os.getppid()).close()
        print("opened")
    except Unreadable as refusal:
        print(refusal)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    none, one, two = done.stdout.splitlines()
    for said, name in ((none, "stat"), (one, "maps")):
        assert said == f"too many files are open to read /proc/{os.getpid()}/{name}; raise the limit (ulimit -n)"
    assert two == "opened"
