"""What doctor asks another host, asked of this one: real processes, by the command that goes over the line."""

from __future__ import annotations

import os
import pwd
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from harness.errors import TargetError
from harness.targets.connectors.deploy import NoPython
from harness.targets.connectors.local import LocalConnector
from harness.targets.connectors.peek import Writers, look, writers
from harness.targets.connectors.spec import OUTPUT_CAP_BYTES, Done

WORD = f"kept-{secrets.token_hex(8)}"


@pytest.fixture
def service() -> Iterator[tuple[int, int]]:
    """A listener with one child: its pid and port. ``WORD`` is on its command line."""
    code = (
        "import os,socket,sys\ns=socket.create_server(('127.0.0.1',0))\nif os.fork():\n"
        "    print(s.getsockname()[1],flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, WORD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())
        process.communicate()


def test_a_port_its_processes_and_who_may_look(service: tuple[int, int]) -> None:
    pid, port = service
    looked = look(LocalConnector(), {"port": port})
    assert (looked.why, looked.pid, looked.processes, looked.totals, looked.memory) == (None, pid, 2, 2, 2)
    assert looked.roots == (pid,)
    assert looked.user == pwd.getpwuid(os.geteuid()).pw_name
    assert looked.system == f"Linux {os.uname().release}"
    assert looked.name.startswith("python")


def test_a_text_finds_what_runs_and_not_who_looks(service: tuple[int, int]) -> None:
    pid, _ = service
    looked = look(LocalConnector(), {"match": WORD})
    assert (looked.why, looked.pid, looked.processes) == (None, pid, 2)
    nobody = look(LocalConnector(), {"match": f"no{WORD}"})
    assert nobody.why == f"no process has 'no{WORD}' in its command line"
    assert nobody.processes == 0


def test_pid_pidfile_and_nothing(service: tuple[int, int], tmp_path: Path) -> None:
    pid, _ = service
    (tmp_path / "pid").write_text(f"{pid}\n")
    assert look(LocalConnector(), {"pid": pid}).pid == pid
    assert look(LocalConnector(), {"pidfile": str(tmp_path / "pid")}).pid == pid
    assert look(LocalConnector(), {"pidfile": str(tmp_path / "none")}).why == (
        f"cannot read a pid from {tmp_path}/none: No such file or directory"
    )
    empty = look(LocalConnector(), {})
    assert (empty.why, empty.processes) == (None, 0)


def test_programs_that_are_yet_to_be_started() -> None:
    assert look(LocalConnector(), {"programs": ["sh", sys.executable]}).why is None
    why = look(LocalConnector(), {"programs": ["sh", f"no-{WORD}"]}).why
    assert why is not None
    assert why.startswith(f"there is no program no-{WORD} (PATH is ")


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert look(LocalConnector(), {"port": port}).why == f"nobody listens on port {port}"


class Answers(LocalConnector):
    """A host that says what it likes."""

    def __init__(self, done: Done) -> None:
        self.done = done

    def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 30.0, cap_bytes: int = OUTPUT_CAP_BYTES
    ) -> Done:
        return self.done


@pytest.mark.parametrize("output", [b"", b"Welcome!\n{}", b"[]", b"[" * 100_000, b"\xff", b"7"])
def test_an_answer_that_cannot_be_read(output: bytes) -> None:
    with pytest.raises(TargetError, match="cannot say what runs there: no answer that can be read"):
        look(Answers(Done(0, output, b"")), {})


def test_a_host_that_lies() -> None:
    said = b'{"user": "\\u001b[2J' + b"x" * 500 + b'", "pid": -1, "processes": "many", "memory": 1e400, "totals": true}'
    looked = look(Answers(Done(0, said, b"")), {"pid": 1})
    assert looked.user.startswith("?[2Jxxx")
    assert len(looked.user) == 300
    assert (looked.pid, looked.processes, looked.totals, looked.memory) == (0, 0, 0, 0)


def test_no_python_and_a_shell_that_fails() -> None:
    with pytest.raises(NoPython, match=r"local has no Python 3\.8"):
        look(Answers(Done(43, b"", b"")), {})
    with pytest.raises(TargetError, match="cannot say what runs there: This account is not available"):
        look(Answers(Done(1, b"", b"This account is not available\n")), {})


def test_who_writes_into_a_directory_of_agents(tmp_path: Path, service: tuple[int, int]) -> None:
    pid, _ = service
    name = "python-0123456789abcdef.ndjson"
    (tmp_path / "records").mkdir()
    line = f'{{"k":"boot","rt":"python","pid":{pid},"ppid":1,"t":{time.monotonic_ns()},"version":"3","argv":""}}\n'
    (tmp_path / "records" / name).write_text(line)
    told = writers(LocalConnector(), tmp_path, name, [], [pid], contained=False)
    assert told == Writers(None, len(line), watched=2, inside=1, others=0)
    gone = writers(LocalConnector(), tmp_path / "none", name, [], [pid], contained=False)
    assert gone.why == "No such file or directory"
    lies = b'{"why": "\\u001b[2J", "size": -1, "watched": "x", "inside": 1e9, "others": true}'
    told = writers(Answers(Done(0, lies, b"")), tmp_path, name, [], [], contained=False)
    assert told == Writers("?[2J", 0, 0, 0, 0)
