"""The guard against programs that do not want to go. Everything is real processes and a real clock."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.targets import guard as guard_module
from harness.targets.own_cgroup import OwnCgroup

LADDER = [[2, 0.5], [15, 0.5], [9, 2]]


class Guard:
    """Speaks the guard's protocol from the other end."""

    def __init__(self, argv: list[str], output: Path, cwd: str = "/", env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "harness.targets.guard"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self.send(argv=argv, env=env or dict(os.environ), cwd=cwd, output=str(output), ladder=LADDER)

    def send(self, **message: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        message: dict[str, Any] = json.loads(self.process.stdout.readline())
        return message


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "target.log"


@pytest.fixture
def guards() -> Iterator[list[Guard]]:
    started: list[Guard] = []
    yield started
    for guard in started:
        assert guard.process.stdin is not None
        guard.process.stdin.close()
        assert guard.process.wait(100) is not None
        assert guard.process.stdout is not None
        guard.process.stdout.close()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


def wait_for(condition: Any, what: str) -> None:
    deadline = time.monotonic() + 100
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def pids_in(path: Path, count: int) -> list[int]:
    wait_for(lambda: path.exists() and len(path.read_text().split()) >= count, f"{count} pids in {path}")
    return [int(word) for word in path.read_text().split()]


def test_a_program_that_ends_is_reported_with_its_code_and_output(output: Path, guards: list[Guard]) -> None:
    guard = Guard(["sh", "-c", "echo hello; pwd; exit 3"], output)
    guards.append(guard)
    assert guard.line()["k"] == "started"
    assert guard.line() == {"k": "exited", "code": 3, "signal": None, "left": []}
    assert output.read_text() == "hello\n/\n"
    assert output.stat().st_mode & 0o077 == 0


def test_a_group_that_could_not_be_entered_is_not_claimed(output: Path, tmp_path: Path) -> None:
    gone = OwnCgroup(tmp_path / "harness-gone")
    pid, outside = guard_module._spawn(["sh", "-c", "echo ran"], dict(os.environ), "/", str(output), gone)
    assert os.waitpid(pid, 0)[1] == 0
    assert output.read_text() == "ran\n"
    assert outside == "No such file or directory"
    gone.path.mkdir()
    (gone.path / "cgroup.procs").touch()
    pid, outside = guard_module._spawn(["true"], dict(os.environ), "/", str(output), gone)
    assert os.waitpid(pid, 0)[1] == 0
    assert outside == ""
    with pytest.raises(FileNotFoundError):
        guard_module._spawn(["/nonexistent/program"], {}, "/", str(output), OwnCgroup(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("argv", "cwd", "says"),
    [
        (["/nonexistent/program"], "/", "/nonexistent/program: No such file"),
        (["sh"], "/nonexistent", "No such file"),
        (["/etc/passwd"], "/", "Permission denied"),
    ],
)
def test_what_cannot_be_started_is_said(
    argv: list[str], cwd: str, says: str, output: Path, guards: list[Guard]
) -> None:
    guard = Guard(argv, output, cwd)
    guards.append(guard)
    message = guard.line()
    assert message["k"] == "failed"
    assert says in message["text"]


STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN)
code = "import signal,time; [signal.signal(n, signal.SIG_IGN) for n in (2, 15)]; print(flush=True); time.sleep(1000)"
same_group = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
own_session = subprocess.Popen([sys.executable, "-c", code], start_new_session=True, stdout=subprocess.PIPE)
same_group.stdout.readline(); own_session.stdout.readline()
if os.fork() == 0:                       # a daemon: setsid, fork again, first child leaves
    os.setsid()
    if os.fork():
        os._exit(0)
    with open(sys.argv[1] + ".tmp", "w") as file:
        file.write(f"{same_group.pid} {own_session.pid} {os.getpid()} {sys.argv[2]}")
    os.rename(sys.argv[1] + ".tmp", sys.argv[1])
    time.sleep(1000)
time.sleep(1000)
"""


@pytest.mark.parametrize("how", ["stop", "end of file", "guard killed"])
def test_nothing_is_left_of_a_stubborn_family(how: str, output: Path, tmp_path: Path, guards: list[Guard]) -> None:
    guard = Guard([sys.executable, "-c", STUBBORN, str(tmp_path / "pids"), "1"], output)
    guards.append(guard)
    main = guard.line()["pid"]
    family = [main, *pids_in(tmp_path / "pids", 3)[:3]]
    assert all(alive(pid) for pid in family)
    assert guard.process.stdin is not None
    if how == "guard killed":
        # The kernel tells the program (SIGTERM), which this one ignores: the session's part is to end the group.
        guard.process.send_signal(signal.SIGKILL)
        guard.process.wait(100)
        os.killpg(main, signal.SIGKILL)
        wait_for(lambda: not alive(main), "the program to end")
        for pid in family[1:]:
            if alive(pid):
                os.kill(
                    pid, signal.SIGKILL
                )  # what escaped the group: the documented limit when the guard itself is killed
        return
    if how == "stop":
        guard.send(cmd="stop")
    else:
        guard.process.stdin.close()
    assert guard.process.wait(100) == 0
    assert not any(alive(pid) for pid in family)


def test_a_polite_program_gets_time_to_say_goodbye(output: Path, guards: list[Guard]) -> None:
    code = "import signal,sys\nsignal.signal(2, lambda *a: sys.exit(7))\nprint('up', flush=True)\nsignal.pause()"
    guard = Guard([sys.executable, "-c", code], output)
    guards.append(guard)
    guard.line()
    wait_for(lambda: "up" in output.read_text(), "the program to start")
    guard.send(cmd="stop")
    assert guard.line()["code"] == 7


def test_a_program_that_daemonises_is_followed_to_its_end(output: Path, tmp_path: Path, guards: list[Guard]) -> None:
    code = """if 1:
        import os, sys, time
        if os.fork():
            os._exit(0)
        os.setsid()
        open(sys.argv[1], "w").write(str(os.getpid()))
        time.sleep(1000)
    """
    guard = Guard([sys.executable, "-c", code, str(tmp_path / "pid")], output)
    guards.append(guard)
    guard.line()
    ended = guard.line()
    daemon = pids_in(tmp_path / "pid", 1)[0]
    assert (ended["code"], ended["left"]) == (0, [daemon])
    guard.send(cmd="stop")
    assert guard.process.wait(100) == 0
    assert not alive(daemon)


def test_secrets_reach_the_program_but_not_the_command_line_of_the_guard(output: Path, guards: list[Guard]) -> None:
    guard = Guard(["sh", "-c", 'printf %s "$SECRET"; sleep 1000'], output, env={**os.environ, "SECRET": "s3cr3t"})
    guards.append(guard)
    guard.line()
    wait_for(lambda: output.read_text() == "s3cr3t", "the program to print")
    assert b"s3cr3t" not in Path(f"/proc/{guard.process.pid}/cmdline").read_bytes()
    assert b"s3cr3t" not in Path(f"/proc/{guard.process.pid}/environ").read_bytes()
