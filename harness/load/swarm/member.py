"""One worker process: how it speaks to the master, on whose clock, and when it ends."""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent
from gevent.event import AsyncResult
from locust.runners import WorkerRunner

from harness.load.exchange import Counters
from harness.load.pipe import span_row
from harness.load.swarm import wire
from harness.model.span import Span

_TICK_S = 0.1
_FLUSH_TICKS = 4
_HEALTH_TICKS = 10
_MAX_ROWS = 500
_PINGS = 12
_PONG_S = 5.0
_STATM = Path("/proc/self/statm")


_DRIFT = 50e-6  # of two quartz clocks, at most: ten times what one of a server is usually off


@dataclass(frozen=True, slots=True)
class Alignment:
    """What is to be added to times of this process to have the master's, and how wrong that can have been at ``t_ns``."""

    offset_ns: int = 0
    error_ns: int = 0
    t_ns: int = 0

    def error_at(self, t_ns: int) -> int:
        """How wrong it can be later: the clocks drift apart."""
        return self.error_ns + int(_DRIFT * max(0, t_ns - self.t_ns))


class Member:
    """The worker's side of `harness.load.swarm.wire`. Make it when Locust fires ``init``."""

    def __init__(self, runner: WorkerRunner, digest: str, counters: Counters) -> None:
        self.runner = runner
        self.counters = counters
        self.alignment = Alignment()
        self._foreign_clock = False
        self._rows: list[list[object]] = []
        self._pongs: dict[int, AsyncResult] = {}
        self._ping = 0
        self._lag_ns = 0  # the longest since it was told last
        self.on(wire.WELCOME, self._welcome)
        self.on(wire.PONG, self._pong)
        gevent.spawn(self._tick)
        self.tell(
            wire.HELLO,
            version=wire.VERSION,
            host=socket.gethostname(),
            pid=os.getpid(),
            clock=wire.clock_id(),
            digest=digest,
        )

    def on(self, kind: str, handler: Callable[[Mapping[str, Any]], None]) -> None:
        """Have ``handler`` called with the data of messages of this kind, in a greenlet of its own: it may wait."""

        def listener(environment: object, msg: Any, **_: object) -> None:
            try:
                handler(msg.data or {})
            except Exception as error:
                self.trouble(f"{type(error).__name__}: {error}")
                raise

        self.runner.register_message(kind, listener, concurrent=True)

    def tell(self, kind: str, **data: object) -> None:
        self.runner.send_message(kind, data)

    def trouble(self, text: str) -> None:
        """This worker cannot go on."""
        self.tell(wire.TROUBLE, text=text[:1000])

    def span(self, span: Span) -> None:
        """Keep the span for the next message, on the master's clock."""
        row = span_row(span)
        offset = self.alignment.offset_ns
        if offset:
            for place in (wire.START, wire.END, wire.INTENDED):
                value = row[place]
                row[place] = value + offset if isinstance(value, int) else None
        self._rows.append(row)
        if len(self._rows) >= _MAX_ROWS:
            self.flush()

    def flush(self) -> None:
        """Send the spans collected so far."""
        if self._rows:
            rows, self._rows = self._rows, []
            self.tell(wire.SPANS, rows=rows)

    def drained(self, job: int, done: int) -> None:
        """A job is over, ``done`` of its requests were sent."""
        self.flush()
        self._health()  # its totals belong to the job
        error_ns = self.alignment.error_at(time.monotonic_ns()) if self._foreign_clock else 0
        self.tell(wire.DRAINED, job=job, done=done, error=error_ns)

    def align(self) -> None:
        """Compare clocks with the master, where they are not the same one.

        The shortest of a few round trips tells most: the master read its clock at some instant of it, so the middle is wrong by
        half of it at most (Cristian, 1989). An earlier comparison is kept where it is still the better one.
        """
        if not self._foreign_clock:
            return
        best: Alignment | None = None
        for _ in range(_PINGS):
            self._ping += 1
            answer = self._pongs[self._ping] = AsyncResult()
            sent_ns = time.monotonic_ns()
            self.tell(wire.PING, id=self._ping)
            try:
                master_ns, back_ns = answer.get(timeout=_PONG_S)
            except gevent.Timeout:
                raise TimeoutError(f"the master did not answer within {_PONG_S:.0f} s") from None
            finally:
                self._pongs.pop(self._ping, None)
            error_ns = (back_ns - sent_ns + 1) // 2
            if best is None or error_ns < best.error_ns:
                best = Alignment(master_ns - (sent_ns + back_ns) // 2, error_ns, back_ns)
        assert best is not None
        if not self.alignment.t_ns or best.error_ns < self.alignment.error_at(best.t_ns):
            self.alignment = best

    def _welcome(self, data: Mapping[str, Any]) -> None:
        self._foreign_clock = data["clock"] != wire.clock_id()
        self.align()
        self.tell(wire.CLOCK, error=self.alignment.error_ns)

    def _pong(self, data: Mapping[str, Any]) -> None:
        back_ns = time.monotonic_ns()
        waiting = self._pongs.get(data["id"])
        if waiting is not None:
            waiting.set((data["t"], back_ns))

    def _tick(self) -> None:
        """Flush spans, watch how late this process runs, say how it is."""
        tick = 0
        while True:
            due_ns = time.monotonic_ns() + int(_TICK_S * 1e9)
            gevent.sleep(_TICK_S)
            self._lag_ns = max(self._lag_ns, time.monotonic_ns() - due_ns)
            tick += 1
            if tick % _FLUSH_TICKS == 0:
                self.flush()
            if tick % _HEALTH_TICKS == 0:
                self._health()

    def _health(self) -> None:
        lag_ns, self._lag_ns = self._lag_ns, 0
        self.tell(
            wire.HEALTH,
            cpu=time.process_time_ns(),
            rss=int(_STATM.read_bytes().split()[1]) * resource.getpagesize(),
            lag=lag_ns,
            in_flight=self.counters.in_flight,
            dropped=self.counters.dropped,
            retried=self.counters.retried,
        )


def end_with_the_line() -> None:
    """From now on, where this process was started by ours. To be called when the locustfile is read: Locust fires ``init`` only
    when it has found its master, which it looks for during five minutes."""
    if os.environ.get(wire.ORDER_FROM_STDIN):
        gevent.spawn(_end_with_stdin)


def _end_with_stdin() -> None:
    """Whoever started this process is gone when its end of the pipe is: then nothing here is of use to anybody."""
    while gevent.get_hub().threadpool.apply(os.read, (0, 1 << 16)):
        pass  # an order that nobody here needed
    os._exit(0)
