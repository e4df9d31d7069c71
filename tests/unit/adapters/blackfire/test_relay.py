"""The relay on real sockets, between a probe that the test plays and a stand-in for the agent: bytes, ends, breaks, copies."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from adapters.blackfire.address import checked_address
from adapters.blackfire.recording import fingerprint
from adapters.blackfire.relay import Limits, Relay
from adapters.blackfire.serving import listen

QUERY = "expires=1&agentIds=request-id-x&signature=c2lnbmVk&aggreg_samples=1&profile_title=demo"
MARK = fingerprint(QUERY)
HELLO = f"Blackfire-Auth: id:credential\nBlackfire-Query: {QUERY}\nBlackfire-Probe: php-8.2.36, config, timespan\n\n".encode()
PING = HELLO.replace(b", config", b", noop")
OK = b"Blackfire-Response: continue=false&progress=100&wait=0&first_sample=true\n\n"
BODY = b"file-format: BlackfireProbe\ncontext: token=credential\n\nmain()//1 10 9 8 7\n"

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Agent:
    """A stand-in for Blackfire's agent: remembers what came, answers as the test wants."""

    def __init__(self, reply: bytes = OK, after: Callable[[Streams], Awaitable[None]] | None = None) -> None:
        self.heard = b""
        self.ended = asyncio.Event()
        self.how = ""
        self._reply, self._after = reply, after

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.heard += await reader.readuntil(b"\n\n")
            writer.write(self._reply)
            await writer.drain()
            if self._after is not None:
                await self._after((reader, writer))
            while piece := await reader.read(65536):
                self.heard += piece
            self.how = "end"
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            self.how = type(error).__name__
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            self.ended.set()


def relayed(
    directory: Path,
    agent: Agent | None,
    conversation: Callable[[Callable[[], Awaitable[Streams]], Relay], Awaitable[None]],
    *,
    kinds: tuple[str, str] = ("tcp", "tcp"),
    limits: Limits | None = None,
) -> list[dict[str, object]]:
    """Talk through a relay to the agent, None: to nobody; what the copies say, oldest first."""

    def url(side: str, kind: str) -> str:
        return "tcp://127.0.0.1:0" if kind == "tcp" else f"unix://{directory}/{side}"

    async def connect(where: str) -> Streams:
        if where.startswith("unix"):
            return await asyncio.open_unix_connection(where.removeprefix("unix://"))
        return await asyncio.open_connection("127.0.0.1", int(where.rpartition(":")[2]))

    async def main() -> None:
        async with asyncio.timeout(30):
            await conversed()

    async def conversed() -> None:
        upstream, where = await listen(agent or Agent(), url("agent", kinds[1]))
        if agent is None:
            upstream.close()
            await upstream.wait_closed()
        relay = Relay(directory, where, limits or Limits())
        server, address = await listen(relay.serve, url("relay", kinds[0]))
        callers: list[Streams] = []

        async def call() -> Streams:
            callers.append(await connect(address))
            return callers[-1]

        await conversation(call, relay)
        for _, writer in callers:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        while [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]:
            await asyncio.sleep(0.005)
        server.close()
        upstream.close()

    asyncio.run(main())
    found = [json.loads(path.read_bytes()) for path in directory.glob("*.json")]
    return sorted(found, key=lambda each: each["hello_ns"])


async def profile(streams: Streams, hello: bytes = HELLO, body: bytes = BODY) -> bytes:
    """What a probe does: hello, answer, profile, end; everything that it is told."""
    reader, writer = streams
    writer.write(hello)
    told = await reader.readuntil(b"\n\n")
    writer.write(body)
    writer.write_eof()
    return told + await reader.read()


