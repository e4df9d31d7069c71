"""Answers on the socket of an engine, well-formed and not; podman's real ones are in tests/integration/test_containers.py."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.targets.engines import api
from harness.targets.engines.api import ApiEngine
from harness.targets.engines.choose import command_for, engines
from harness.targets.engines.command import CommandEngine
from harness.targets.engines.spec import EngineError, NoSuchContainerError

UPGRADED = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
FRAMES = b"\x01\0\0\0\0\0\0\x03abc\x02\0\0\0\0\0\0\x02no"


def ok(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


class Server:
    """Gives its answers one after the other, a connection each, and keeps what was asked."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.answers: list[bytes] = []
        self.asked: list[bytes] = []
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(self.path)
        self._listening.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._listening.accept()
            except OSError:
                return
            with line, contextlib.suppress(OSError):
                self.asked.append(_request(line))
                line.sendall(self.answers.pop(0))
                line.shutdown(socket.SHUT_WR)
                while line.recv(1 << 16):  # who closes with something unread resets the connection
                    pass

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


def _request(line: socket.socket) -> bytes:
    """Head and body."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += line.recv(1 << 16)
    length = re.search(rb"(?i)\r\nContent-Length: (\d+)", data)
    head, _, _ = data.partition(b"\r\n\r\n")
    while length is not None and len(data) < len(head) + 4 + int(length[1]):
        data += line.recv(1 << 16)
    return data


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., tuple[ApiEngine, Server]]]:
    server = Server(tmp_path / "s")

    def with_answers(*answers: bytes) -> tuple[ApiEngine, Server]:
        server.answers = list(answers)
        return ApiEngine(server.path), server

    yield with_answers
    server.close()


def test_a_name_stays_one_part_of_the_path(make: Callable[..., tuple[ApiEngine, Server]]) -> None:
    engine, server = make(ok(b"{}"))
    assert engine.inspect("a/../b?c") == b"{}"
    assert server.asked[0].startswith(b"GET /v1.40/containers/a%2F..%2Fb%3Fc/json HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        (ok(b'{"message":"No such container: x"}', "404 Not Found"), NoSuchContainerError, "No such container: x"),
        (ok(b'{"message":"a\\u001b[31mb"}', "500 Oops"), EngineError, r"a\?\[31mb"),
        (ok(b"<html>", "502 Bad Gateway"), EngineError, "HTTP 502"),
        (b"", EngineError, "engine at"),
        (b"SSH-2.0-OpenSSH\r\n", EngineError, "engine at"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 300 + b"\r\n", EngineError, "engine at"),
    ],
)
def test_what_is_no_answer(
    make: Callable[..., tuple[ApiEngine, Server]], answer: bytes, error: type[EngineError], said: str
) -> None:
    engine, _ = make(answer)
    with pytest.raises(error, match=said):
        engine.inspect("x")


@pytest.mark.parametrize("begin", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n",
                                   b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"])  # fmt: skip
@pytest.mark.parametrize("drop", [b"1", b"HTTP/1.1 100 Continue\r\n\r\n", b"1\r\nx\r\n"])
def test_an_answer_that_comes_in_drops_has_an_end(
    tmp_path: Path, begin: bytes, drop: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each drop is in time, and all of them are not."""
    monkeypatch.setattr(api, "ASK_S", 0.3)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()

        def drip() -> None:
            line, _ = listening.accept()
            with line, contextlib.suppress(OSError):
                line.sendall(begin)
                while True:
                    line.sendall(drop)
                    time.sleep(0.01)

        dripping = threading.Thread(target=drip)
        dripping.start()
        with pytest.raises(EngineError, match="engine at"):
            ApiEngine(str(tmp_path / "s")).inspect("x")
        dripping.join()


def test_much_is_cut(make: Callable[..., tuple[ApiEngine, Server]]) -> None:
    engine, _ = make(ok(b"x" * 100_000))
    assert engine.archive("x", "/etc", 1000) == b"x" * 1000


