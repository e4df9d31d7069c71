"""Processes as a way into their file systems: found by text, told apart, and known by their pid outside."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.php.xdebug.elsewhere.seen_processes import begin_of, pid_outside, pids_matching

WORD = f"elsewhere-{os.getpid()}"


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    words = [sys.executable, "-c", "import sys; print('ready', flush=True); sys.stdin.read()", WORD, "two words"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
        process.kill()


def test_processes_are_found_by_part_of_their_command_line(child: subprocess.Popen[bytes]) -> None:
    assert pids_matching(f"{WORD} two") == [child.pid]
    assert pids_matching(f"{WORD} three") == []


def test_neither_we_nor_what_started_us_match(child: subprocess.Popen[bytes]) -> None:
    ours = Path("/proc/self/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    assert os.getpid() not in pids_matching(ours[:200])
    assert os.getppid() not in pids_matching("")
    assert child.pid in pids_matching("")


def test_the_begin_tells_a_process_from_a_later_one(child: subprocess.Popen[bytes]) -> None:
    begin = begin_of(child.pid)
    assert begin is not None
    assert begin == begin_of(child.pid)
    child.kill()
    child.wait()
    assert begin_of(child.pid) is None


def test_a_pid_of_our_own_namespace_is_the_same(child: subprocess.Popen[bytes]) -> None:
    assert pid_outside(child.pid, child.pid) == child.pid
    assert pid_outside(child.pid, 2**22) is None
    assert pid_outside(2**22, child.pid) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make pid namespaces")
def test_a_pid_of_another_namespace_is_told_by_what_it_is_here() -> None:
    show = "echo ready; read -r _"
    argv = ["unshare", "--pid", "--fork", "--kill-child", "sh", "-c", show]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        (inside,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert pid_outside(int(inside), 1) == int(inside)
        assert pid_outside(int(inside), 4711) is None
        process.kill()


@pytest.mark.parametrize("stat", [b"", b"junk", b"1 (a) b) S 1 1", b"1 (x) " + b"y " * 30])
def test_damaged_files_say_nothing(tmp_path: Path, stat: bytes) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "stat").write_bytes(stat)
    (tmp_path / "7" / "cmdline").write_bytes(b"\xff\0" * 10_000)
    (tmp_path / "7" / "status").write_bytes(b"NSpid:\tx\nPPid:\t\n")
    (tmp_path / "junk").write_bytes(b"")
    assert begin_of(7, tmp_path) is None
    assert pids_matching("php", tmp_path) == []
    assert pids_matching(os.fsdecode(b"\xff "), tmp_path) == [7]
    assert pid_outside(7, 1, tmp_path) is None
