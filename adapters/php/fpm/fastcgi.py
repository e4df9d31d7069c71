"""A small FastCGI client: one request on one connection, over tcp or a unix socket, with a deadline and caps on everything.

What answers is the target, so nothing of the answer is trusted: more than a cap, records out of place or an end that never
comes end the conversation with `FastCgiError`. Source: FastCGI specification 1.0, https://fastcgi-archives.github.io/
"""

from __future__ import annotations

import os
import re
import socket
import struct
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field

from harness.errors import TargetError

BODY_CAP, ERRORS_CAP = 4 << 20, 8192
_VERSION, _RESPONDER, _REQUEST = 1, 1, 1
_BEGIN, _END, _PARAMS, _STDIN, _STDOUT, _STDERR = 1, 3, 4, 5, 6, 7
_RECORD = struct.Struct(">BBHHBx")  # version, type, request, length, padding
_CONTENT_CAP = 0xFFFF
_MOST_HEADERS = 64
_SUN_PATH = 107
_LOOPBACK = {"": "127.0.0.1", "*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # read, not bound to
_PORT = re.compile(r"[0-9]{1,5}\Z")
_HOST_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%a-z]+\]|[A-Za-z0-9_.-]*|\*):(?P<port>[0-9]{1,5})\Z")


class FastCgiError(TargetError):
    """Nobody there, no answer in time, or one that is none. The message is a sentence about the reason."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a FastCGI server listens: ``path`` of a unix socket, else ``host`` and ``port``."""

    host: str = ""
    port: int = 0
    path: str | None = None

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix://{self.path}"
        return f"tcp://[{self.host}]:{self.port}" if ":" in self.host else f"tcp://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Answer:
    """``status`` is the CGI header ``Status``, 200 where there is none; header names are lower case; ``errors``: its stderr."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    errors: str


def listen_address(text: str) -> Address | None:
    """What ``listen`` of a php-fpm pool means: a path, ``port``, or ``host:port`` (an empty host, ``*`` and ``[::]`` stand for
    every address: the loopback one is taken). None for what is neither."""
    if text.startswith("/"):
        return None if "\0" in text else Address(path=text)
    match = _HOST_PORT.match(f":{text}" if _PORT.match(text) else text)
    if match is None or not 0 < int(match["port"]) < 65536:
        return None
    host = match["host"].strip("[]")
    return Address(_LOOPBACK.get(host, host), int(match["port"]))


# --- bytes ----------------------------------------------------------------------------------------------------------


def encode(parameters: Mapping[str, str]) -> bytes:
    """A whole request without a body. Pure. ValueError for parameters that are larger than one record."""
    pairs = b"".join(_pair(os.fsencode(name), os.fsencode(value)) for name, value in parameters.items())
    if len(pairs) > _CONTENT_CAP:
        raise ValueError("the parameters are larger than one record")
    begin = _record(_BEGIN, struct.pack(">HBxxxxx", _RESPONDER, 0))
    return begin + _record(_PARAMS, pairs) + _record(_PARAMS, b"") + _record(_STDIN, b"")


def _pair(name: bytes, value: bytes) -> bytes:
    return (
        b"".join(bytes([n]) if n < 128 else struct.pack(">I", n | 1 << 31) for n in (len(name), len(value)))
        + name
        + value
    )


def _record(kind: int, content: bytes) -> bytes:
    return _RECORD.pack(_VERSION, kind, _REQUEST, len(content), 0) + content


@dataclass(slots=True)
class Decoder:
    """Takes the bytes of an answer as they come; ``ended`` once it is complete. Pure."""

    body_cap: int = BODY_CAP
    ended: bool = False
    _pending: bytearray = field(default_factory=bytearray)
    _output: bytearray = field(default_factory=bytearray)
    _errors: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> None:
        """Raises FastCgiError for what is no answer, and for too much of it."""
        self._pending += data
        while not self.ended and len(self._pending) >= _RECORD.size:
            version, kind, request, length, padding = _RECORD.unpack_from(self._pending)
            if version != _VERSION or kind not in (_END, _STDOUT, _STDERR) or request != _REQUEST:
                raise FastCgiError("what listens there does not speak FastCGI")
            whole = _RECORD.size + length + padding
            if len(self._pending) < whole:
                return
            self._take(kind, bytes(self._pending[_RECORD.size : _RECORD.size + length]))
            del self._pending[:whole]

    def _take(self, kind: int, content: bytes) -> None:
        if kind == _END:
            if len(content) != 8 or content[4] != 0:  # app status, protocol status: complete
                raise FastCgiError("php-fpm refused the request: it is overloaded")
            self.ended = True
        elif kind == _STDOUT:
            self._output += content
            if len(self._output) > self.body_cap:
                raise FastCgiError(f"the answer is larger than {self.body_cap} bytes")
        else:
            self._errors += content[: ERRORS_CAP - len(self._errors)]

    def answer(self) -> Answer:
        """The complete answer. Raises FastCgiError where it has no headers, or is not complete."""
        if not self.ended:
            raise FastCgiError("the answer broke off")
        head, found, body = bytes(self._output).partition(b"\r\n\r\n")
        if not found:
            raise FastCgiError("the answer has no headers")
        headers = {}
        for line in head.split(b"\r\n")[:_MOST_HEADERS]:
            name, _, value = line.decode("utf-8", "replace").partition(":")
            headers[name.strip().lower()] = value.strip()
        status = headers.get("status", "200")[:3]
        errors = self._errors.decode("utf-8", "replace").strip()
        return Answer(int(status) if re.fullmatch("[0-9]{3}", status) else 0, headers, body, errors)


# --- sockets --------------------------------------------------------------------------------------------------------


def ask(address: Address, parameters: Mapping[str, str], timeout_s: float, body_cap: int = BODY_CAP) -> Answer:
    """One request, at most ``timeout_s`` altogether. Raises FastCgiError."""
    deadline = time.monotonic() + timeout_s
    request, decoder = encode(parameters), Decoder(body_cap)
    try:
        with closing(_connected(address, timeout_s)) as connection:
            connection.sendall(request)
            while not decoder.ended:
                connection.settimeout(max(deadline - time.monotonic(), 0.001))
                data = connection.recv(1 << 16)
                if not data:
                    break
                decoder.feed(data)
                if time.monotonic() > deadline:
                    raise TimeoutError
    except TimeoutError as error:
        raise FastCgiError(f"{address} did not answer within {timeout_s:g} s: all workers are busy") from error
    except (OSError, UnicodeError) as error:  # the latter: a host name that cannot be one
        raise FastCgiError(f"{address} cannot be reached: {getattr(error, 'strerror', None) or error}") from error
    return decoder.answer()


def _connected(address: Address, timeout_s: float) -> socket.socket:
    if address.path is None:
        return socket.create_connection((address.host, address.port), timeout_s)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(timeout_s)
    try:
        if len(os.fsencode(address.path)) <= _SUN_PATH:
            connection.connect(address.path)
        else:  # longer than the kernel takes: by way of its directory
            directory, _, name = address.path.rpartition("/")
            descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                connection.connect(f"/proc/self/fd/{descriptor}/{name}")
            finally:
                os.close(descriptor)
    except BaseException:
        connection.close()
        raise
    return connection
