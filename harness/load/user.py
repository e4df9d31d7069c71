"""A virtual user: cookies and captured values that last for the run, one request at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.load.exchange import Base, Counters, Exchange, Sender, new_span_id, traceparent_of
from harness.load.inspect_body import Answer, decode_body, failed_checks
from harness.load.render import CompiledPlan, CompiledRequest, Need, Prepared
from harness.model.span import PhaseName, Span

_PROFILED_PATIENCE = 10  # a profiled request takes ten times as long
_ONCE_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Slot:
    """The part of the run a request belongs to."""

    phase: PhaseName
    round: int | None = None
    block: int | None = None


@dataclass(frozen=True, slots=True)
class Decoration:
    """Additions to one request: headers and cookies that replace the plan's, and another place to send it to."""

    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)
    base: Base | None = None

    def apply(self, prepared: Prepared) -> Prepared:
        headers = dict(prepared.headers) | {name.lower(): value for name, value in self.headers.items()}
        return replace(prepared, headers=tuple(headers.items()), cookies={**prepared.cookies, **self.cookies})


class VirtualUser:
    """Sends requests of the plan, with what they need before them. Every request sent is recorded as a span."""

    def __init__(
        self,
        number: int,
        plan: CompiledPlan,
        base: Base,
        client: Sender,
        counters: Counters,
        record: Callable[[Span], None],
    ) -> None:
        self.number = number
        self._plan = plan
        self._base = base
        self._client = client
        self._counters = counters
        self._record = record
        self._values: dict[int, str] = {}  # by capture
        self._pending_once = [(index, _ONCE_ATTEMPTS) for index in plan.once]
        self._supplied = False

    async def prepare(self, slot: Slot) -> None:
        """Send the ``once`` requests and those that supply lasting captures, unless done: later rounds shall not need to.

        A ``once`` request that fails is tried again before the user's next requests, three times in all.
        """
        still_pending = []
        for index, attempts in self._pending_once:
            span = await self._request(index, slot)
            if not span.ok and attempts > 1:
                still_pending.append((index, attempts - 1))
        self._pending_once = still_pending
        if not self._supplied:
            self._supplied = True
            for index in self._plan.weighted:
                needs = self._plan.requests[index].needs
                await self._supply([need for need in needs if not need.fresh], slot)

    async def request(self, index: int, slot: Slot, intended_ns: int | None = None) -> Span:
        """Send request ``index`` of the plan, after what it needs."""
        if self._pending_once or not self._supplied:
            await self.prepare(slot)
        return await self._request(index, slot, intended_ns)

    async def decorated(self, index: int, slot: Slot, decoration: Decoration) -> tuple[Span, Exchange]:
        """Send request ``index`` with additions and without following redirects; the span is returned instead of recorded."""
        if self._pending_once or not self._supplied:
            await self.prepare(slot)
        request = self._plan.requests[index]
        await self._supply(request.needs, slot)
        return await self._exchange(request, slot, None, decoration)

    async def close(self) -> None:
        await self._client.close()

    async def _request(self, index: int, slot: Slot, intended_ns: int | None = None) -> Span:
        request = self._plan.requests[index]
        await self._supply(request.needs, slot)
        span, _ = await self._exchange(request, slot, intended_ns, None)
        self._record(span)
        return span

    async def _supply(self, needs: Sequence[Need], slot: Slot) -> None:
        asked = set[int]()
        for need in needs:
            if need.source in asked or (need.capture in self._values and not need.fresh):
                continue
            asked.add(need.source)
            for other in needs:
                if other.source == need.source and other.fresh:
                    self._values.pop(other.capture, None)
            await self._request(need.source, slot)

    async def _exchange(
        self, request: CompiledRequest, slot: Slot, intended_ns: int | None, decoration: Decoration | None
    ) -> tuple[Span, Exchange]:
        prepared = self._render(request, decoration)
        sent = _Sent(new_span_id(), request.plan.name, slot, self.number, intended_ns, time.monotonic_ns())
        if isinstance(prepared, str):
            exchange = Exchange(error=prepared)
            return sent.ended(exchange, sent.start_ns), exchange
        self._counters.in_flight += 1
        try:
            exchange = await self._client.send(
                prepared,
                (decoration.base if decoration else None) or self._base,
                traceparent=traceparent_of(sent.span_id),
                timeout_s=request.timeout_s * (_PROFILED_PATIENCE if decoration else 1),
                follow=request.plan.follow_redirects and decoration is None,
                keep_body=request.keep_body,
            )
        except asyncio.CancelledError:
            self._record(sent.ended(Exchange(error="cancelled"), time.monotonic_ns()))
            raise
        finally:
            self._counters.in_flight -= 1
        span = sent.ended(exchange, time.monotonic_ns())
        return replace(span, failed_checks=self._inspect(request, exchange, span.latency_ns)), exchange

    def _render(self, request: CompiledRequest, decoration: Decoration | None) -> Prepared | str:
        """The request with this user's values, or the error that one is missing."""
        missing = [need.variable for need in request.needs if need.capture not in self._values]
        if missing:
            return f"no value for ${{{missing[0]}}}"
        prepared = request.render({need.variable: self._values[need.capture] for need in request.needs})
        return prepared if decoration is None else decoration.apply(prepared)

    def _inspect(self, request: CompiledRequest, exchange: Exchange, latency_ns: int) -> tuple[str, ...]:
        """Take over captured values; the failed checks. A failed exchange is not looked at."""
        if exchange.status is None or exchange.error is not None:
            return ()
        headers = dict(exchange.headers)
        text = decode_body(bytes(exchange.body), headers) if request.keep_body else ""
        answer = Answer(exchange.status, headers, text, latency_ns)
        for capture, extract in request.provides:
            value = extract(answer)
            if value is not None:
                self._values[capture] = value
        return failed_checks(request.plan.checks, answer)


@dataclass(frozen=True, slots=True)
class _Sent:
    """The part of a span that is known when its request goes out."""

    span_id: str
    endpoint: str
    slot: Slot
    user: int
    intended_ns: int | None
    start_ns: int

    def ended(self, exchange: Exchange, end_ns: int) -> Span:
        return Span(
            span_id=self.span_id,
            endpoint=self.endpoint,
            phase=self.slot.phase,
            round=self.slot.round,
            block=self.slot.block,
            user=self.user,
            intended_ns=self.intended_ns,
            start_ns=self.start_ns,
            end_ns=end_ns,
            status=exchange.status,
            error=exchange.error,
            body_bytes=exchange.body_bytes,
            failed_checks=(),
        )
