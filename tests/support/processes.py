"""Helpers for tests that start real processes: free ports, marked process trees, waiting without sleeping blindly."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from harness.plugins import ports

MARK = "HARNESS_TEST_MARK"
DEADLINE_S = 100.0  # for what takes a second on an idle machine; it only decides how late a failure is told

_held: list[socket.socket] = []


def free_port() -> int:
    """A TCP port on loopback that nobody listens on and no connection gets by itself, given to no other test here, nor in other
    test processes on this machine until this one ends."""
    while True:
        port = ports.free_port()
        claimed = claim(f"port-{port}")
        if claimed is not None:
            _held.append(claimed)
            return port


@contextmanager
def alone(what: str) -> Iterator[None]:
    """While no other test process on this machine is: for scenarios that listen on a port of their own choice."""
    while (claimed := claim(what)) is None:
        time.sleep(0.2)  # pytest's time limit ends it
    with claimed:
        yield


def claim(name: str) -> socket.socket | None:
    """A name in the abstract namespace of Unix sockets, which belongs to a network namespace as ports do. The kernel forgets it
    with the process; None: somebody has it."""
    claimed = socket.socket(socket.AF_UNIX)
    try:
        claimed.bind(f"\0harness-test-{name}")
    except OSError:
        claimed.close()
        return None
    return claimed


def wait_for(condition: Callable[[], object], what: str, seconds: float = DEADLINE_S) -> None:
    """Poll until true; AssertionError naming ``what`` after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)


def marked(mark: str) -> dict[int, str]:
    """Living processes that carry the mark in their environment: pid -> command line."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if f"{MARK}={mark}".encode() not in (entry / "environ").read_bytes().split(b"\0"):
                continue
            if (entry / "stat").read_bytes().rpartition(b")")[2].split()[0] in (b"Z", b"X"):
                continue
            found[int(entry.name)] = (
                (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            )
        except OSError:
            continue
    return found


@dataclass
class Harness:
    """A running ``harness`` command whose whole process tree can be found again."""

    process: subprocess.Popen[str]
    mark: str
    stderr_lines: list[str] = field(default_factory=list)

    def tree(self) -> dict[int, str]:
        """Everything it started that is alive, itself included."""
        return marked(self.mark)

    def pid_of(self, text: str) -> int:
        """The pid of the one process of ours whose command line contains ``text``."""
        found = [pid for pid, cmdline in self.tree().items() if text in cmdline]
        assert len(found) == 1, f"{text!r}: {self.tree()}"
        return found[0]

    def read_until(self, text: str) -> str:
        """Read progress until a line contains ``text``."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.stderr_lines.append(line)
            if text in line:
                return line
        raise AssertionError(f"progress ended before {text!r}:\n{''.join(self.stderr_lines)}")

    def finish(self, seconds: float = 250.0) -> tuple[int, str, str]:
        """Wait for the end: exit code, stdout, all of stderr."""
        out, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, out, "".join(self.stderr_lines) + err

    def assert_nothing_left(self) -> None:
        """No process of the tree is alive."""
        wait_for(lambda: not self.tree(), f"all processes to end, left: {self.tree()}")


@contextmanager
def harness(
    *arguments: str | Path, cwd: Path, env: dict[str, str] | None = None, program: list[str] | None = None
) -> Iterator[Harness]:
    """Run ``harness ARGUMENTS``; whatever is left of its tree is killed at the end.

    ``program``: Python arguments that start it in another way.
    """
    mark = secrets.token_hex(8)
    path = (
        f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin:/sbin"  # where gunicorn, php-fpm and nginx are
    )
    environment = {**os.environ, "PATH": path, MARK: mark, **(env or {})}
    command = [sys.executable, *(program or ["-m", "harness"]), *map(str, arguments)]
    process = subprocess.Popen(
        command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield Harness(process, mark)
    finally:
        for pid in marked(mark):
            with suppress(OSError):
                os.kill(pid, 9)
        if process.poll() is None:
            process.wait(DEADLINE_S)
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()
