"""The Blackfire-compatible local receiver as a process: ``python -m adapters.blackfire.receiver --listen URL --directory DIR``.

Answers probes at once (they wait 250 ms), and reads what they sent only after they are gone. Each accepted profile becomes
``<name>.bf`` and, when it is all there, ``<name>.json`` in the directory; names are ours. Values of headers that hold command
lines and cookies are taken out before anything is written. The secret that queries are checked with comes in
HARNESS_BLACKFIRE_SECRET (hex).

Ends at SIGTERM, when its stdin ends (where that is a pipe), or when its parent is gone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from adapters.blackfire import conprof, protocol, serving
from adapters.blackfire.protocol import KeyPage, Kind, Wishes
from adapters.blackfire.query import DEFAULT_ARGUMENTS, Authority, Claim, Refused, issue
from adapters.formats import blackfire_probe

FORMAT = "harness-blackfire/1"
SECRET = "HARNESS_BLACKFIRE_SECRET"  # noqa: S105  (the name of the variable)
_CHUNK_BYTES = 1 << 16
_QUERY_VALID_S = 600
_SWITCH_S = 0.001  # how long the thread that reads profiles may go on while a probe waits for its answer


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes of one profile, of those that wait to be read, and of all uploads of continuous profilers; connections at once;
    seconds for a head, between two pieces of a body, for the request that is being profiled to end."""

    body_bytes: int = blackfire_probe.BODY_CAP_BYTES
    waiting_bytes: int = 256 << 20
    uploads_bytes: int = 1 << 30
    connections: int = 64
    head_s: float = 10.0
    idle_s: float = 10.0
    request_s: float = 3600.0


