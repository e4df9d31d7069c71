"""The relay and the intake of continuous profiles, with the vendor's genuine packages for Python. Where Blackfire's agent should
be, our own receiver stands in: the agent itself cannot be had without an account."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from processes import free_port
from python_envs import environment
from python_service import DEADLINE_S, PROGRAMS, TOKEN, start_companion, stop_companion
from pythons import pythons

from adapters.blackfire import companion, conprof
from adapters.blackfire.recording import fingerprint
from adapters.formats import blackfire_profile

pytestmark = pytest.mark.integration

SUPPORTED = {version: program for version, program in pythons().items() if not version.startswith("3.8")}
NEWEST = SUPPORTED[max(SUPPORTED, key=lambda v: [int(part) for part in v.split(".")])]


@contextmanager
def stand_in(directory: Path) -> Iterator[str]:
    """Our receiver in the place of Blackfire's agent; its address."""
    plan = companion.plan(directory, TOKEN)
    process = start_companion(plan)
    try:
        yield str(plan.ready)
    finally:
        stop_companion(process)


@contextmanager
def relay(directory: Path, listen: str, upstream: str) -> Iterator[str]:
    """The relay as its command; where it listens."""
    argv = (sys.executable, "-m", "adapters.blackfire.relay", "--listen", listen, "--upstream", upstream)
    command = (*argv, "--directory", str(directory))
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["address"]
    finally:
        process.communicate(timeout=DEADLINE_S)


class Tap:
    """A recorder in front of an address, so that what goes into the relay and what comes out of it can be compared."""

    def __init__(self, upstream: str) -> None:
        self.sent, self.received = b"", b""
        self._upstream = int(upstream.rpartition(":")[2])
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop
        ).result(9)
        self.address = f"tcp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream = await asyncio.open_connection("127.0.0.1", self._upstream)
        await asyncio.gather(self._pass(reader, upstream[1], "sent"), self._pass(upstream[0], writer, "received"))
        for each in (upstream[1], writer):
            each.close()
            await each.wait_closed()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str) -> None:
        while piece := await reader.read(65536):
            setattr(self, name, getattr(self, name) + piece)
            writer.write(piece)
            await writer.drain()
        writer.write_eof()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._server.close)
        asyncio.run_coroutine_threadsafe(self._server.wait_closed(), self._loop).result(9)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(9)
        self._loop.close()


def probed(address: str, query: str) -> subprocess.CompletedProcess[str]:
    """A script under the genuine probe, whose agent is said to be at this address."""
    env = {**os.environ, "PYTHONPATH": str(PROGRAMS), "BLACKFIRE_AGENT_SOCKET": address, "BLACKFIRE_QUERY": query}
    python = environment(NEWEST, "blackfire")
    command = [
        str(Path(python).with_name("blackfire-python")),
        python,
        "-c",
        "import blackfire_work as w; w.report(); print('served')",
    ]
    return subprocess.run(command, env=env, check=False, timeout=DEADLINE_S, capture_output=True, text=True)


def copies(directory: Path, count: int = 1) -> list[dict[str, object]]:
    deadline = time.monotonic() + DEADLINE_S
    while len(found := list(directory.glob("*.json"))) < count:
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)
    return [json.loads(path.read_bytes()) for path in found]


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_the_genuine_probe_through_the_relay(tmp_path: Path, kind: str) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    listen = "tcp://127.0.0.1:0" if kind == "tcp" else f"unix://{tmp_path}/relay"
    with ExitStack() as stack:
        agent = stack.enter_context(stand_in(tmp_path))
        far = Tap(agent)
        stack.callback(far.close)
        address = stack.enter_context(relay(kept, listen, far.address))
        near = None
        if kind == "tcp":
            near = Tap(address)
            stack.callback(near.close)
        query, _ = companion.ask(tmp_path, TOKEN)
        done = probed(address if near is None else near.address, query.text)
        assert done.stdout == "served\n", done.stderr
        direct = companion.received(tmp_path, query.request_id, 10)
        [copy] = copies(kept)
    assert (copy["status"], copy["detail"], copy["fingerprint"]) == ("complete", "", fingerprint(query.text))
    body = (kept / str(copy["body"])).read_bytes()
    assert body == direct.body  # both redacted the same way
    profile = blackfire_profile.read(body)
    assert profile.complete
    assert profile.curve
    assert query.text.partition("&aggreg")[0].encode() in far.sent
    if near is not None:
        assert (far.sent, far.received) == (near.sent, near.received)
        assert len(far.sent) == copy["sent_bytes"]
    signature = query.text.partition("&signature=")[2].partition("&")[0].encode()
    assert not [path for path in kept.iterdir() if signature in path.read_bytes()]


