"""What the receiver and the relay have in common as processes: where they listen, when they end, and how they write files."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from adapters.blackfire import protocol

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
MONITORING_FILE = "monitoring.ndjson"
_MONITORING_CAP_BYTES = 64 << 20
_PARENT_POLL_S = 1.0
_LOG_LINES_CAP = 1000  # anybody on this machine can make us complain
_TAKEN_TIMEOUT_S = 1.0


async def run(handler: Handler, url: str) -> None:
    """Listen until told to stop, or alone: at SIGTERM, when stdin ends (where that is a pipe), or when the parent is gone.

    ValueError for an address that is not this machine's own, OSError for one that cannot be had.
    """
    server, where = await listen(handler, url)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if stat.S_ISFIFO(os.fstat(0).st_mode) or stat.S_ISSOCK(os.fstat(0).st_mode):
        loop.add_reader(0, _leave_at_end, stop)
    parent = os.getppid()
    print(json.dumps({"k": "listening", "address": where}), flush=True)  # noqa: T201  (for whoever started us)
    while not stop.is_set() and os.getppid() == parent:
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _PARENT_POLL_S)
    server.close()


def _leave_at_end(stop: asyncio.Event) -> None:
    if not os.read(0, 4096):
        stop.set()


async def listen(handler: Handler, url: str) -> tuple[asyncio.Server, str]:
    """A server at ``tcp://127.0.0.1:port`` (0: any) or ``unix:///path``, private to this user, and the URL to reach it at."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        _make_room(Path(parts.path))
        before = os.umask(0o177)
        try:
            return await asyncio.start_unix_server(handler, parts.path, limit=protocol.HEAD_CAP_BYTES), url
        finally:
            os.umask(before)
    if parts.scheme != "tcp" or parts.hostname not in ("127.0.0.1", "::1"):
        raise ValueError(f"{url} is neither tcp on the loopback interface nor unix")
    server = await asyncio.start_server(handler, parts.hostname, parts.port or 0, limit=protocol.HEAD_CAP_BYTES)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return server, f"tcp://{host}:{server.sockets[0].getsockname()[1]}"


def _make_room(path: Path) -> None:
    """Remove the socket that an earlier process left; never anything else, and not the socket of one that answers."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ValueError(f"{path} exists and is not a socket")
    with socket.socket(socket.AF_UNIX) as trial:
        trial.settimeout(_TAKEN_TIMEOUT_S)
        try:
            trial.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise ValueError(f"another process listens at {path}")


@dataclass(slots=True)
class Log:
    """Complaints of a process, on stderr; at most some of them."""

    name: str
    _lines: int = 0

    def __call__(self, text: str) -> None:
        self._lines += 1
        if self._lines <= _LOG_LINES_CAP:
            print(f"blackfire {self.name}: {text}", file=sys.stderr, flush=True)  # noqa: T201  (the process's log)


@dataclass(slots=True)
class MonitoringLog:
    """What monitoring messages said, one line each, in ``monitoring.ndjson`` of the directory."""

    directory: Path
    _bytes: int = 0

    def note(self, head: bytes) -> None:
        """Keep what may be kept of one message."""
        kept: Mapping[str, object] = protocol.monitored(protocol.fields(head))
        line = json.dumps({"t_ns": time.monotonic_ns(), **kept}).encode() + b"\n"
        self._bytes += len(line)
        if self._bytes <= _MONITORING_CAP_BYTES:
            with private(self.directory / MONITORING_FILE, os.O_APPEND) as stream:
                stream.write(line)


def write_whole(path: Path, data: bytes) -> None:
    """All of it, or nothing under that name."""
    temporary = path.with_name(f".{path.name}.new")
    with private(temporary, os.O_TRUNC) as stream:
        stream.write(data)
    temporary.replace(path)


def private(path: Path, flags: int) -> BinaryIO:
    """A file that only this user can read, opened for writing; never through a symbolic link."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o600)
    return os.fdopen(descriptor, "wb")
