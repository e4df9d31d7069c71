"""Shells of other hosts for adapters; a host that is really another one is in tests/integration/test_places.py."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from harness.errors import TargetError, UsageError
from harness.targets.connectors.local import LocalConnector
from harness.targets.connectors.spec import OUTPUT_CAP_BYTES, Done
from harness.targets.containers import Life, begin_of, parse_inspect
from harness.targets.shells import ContainerShell, HostShell, shell_to
from harness.targets.there import outside_pid

ID = "c" * 64


def test_the_words_of_ssh() -> None:
    """It never asks, takes the user's configuration, and its command comes last."""
    shell = shell_to("ssh://deploy@staging:2222", None)
    assert isinstance(shell, HostShell)
    words = shell.command()
    assert words[0] == "ssh"
    assert words[-6:] == ["-l", "deploy", "-p", "2222", "staging", "sh"]
    assert {"BatchMode=yes", "ControlPath=none"} <= set(words)
    assert not {"-F", "-i"} & set(words)
    assert not any(word.startswith(("StrictHostKeyChecking", "UserKnownHostsFile")) for word in words)
    assert shell.pid_outside(7) == 7
    shell.close()


@pytest.mark.parametrize("name", ["", "-it", "a b", "a;id", "a\n", "$(id)"])
def test_what_is_no_name_of_a_container_gets_no_shell(name: str) -> None:
    with pytest.raises(UsageError, match="no name of a container"):
        shell_to("ssh://staging", name)


@dataclass
class Asked(LocalConnector):
    """A host whose docker knows a container, in this state."""

    state: dict[str, object]
    name = "web-1"

    def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 30.0, cap_bytes: int = OUTPUT_CAP_BYTES
    ) -> Done:
        if argv[0] == "podman":
            return Done(127, b"", b"sh: 1: podman: not found")
        if argv == ["docker", "container", "inspect", "shop"]:
            return Done(0, json.dumps([{"Id": ID, "State": self.state, "HostConfig": {}}]).encode(), b"")
        return super().run(argv, stdin=stdin, timeout_s=timeout_s, cap_bytes=cap_bytes)


def test_a_container_is_entered_by_the_engine_that_knows_it() -> None:
    shell = ContainerShell(Asked({"Running": True, "Pid": os.getpid()}), "shop")
    assert shell.command() == ["docker", "exec", "-i", "-u", "0", "shop", "sh"]
    assert shell.pid_outside(1) is None, "its first process is not the container's: its group is not named after it"
    with pytest.raises(TargetError, match="the container other is not found: podman on web-1: is not there; docker"):
        ContainerShell(Asked({}), "other").command()


def test_a_container_that_does_not_run() -> None:
    with pytest.raises(TargetError, match="the container shop on web-1 does not run") as raised:
        ContainerShell(Asked({"Running": False, "Pid": 0}), "shop").command()
    assert raised.value.hint == "`docker start shop` on web-1"


@pytest.fixture
def space() -> Iterator[Life]:
    """A shell that is the first process of a namespace, and two below it."""
    words = ["unshare", "--pid", "--fork", "--kill-child", "sh", "-c", "sleep 600 & sleep 601 & echo; wait"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        [first] = [int(pid) for pid in children(process.pid)]
        begin = begin_of(first)
        assert begin is not None
        state = parse_inspect(json.dumps({"Id": ID, "State": {"Running": True, "Pid": first}}).encode())
        yield Life(state, first, begin)
        process.kill()


def children(pid: int) -> list[str]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return file.read().split()


def test_what_a_host_calls_a_process_of_a_container(space: Life) -> None:
    """Also where others have the same id: each namespace has a process 1."""
    connector = LocalConnector()
    assert outside_pid(connector, space, 1) == space.pid
    assert sorted(str(outside_pid(connector, space, inner)) for inner in (2, 3)) == sorted(children(space.pid))
    assert outside_pid(connector, space, 4) is None
    assert outside_pid(connector, Life(space.state, 4194303, 0), 1) is None, "its first process has gone"


@pytest.mark.parametrize("said", [b"", b"7", b"7\n8\n", b"7 8\n", b"-7\n", b"1" * 8 + b"\n", b"/proc/7\n"])
def test_an_answer_that_is_not_one_id_is_none(said: bytes, space: Life) -> None:
    @dataclass
    class Saying(LocalConnector):
        def run(
            self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 30.0, cap_bytes: int = OUTPUT_CAP_BYTES
        ) -> Done:
            return Done(0, said, b"")

    assert outside_pid(Saying(), space, 1) is None
