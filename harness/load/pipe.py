"""The process's ends of the session's pipes: command lines in, span rows and events out."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Mapping

from harness.model.span import Span

MAX_LINE_BYTES = 1024 * 1024
_MAX_ROWS = 500
_MAX_UNREAD_BYTES = 256 * 1024
_CLOSE_SECONDS = 2.0
Row = list[object]


def span_row(span: Span) -> Row:
    """A span as in the table of docs/architecture.md."""
    return [
        span.span_id,
        span.endpoint,
        span.phase,
        span.round,
        span.block,
        span.user,
        span.intended_ns,
        span.start_ns,
        span.end_ns,
        span.status,
        span.error,
        span.body_bytes,
        span.failed_checks,
    ]


class Output(asyncio.Protocol):
    """Lines to the session, in order. Writing never blocks; who produces much awaits `room` and so waits for a slow reader."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._transport: asyncio.WriteTransport | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._lost = asyncio.Event()

    @classmethod
    async def open(cls) -> Output:
        """Take over standard output. Nothing else may print there: what others print goes to standard error from now on."""
        pipe = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        _, output = await asyncio.get_running_loop().connect_write_pipe(cls, pipe)
        return output

    def span(self, span: Span) -> None:
        """Keep the span for the next line of spans."""
        self._rows.append(span_row(span))
        if len(self._rows) >= _MAX_ROWS:
            self.flush()

    def flush(self) -> None:
        """Send the spans collected so far."""
        if self._rows:
            rows, self._rows = self._rows, []
            self._write({"k": "spans", "rows": rows})

    def event(self, line: Mapping[str, object]) -> None:
        """Send a line of another kind, after all spans before it."""
        self.flush()
        self._write(line)

    def line(self, line: bytes) -> None:
        """Send a line that another process of ours has written, with its end, after all spans before it."""
        self.flush()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(line)

    async def room(self) -> None:
        """Wait until the session has read enough of what is there."""
        await self._writable.wait()

    async def close(self) -> None:
        """Send everything out, unless the reader does not take it within 2 s."""
        self.flush()
        if self._transport is not None:
            self._transport.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._lost.wait(), _CLOSE_SECONDS)

    def _write(self, line: Mapping[str, object]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            text = json.dumps(line, separators=(",", ":"), ensure_ascii=False)  # escapes could make a line too long
            self._transport.write(text.encode("utf-8", "replace") + b"\n")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        transport.set_write_buffer_limits(high=_MAX_UNREAD_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        self._writable.set()  # nobody reads any more: nothing to wait for
        self._lost.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()


async def open_input() -> asyncio.StreamReader:
    """Standard input as a stream of lines of at most 1 MiB."""
    reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader
