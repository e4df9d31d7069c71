"""The receiver on real sockets: what it writes, what it refuses, and that nobody can make it stop answering."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from adapters.blackfire.protocol import KeyPage, Wishes
from adapters.blackfire.query import Authority, issue
from adapters.blackfire.receiver import SECRET as SECRET_NAME
from adapters.blackfire.receiver import Limits, Receiver
from adapters.blackfire.serving import listen

SECRET = b"s" * 32
PROBE = "Blackfire-Probe: python-51054576, config, timespan"
BODY = (
    b"file-format: BlackfireProbe\ncost-dimensions: wt cpu mu pmu\ncontext: script=x&token=hidden\n_cookie: sid=hidden\n\n"
    b"main()//1 10 9 8 7\n"
)
OK = b"Blackfire-Response: continue=false&progress=100&wait=0&first_sample=true"


def query(valid_s: float = 60, **arguments: str) -> str:
    return issue(SECRET, int(time.time() + valid_s), {"aggreg_samples": "1", **arguments}).text


def request_id(text: str) -> str:
    return text.partition("request-id-")[2][:36]


def hello(text: str, probe: str = PROBE) -> bytes:
    return f"Blackfire-Query: {text}\n{probe}\n\n".encode()


class Caller:
    """One connection, as a probe makes it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, message: bytes, end: bytes = b"\n\n") -> bytes:
        self._writer.write(message)
        return await self._reader.readuntil(end)

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    async def rest(self) -> bytes:
        return await self._reader.read()


def talk(
    directory: Path,
    conversation: Callable[[Callable[[], Awaitable[Caller]], Receiver], Awaitable[None]],
    wishes: Wishes | None = None,
    limits: Limits | None = None,
    url: str = "tcp://127.0.0.1:0",
) -> None:
    """Run a conversation with a receiver, and wait until it has let go of every connection."""

    async def main() -> None:
        receiver = Receiver(directory, Authority(SECRET), wishes or Wishes(), limits or Limits())
        server, where = await listen(receiver.serve, url)

        callers = []

        async def connect() -> Caller:
            if where.startswith("unix"):
                streams = await asyncio.open_unix_connection(where.removeprefix("unix://"))
            else:
                streams = await asyncio.open_connection("127.0.0.1", int(where.rpartition(":")[2]))
            callers.append(Caller(*streams))
            return callers[-1]

        await conversation(connect, receiver)
        for caller in callers:
            await caller.close()
        while receiver._connections:
            await asyncio.sleep(0.005)
        await receiver.settle()
        server.close()

    asyncio.run(asyncio.wait_for(main(), 100))


async def stored(directory: Path, name: str) -> dict[str, object]:
    path = directory / f"{name}.json"
    while not path.exists():
        await asyncio.sleep(0.005)
    found: dict[str, object] = json.loads(path.read_bytes())
    return found


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_a_profile_is_received_and_its_secrets_are_not_written(tmp_path: Path, kind: str) -> None:
    text = query(profile_title="demo")
    url = "tcp://127.0.0.1:0" if kind == "tcp" else f"unix://{tmp_path}/s"

    async def conversation(connect: Callable[[], Awaitable[Caller]], receiver: Receiver) -> None:
        if kind == "unix":
            assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600
        caller = await connect()
        before = time.monotonic_ns()
        assert await caller.ask(hello(text, PROBE + "\nBlackfire-Auth: id:hidden")) == OK + b"\n\n"
        await caller.send(BODY[:40])
        await caller.send(BODY[40:])
        await caller.close()
        about = await stored(tmp_path, request_id(text))
        assert about["status"] == "complete"
        assert about["title"] == "demo"
        assert about["probe"] == "python-51054576"
        assert about["bytes"] == len(BODY)
        assert before <= int(str(about["hello_ns"])) <= int(str(about["end_ns"])) <= time.monotonic_ns()

    talk(tmp_path, conversation, url=url)
    body = (tmp_path / f"{request_id(text)}.bf").read_bytes()
    assert b"main()//1 10 9 8 7\n" in body
    for path in tmp_path.glob("*.*"):
        assert b"hidden" not in path.read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_refusals_are_answered_and_leave_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    used, expired, foreign = query(), query(-60), "agentIds=request-id-x&signature=bG9jYWw="

    async def conversation(connect: Callable[[], Awaitable[Caller]], receiver: Receiver) -> None:
        first = await connect()
        assert (await first.ask(hello(used))).startswith(OK)
        for text, reason in ((used, b"used before"), (expired, b"expired"), (foreign, b"not made by this run")):
            caller = await connect()
            answer = await caller.ask(hello(text))
            assert answer.startswith(b"Blackfire-Error: 101 ")
            assert reason in answer
            assert await caller.rest() == b""
        caller = await connect()
        assert b"no query" in await caller.ask(b"Blackfire-Probe: x\n\n")
        await first.close()

    talk(tmp_path, conversation)
    assert [path.name for path in tmp_path.iterdir()] == [f"{request_id(used)}.json"]
    assert json.loads((tmp_path / f"{request_id(used)}.json").read_bytes())["detail"] == "no profile was sent"
    said = capfd.readouterr().err
    assert said.count("refused a profile") == 4
    assert "signature" not in said