def test_the_genuine_probe_with_a_relay_whose_agent_is_down_or_says_no(tmp_path: Path) -> None:
    """The script runs all the same, and the copy says why there is no profile."""
    for name in ("down", "refusing"):
        (tmp_path / name).mkdir()
    query, _ = _asked(tmp_path)
    with relay(tmp_path / "down", "tcp://127.0.0.1:0", f"tcp://127.0.0.1:{free_port()}") as address:
        done = probed(address, query)
        assert "served" in done.stdout, done.stderr
        [copy] = copies(tmp_path / "down")
        assert (copy["status"], copy["body"]) == ("incomplete", None)
        assert "cannot be reached: Connect" in str(copy["detail"])
    with stand_in(tmp_path) as agent, relay(tmp_path / "refusing", "tcp://127.0.0.1:0", agent) as address:
        done = probed(address, query.replace("signature=", "signature=x"))
        assert "served" in done.stdout, done.stderr
        [copy] = copies(tmp_path / "refusing")
        assert copy["detail"] == "the agent refused: 101 the query was not made by this run"


def _asked(directory: Path) -> tuple[str, str]:
    companion.plan(directory, TOKEN)
    query, address = companion.ask(directory, TOKEN)
    return query.text, address


# --- the vendor's middlewares beside a receiver run by hand ---------------------------------------------------------


@contextmanager
def instrumented(address: str, *requirements: str, argv: tuple[str, ...]) -> Iterator[httpx.Client]:
    """A server under ``blackfire-python``, once it says where it listens."""
    python = environment(NEWEST, "blackfire", *requirements)
    env = {
        **os.environ, "PYTHONPATH": str(PROGRAMS), "BLACKFIRE_AGENT_SOCKET": address, "BLACKFIRE_APM_FORCE_DISABLE": "1"
    }  # fmt: skip
    command = [str(Path(python).with_name("blackfire-python")), python, *argv]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        port = next(int(found[1]) for line in lines if (found := re.search(r"(?:port |127.0.0.1:)(\d+)", line)))
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE_S) as client:
            yield client
    finally:
        process.kill()
        process.communicate()


def test_fastapi_with_the_vendors_middleware(tmp_path: Path) -> None:
    argv = ("-m", "uvicorn", "blackfire_fastapi:app", "--port", "0")
    with stand_in(tmp_path) as address, instrumented(address, "fastapi", "uvicorn", argv=argv) as client:
        for path in ("/async", "/sync"):
            query, _ = companion.ask(tmp_path, TOKEN)
            response = client.get(path, headers={"X-Blackfire-Query": query.text})
            assert (response.status_code, response.text) == (200, "ok")
            assert response.headers["x-blackfire-response"].startswith("continue=false&progress=100")
            found = companion.received(tmp_path, query.request_id, 10)
            assert found.problem == ""
            assert b"controller-name: " in found.body, found.body[:900]
            profile = blackfire_profile.read(found.body)
            assert profile.totals["kept_bytes"] is not None
            assert profile.totals["kept_bytes"] > 1000 * 1024
        again = client.get("/async", headers={"X-Blackfire-Query": query.text})
        assert again.status_code == 200
        assert "the query was used before" in again.headers["x-blackfire-error"]
        assert not [name for name in client.get("/async").headers if "blackfire" in name]


@pytest.mark.parametrize("trouble", ["down", "silent"])
def test_the_vendors_middleware_serves_when_the_receiver_is_down_or_slow(tmp_path: Path, trouble: str) -> None:
    query, _ = _asked(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:  # it accepts, and that is all
        address = f"tcp://127.0.0.1:{taken.getsockname()[1] if trouble == 'silent' else free_port()}"
        with instrumented(address, "flask", argv=(str(PROGRAMS / "blackfire_apps.py"), "flask")) as client:
            response = client.get("/report", headers={"X-Blackfire-Query": query})
            assert (response.status_code, response.text) == (200, "ok")
            assert response.headers["x-blackfire-error"].startswith("101")
            assert client.get("/report").status_code == 200


# --- the continuous profiler ------------------------------------------------------------------------------------------


def test_the_genuine_continuous_profiler_shows_a_leak_growing(tmp_path: Path) -> None:
    python = environment(NEWEST, "blackfire_conprof")
    with stand_in(tmp_path) as address:
        done = subprocess.run(
            [python, str(PROGRAMS / "conprof_leak.py"), "4"], env={**os.environ, "BLACKFIRE_AGENT_SOCKET": address},
            check=False, capture_output=True, text=True, timeout=250,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    really = int(done.stdout)
    [found] = conprof.uploads(tmp_path / "blackfire").values()
    assert len(found) >= 3
    profile = conprof.live_heap(found)
    [leak] = [f for f in profile.functions if profile.frames[f.frame].function == "leak"]
    held, grown, _ = leak.inclusive_values
    assert held == pytest.approx(really, rel=0.4)  # sampled: one in a MB
    assert grown > held / 4
    assert profile.frames[leak.frame].file.endswith("conprof_leak.py")
    sizes = [sum(size for stack, size in u.live.items() if any(f.function == "leak" for f in stack)) for u in found]
    assert sizes == sorted(sizes)
    assert sizes[-1] > sizes[0]
    assert [point.offset_ns for point in profile.curve] == sorted(point.offset_ns for point in profile.curve)
