"""An engine by the socket of Docker's API, which podman speaks as well.

Source: Docker Engine API, v1.40: ContainerInspect, ContainerExec, ExecStart and its stream format, ContainerArchive,
PutContainerArchive.
"""

from __future__ import annotations

import http.client
import json
import selectors
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from harness.targets.engines.spec import ANSWER_CAP_BYTES, ASK_S, EngineError, NoSuchContainerError, Ran, short

VERSION = "v1.40"  # Docker 19.03, podman 3
_FRAME = struct.Struct(">BxxxL")  # stream, 3 zero bytes, size
_OUTPUT, _ERRORS = 1, 2
_CHUNK = 1 << 16
_MOST_CODE = 255


class _Line(socket.socket):
    """A unix socket whose talk has an end in time: a drop now and then does not make it longer. Raises TimeoutError."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM)
        self._deadline: float | None = time.monotonic() + timeout_s
        try:
            self._wait_no_longer()
            self.connect(path)
        except BaseException:
            self.close()
            raise

    def _wait_no_longer(self) -> None:
        if self._deadline is None:
            return
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("it takes too long to answer")
        self.settimeout(left_s)

    def take_time(self) -> None:
        """From now on somebody else sees to the time."""
        self._deadline = None

    def recv_into(self, *words: Any, **named: Any) -> int:
        """As `socket.recv_into`, which http.client reads with."""
        self._wait_no_longer()
        return super().recv_into(*words, **named)

    def recv(self, *words: Any) -> bytes:
        """As `socket.recv`."""
        self._wait_no_longer()
        return super().recv(*words)

    def sendall(self, *words: Any) -> None:
        """As `socket.sendall`."""
        self._wait_no_longer()
        super().sendall(*words)


class _Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path
        self._timeout_s = timeout_s

    def connect(self) -> None:
        self.sock = _Line(self._path, self._timeout_s)


@dataclass(frozen=True, slots=True)
class ApiEngine:
    """``socket_path``: where it listens."""

    socket_path: str

    @property
    def label(self) -> str:
        return f"the engine at {self.socket_path}"

    def inspect(self, name: str) -> bytes:
        """See `Engine`."""
        return self._ask("GET", f"/containers/{quote(name, safe='')}/json")

    def run(
        self, name: str, argv: Sequence[str], given: bytes, *, user: str | None, cap_bytes: int, timeout_s: float
    ) -> Ran:
        """See `Engine`."""
        order = {"AttachStdin": True, "AttachStdout": True, "AttachStderr": True, "Tty": False, "Cmd": list(argv)}
        if user is not None:
            order["User"] = user
        made = _object(self._ask("POST", f"/containers/{quote(name, safe='')}/exec", json.dumps(order).encode()))
        identifier = made.get("Id")
        if not isinstance(identifier, str):
            raise EngineError(f"{self.label} gave no answer that can be read")
        output, errors = self._stream(f"/exec/{quote(identifier, safe='')}/start", given, cap_bytes, timeout_s)
        code = _object(self._ask("GET", f"/exec/{quote(identifier, safe='')}/json")).get("ExitCode")
        if type(code) is not int or not 0 <= code <= _MOST_CODE:
            raise EngineError(f"{self.label} does not say how the command ended")
        return Ran(code, output, errors)

    def archive(self, name: str, path: str, cap_bytes: int) -> bytes:
        """See `Engine`."""
        where = f"/containers/{quote(name, safe='')}/archive?{urlencode({'path': path})}"
        return self._ask("GET", where, cap_bytes=cap_bytes)

    def extract(self, name: str, directory: str, archive: bytes) -> None:
        """See `Engine`."""
        where = f"/containers/{quote(name, safe='')}/archive?{urlencode({'path': directory})}"
        self._ask("PUT", where, archive, kind="application/x-tar")

    def _ask(
        self, method: str, path: str, body: bytes | None = None, *, cap_bytes: int = ANSWER_CAP_BYTES,
        kind: str = "application/json",
    ) -> bytes:  # fmt: skip
        connection = _Connection(self.socket_path, ASK_S)
        try:
            connection.request(method, f"/{VERSION}{path}", body, {"Content-Type": kind} if body is not None else {})
            answer = connection.getresponse()
            data = answer.read(cap_bytes)
        except (OSError, http.client.HTTPException) as error:
            raise EngineError(f"{self.label}: {error}") from error
        finally:
            connection.close()
        if answer.status >= 400:
            said = f"{self.label}: {_message(data) or f'HTTP {answer.status}'}"
            raise NoSuchContainerError(said) if answer.status == 404 and "container" in said else EngineError(said)
        return data

    def _stream(self, path: str, given: bytes, cap_bytes: int, timeout_s: float) -> tuple[bytes, bytes]:
        """Start what was prepared and talk to it: the connection becomes its pipes, in frames."""
        deadline = time.monotonic() + timeout_s
        body = b'{"Detach":false,"Tty":false}'
        head = (
            f"POST /{VERSION}{path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        try:
            with _Line(self.socket_path, ASK_S) as line:
                line.sendall(head.encode() + body)
                data = _past_head(line)
                line.take_time()  # what follows takes as long as the command does
                data += _converse(line, given, 2 * cap_bytes + _CHUNK, deadline)
        except TimeoutError as error:
            raise EngineError(f"the command did not end within {timeout_s:g} s") from error
        except OSError as error:
            raise EngineError(f"{self.label}: {error}") from error
        output, errors = _frames(data)
        return output[:cap_bytes], errors[:cap_bytes]


def _converse(line: _Line, given: bytes, cap_bytes: int, deadline: float) -> bytes:
    """Give what is to be given while taking what comes, until the other side has said all; what is beyond the cap is left out.
    Raises TimeoutError, OSError."""
    left, kept = memoryview(given), bytearray()
    line.setblocking(False)
    with selectors.DefaultSelector() as selector:
        selector.register(line, selectors.EVENT_READ | selectors.EVENT_WRITE)
        while True:
            wait_s = deadline - time.monotonic()
            if wait_s <= 0:
                raise TimeoutError
            for _, events in selector.select(wait_s):
                if events & selectors.EVENT_WRITE:
                    left = _give(line, left)
                    if not left:
                        selector.modify(line, selectors.EVENT_READ)
                if events & selectors.EVENT_READ:
                    chunk = line.recv(_CHUNK)
                    if not chunk:
                        return bytes(kept)
                    kept += chunk[: cap_bytes - len(kept)]


def _give(line: socket.socket, left: memoryview) -> memoryview:
    """What is still to be given; nothing once nobody takes any more."""
    try:
        if left:
            left = left[line.send(left[:_CHUNK]) :]
        if not left:
            line.shutdown(socket.SHUT_WR)
    except BlockingIOError:
        return left
    except OSError:
        return left[:0]
    return left


def _past_head(line: _Line) -> bytes:
    """What came after the head of the answer. Raises EngineError when that is no upgrade, OSError."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = line.recv(_CHUNK)
        if not chunk or len(data) > _CHUNK:
            raise EngineError("the engine's answer has no end of its head")
        data += chunk
    head, _, rest = data.partition(b"\r\n\r\n")
    status = head.split(b" ", 2)[1:2]
    if status not in ([b"101"], [b"200"]):
        raise EngineError(_message(rest) or short(head.split(b"\r\n", 1)[0].decode("latin-1")))
    return rest


def _frames(data: bytes) -> tuple[bytes, bytes]:
    """Output and errors, taken apart; the last frame may be cut."""
    found: dict[int, list[bytes]] = {_OUTPUT: [], _ERRORS: []}
    at = 0
    while at + _FRAME.size <= len(data):
        stream, size = _FRAME.unpack_from(data, at)
        at += _FRAME.size
        found.setdefault(stream, []).append(data[at : at + size])
        at += size
    return b"".join(found[_OUTPUT]), b"".join(found[_ERRORS])


def _object(data: bytes) -> dict[str, object]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise EngineError("the engine gave no answer that can be read")
    return value


def _message(data: bytes) -> str:
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        return ""
    return short(str(said.get("message", ""))) if isinstance(said, dict) else ""