def test_the_yaml_is_asked_for_only_where_there_is_one(tmp_path: Path) -> None:
    texts = [query(), query(), query()]
    yaml = b"tests: {}\n"

    async def conversation(connect: Callable[[], Awaitable[Caller]], receiver: Receiver) -> None:
        for text, gap in zip(texts[:2], (b"\n", b""), strict=True):  # the Python probe; PHP's old one
            caller = await connect()
            assert await caller.ask(hello(text, PROBE + ", blackfire_yml"), b"\n") == OK + b"&blackfire_yml=true\n"
            assert await caller.ask(b"Blackfire-Yaml-Size: 10\n" + gap + yaml) == OK + b"\n\n"
            await caller.send(BODY)
            await caller.close()
            about = await stored(tmp_path, request_id(text))
            assert (tmp_path / str(about["yaml"])).read_bytes() == yaml
        caller = await connect()
        assert await caller.ask(hello(texts[2])) == OK + b"\n\n"
        await caller.close()

    talk(tmp_path, conversation, Wishes(yaml=True))


def test_wishes_noop_and_sub_profiles(tmp_path: Path) -> None:
    parent, noop = query(), query()

    async def conversation(connect: Callable[[], Awaitable[Caller]], receiver: Receiver) -> None:
        caller, child, ping = await connect(), await connect(), await connect()
        assert b"\nBlackfire-Fn-Args: f 1\nBlackfire-Const: c\n\n" in await caller.ask(hello(parent))
        assert OK in await child.ask(hello(parent + "&sub_profile=:0a1"))
        await child.send(BODY)
        await child.close()
        assert (await stored(tmp_path, f"{request_id(parent)}-0a1"))["sub_profile"] == ":0a1"
        assert OK in await ping.ask(hello(noop, PROBE + ", noop"))
        assert await ping.rest() == b""  # no body is waited for
        await caller.close()

    talk(tmp_path, conversation, Wishes(arguments=["f 1"], constants=["c"]))


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (BODY[:-4], "incomplete", "the profile has no costs"),
        (BODY + b"half==>of", "incomplete", "the profile was cut"),
        (b"\x00garbage\xff" * 100, "incomplete", "does not begin with"),
        (BODY + b"x==>y//1 1 1 1 1\n" * 300, "incomplete", "larger than 4000 bytes"),
    ],
)
def test_bodies_that_are_cut_too_large_or_none(tmp_path: Path, body: bytes, status: str, detail: str) -> None:
    text = query()

    async def conversation(connect: Callable[[], Awaitable[Caller]], receiver: Receiver) -> None:
        caller = await connect()
        await caller.ask(hello(text))
        try:
            await caller.send(body)
            await caller.close()
        except ConnectionError:
            assert len(body) > 4000
        about = await stored(tmp_path, request_id(text))
        assert about["status"] == status
        assert detail in str(about["detail"])

    talk(tmp_path, conversation, limits=Limits(body_bytes=4000))


