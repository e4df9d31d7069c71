"""The load generator as the session sees it: commands in, events out, one health line a second."""

from __future__ import annotations

import asyncio
import json
import resource
import time
from collections.abc import Coroutine
from pathlib import Path

from harness.load.engines import BUILTIN, Executor, StageSpec, State, load_engine
from harness.load.exchange import Base
from harness.load.pipe import Output, span_row
from harness.load.plan import LoadPlan, check_base_url
from harness.load.plan_json import JsonObject
from harness.load.user import Decoration
from harness.model.span import PhaseName

_TICK_SECONDS = 0.1
_FLUSH_TICKS = 4
_HEALTH_TICKS = 10
_MAX_HEADERS = 64
_MAX_HEADER_CHARS = 4096
_MAX_NAME_CHARS = 256
_STATM = Path("/proc/self/statm")


class Service:
    """Carries out the commands of one session."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._traffic: Executor | None = None
        self._job: asyncio.Task[None] | None = None

    async def run(self, lines: asyncio.StreamReader) -> None:
        """Until ``stop`` or end of file. ValueError when the session sends what it should not, or sends it too early."""
        ticker = asyncio.create_task(self._tick())
        reader: asyncio.Task[bytes] | None = None
        try:
            while True:
                reader = reader or asyncio.create_task(lines.readline())
                await asyncio.wait([t for t in (reader, self._job, ticker) if t], return_when=asyncio.FIRST_COMPLETED)
                self._reap_job()
                if ticker.done():
                    ticker.result()
                if reader.done():
                    line, reader = reader.result(), None
                    if not line or not await self._obey(line):
                        return
        finally:
            await _cancel(*(t for t in (reader, self._job, ticker) if t))
            if self._traffic is not None:
                await self._traffic.close()

    async def _obey(self, line: bytes) -> bool:
        """Carry out one command; False when it was ``stop``."""
        command = JsonObject(json.loads(line), "command")
        name = command.text("cmd")
        if name == "stop":
            return False
        if name == "plan":
            if self._traffic is not None:
                raise ValueError("a second plan")
            self._start(name, self._open(command))
            return True
        if self._traffic is None:
            raise ValueError(f"command {name!r} before the plan")
        if name == "continue":
            self._traffic.proceed()
        elif name == "cancel":
            self._traffic.cancel()
        else:
            self._start(name, self._work(name, command, self._traffic))
        return True

    async def _open(self, command: JsonObject) -> None:
        """Have the engine get ready, which takes a while where it consists of several processes."""
        plan = command.take("plan")
        engine = load_engine(command.text("engine", BUILTIN))
        compiled = None if plan is None else LoadPlan.from_json(plan)
        self._traffic = await engine.open(compiled, command.take("options", {}), self._output)
        self._output.event({"k": "ready"})

    def _start(self, name: str, job: Coroutine[None, None, None]) -> None:
        if self._job is not None:
            job.close()
            raise ValueError(f"command {name!r} while another one is being carried out")
        self._job = asyncio.create_task(job)

    def _reap_job(self) -> None:
        if self._job is not None and self._job.done():
            job, self._job = self._job, None
            job.result()

    async def _work(self, name: str, command: JsonObject, traffic: Executor) -> None:
        phase = PhaseName(command.text("phase"))
        if name == "round":
            await traffic.round(phase, *_positive(command, "round", "requests", "blocks"))
        elif name == "stage":
            await traffic.stage(_stage(command, phase))
        elif name == "run":
            await traffic.run(phase, _seconds(command), last=command.flag("last", default=True))
        elif name == "one":
            await self._one(command, phase, traffic)
        else:
            raise ValueError(f"unknown command {name!r}")

    async def _one(self, command: JsonObject, phase: PhaseName, traffic: Executor) -> None:
        number = command.integer("id")
        span, exchange = await traffic.one(command.text("endpoint"), phase, _decoration(command))
        headers = {name[:_MAX_NAME_CHARS]: value[:_MAX_HEADER_CHARS] for name, value in exchange.headers[:_MAX_HEADERS]}
        self._output.event({"k": "response", "id": number, "span": span_row(span), "headers": headers})

    async def _tick(self) -> None:
        """Flush spans, watch how late the event loop runs, say how we are."""
        lag_ns, tick = 0, 0
        due_ns = time.monotonic_ns()
        while True:
            due_ns += int(_TICK_SECONDS * 1e9)
            await asyncio.sleep((due_ns - time.monotonic_ns()) / 1e9)
            now_ns = time.monotonic_ns()
            lag_ns = max(lag_ns, now_ns - due_ns)
            due_ns = max(due_ns, now_ns - int(_TICK_SECONDS * 1e9))  # after a stall, do not catch up in a burst
            tick += 1
            if tick % _FLUSH_TICKS == 0:
                self._output.flush()
            if tick % _HEALTH_TICKS == 0:
                self._health(now_ns, lag_ns)
                lag_ns = 0

    def _health(self, now_ns: int, lag_ns: int) -> None:
        state = State() if self._traffic is None else self._traffic.state()
        rss = int(_STATM.read_bytes().split()[1]) * resource.getpagesize()
        self._output.event(
            {
                "k": "health",
                "t": now_ns,
                "cpu": time.process_time_ns() + state.cpu_ns,
                "rss": rss + state.rss_bytes,
                "lag": max(lag_ns, state.lag_ns),
                "in_flight": state.in_flight,
                "dropped": state.dropped,
                "retried": state.retried,
            }
        )


def _positive(command: JsonObject, *keys: str) -> list[int]:
    values = [command.integer(key) for key in keys]
    for key, value in zip(keys, values, strict=True):
        if value < (0 if key == "round" else 1):
            raise ValueError(f"command.{key}: must not be {value}")
    return values


def _stage(command: JsonObject, phase: PhaseName) -> StageSpec:
    spec = StageSpec(
        phase=phase,
        rate_from=command.number("rate_from"),
        rate_to=command.number("rate_to"),
        seconds=command.number("seconds"),
        max_in_flight=command.integer("max_in_flight"),
    )
    if min(spec.rate_from, spec.rate_to) < 0 or spec.seconds <= 0 or spec.max_in_flight < 1:
        raise ValueError("command: rates must not be negative, seconds and max_in_flight must be above 0")
    return spec


def _seconds(command: JsonObject) -> float:
    seconds = command.number("seconds")
    if seconds <= 0:
        raise ValueError("command.seconds: must be above 0")
    return seconds


def _decoration(command: JsonObject) -> Decoration:
    base_url = command.text_or_none("base_url")
    if base_url is not None:
        check_base_url(base_url)
    return Decoration(
        headers=command.texts("headers"),
        cookies=command.texts("cookies"),
        base=None if base_url is None else Base.parse(base_url),
    )


async def _cancel(*tasks: asyncio.Task[bytes] | asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