@dataclass(slots=True)
class Receiver:
    """State of the process. `serve` is one connection from begin to end and never raises."""

    directory: Path
    authority: Authority
    wishes: Wishes = field(default_factory=Wishes)
    limits: Limits = field(default_factory=Limits)
    _connections: int = 0
    _uploads: int = 0
    _uploads_bytes: int = 0
    _waiting_bytes: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    # What was sent is read one after another: several threads at it would keep this one from answering in time.
    _reading: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    _log: serving.Log = field(default_factory=lambda: serving.Log("receiver"))
    _monitoring: serving.MonitoringLog = field(init=False)

    def __post_init__(self) -> None:
        self._monitoring = serving.MonitoringLog(self.directory)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self._connections += 1
        try:
            if self._connections > self.limits.connections:
                self._log("refused a connection: too many at once")
                return
            await self._talk(reader, writer)
        except (
            TimeoutError,
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
            ConnectionError,
            OSError,
        ) as error:
            self._log(f"a connection ended early: {type(error).__name__}")
        finally:
            self._connections -= 1
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await asyncio.wait_for(_head(reader), self.limits.head_s)
        match protocol.kind(head):
            case Kind.PROFILE:
                await self._profile(head, reader, writer)
            case Kind.MONITORING:
                self._monitoring.note(head)
                await _send(writer, protocol.monitoring_reply(self.wishes))
            case Kind.PROFILE_QUERY:
                await _send(writer, protocol.profile_query_reply(self._query_for(head)))
            case Kind.HTTP:
                await self._http(head, reader, writer)
            case Kind.UNKNOWN:
                if head:  # else somebody only looked whether we listen
                    self._log("a connection with something that is no message of a probe")

    # -- profiles --------------------------------------------------------------------------------------------------

    async def _profile(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello_ns = time.monotonic_ns()
        try:
            hello = protocol.parse_hello(head)
            claim = self.authority.admit(hello.query, time.time())
        except (ValueError, Refused) as reason:
            self._log(f"refused a profile: {reason}")
            await _send(writer, protocol.refuse(str(reason)))
            return
        about: dict[str, object] = {
            "format": FORMAT,
            "request_id": claim.request_id,
            "sub_profile": claim.sub_profile,
            "title": claim.title,
            "probe": hello.probe,
            "abilities": sorted(hello.abilities)[:32],
            "hello_ns": hello_ns,
        }
        if self.wishes.yaml and "blackfire_yml" in hello.abilities:
            about["yaml"] = await self._yaml(reader, writer, claim)
        await _send(writer, protocol.accept(self.wishes))
        about["answered_ns"] = time.monotonic_ns()
        body, problem = (b"", "") if "noop" in hello.abilities else await self._body(reader)
        about["end_ns"] = time.monotonic_ns()
        if self._waiting_bytes + len(body) > self.limits.waiting_bytes:
            body, problem = b"", "too many profiles came at once"
        self._waiting_bytes += len(body)
        task = asyncio.create_task(self._store(claim.name, about, body, problem))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _store(self, name: str, about: Mapping[str, object], body: bytes, problem: str) -> None:
        try:
            async with self._reading:
                await asyncio.to_thread(store, self.directory, name, about, body, problem)
        except OSError as error:
            self._log(f"a profile cannot be written: {error.strerror or error}")
        finally:
            self._waiting_bytes -= len(body)

    async def settle(self) -> None:
        """Wait until everything that was received is written."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _yaml(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, claim: Claim) -> str:
        """The name of the file with the project's .blackfire.yaml."""
        await _send(writer, protocol.ask_for_yaml())
        size_line = await asyncio.wait_for(reader.readuntil(b"\n"), self.limits.idle_s)
        text = await asyncio.wait_for(_yaml_text(reader, protocol.yaml_size(size_line)), self.limits.idle_s)
        name = f"{claim.name}.yaml"
        serving.write_whole(self.directory / name, text)
        return name

    async def _body(self, reader: asyncio.StreamReader) -> tuple[bytes, str]:
        """What the probe sends until it closes, and what went wrong."""
        body = bytearray()
        patience = self.limits.request_s
        while True:
            try:
                piece = await asyncio.wait_for(reader.read(_CHUNK_BYTES), patience)
            except TimeoutError:
                return bytes(body), f"nothing came for {patience:g} s"
            except OSError as error:
                return bytes(body), f"the connection broke: {error.strerror or error}"
            if not piece:
                return bytes(body), ""
            body += piece
            if len(body) > self.limits.body_bytes:
                return b"", f"the profile is larger than {self.limits.body_bytes} bytes"
            patience = self.limits.idle_s

    # -- continuous profilers ---------------------------------------------------------------------------------------

    async def _http(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = conprof.parse_head(head)
            match request.path, request.method:
                case conprof.INFO_PATH, "GET":
                    answer = conprof.info()
                case conprof.INPUT_PATH, "POST":
                    await self._upload(request, reader, writer)
                    answer = conprof.reply(200)
                case conprof.INPUT_PATH, _:
                    answer = conprof.reply(405)
                case _:
                    answer = conprof.reply(404)
        except conprof.RejectedError as reason:
            self._log(f"refused an upload: {reason}")
            answer = conprof.reply(reason.status)
        await _send(writer, answer)

    async def _upload(
        self, request: conprof.Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if self._uploads_bytes + request.length > self.limits.uploads_bytes:
            raise conprof.RejectedError(413, f"the uploads have reached {self.limits.uploads_bytes} bytes")
        self._uploads_bytes += request.length
        try:
            body = await self._upload_body(request, reader, writer)
        except BaseException:
            self._uploads_bytes -= request.length  # promised, and not kept
            raise
        self._uploads += 1
        number, received_ns = self._uploads, time.monotonic_ns()
        async with self._reading:
            problem = await asyncio.to_thread(conprof.store, self.directory, number, request, body, received_ns)
        if problem:
            self._log(f"an upload is incomplete: {problem}")

    async def _upload_body(
        self, request: conprof.Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bytes:
        if request.expects_continue:
            await _send(writer, b"HTTP/1.1 100 Continue\r\n\r\n")
        body = bytearray()
        while len(body) < request.length:
            piece = await asyncio.wait_for(reader.read(request.length - len(body)), self.limits.idle_s)
            if not piece:
                raise conprof.RejectedError(400, "the upload was cut")
            body += piece
        return bytes(body)

    # -- monitoring ------------------------------------------------------------------------------------------------

    def _query_for(self, head: bytes) -> str | None:
        """Only for a page that we have asked to profile."""
        found = protocol.fields(head)
        number = found.get("key-page-id", "").removeprefix("kp")
        pages = self.wishes.key_pages
        if not number.isascii() or not number.isdigit() or not 1 <= int(number[:6]) <= len(pages):
            return None
        if pages[int(number) - 1].method not in ("*", found.get("method", "")):
            return None
        arguments = {**DEFAULT_ARGUMENTS, "profile_title": "monitoring"}
        return issue(self.authority.secret, int(time.time()) + _QUERY_VALID_S, arguments).text


async def _head(reader: asyncio.StreamReader) -> bytes:
    """Up to the first empty line, or to the end of what comes."""
    head = bytearray()
    try:
        while True:
            line = await reader.readuntil(b"\n")
            head += line
            if not line.strip(b"\r\n"):
                return bytes(head)
            if len(head) > protocol.HEAD_CAP_BYTES:
                raise ConnectionError("the head is too long")
    except asyncio.IncompleteReadError as end:
        return bytes(head) + end.partial


async def _yaml_text(reader: asyncio.StreamReader, size: int) -> bytes:
    """The text; between it and its size is an empty line, which old probes leave out."""
    text = await reader.readexactly(size)
    return text[1:] + await reader.readexactly(1) if size and text[:1] == b"\n" else text


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


def store(directory: Path, name: str, about: Mapping[str, object], body: bytes, problem: str) -> None:
    """Write what came of one profile; ``<name>.json`` appears last, and says what is wrong with the rest."""
    status = "complete"
    if problem or not body:
        status, problem = "incomplete", problem or "no profile was sent"
    if body:
        try:
            if not blackfire_probe.parse(body).complete:
                status, problem = "incomplete", problem or "the profile was cut"
        except ValueError as error:
            status, problem = "incomplete", problem or str(error)
        serving.write_whole(directory / f"{name}.bf", blackfire_probe.redacted(body, protocol.SECRET_HEADERS))
    told = {**about, "status": status, "detail": problem, "body": f"{name}.bf" if body else None, "bytes": len(body)}
    serving.write_whole(directory / f"{name}.json", json.dumps(told).encode())


# -- the process ---------------------------------------------------------------------------------------------------


def _key_page(text: str) -> KeyPage:
    method, _, pattern = text.partition(" ")
    return KeyPage(method, pattern)


async def _receive(receiver: Receiver, url: str) -> None:
    sys.setswitchinterval(_SWITCH_S)
    await serving.run(receiver.serve, url)
    await receiver.settle()


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 2 for bad arguments, 1 when the address cannot be had."""
    parser = argparse.ArgumentParser(
        prog="python -m adapters.blackfire.receiver", description="Blackfire-compatible local receiver"
    )
    parser.add_argument("--listen", required=True, metavar="URL", help="tcp://127.0.0.1:PORT or unix:///PATH")
    parser.add_argument("--directory", required=True, type=Path, metavar="DIR", help="where profiles are put")
    parser.add_argument("--timespan", action="append", default=[], metavar="=NAME|^PREFIX")
    parser.add_argument("--fn-args", action="append", default=[], metavar="'FUNCTION 1,2'")
    parser.add_argument("--const", action="append", default=[], metavar="NAME")
    parser.add_argument("--ask-yaml", action="store_true")
    parser.add_argument("--monitoring", type=float, metavar="RATE", help="share of requests that report, 0 to 1")
    parser.add_argument("--key-page", action="append", default=[], type=_key_page, metavar="'METHOD =/PATH'")
    given = parser.parse_args(argv)
    try:
        secret = bytes.fromhex(os.environ.pop(SECRET, ""))
        wishes = Wishes(given.timespan, given.fn_args, given.const, given.ask_yaml, given.monitoring, given.key_page)
    except ValueError as error:
        parser.error(str(error))
    if len(secret) < 16:
        parser.error(f"{SECRET} must hold at least 16 bytes in hex")
    try:
        asyncio.run(_receive(Receiver(given.directory, Authority(secret), wishes), given.listen))
    except (OSError, ValueError) as error:
        print(f"blackfire receiver: cannot listen at {given.listen}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