def test_who_is_silent_is_left(tmp_path: Path) -> None:
    slow, quiet = query(), query()

    async def conversation(connect: Callable[[], Awaitable[Caller]], receiver: Receiver) -> None:
        silent, waiting, stuck = await connect(), await connect(), await connect()
        await silent.send(b"Blackfire-Query: x")
        await waiting.ask(hello(quiet))
        await stuck.ask(hello(slow))
        await stuck.send(BODY[:50])
        assert (await stored(tmp_path, request_id(slow)))["detail"] == "nothing came for 0.1 s"
        assert (await stored(tmp_path, request_id(quiet)))["detail"] == "nothing came for 0.2 s"
        assert await silent.rest() == b""

    talk(tmp_path, conversation, limits=Limits(head_s=0.1, idle_s=0.1, request_s=0.2))


def test_strangers(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = query()

    async def conversation(connect: Callable[[], Awaitable[Caller]], receiver: Receiver) -> None:
        for message in (
            b"\x16\x03\x01\n\n",
            b"x" * 300_000,
            b"Blackfire-Query: " + b"y" * 300_000,
            b"a: b\n" * 200_000,
        ):
            caller = await connect()
            try:
                await caller.send(message)
                assert await caller.rest() == b""
            except ConnectionError:
                pass
        caller = await connect()
        assert (await caller.ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\r\n\r\n")).startswith(b"HTTP/1.1 404 ")
        await (await connect()).close()
        caller = await connect()
        assert OK in await caller.ask(hello(text))
        await caller.close()

    talk(tmp_path, conversation)
    assert "Traceback" not in capfd.readouterr().err


def test_profiles_that_wait_to_be_read_are_limited_and_hold_no_connection(tmp_path: Path) -> None:
    texts = [query() for _ in range(3)]

    async def conversation(connect: Callable[[], Awaitable[Caller]], receiver: Receiver) -> None:
        async with receiver._reading:  # as if a large one were being read
            for text in texts:
                caller = await connect()
                assert OK in await caller.ask(hello(text))
                await caller.send(BODY)
                await caller.close()
            while receiver._connections:
                await asyncio.sleep(0.005)
            assert not list(tmp_path.glob("*.json"))
            assert receiver._waiting_bytes == 2 * len(BODY)
        for text, detail in zip(texts, ("", "", "too many profiles came at once"), strict=True):
            assert (await stored(tmp_path, request_id(text)))["detail"] == detail

    talk(tmp_path, conversation, limits=Limits(waiting_bytes=2 * len(BODY) + 5))


def test_the_number_of_connections_is_limited(tmp_path: Path) -> None:
    texts = [query() for _ in range(3)]

    async def conversation(connect: Callable[[], Awaitable[Caller]], receiver: Receiver) -> None:
        callers = [await connect() for _ in texts]
        for caller, text in zip(callers[:2], texts, strict=False):
            assert OK in await caller.ask(hello(text))
        await callers[2].send(hello(texts[2]))
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await callers[2].ask(b"")
        for caller in callers[:2]:
            await caller.close()

    talk(tmp_path, conversation, limits=Limits(connections=2))


def test_monitoring_gives_one_line_a_request_and_may_start_profiles(tmp_path: Path) -> None:
    message = b"file-format: BlackfireApm\nuri: /r?token=hidden\nmethod: GET\nmu: 1000\npmu: 2000\nNone\n\n"
    asked = b"file-format: BlackfireApmRequestProfileQuery\n\turi: /r\n\tmethod: %s\n\tkey-page-id: %s\n\n"

    async def conversation(connect: Callable[[], Awaitable[Caller]], receiver: Receiver) -> None:
        for _ in range(3):
            assert b"key-page(" in await (await connect()).ask(message)
        answer = await (await connect()).ask(asked % (b"GET", b"kp1"))
        text = answer.decode().partition("blackfire-query: ")[2].strip()
        caller = await connect()
        assert OK in await caller.ask(hello(text))
        await caller.close()
        for method, page in ((b"POST", b"kp1"), (b"GET", b"kp2"), (b"GET", b"x"), (b"GET", "kp²".encode())):
            assert b"success=false" in await (await connect()).ask(asked % (method, page))

    talk(tmp_path, conversation, Wishes(monitoring=1.0, key_pages=[KeyPage("GET", "=/r")]))
    points = [json.loads(line) for line in (tmp_path / "monitoring.ndjson").read_text().splitlines()]
    assert [(p["uri"], p["mu"], p["pmu"]) for p in points] == [("/r", 1000, 2000)] * 3


@pytest.mark.parametrize("url", ["tcp://0.0.0.0:0", "tcp://example.org:80", "http://127.0.0.1", "x"])
def test_it_listens_on_this_machine_only(tmp_path: Path, url: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        asyncio.run(listen(Receiver(tmp_path, Authority(SECRET)).serve, url))


# --- the process -----------------------------------------------------------------------------------------------------


@contextmanager
def process(directory: Path, *flags: str, secret: str = SECRET.hex()) -> Iterator[subprocess.Popen[bytes]]:
    started = subprocess.Popen(
        [sys.executable, "-m", "adapters.blackfire.receiver", "--directory", str(directory), *flags],
        env={**os.environ, SECRET_NAME: secret}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield started
    finally:
        started.kill()
        started.wait()
        for stream in (started.stdin, started.stdout, started.stderr):
            if stream is not None:
                stream.close()


def test_the_process_receives_until_its_input_ends(tmp_path: Path) -> None:
    with process(tmp_path, "--listen", "tcp://127.0.0.1:0", "--fn-args", "f 1") as started:
        assert started.stdout is not None
        address = json.loads(started.stdout.readline())["address"]
        with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), 10) as probe:
            probe.sendall(hello(query()))
            assert probe.recv(4096) == OK + b"\nBlackfire-Fn-Args: f 1\n\n"
        started.communicate(timeout=100)
        assert started.returncode == 0


def test_the_process_ends_at_sigterm(tmp_path: Path) -> None:
    with process(tmp_path, "--listen", f"unix://{tmp_path}/s") as started:
        assert started.stdout is not None
        assert json.loads(started.stdout.readline())["address"] == f"unix://{tmp_path}/s"
        started.send_signal(signal.SIGTERM)
        assert started.wait(100) == 0


def test_the_process_ends_with_its_parent(tmp_path: Path) -> None:
    """Where its input is /dev/null, as behind a guard."""
    program = (
        "import subprocess, sys; p = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE); "
        "p.stdout.readline(); print(p.pid, flush=True)"
    )
    command = [
        sys.executable,
        "-m",
        "adapters.blackfire.receiver",
        "--listen",
        "tcp://127.0.0.1:0",
        "--directory",
        str(tmp_path),
    ]
    done = subprocess.run(
        [sys.executable, "-c", program, *command], env={**os.environ, SECRET_NAME: SECRET.hex()}, check=True, capture_output=True,
        timeout=100,
    )  # fmt: skip
    pid = int(done.stdout)
    deadline = time.monotonic() + 100
    while is_running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize(
    ("flags", "secret", "status", "said"),
    [
        (("--listen", "tcp://127.0.0.1:0"), "", 2, "at least 16 bytes"),
        (("--listen", "tcp://0.0.0.0:0"), SECRET.hex(), 1, "loopback"),
        (("--listen", "tcp://127.0.0.1:0", "--const", ""), SECRET.hex(), 2, "one line"),
        (("--listen", "unix:///nowhere/at/all"), SECRET.hex(), 1, "cannot listen"),
    ],
)
def test_what_the_process_refuses(tmp_path: Path, flags: tuple[str, ...], secret: str, status: int, said: str) -> None:
    with process(tmp_path, *flags, secret=secret) as started:
        _, error = started.communicate(timeout=100)
        assert started.returncode == status
        assert said in error.decode()
        assert "Traceback" not in error.decode()
