"""Containers of another host, asked for over a connector: this machine, reached as if it were another one."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from harness.errors import TargetError, UsageError
from harness.targets.connectors.choose import connector_to
from harness.targets.connectors.kubectl import KubectlConnector, PodPlace, parse_address
from harness.targets.connectors.local import LocalConnector
from harness.targets.connectors.spec import OUTPUT_CAP_BYTES, Done
from harness.targets.connectors.ssh import SshConnector
from harness.targets.containers import begin_of, find, inside_pid, parse_inspect
from harness.targets.engines.spec import EngineError, NoSuchContainerError
from harness.targets.engines.there import CommandThere, engines_of
from harness.targets.there import life_there, parse, show

ID = "c" * 64


def state(pid: int) -> bytes:
    return json.dumps([{"Id": ID, "Name": "web", "State": {"Running": True, "Pid": pid}, "HostConfig": {}}]).encode()


@dataclass
class Answering(LocalConnector):
    """Gives one answer to whatever is run."""

    done: Done | None
    asked: tuple[str, ...] = ()
    name = "web-1"

    def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 30.0, cap_bytes: int = OUTPUT_CAP_BYTES
    ) -> Done:
        self.asked = tuple(argv)
        if self.done is None:
            raise TargetError("cannot reach web-1 over SSH: no route")
        return self.done


def test_processes_as_one_command_shows_them() -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        shown = show(LocalConnector(), [os.getpid(), process.pid, 4194303])
        assert shown.keys() == {os.getpid(), process.pid}
        one = shown[process.pid]
        assert (one.begin, one.inner) == (begin_of(process.pid), inside_pid(process.pid))
        assert b":/" in one.cgroup
        process.kill()
    assert show(LocalConnector(), []) == {}


def test_no_content_passes_for_another_file() -> None:
    """A process may be called as it likes, line breaks and all."""
    name = b"x\n/proc/2/stat:2 (y) S"
    lines = [b"/proc/1/stat:" + line for line in (b"1 (" + name + b") S 0 " + b"7 " * 17 + b"42 0 0").split(b"\n")]
    data = b"\n".join([*lines, b"/proc/1/status:NSpid:\t1\t9", b"/etc/passwd:x", b"nonsense", b"/proc/1/cgroup:0::/a"])
    shown = parse(data)
    assert shown.keys() == {1}
    assert (shown[1].begin, shown[1].inner, shown[1].cgroup) == (42, 9, b"0::/a")
    assert parse(b"") == {}
    assert parse(b"/proc/3/stat:short")[3].begin is None


@pytest.mark.parametrize("number", [b"1" + b"0" * 20, b"9" * 5000, b"-7", b"1e5"])
def test_numbers_that_no_kernel_says_are_not_known(number: bytes) -> None:
    """They would fit into no run, or make none of it readable."""
    stat = b"/proc/1/stat:1 (x) S 0 " + b"7 " * 17 + number + b" 0"
    [shown] = parse(stat + b"\n/proc/1/status:NSpid:\t1\t" + number).values()
    assert (shown.begin, shown.inner) == (None, None)


def test_a_container_whose_first_process_is_another_one_there_is_not_taken_for_it() -> None:
    found = parse_inspect(state(os.getpid()))
    assert life_there(LocalConnector(), found) is None, "its group is not named after the container"
    group = b"/proc/%d/cgroup:0::/libpod-%s" % (os.getpid(), ID.encode())
    stat = b"/proc/%d/stat:1 (x) S 0 %s 42 0" % (os.getpid(), b"7 " * 17)
    life = life_there(Answering(Done(0, group + b"\n" + stat.replace(b"  ", b" "), b"")), found)
    assert life is not None
    assert (life.pid, life.begin) == (os.getpid(), 42)
    assert life_there(Answering(None), found) is None
    assert life_there(LocalConnector(), replace(found, pid=None)) is None


def test_the_engines_there() -> None:
    connector = Answering(Done(0, state(7), b""))
    podman, docker = engines_of(connector)
    assert (podman.label, docker.label) == ("podman on web-1", "docker on web-1")
    assert parse_inspect(docker.inspect("shop")).pid == 7
    assert connector.asked == ("docker", "container", "inspect", "shop")


@pytest.mark.parametrize(
    ("done", "kind", "said"),
    [
        (Done(127, b"", b"sh: 1: podman: not found"), EngineError, "podman on web-1: is not there"),
        (Done(125, b"", b"Error: no such container shop"), NoSuchContainerError, "no such container shop"),
        (Done(1, b"", b"\x1b[31mpermission denied"), EngineError, r"\?\[31mpermission denied"),
        (Done(2, b"", b""), EngineError, "exit code 2"),
        (None, EngineError, "no route"),
    ],
)
def test_what_an_engine_there_cannot_say(done: Done | None, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        CommandThere(Answering(done), "podman").inspect("shop")


def test_a_container_that_no_engine_there_knows() -> None:
    connector = Answering(Done(125, b"", b"Error: no such container shop"))
    with pytest.raises(TargetError, match=r"the container shop is not found: podman on web-1: .*; docker on web-1"):
        find("shop", engines_of(connector))


def test_the_way_to_a_host_by_its_address() -> None:
    ssh, pod = connector_to("ssh://deploy@web-1"), connector_to("kubectl://kind@shop/web-1/side")
    assert isinstance(ssh, SshConnector)
    assert isinstance(pod, KubectlConnector)
    assert pod.command(["true"]) == [
        "kubectl", "--context=kind", "--namespace=shop", "exec", "--stdin", "--container=side", "web-1", "--", "true",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="no address of a host"):
        connector_to("http://u:secret@web-1")


def test_addresses_of_pods() -> None:
    assert parse_address("kubectl://shop/web-1") == PodPlace("web-1", "shop")
    assert parse_address("kubectl://arn:aws:eks:eu:1:cluster/a@shop/web-1").context == "arn:aws:eks:eu:1:cluster/a"
    for wrong in (
        "web-1",
        "kubectl://web-1",
        "kubectl://a/b/c/d",
        "kubectl://-n/web",
        "kubectl://a/b/",
        "kubectl://--x@a/b",
        "kubectl://@a/b",
    ):
        with pytest.raises(UsageError):
            parse_address(wrong)
