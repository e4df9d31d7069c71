"""A recording relay between Blackfire's probe and its agent: ``python -m adapters.blackfire.relay --listen URL --upstream URL
--directory DIR``.

Every byte goes on as it came, both ways, piece by piece, with ends and breaks where they happened. Beside that a copy is kept of
each profile: ``<query>-<random>.bf``, redacted, and a ``.json`` that says whether it is complete. The relay decides nothing:
which queries are good is between probe and agent, and trouble with a copy never stops a conversation.

Ends like the receiver: at SIGTERM, when its stdin ends (where that is a pipe), or when its parent is gone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from adapters.blackfire import recording, serving
from adapters.blackfire.address import checked_address
from adapters.blackfire.protocol import Kind
from adapters.formats import blackfire_probe

_CHUNK_BYTES = 1 << 16
_LINGER_NOT = struct.pack("ii", 1, 0)  # close with a reset


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes of one copy and of all of them, connections at once, seconds: until the agent accepts, for the words of a probe whose
    agent is not there, without a byte in one direction."""

    body_bytes: int = blackfire_probe.BODY_CAP_BYTES
    all_bytes: int = 1 << 30
    connections: int = 256
    connect_s: float = 10.0
    words_s: float = 0.2
    idle_s: float = 3600.0


@dataclass(slots=True)
class Relay:
    """State of the process. `serve` is one connection from begin to end and never raises."""

    directory: Path
    upstream: str
    limits: Limits = field(default_factory=Limits)
    _connections: int = 0
    _copied_bytes: int = 0
    _checking: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(1)
    )  # a check holds one body in memory
    log: serving.Log = field(default_factory=lambda: serving.Log("relay"))
    _monitoring: serving.MonitoringLog = field(init=False)

    def __post_init__(self) -> None:
        self._monitoring = serving.MonitoringLog(self.directory)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        if self._connections >= self.limits.connections:
            self.log("refused a connection: too many at once")
            writer.transport.abort()
            return
        self._connections += 1
        copy = _Copy(self)
        try:
            try:
                agent = await asyncio.wait_for(connect(self.upstream), self.limits.connect_s)
            except (OSError, TimeoutError) as error:
                why = "does not accept connections" if isinstance(error, TimeoutError) else _why(error)
                copy.problem = f"the agent at {self.upstream} cannot be reached: {why}"
                self.log(copy.problem)
                await self._last_words(reader, copy)
            else:
                await self._between((reader, writer), agent, copy)
        except asyncio.CancelledError:
            copy.problem = "the relay was stopped"
            raise
        finally:
            self._connections -= 1
            await _close(writer)
            await copy.finish()

    async def _last_words(self, reader: asyncio.StreamReader, copy: _Copy) -> None:
        """What the probe said to an agent that is not there, so that the copy can tell which query it was."""
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(self.limits.words_s):
                while copy.probe.kind is None and (piece := await reader.read(_CHUNK_BYTES)):
                    copy.from_probe(piece)

    async def _between(self, probe: _Streams, agent: _Streams, copy: _Copy) -> None:
        there = asyncio.create_task(self._pass_on(probe[0], agent[1], copy.from_probe))
        back = asyncio.create_task(self._pass_on(agent[0], probe[1], copy.from_agent))
        done, _ = await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
        if back in done and not there.done() and not back.result():
            copy.agent_left_first()
        problems = [(await there, "probe", "agent"), (await back, "agent", "probe")]
        for problem, source, target in problems:
            if problem:
                copy.problem = copy.problem or f"from {source} to {target}: {problem}"
        await _close(agent[1])

    async def _pass_on(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, note: Callable[[bytes], None]
    ) -> str:
        """One direction until its end, which is passed on too; what went wrong. A break is passed on as a break."""
        try:
            while piece := await asyncio.wait_for(source.read(_CHUNK_BYTES), self.limits.idle_s):
                note(piece)
                target.write(piece)
                await target.drain()
            if target.can_write_eof() and not target.is_closing():
                target.write_eof()
        except TimeoutError:
            problem = f"nothing came for {self.limits.idle_s:g} s"
        except OSError as error:
            problem = f"the connection broke: {_why(error)}"
        else:
            return ""
        _break(target)
        return problem

    def take(self, size: int) -> bool:
        """Whether there is room for that much more of copies."""
        self._copied_bytes += size
        return self._copied_bytes <= self.limits.all_bytes

    def told(self, head: bytes) -> None:
        """A monitoring message passed by."""
        with suppress(OSError):
            self._monitoring.note(head)

    async def check(self, path: Path) -> str:
        """What is wrong with a body that was copied."""
        async with self._checking:
            return await asyncio.to_thread(_wrong_with, path)


