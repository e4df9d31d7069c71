"""Attach by port, pid and pidfile, on real processes."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from processes import free_port

from harness.errors import TargetError
from harness.targets.attach import attached_pids


def test_a_port_means_whoever_listens_on_it() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        assert attached_pids(port=listener.getsockname()[1], pid=None, pidfile=None) == {os.getpid()}


def test_a_port_shared_after_fork_means_the_master() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(write)
            os.read(read, 1)
            os._exit(0)
        try:
            assert attached_pids(port=listener.getsockname()[1], pid=None, pidfile=None) == {os.getpid()}
        finally:
            os.close(write)
            os.close(read)
            os.waitpid(child, 0)


def test_a_pidfile_and_a_pid(tmp_path: Path) -> None:
    (tmp_path / "pid").write_text(f"{os.getpid()}\n")
    assert attached_pids(port=None, pid=None, pidfile=tmp_path / "pid") == {os.getpid()}
    assert attached_pids(port=None, pid=os.getpid(), pidfile=None) == {os.getpid()}


@pytest.mark.parametrize(
    ("content", "says"), [("", "no number"), ("x", "no number"), ("-5", "no pid"), (None, "No such file")]
)
def test_a_pidfile_that_is_none(tmp_path: Path, content: str | None, says: str) -> None:
    if content is not None:
        (tmp_path / "pid").write_text(content)
    with pytest.raises(TargetError, match=says):
        attached_pids(port=None, pid=None, pidfile=tmp_path / "pid")


def test_nobody_there() -> None:
    with pytest.raises(TargetError, match="nobody listens"):
        attached_pids(port=free_port(), pid=None, pidfile=None)
    with pytest.raises(TargetError, match="no process"):
        attached_pids(port=None, pid=2**22 - 1, pidfile=None)