@pytest.mark.parametrize("near", ["tcp", "unix"])
@pytest.mark.parametrize("far", ["tcp", "unix"])
def test_both_sides_hear_the_same_bytes_and_the_copy_has_no_secrets(tmp_path: Path, near: str, far: str) -> None:
    agent = Agent()

    async def conversation(call: Callable[[], Awaitable[Streams]], relay: Relay) -> None:
        if near == "unix":
            assert stat.S_IMODE((tmp_path / "relay").stat().st_mode) == 0o600
        assert await profile(await call()) == OK
        await agent.ended.wait()
        assert agent.heard == HELLO + BODY
        assert agent.how == "end"

    [copy] = relayed(tmp_path, agent, conversation, kinds=(near, far))
    assert (copy["status"], copy["detail"], copy["fingerprint"], copy["title"]) == ("complete", "", MARK, "demo")
    assert (copy["probe"], copy["sent_bytes"], copy["received_bytes"]) == ("php-8.2.36", len(HELLO + BODY), len(OK))
    assert copy["response"] == "continue=false&progress=100&wait=0&first_sample=true"
    hello_ns, answered_ns, end_ns = (copy[name] for name in ("hello_ns", "answered_ns", "end_ns"))
    assert isinstance(hello_ns, int)
    assert isinstance(answered_ns, int)
    assert isinstance(end_ns, int)
    assert hello_ns <= answered_ns <= end_ns <= time.monotonic_ns()
    body = tmp_path / str(copy["body"])
    assert body.read_bytes() == BODY.replace(b"token=credential", b"redacted")
    assert body.name.startswith(f"{MARK}-")
    for path in tmp_path.iterdir():
        if path.is_file():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert b"credential" not in path.read_bytes()
            assert b"c2lnbmVk" not in path.read_bytes()


def test_a_large_profile_passes_whole_in_little_memory_and_is_copied_up_to_the_cap(tmp_path: Path) -> None:
    block = b"".join(b"f%d==>g//1 1 1 1 1\n" % n for n in range(5000))
    count, digest, heard = 400, hashlib.sha256(HELLO), hashlib.sha256()
    agent = Agent()

    async def swallow(streams: Streams) -> None:
        heard.update(agent.heard)
        while piece := await streams[0].read(65536):
            heard.update(piece)

    agent._after = swallow

    async def conversation(call: Callable[[], Awaitable[Streams]], relay: Relay) -> None:
        reader, writer = await call()
        writer.write(HELLO)
        await reader.readuntil(b"\n\n")
        for _ in range(count):
            writer.write(block)
            digest.update(block)
            await writer.drain()
        writer.write_eof()
        await agent.ended.wait()
        assert heard.digest() == digest.digest()

    [copy] = relayed(tmp_path, agent, conversation, limits=Limits(body_bytes=1_000_000))
    assert copy["status"] == "incomplete"
    assert copy["detail"] == "the profile is larger than 1000000 bytes"
    assert (tmp_path / str(copy["body"])).stat().st_size <= 1_000_000


def test_pieces_go_on_as_they_come(tmp_path: Path) -> None:
    """The agent hears the beginning while the probe has not said the end."""
    agent = Agent()

    async def conversation(call: Callable[[], Awaitable[Streams]], relay: Relay) -> None:
        reader, writer = await call()
        for end in range(1, len(HELLO + BODY)):
            writer.write((HELLO + BODY)[end - 1 : end])
            await writer.drain()
            if end == len(HELLO):
                assert await reader.readuntil(b"\n\n") == OK
        while agent.heard != (HELLO + BODY)[:-1]:
            await asyncio.sleep(0.002)
        writer.write(b"\n")
        writer.write_eof()
        assert await reader.read() == b""

    assert [copy["status"] for copy in relayed(tmp_path, agent, conversation)] == ["complete"]
    assert agent.heard == HELLO + BODY


