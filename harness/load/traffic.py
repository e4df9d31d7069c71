"""The ways to send traffic: rounds at a concurrency, stages at an arrival rate, one request alone."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Iterator

from harness.load.client import Client, tls_context
from harness.load.cookies import CookieJar
from harness.load.engines import StageSpec, State
from harness.load.exchange import Base, Counters, Exchange
from harness.load.pipe import Output
from harness.load.plan import LoadPlan
from harness.load.render import compile_plan
from harness.load.schedule import arrival_offsets_ns, endless_mix, planned_arrivals, round_blocks
from harness.load.user import Decoration, Slot, VirtualUser
from harness.model.span import PhaseName, Span

_CANCEL_LATENCY_SECONDS = 0.1
_REFUSED_PAUSE_SECONDS = 0.05


class Traffic:
    """All virtual users of a run and what they do: the built-in `harness.load.engines.Executor`."""

    def __init__(self, plan: LoadPlan, output: Output) -> None:
        """ValueError when the plan cannot be carried out here."""
        self.counters = Counters()
        self._compiled = compile_plan(plan)
        self._output = output
        self._base = Base.parse(plan.base_url)
        self._ssl_context = tls_context(verify=plan.verify, ca_file=plan.ca_file)
        self._users = [self._new_user(number) for number in range(plan.users)]
        self._stages = 0
        self._cancelled = asyncio.Event()
        self._continue = asyncio.Event()

    def cancel(self) -> None:
        """Start nothing new in the round or stage that is on; it ends when the requests in flight have."""
        self._cancelled.set()
        self._continue.set()

    def proceed(self) -> None:
        """The floor of the block just reported has been taken."""
        self._continue.set()

    async def round(self, phase: PhaseName, number: int, requests: int, blocks: int) -> None:
        """Send one round, block by block, reporting each block when it has drained and waiting for `proceed` after it."""
        self._cancelled.clear()
        plan = self._compiled.plan
        schedule = round_blocks(self._compiled.weights, requests, blocks, plan.seed, number)
        round_start_ns = time.monotonic_ns()
        for block, indexes in enumerate(schedule):
            start_ns = time.monotonic_ns()
            await self._block(Slot(phase, number, block), iter(indexes))
            if self._cancelled.is_set():
                break
            self._continue.clear()
            times = {"start": start_ns, "end": time.monotonic_ns()}
            self._output.event({"k": "block", "round": number, "block": block, **times})
            await self._continue.wait()
            if self._cancelled.is_set():
                break
        self._output.event({"k": "round", "round": number, "start": round_start_ns, "end": time.monotonic_ns()})

    async def stage(self, spec: StageSpec) -> None:
        """Start requests when the schedule says, whether or not earlier ones have been answered."""
        self._cancelled.clear()
        slot = Slot(spec.phase)
        dropped_before = self.counters.dropped
        async with asyncio.TaskGroup() as group:
            for user in self._users[: self._compiled.plan.users]:
                group.create_task(user.prepare(slot))
        start_ns = time.monotonic_ns()
        async with asyncio.TaskGroup() as group:
            await self._dispatch(spec, slot, start_ns, group)
        self._output.event(
            {
                "k": "stage",
                "start": start_ns,
                "end": time.monotonic_ns(),
                "planned": planned_arrivals(spec.rate_from, spec.rate_to, spec.seconds),
                "dropped": self.counters.dropped - dropped_before,
            }
        )

    async def run(self, phase: PhaseName, seconds: float, *, last: bool) -> None:
        """There is nothing here that shapes itself."""
        raise ValueError("the built-in engine sends rounds and stages only")

    async def one(self, endpoint: str, phase: PhaseName, decoration: Decoration) -> tuple[Span, Exchange]:
        """Send one request as the first user. ValueError when there is no such endpoint."""
        names = [request.plan.name for request in self._compiled.requests]
        if endpoint not in names:
            raise ValueError(f"there is no request {endpoint!r}")
        return await self._users[0].decorated(names.index(endpoint), Slot(phase), decoration)

    def state(self) -> State:
        """Totals of this process."""
        counters = self.counters
        return State(in_flight=counters.in_flight, dropped=counters.dropped, retried=counters.retried)

    async def close(self) -> None:
        """Close all connections."""
        await asyncio.gather(*(user.close() for user in self._users))

    def _new_user(self, number: int) -> VirtualUser:
        client = Client(self._ssl_context, CookieJar(self._base.host), self.counters)
        return VirtualUser(number, self._compiled, self._base, client, self.counters, self._output.span)

    async def _block(self, slot: Slot, indexes: Iterator[int]) -> None:
        """All users take from the same queue until it is empty."""
        async with asyncio.TaskGroup() as group:
            for user in self._users[: self._compiled.plan.users]:  # a stage may have added some
                group.create_task(self._work(user, slot, indexes))

    async def _work(self, user: VirtualUser, slot: Slot, indexes: Iterable[int]) -> None:
        await user.prepare(slot)  # also users the queue leaves without work: all of it belongs to the first round
        for index in indexes:
            if self._cancelled.is_set():
                break
            span = await user.request(self._compiled.weighted[index], slot)
            await self._output.room()
            if span.error == "connection refused":
                await asyncio.sleep(_REFUSED_PAUSE_SECONDS)  # a dead target costs a pause, not a busy loop

    async def _dispatch(self, spec: StageSpec, slot: Slot, start_ns: int, group: asyncio.TaskGroup) -> None:
        mix = endless_mix(self._compiled.weights, self._compiled.plan.seed, self._stages)
        self._stages += 1
        idle = deque(self._users)
        active = 0

        async def iteration(user: VirtualUser, index: int, intended_ns: int) -> None:
            nonlocal active
            try:
                await user.request(index, slot, intended_ns)
            finally:
                active -= 1
                idle.append(user)

        for offset_ns in arrival_offsets_ns(spec.rate_from, spec.rate_to, spec.seconds):
            index = self._compiled.weighted[next(mix)]
            await self._wait_until(start_ns + offset_ns)
            if self._cancelled.is_set():
                return
            if active >= spec.max_in_flight:
                self.counters.dropped += 1
                continue
            active += 1
            group.create_task(iteration(self._idle_user(idle), index, start_ns + offset_ns))
        await self._wait_until(start_ns + int(spec.seconds * 1e9))  # the last arrival is not the end

    def _idle_user(self, idle: deque[VirtualUser]) -> VirtualUser:
        if idle:
            return idle.popleft()
        user = self._new_user(len(self._users))
        self._users.append(user)
        return user

    async def _wait_until(self, t_ns: int) -> None:
        """Until ``t_ns`` or until cancelled; lets others run even when it is late already."""
        await self._output.room()
        while not self._cancelled.is_set():
            seconds = (t_ns - time.monotonic_ns()) / 1e9
            await asyncio.sleep(min(max(seconds, 0.0), _CANCEL_LATENCY_SECONDS))
            if seconds <= 0:
                return
