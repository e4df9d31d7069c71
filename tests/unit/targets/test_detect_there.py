"""What is written into a scenario for other hosts; they are played by this machine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence

import pytest

from harness.cli.recognising import recognise
from harness.errors import TargetError
from harness.targets.connectors.local import LocalConnector
from harness.targets.connectors.spec import OUTPUT_CAP_BYTES, Done
from harness.targets.detect_there import detect_there


class Host(LocalConnector):
    def __init__(self, name: str) -> None:
        self.name = name


class Bare(Host):
    """Without Python."""

    def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 30.0, cap_bytes: int = OUTPUT_CAP_BYTES
    ) -> Done:
        return Done(43, b"", b"")


def test_what_listens_on_a_port_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = detect_there({"ssh://web-1": Host("web-1")}, ("port", port), None, "http://web-1", recognise)
        assert (found.runtime, found.attach, found.hosts) == ("python", ("port", port), ("ssh://web-1",))
        assert found.url == "http://web-1"
        assert found.found[0].startswith("web-1: ")
        assert f"(pid {os.getpid()})" in found.found[0]
    with pytest.raises(TargetError, match=f"web-1: nobody listens on port {port}") as caught:
        detect_there({"ssh://web-1": Host("web-1")}, ("port", port), None, None, recognise)
    assert "--host ADDRESS" in str(caught.value.hint)


def test_hosts_of_two_runtimes_and_one_without_python() -> None:
    two = {"ssh://web-1": Host("web-1"), "ssh://bare-1": Bare("bare-1")}
    found = detect_there(two, ("pid", os.getpid()), None, None, recognise)
    assert found.runtime == "python"
    assert found.found[1] == "bare-1 has no Python 3.8 or newer: what runs there is not looked for before the run"
    with pytest.raises(TargetError, match="bare-1 has no Python"):
        detect_there({"ssh://bare-1": Bare("bare-1")}, ("port", 1), None, None, recognise)
    with subprocess.Popen(["sleep", "600"]) as sleeper:
        try:
            found = detect_there({"ssh://web-1": Host("web-1")}, ("pid", sleeper.pid), None, None, recognise)
        finally:
            sleeper.kill()
    assert (found.runtime, found.name) == ("any", "sleep")
    assert found.found == (f"web-1: sleep (pid {sleeper.pid}), which no adapter knows: no profilers",)
    php_and_python = iter(["python", "php"])
    hosts = {"ssh://web-1": Host("web-1"), "ssh://web-2": Host("web-2")}
    found = detect_there(hosts, ("pid", os.getpid()), None, None, lambda *_: next(php_and_python))
    assert found.runtime == "any"
    assert "python and php" in found.found[-1]


def test_only_the_first_words_of_a_command_line_come_home() -> None:
    words = [sys.executable, "-c", "import sys; sys.stdin.read()", "--password=hunter2"]
    seen: list[str] = []

    def remember(comm: str, cmdline: str, exe: str) -> str | None:
        seen.append(f"{comm} {cmdline} {exe}")
        return None

    with subprocess.Popen(words, stdin=subprocess.PIPE) as program:
        detect_there({"ssh://web-1": Host("web-1")}, ("pid", program.pid), None, None, remember)
        program.communicate()
    assert "python" in seen[0]
    assert "hunter2" not in seen[0]