def test_a_command(make: Callable[..., tuple[ApiEngine, Server]]) -> None:
    engine, server = make(ok(b'{"Id":"1f"}', "201 Created"), UPGRADED + FRAMES, ok(b'{"ExitCode":3}'))
    ran = engine.run("x", ["a", "b c"], b"", user="0", cap_bytes=100, timeout_s=30)
    assert (ran.code, ran.output, ran.errors) == (3, b"abc", b"no")
    assert b'"Cmd": ["a", "b c"]' in server.asked[0]
    assert b'"User": "0"' in server.asked[0]
    assert server.asked[1].startswith(b"POST /v1.40/exec/1f/start HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ((ok(b"[]", "201 Created"),), "no answer that can be read"),
        ((ok(b'{"Id":5}', "201 Created"),), "no answer that can be read"),
        ((ok(b'{"Id":"1f"}', "201 Created"), b""), "no end of its head"),
        ((ok(b'{"Id":"1f"}', "201 Created"), b"x" * 200_000), "no end of its head"),
        ((ok(b'{"Id":"1f"}', "201 Created"), ok(b'{"message":"is not running"}', "409 Conflict")), "is not running"),
        ((ok(b'{"Id":"1f"}', "201 Created"), UPGRADED, ok(b'{"ExitCode":null}')), "how the command ended"),
        ((ok(b'{"Id":"1f"}', "201 Created"), UPGRADED, ok(b'{"ExitCode":true}')), "how the command ended"),
        ((ok(b'{"Id":"1f"}', "201 Created"), UPGRADED, ok(b'{"ExitCode":1e999}')), "how the command ended"),
        ((ok(b"[" * 100_000, "201 Created"),), "no answer that can be read"),
        ((ok(b"[" * 100_000, "500 Oops"),), "HTTP 500"),
    ],
)
def test_commands_that_go_wrong(
    make: Callable[..., tuple[ApiEngine, Server]], answers: tuple[bytes, ...], said: str
) -> None:
    engine, _ = make(*answers)
    with pytest.raises(EngineError, match=said):
        engine.run("x", ["a"], b"", user=None, cap_bytes=100, timeout_s=30)


def test_a_socket_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="No such file"):
        ApiEngine(str(tmp_path / "nothing")).inspect("x")


def program(path: Path) -> Path:
    path.write_text("#!/bin/sh\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_which_engines_there_are(tmp_path: Path) -> None:
    server = Server(tmp_path / "podman.sock")
    (tmp_path / "podman").mkdir()
    os.link(tmp_path / "podman.sock", tmp_path / "podman" / "podman.sock")
    docker = program(tmp_path / "docker")
    environ = {"PATH": str(tmp_path), "DOCKER_HOST": f"unix://{server.path}", "XDG_RUNTIME_DIR": str(tmp_path)}
    found = engines(environ)
    assert found[:2] == [ApiEngine(server.path), ApiEngine(f"{tmp_path}/podman/podman.sock")]
    assert found[-1] == CommandEngine(str(docker))
    over_ssh = engines({"PATH": str(tmp_path), "DOCKER_HOST": "ssh://deploy@staging"})
    assert ApiEngine("deploy@staging") not in over_ssh, "what is no socket here is left to the command"
    assert over_ssh[-1] == CommandEngine(str(docker))
    server.close()


def test_a_command_that_reaches_the_same_engine(tmp_path: Path) -> None:
    engine = ApiEngine("/run/podman/podman.sock")
    assert command_for(engine, {"PATH": str(tmp_path)}) is None
    path = str(program(tmp_path / "podman"))
    address = "unix:///run/podman/podman.sock"
    assert command_for(engine, {"PATH": str(tmp_path)}) == CommandEngine(path, ("--remote", "--url", address))
    path = str(program(tmp_path / "docker"))
    command = command_for(engine, {"PATH": str(tmp_path)})
    assert command is not None
    assert command.exec_line("x", ["a"]) == [path, "-H", address, "exec", "-i", "x", "a"]