def test_an_agent_that_is_not_there(tmp_path: Path) -> None:
    async def conversation(call: Callable[[], Awaitable[Streams]], relay: Relay) -> None:
        reader, writer = await call()
        writer.write(HELLO)
        assert await reader.read() == b""  # closed, and no word

    for kinds in (("tcp", "tcp"), ("unix", "unix")):
        directory = tmp_path / kinds[0]
        directory.mkdir()
        [copy] = relayed(directory, None, conversation, kinds=kinds)
        assert (copy["status"], copy["body"], copy["fingerprint"]) == ("incomplete", None, MARK)
        assert "cannot be reached" in str(copy["detail"])


async def _leave(streams: Streams) -> None:
    raise ConnectionAbortedError


async def _reset(streams: Streams) -> None:
    held = streams[1].get_extra_info("socket")
    held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    streams[1].transport.abort()
    raise ConnectionAbortedError


@pytest.mark.parametrize(
    ("after", "said"), [(_leave, "closed the connection before"), (_reset, "the connection broke")]
)
def test_an_agent_that_leaves_in_the_middle(
    tmp_path: Path, after: Callable[[Streams], Awaitable[None]], said: str
) -> None:
    async def conversation(call: Callable[[], Awaitable[Streams]], relay: Relay) -> None:
        reader, writer = await call()
        writer.write(HELLO + BODY[:40])
        with suppress(ConnectionResetError):
            assert await reader.read() in (OK, b"")
        with suppress(ConnectionResetError, BrokenPipeError):
            for _ in range(50):  # until the break has come back to the probe
                writer.write(b"f==>g//1 1 1 1 1\n")
                await writer.drain()
                await asyncio.sleep(0.002)
                if writer.is_closing():
                    break

    [copy] = relayed(tmp_path, Agent(after=after), conversation)
    assert copy["status"] == "incomplete"
    assert said in str(copy["detail"]) or "the connection broke" in str(copy["detail"])


def test_a_probe_that_dies_breaks_the_agents_connection_too(tmp_path: Path) -> None:
    agent = Agent()

    async def conversation(call: Callable[[], Awaitable[Streams]], relay: Relay) -> None:
        reader, writer = await call()
        writer.write(HELLO)
        await reader.readuntil(b"\n\n")
        writer.write(BODY[:40])
        await writer.drain()
        while not agent.heard.endswith(BODY[:40]):
            await asyncio.sleep(0.002)
        held = writer.get_extra_info("socket")
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        await agent.ended.wait()
        assert agent.how == "ConnectionResetError"

    [copy] = relayed(tmp_path, agent, conversation)
    assert copy["status"] == "incomplete"
    assert "from probe to agent: the connection broke" in str(copy["detail"])


@pytest.mark.parametrize(
    ("hello", "reply", "body", "detail"),
    [
        (PING, OK, b"", ""),
        (HELLO, OK, b"", "the probe sent no profile"),
        (HELLO, OK, BODY + b"f==>g//1", "the profile was cut"),
        (HELLO, OK, BODY + b"neither this nor that\n", "line 5: neither a header nor a cost: 'neither this nor that'"),
        (HELLO, b"Blackfire-Error: 103 Samples quota is out\n\n", b"", "the agent refused: 103 Samples quota is out"),
        (HELLO, b"what?\n\n", BODY, "the agent gave no answer"),
    ],
)
def test_what_is_said_of_a_copy(tmp_path: Path, hello: bytes, reply: bytes, body: bytes, detail: str) -> None:
    async def conversation(call: Callable[[], Awaitable[Streams]], relay: Relay) -> None:
        assert await profile(await call(), hello, body) == reply

    [copy] = relayed(tmp_path, Agent(reply), conversation)
    assert (copy["status"], copy["detail"]) == ("incomplete" if detail else "complete", detail)


def test_samples_and_sub_profiles_of_one_query_have_one_name_in_front(tmp_path: Path) -> None:
    async def conversation(call: Callable[[], Awaitable[Streams]], relay: Relay) -> None:
        await profile(await call())
        await profile(await call(), HELLO.replace(b"&aggreg", b"&sub_profile=:9f&aggreg"))

    copies = relayed(tmp_path, Agent(), conversation)
    assert [(copy["fingerprint"], copy["sub_profile"]) for copy in copies] == [(MARK, ""), (MARK, ":9f")]
    assert len(list(tmp_path.glob(f"{MARK}-*.bf"))) == 2


