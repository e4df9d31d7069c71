"""The session's side of the load generator's pipe."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.errors import HarnessError, TargetError, UsageError
from harness.load.engines import BUILTIN
from harness.model.span import CLOCK_ERROR, PhaseName, Span
from harness.session.pump import Child, Pump, own_module
from harness.store.writer import Recorder

_START_S = 30.0
_WINDOW = 2000  # spans looked back on for guard rails and progress


class LoadClient:
    """Owns the load generator. Rounds and stages block (pumping) until drained."""

    def __init__(
        self, pump: Pump, recorder: Recorder, plan: Mapping[str, object] | None, engine: str = BUILTIN,
        options: Mapping[str, object] | None = None, say: Callable[[str], None] = lambda _text: None,
        afterwards: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """Start it and wait until it is ready, which with workers elsewhere takes as long as they take to come; ``say`` is told
        what people should know meanwhile, ``afterwards`` is called by `stop`. Raises UsageError when the engine cannot be
        had."""
        self._pump = pump
        self._recorder = recorder
        self._ready = False
        self._blocks: deque[Mapping[str, Any]] = deque()
        self._done: deque[Mapping[str, Any]] = deque()
        self._responses: dict[int, Mapping[str, Any]] = {}
        self._next_id = 0
        self._clock_error_ns = 0
        self._unanswered: int | None = None  # a request that nobody waited for to the end
        self.closing = False
        self.recent: deque[Span] = deque(maxlen=_WINDOW)
        self.spans = 0
        self.errors = 0
        self.dropped = 0
        self.cpu_ns: int | None = None
        self.max_lag_ns = 0
        self.child = Child("the load generator", own_module("harness.load"))
        pump.add(self.child, self._on_message, self._on_gone)
        options = options or {}
        self._say = say
        self._afterwards = afterwards
        self.child.send(cmd="plan", plan=plan, engine=engine, options=options)
        if not pump.until(lambda: self._ready, _START_S + float(str(options.get("wait_s", 60.0)))):
            raise HarnessError("the load generator did not start", hint=self._complaint())

    def round(
        self, phase: PhaseName, number: int, requests: int, blocks: int, at_floor: Callable[[int, int, int], None]
    ) -> None:
        """One round. ``at_floor(block, start_ns, end_ns)`` is called after each block, drained, before the next begins."""
        self._done.clear()
        self.child.send(cmd="round", phase=phase, round=number, requests=requests, blocks=blocks)
        for _ in range(blocks):
            self._pump.until(lambda: bool(self._blocks) or bool(self._done))
            if not self._blocks:
                break
            block = self._blocks.popleft()
            at_floor(block["block"], block["start"], block["end"])
            self.child.send(cmd="continue")
        self._pump.until(lambda: bool(self._done))

    def stage(self, phase: PhaseName, rate_from: float, rate_to: float, seconds: float, max_in_flight: int,
              meanwhile: Callable[[], bool]) -> None:  # fmt: skip
        """An arrival-rate stage; ``meanwhile`` is polled while it runs (its answer is ignored)."""
        self._done.clear()
        self.child.send(
            cmd="stage", phase=phase, rate_from=rate_from, rate_to=rate_to, seconds=seconds, max_in_flight=max_in_flight
        )
        while not self._done:
            self._pump.until(lambda: bool(self._done), 0.2)
            meanwhile()
        self.dropped += int(self._done[0].get("dropped", 0))

    def run(self, phase: PhaseName, seconds: float, *, last: bool, meanwhile: Callable[[], bool]) -> None:
        """Have traffic that shapes itself go on for so long; ``meanwhile`` is polled (its answer is ignored)."""
        self._done.clear()
        self.child.send(cmd="run", phase=phase, seconds=seconds, last=last)
        while not self._done:
            self._pump.until(lambda: bool(self._done), 0.2)
            meanwhile()

    def one(self, endpoint: str, headers: Mapping[str, str], cookies: Mapping[str, str], base_url: str | None,
            timeout_s: float) -> tuple[Span, Mapping[str, str]]:  # fmt: skip
        """One request, alone; its span and the response's headers. Raises TargetError on a timeout.

        The generator does one thing at a time: where the wait for an earlier request was cut short, that one ends first.
        """
        if self._unanswered is not None:
            self._await(self._unanswered, endpoint, timeout_s)
        self._next_id += 1
        wanted = self._unanswered = self._next_id
        self.child.send(cmd="one", id=wanted, endpoint=endpoint, headers=headers, cookies=cookies, base_url=base_url,
                        phase=PhaseName.PROFILED)  # fmt: skip
        return self._await(wanted, endpoint, timeout_s)

    def _await(self, wanted: int, endpoint: str, timeout_s: float) -> tuple[Span, Mapping[str, str]]:
        if not self._pump.until(lambda: wanted in self._responses, timeout_s):
            raise TargetError(f"the profiled request to {endpoint} got no answer in {timeout_s:.0f} s")
        self._unanswered = None
        message = self._responses.pop(wanted)
        span = _span(message["span"])
        self._recorder.spans([span])
        return span, message["headers"]

    def stop(self) -> None:
        """End it; requests in flight are abandoned."""
        self.closing = True
        self.child.send(cmd="stop")
        self.child.hang_up()
        if not self._pump.until(lambda: self.child.process.poll() is not None, 3.0):
            self.child.process.kill()  # stopped, or stuck: it has nothing left to say
            self.child.reap()
        self._afterwards()

    def p99_ns(self, since_ns: int) -> int | None:
        """99th percentile latency of requests that ended after ``since_ns``; None with fewer than 100 of them."""
        latencies = sorted(s.latency_ns for s in self.recent if s.end_ns >= since_ns)
        return latencies[int(len(latencies) * 0.99)] if len(latencies) >= 100 else None

    # -- lines ---------------------------------------------------------------------------------------------------------

    def _on_message(self, m: Mapping[str, Any]) -> None:
        kind = m.get("k")
        if kind == "spans":
            self._on_spans([_span(row) for row in m["rows"]])
        elif kind == "block":
            self._blocks.append(m)
        elif kind in {"round", "stage"}:
            self._done.append(m)
        elif kind == "response":
            self._responses[m["id"]] = m
        elif kind == "health":
            self._on_health(m)
        elif kind == "ready":
            self._ready = True
        elif kind == "worker":
            self._on_worker(m)
        elif kind == "note":
            self._say(str(m["text"]))
        elif kind == "error" and m.get("usage"):
            raise UsageError(f"load: {m.get('text')}")
        elif kind == "error" and m.get("outside"):
            raise TargetError(f"the load cannot go on: {m.get('text')}", hint="what was recorded until then is kept")
        elif kind == "error":
            raise HarnessError(f"the load generator cannot go on: {m.get('text')}")
        else:
            raise HarnessError(f"the load generator sent an unknown message: {kind!r}")

    def _on_spans(self, spans: Sequence[Span]) -> None:
        self._recorder.spans(spans)
        self.recent.extend(spans)
        self.spans += len(spans)
        self.errors += sum(not s.ok for s in spans)

    def _on_worker(self, m: Mapping[str, Any]) -> None:
        """Another process sends, too: where, and how well its clock is known; told again when that got worse."""
        if m["clock_error"] > self._clock_error_ns:
            self._clock_error_ns = m["clock_error"]
            self._recorder.facts({CLOCK_ERROR: self._clock_error_ns})
        clock = (
            "on the clock of this host"
            if m["same_host"] and not m["clock_error"]
            else (f"its clock is known to {m['clock_error'] / 1e6:.3f} ms")
        )
        self._recorder.facts({f"load.worker.{m['number'] + 1}": f"{m['host']}, pid {m['pid']}, {clock}"})

    def _on_health(self, m: Mapping[str, Any]) -> None:
        self.cpu_ns = m["cpu"]
        self.max_lag_ns = max(self.max_lag_ns, m["lag"])
        rows = [("load.cpu", m["cpu"]), ("load.rss", m["rss"]), ("load.lag", m["lag"]), ("load.in_flight", m["in_flight"]),
                ("load.dropped", m["dropped"])]  # fmt: skip
        known = [(name, None, value) for name, value in rows if value is not None]
        self._recorder.samples(m["t"], known, lane="load")

    def _on_gone(self) -> None:
        if not self.closing:
            raise HarnessError("the load generator ended unexpectedly", hint=self._complaint())

    def _complaint(self) -> str:
        said = self.child.complaints.decode(errors="replace").strip().splitlines()
        return said[-1] if said else "it said nothing; was it killed?"


def _span(row: Sequence[Any]) -> Span:
    span_id, endpoint, phase, number, block, user, intended, start, end, status, error, size, failed = row
    return Span(
        span_id,
        endpoint,
        PhaseName(phase),
        number,
        block,
        user,
        intended,
        start,
        end,
        status,
        error,
        size,
        tuple(failed),
    )