_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Copy:
    """What is kept of one conversation. Trouble with it is noted and goes no further."""

    def __init__(self, relay: Relay) -> None:
        self.problem = ""
        self.probe = recording.ProbeSide()
        self._relay = relay
        self._agent = recording.AgentSide()
        self._redactor = recording.Redactor()
        self._stream: BinaryIO | None = None
        self._name = ""
        self._stopped = ""  # why the body is not copied any further
        self._sent = self._received = self._body_bytes = 0
        self._hello_ns: int | None = None
        self._answered_ns: int | None = None
        self._left_first = False

    def from_probe(self, data: bytes) -> None:
        """The next piece, which goes to the agent."""
        if not self._sent:
            self._hello_ns = time.monotonic_ns()
        self._sent += len(data)
        before = self.probe.kind
        body = self.probe.feed(data)
        if before is None and self.probe.kind is Kind.MONITORING:
            self._relay.told(self.probe.head)
        if body:
            self._keep(body)

    def from_agent(self, data: bytes) -> None:
        """The next piece, which goes to the probe."""
        if not self._received:
            self._answered_ns = time.monotonic_ns()
        self._received += len(data)
        self._agent.feed(data)

    def agent_left_first(self) -> None:
        """It said its last word before the probe did."""
        self._left_first = True

    def _keep(self, body: bytes) -> None:
        if self._stopped:
            return
        self._body_bytes += len(body)
        if self._body_bytes > self._relay.limits.body_bytes:
            self._stopped = f"the profile is larger than {self._relay.limits.body_bytes} bytes"
        elif not self._relay.take(len(body)):
            self._stopped = f"the copies have reached {self._relay.limits.all_bytes} bytes"
        else:
            self._write(self._redactor.feed(body))

    def _write(self, data: bytes) -> None:
        try:
            if self._stream is None:
                self._stream = serving.private(self._unfinished(), os.O_TRUNC)
            self._stream.write(data)
        except OSError as error:
            self._stopped = f"the copy cannot be written: {_why(error)}"

    def _named(self) -> str:
        if not self._name:
            mark = str(recording.about(self.probe.head)["fingerprint"]) or "unknown"
            self._name = f"{mark}-{secrets.token_hex(4)}"
        return self._name

    def _unfinished(self) -> Path:
        return self._relay.directory / f".{self._named()}.bf.new"

    async def finish(self) -> None:
        """Put the copy in its place; nothing for what is no profile."""
        self.probe.finish()
        if self.probe.kind is not Kind.PROFILE:
            return
        if self._stream is not None and not self._stopped:
            self._write(self._redactor.finish())
        try:
            path = self._placed()
            problem = await self._judge(path)
            told = {
                "format": recording.FORMAT,
                **recording.about(self.probe.head),
                **self._agent.reply(),
                "hello_ns": self._hello_ns,
                "answered_ns": self._answered_ns,
                "end_ns": time.monotonic_ns(),
                "sent_bytes": self._sent,
                "received_bytes": self._received,
                "status": "incomplete" if problem else "complete",
                "detail": problem,
                "body": path.name if path is not None else None,
                "bytes": self._body_bytes,
            }
            serving.write_whole(self._relay.directory / f"{self._named()}.json", json.dumps(told).encode())
        except OSError as error:
            self._relay.log(f"a copy cannot be written: {_why(error)}")

    def _placed(self) -> Path | None:
        if self._stream is None:
            return None
        self._stream.close()
        path = self._relay.directory / f"{self._named()}.bf"
        self._unfinished().replace(path)
        return path

    async def _judge(self, path: Path | None) -> str:
        """What is wrong with the copy; empty when it is all there. A hello that asks for no profile needs none."""
        reply = self._agent.reply()
        if self.problem or self._stopped:
            return self.problem or self._stopped
        if reply["error"]:
            return f"the agent refused: {reply['error']}"
        if reply["response"] is None:
            return "the agent gave no answer"
        if path is None:
            return "" if recording.about(self.probe.head)["no_profile"] else "the probe sent no profile"
        if self._redactor.cut:
            return "a line of the profile was too long to be copied"
        if self._left_first:
            return "the agent closed the connection before the profile had ended"
        return await self._relay.check(path)


def _wrong_with(path: Path) -> str:
    try:
        return "" if blackfire_probe.parse(path.read_bytes()).complete else "the profile was cut"
    except (OSError, ValueError) as error:
        return str(error)


async def connect(url: str) -> _Streams:
    """A connection to ``unix:///path`` or ``tcp://host:port``. OSError when it cannot be had."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return await asyncio.open_unix_connection(parts.path)
    return await asyncio.open_connection(parts.hostname, parts.port)


def _break(writer: asyncio.StreamWriter) -> None:
    """End a connection as one that broke, where the socket can say so."""
    transport = writer.transport
    held = transport.get_extra_info("socket")
    if held is not None and held.family != socket.AF_UNIX:
        with suppress(OSError):
            held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    transport.abort()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


def _why(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 2 for bad arguments, 1 when the address cannot be had."""
    parser = argparse.ArgumentParser(
        prog="python -m adapters.blackfire.relay",
        description="Recording relay between Blackfire's probe and your own Blackfire agent",
    )
    parser.add_argument("--listen", required=True, metavar="URL", help="tcp://127.0.0.1:PORT or unix:///PATH")
    parser.add_argument("--upstream", required=True, metavar="URL", help="the agent: unix:///PATH or tcp://HOST:PORT")
    parser.add_argument("--directory", required=True, type=Path, metavar="DIR", help="where copies are put")
    given = parser.parse_args(argv)
    try:
        upstream = checked_address(given.upstream)
    except ValueError as error:
        parser.error(str(error))
    if upstream == given.listen:
        parser.error("the relay cannot be its own agent: --listen and --upstream are the same")
    try:
        asyncio.run(serving.run(Relay(given.directory, upstream).serve, given.listen))
    except (OSError, ValueError) as error:
        print(f"blackfire relay: cannot listen at {given.listen}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