def test_monitoring_is_passed_on_and_noted_as_the_receiver_does(tmp_path: Path) -> None:
    message = b"file-format: BlackfireApm\nuri: /report?token=credential\nmethod: GET\nmu: 5\npmu: 6\nwt: 7\nNone\n\n"

    async def conversation(call: Callable[[], Awaitable[Streams]], relay: Relay) -> None:
        reader, writer = await call()
        writer.write(message)
        assert await reader.readuntil(b"\n\n") == b"Blackfire-Response: success=true\n\n"

    agent = Agent(b"Blackfire-Response: success=true\n\n")
    assert relayed(tmp_path, agent, conversation) == []
    assert agent.heard == message
    [line] = (tmp_path / "monitoring.ndjson").read_text().splitlines()
    assert json.loads(line)["uri"] == "/report"


def test_a_disk_that_takes_nothing_does_not_stop_a_profile(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    agent = Agent()

    async def conversation(call: Callable[[], Awaitable[Streams]], relay: Relay) -> None:
        relay.directory = tmp_path / "not there"
        assert await profile(await call()) == OK
        await agent.ended.wait()

    assert relayed(tmp_path, agent, conversation) == []
    assert agent.heard == HELLO + BODY
    assert "a copy cannot be written: No such file" in capfd.readouterr().err


def test_limits_on_all_copies_and_on_connections(tmp_path: Path) -> None:
    async def conversation(call: Callable[[], Awaitable[Streams]], relay: Relay) -> None:
        for _ in range(2):
            await profile(await call())
        _, writer = await call()
        writer.write(HELLO)
        await writer.drain()
        while relay._connections < 1:
            await asyncio.sleep(0.002)
        reader, _ = await call()
        with suppress(ConnectionResetError):
            assert await reader.read() == b""

    copies = relayed(tmp_path, Agent(), conversation, limits=Limits(all_bytes=len(BODY) + 10, connections=1))
    assert [copy["detail"] for copy in copies[:2]] == ["", f"the copies have reached {len(BODY) + 10} bytes"]


@pytest.mark.parametrize("url", ["tcp://127.0.0.1", "tcp://x:99999", "tcp://x:y", "unix://", "http://x:1", "8307", ""])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ValueError, match="neither unix:///PATH nor tcp://HOST:PORT"):
        checked_address(url)


@pytest.mark.parametrize(
    ("flags", "status", "said"),
    [
        (("--listen", "tcp://127.0.0.1:0", "--upstream", "nothing"), 2, "neither unix"),
        (("--listen", "tcp://127.0.0.1:7", "--upstream", "tcp://127.0.0.1:7"), 2, "its own agent"),
        (("--listen", "tcp://0.0.0.0:0", "--upstream", "tcp://127.0.0.1:7"), 1, "loopback"),
        (("--listen", "unix://{}/taken", "--upstream", "tcp://127.0.0.1:7"), 1, "another process listens"),
        (("--listen", "unix://{}/file", "--upstream", "tcp://127.0.0.1:7"), 1, "is not a socket"),
    ],
)
def test_what_the_process_refuses(tmp_path: Path, flags: tuple[str, ...], status: int, said: str) -> None:
    (tmp_path / "file").touch()
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(tmp_path / "taken"))
        taken.listen()
        words = [word.format(tmp_path) for word in flags]
        done = subprocess.run(
            [sys.executable, "-m", "adapters.blackfire.relay", *words, "--directory", str(tmp_path)],
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=100, env=dict(os.environ),
        )  # fmt: skip
    assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (status, True, False), done.stderr
    assert (tmp_path / "file").exists()
