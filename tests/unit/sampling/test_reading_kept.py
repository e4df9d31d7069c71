"""Files held open."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.sampling.reading import Kept, is_own_proc


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_it_says_what_the_file_says_now(tmp_path: Path) -> None:
    path = tmp_path / "stat"
    path.write_text("one")
    kept = Kept(str(path), keep=True)
    before = open_files()
    assert kept.read() == b"one"
    path.write_text("two")
    assert kept.read() == b"two"
    assert open_files() == before + 1
    kept.close()
    assert open_files() == before


@pytest.mark.parametrize("keep", [True, False])
def test_one_descriptor_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: bool) -> None:
    monkeypatch.setattr(Kept, "_left", 0)
    path = tmp_path / "stat"
    path.write_text("one")
    kept = Kept(str(path), keep)
    before = open_files()
    assert [kept.read(), kept.read()] == [b"one", b"one"]
    assert open_files() == before


def test_a_process_that_ended_is_not_another_under_its_pid() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        kept = Kept(f"/proc/{process.pid}/stat", keep=True)
        assert kept.read().startswith(str(process.pid).encode())
        process.kill()
    with pytest.raises(ProcessLookupError) as caught:
        kept.read()
    assert caught.value.errno == errno.ESRCH
    kept.close()


def test_our_own_procfs_and_a_copy_of_one(captured: Path) -> None:
    assert is_own_proc("/proc")
    assert not is_own_proc(str(captured))


def test_as_many_files_as_the_hard_limit_allows() -> None:
    program = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 1000))
from harness.sampling.reading import Kept, allow_many_files
before = Kept._left
allow_many_files()
print(before, Kept._left, *resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["128", "500", "1000", "1000"]
