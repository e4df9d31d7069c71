"""Starts Locust's master and the workers of this machine, and speaks with the master: the asyncio side of engines on Locust."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.load.engines import EngineError, StageSpec, State
from harness.load.exchange import Exchange
from harness.load.pipe import Output
from harness.load.plan import LoadPlan
from harness.load.plan_json import JsonObject
from harness.load.swarm.export import package
from harness.load.swarm.places import LAST_WORDS_BYTES, Meeting, Place, last_line, lay, start_tunnel
from harness.load.swarm.wire import ORDER_FROM_STDIN, SOCKET
from harness.load.traffic import Traffic
from harness.load.user import Decoration
from harness.model.span import PhaseName, Span

HERE = Path(__file__).resolve().parent
_LINE_CAP = 1 << 26  # a line of 500 spans is far below it
_END_S = 3.0
_WORDS_S = 1.0
_SPANS = b'{"k":"spans"'


@dataclass(frozen=True, slots=True)
class Team:
    """Who sends. ``local`` workers are started here; ``remote`` ones are waited for, at most ``wait_s``. ``places``: where others
    are started. ``listen`` (host, port; port 0: any): where the master is found; None: on a socket that only this user
    can reach."""

    local: int
    remote: int = 0
    listen: tuple[str, int] | None = None
    wait_s: float = 60.0
    places: tuple[Place, ...] = ()

    @property
    def size(self) -> int:
        return self.local + self.remote + sum(place.workers for place in self.places)

    @classmethod
    def from_options(cls, options: JsonObject) -> Team:
        """Takes ``workers``, ``remote_workers``, ``listen``, ``wait_s`` and ``places``. ValueError for what cannot be."""
        local, remote = options.integer("workers", 2), options.integer("remote_workers", 0)
        host, _, port = (options.text_or_none("listen") or "").rpartition(":")
        listen = (host.strip("[]"), int(port)) if port else None
        places = tuple(Place.from_json(each) for each in options.array("places", ()))
        team = cls(local, remote, listen, options.number("wait_s", 60.0), places)
        if local < 0 or remote < 0 or team.size < 1:
            raise ValueError("engine: there must be at least one worker")
        if listen is None and (remote or not all(place.hold for place in places)):
            raise ValueError("engine: workers from elsewhere need an address to come to")
        return team


@dataclass(slots=True)
class _Helpers:
    master: asyncio.subprocess.Process
    workers: list[asyncio.subprocess.Process] = field(default_factory=list)
    tunnels: list[asyncio.subprocess.Process] = field(default_factory=list)  # what workers elsewhere speak through


class Swarm:
    """A `harness.load.engines.Executor` whose requests are sent by Locust workers. Make it with `start`.

    Single requests (`one`) are sent from here, by the built-in engine: they are no load.
    """

    def __init__(self, helpers: _Helpers, team: Team, plan: LoadPlan | None, output: Output) -> None:
        self._helpers = helpers
        self._team = team
        self._plan = plan
        self._output = output
        self._single: Traffic | None = None
        self._state = State()
        self._waiting: dict[str, asyncio.Future[Mapping[str, Any]]] = {}
        self._broken: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._tasks = [asyncio.create_task(self._read())]
        self._closing = False
        self._socket: Path | None = None  # of the master

    @classmethod
    async def start(
        cls, order: Mapping[str, Any], team: Team, files: Sequence[Path], plan: LoadPlan | None, output: Output,
        directory: str | None = None,
    ) -> Swarm:  # fmt: skip
        """Have all workers ready. ``files`` are the workers' locustfiles, ``directory`` is where they and the master run.

        Raises EngineError when one of the parts does not start.
        """
        if find_spec("locust") is None:
            raise EngineError("Locust is not installed here: pip install 'profiling-harness[locust]'", at_start=True)
        master = await _process(
            [sys.executable, "-P", "-m", "harness.load.swarm.master"], directory, asyncio.subprocess.PIPE
        )
        swarm = cls(_Helpers(master), team, plan, output)
        try:
            listening = swarm._expect("listening")
            ready = swarm._expect("ready")
            swarm._send({**order, "listen": team.listen, "workers": team.size})
            said = await swarm._answer(listening)
            at = Meeting(team.listen[0], said["port"]) if team.listen else Meeting(said["socket"])
            swarm._socket = None if team.listen else Path(at.host)
            for number in range(team.local):
                await swarm._start_local(number, at, files, directory)
            arrivals = (swarm._start_elsewhere(place, at) for place in team.places)
            for arrived in await asyncio.gather(*arrivals, return_exceptions=True):  # so nothing begins after the end
                if arrived is not None:
                    raise arrived
            if team.remote:
                host, port = at.host, at.port
                text = f"waiting for {team.remote} load workers from elsewhere on {host}:{port}"
                output.event(
                    {
                        "k": "note",
                        "text": f"{text}: locust -f locustfile.py --worker --master-host HOST --master-port {port}",
                    }
                )
            try:
                async with asyncio.timeout(team.wait_s):
                    await swarm._answer(ready)
            except TimeoutError:
                raise EngineError(f"the load workers were not all there within {team.wait_s:.0f} s") from None
        except EngineError as error:
            await swarm.close()
            raise EngineError(str(error), at_start=True) from None
        except BaseException:
            await swarm.close()
            raise
        return swarm

    def cancel(self) -> None:
        """See `harness.load.engines.Executor`."""
        self._send({"cmd": "cancel"})

    def proceed(self) -> None:
        """See `harness.load.engines.Executor`."""
        self._send({"cmd": "continue"})

    async def round(self, phase: PhaseName, number: int, requests: int, blocks: int) -> None:
        """See `harness.load.engines.Executor`."""
        order = {"cmd": "round", "phase": phase, "round": number, "requests": requests, "blocks": blocks}
        await self._carry_out(order, "round")

    async def stage(self, spec: StageSpec) -> None:
        """See `harness.load.engines.Executor`."""
        rates = {"rate_from": spec.rate_from, "rate_to": spec.rate_to, "seconds": spec.seconds}
        await self._carry_out(
            {"cmd": "stage", "phase": spec.phase, **rates, "max_in_flight": spec.max_in_flight}, "stage"
        )

    async def run(self, phase: PhaseName, seconds: float, *, last: bool) -> None:
        """See `harness.load.engines.Executor`."""
        await self._carry_out({"cmd": "run", "phase": phase, "seconds": seconds, "last": last}, "stage")

    async def one(self, endpoint: str, phase: PhaseName, decoration: Decoration) -> tuple[Span, Exchange]:
        """See `harness.load.engines.Executor`."""
        if self._plan is None:
            raise ValueError("the scenario lists no requests to send alone")
        if self._single is None:
            self._single = Traffic(self._plan, self._output)
        return await self._single.one(endpoint, phase, decoration)

    def state(self) -> State:
        """As the master said last."""
        return self._state

    async def close(self) -> None:
        """End the workers and the master: all end with their standard input."""
        self._closing = True
        if self._single is not None:
            await self._single.close()
        await _end(self._helpers.workers)
        await _end([*self._helpers.tunnels, self._helpers.master])
        if self._socket is not None:  # of a master that was killed; any other has removed it
            shutil.rmtree(self._socket.parent, ignore_errors=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- parts -----------------------------------------------------------------------------------------------------------

    async def _start_local(self, number: int, at: Meeting, files: Sequence[Path], directory: str | None) -> None:
        argv = [
            sys.executable,
            "-P",
            "-m",
            "locust",
            "-f",
            ",".join(map(str, files)),
            "--worker",
            "--loglevel",
            "WARNING",
        ]
        env = {}
        if at.port:
            host = "127.0.0.1" if at.host in {"*", "0.0.0.0", "::"} else at.host  # noqa: S104  compared, not bound
            argv += ["--master-host", host, "--master-port", str(at.port)]
        else:
            env[SOCKET] = at.host
        await self._start_worker(f"load worker {number + 1}", argv, b"", directory, env)

    async def _start_elsewhere(self, place: Place, at: Meeting) -> None:
        if not at.port:
            tunnel = await start_tunnel(place)
            self._helpers.tunnels.append(tunnel)
            at = Meeting(await lay(place, tunnel, at.host))
            self._tasks.append(asyncio.create_task(self._notice_end(tunnel, f"the SSH connection to {place.name}")))
        for _ in range(place.workers):
            await self._start_worker(f"load worker on {place.name}", place.command, package(at.words), None, {})

    async def _start_worker(
        self, name: str, argv: Sequence[str], before: bytes, directory: str | None, env: Mapping[str, str]
    ) -> None:
        """``before``: what it wants to read before its order."""
        try:
            worker = await _process(argv, directory, None, env, asyncio.subprocess.PIPE)
        except OSError as error:
            raise EngineError(f"{name} cannot be started: {argv[0]}: {error.strerror}") from None
        self._helpers.workers.append(worker)
        plan = None if self._plan is None else self._plan.to_json()
        assert worker.stdin is not None
        with contextlib.suppress(ConnectionError):  # it is gone already: the task below says so
            worker.stdin.write(before + json.dumps({"plan": plan}).encode() + b"\n")
            await worker.stdin.drain()
        self._tasks.append(asyncio.create_task(self._notice_end(worker, f"{name} (pid {worker.pid})")))

    async def _notice_end(self, process: asyncio.subprocess.Process, name: str) -> None:
        last = asyncio.create_task(_last_words(process.stderr))
        try:
            code = await process.wait()
            await asyncio.wait([last], timeout=_WORDS_S)  # somebody else may hold the pipe
            said = last.result() if last.done() else ""
        finally:
            last.cancel()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        self._break(f"{name} {how}{f': {said}' if code > 0 and said else ''}")

    async def _carry_out(self, order: Mapping[str, Any], answer: str) -> None:
        done = self._expect(answer)
        self._send(order)
        line = await self._answer(done)
        self._output.event(line)

    def _send(self, line: Mapping[str, Any]) -> None:
        stdin = self._helpers.master.stdin
        if stdin is not None and not stdin.is_closing():
            stdin.write(json.dumps(line).encode() + b"\n")

    def _expect(self, kind: str) -> asyncio.Future[Mapping[str, Any]]:
        future = self._waiting[kind] = asyncio.get_running_loop().create_future()
        return future

    async def _answer(self, future: asyncio.Future[Mapping[str, Any]]) -> Mapping[str, Any]:
        waiting: list[asyncio.Future[Any]] = [future, self._broken]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if not future.done():
            raise EngineError(self._broken.result())
        return future.result()

    def _break(self, text: str) -> None:
        if not self._closing and not self._broken.done():
            self._broken.set_result(text)

    async def _read(self) -> None:
        """Pass the master's lines on; the session's reading holds it back, not a queue here."""
        stdout = self._helpers.master.stdout
        assert stdout is not None
        try:
            while line := await stdout.readline():
                await self._output.room()
                if line.startswith(_SPANS):
                    self._output.line(line)
                else:
                    self._on_line(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            self._break(f"the master of the load workers said something that cannot be read ({type(error).__name__})")
        self._break("the master of the load workers ended unexpectedly")

    def _on_line(self, line: Mapping[str, Any]) -> None:
        kind = line["k"]
        if kind in {"block", "worker", "note"}:
            self._output.event(line)
        elif kind == "health":
            self._state = State(
                line["cpu"], line["rss"], line["lag"], line["in_flight"], line["dropped"], line["retried"]
            )
        elif kind == "error":
            self._break(line["text"])
        elif (future := self._waiting.pop(kind, None)) is not None and not future.done():
            future.set_result(line)


async def _last_words(complaints: asyncio.StreamReader | None) -> str:
    """Of a helper that ends; what it says before is of no use to anybody."""
    tail = b""
    while complaints is not None and (said := await complaints.read(LAST_WORDS_BYTES)):
        tail = (tail + said)[-LAST_WORDS_BYTES:]
    return last_line(tail)


async def _end(processes: Sequence[asyncio.subprocess.Process]) -> None:
    """All of them end with their standard input, or are ended."""
    for process in processes:
        if process.stdin is not None:
            process.stdin.close()
    for process in processes:
        try:
            async with asyncio.timeout(_END_S):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _process(
    argv: Sequence[str], directory: str | None, stdout: int | None, env: Mapping[str, str] | None = None,
    stderr: int | None = None,
) -> asyncio.subprocess.Process:  # fmt: skip
    """A helper that ends with its standard input; what it prints goes to our standard error, where nothing else is said."""
    return await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=sys.stderr.fileno() if stdout is None else stdout,
        stderr=stderr,
        limit=_LINE_CAP,
        env={**os.environ, ORDER_FROM_STDIN: "stdin", **(env or {})},
        cwd=directory,
    )
