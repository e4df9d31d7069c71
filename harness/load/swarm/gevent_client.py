"""HTTP for one virtual user in a Locust worker: the twin of `harness.load.client` on gevent.

`geventhttpclient`, which Locust brings, parses the responses (llhttp, in C). Its own client is not used: it repeats requests
without being asked and merges headers a second time.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import time
from collections.abc import Coroutine
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import certifi
import gevent
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError, HTTPSocketResponse

from harness.load.cookies import CookieJar
from harness.load.exchange import (
    IDEMPOTENT,
    MAX_BODY_BYTES,
    MAX_REDIRECTS,
    REDIRECTS,
    Base,
    Counters,
    Exchange,
    RefusedError,
)
from harness.load.inspect_body import KEPT_BODY_BYTES
from harness.load.render import Prepared

_READ_BYTES = 64 * 1024
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*\Z")  # RFC 9110 5.5
_MAX_ERROR_CHARS = 200
T = TypeVar("T")


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine of `harness.load.user` here, in this greenlet.

    It awaits nothing but its client, and `GeventClient` lets other greenlets run instead of awaiting: the first step is the last.
    """
    try:
        coroutine.send(None)
    except StopIteration as end:
        value: T = end.value
        return value
    coroutine.close()
    raise RuntimeError("a coroutine wanted to wait in a Locust worker")


def tls_context(*, verify: bool, ca_file: str | None) -> ssl.SSLContext:
    """What all connections share. ValueError when ``ca_file`` cannot be used."""
    try:
        context = ssl.create_default_context(cafile=ca_file or certifi.where())
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"ca_file: {ca_file} cannot be used: {error}") from None
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class GeventClient:
    """One user's way to the target: a `harness.load.exchange.Sender`. ``send`` must not run twice at a time."""

    def __init__(self, ssl_context: ssl.SSLContext, jar: CookieJar, counters: Counters) -> None:
        self._ssl_context = ssl_context
        self._jar = jar
        self._counters = counters
        self._socket: Any = None
        self._origin = ""
        self._connecting = False

    async def send(
        self, prepared: Prepared, base: Base, *, traceparent: str, timeout_s: float, follow: bool, keep_body: bool
    ) -> Exchange:
        """See `harness.load.exchange.Sender`. Blocks this greenlet only."""
        exchange = Exchange()
        deadline = gevent.Timeout(timeout_s)
        deadline.start()
        try:
            self._follow(exchange, prepared, base, traceparent, follow=follow, keep_body=keep_body)
        except gevent.Timeout as passed:
            if passed is not deadline:
                raise
            exchange.error = "connect timeout" if self._connecting else "read timeout"
            self._hang_up()
        except (OSError, HTTPParseError, RefusedError) as error:
            exchange.error = _describe(error, connecting=self._connecting)
            self._hang_up()
        except gevent.GreenletExit:
            self._hang_up()
            raise asyncio.CancelledError from None
        finally:
            deadline.close()
        return exchange

    async def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        self._hang_up()

    def _follow(
        self, exchange: Exchange, prepared: Prepared, base: Base, traceparent: str, *, follow: bool, keep_body: bool
    ) -> None:
        url = base.origin.rstrip("/") + (base.prefix + prepared.target).decode("ascii")
        method, headers, body = prepared.method, dict(prepared.headers), prepared.body
        for _ in range(MAX_REDIRECTS + 1):
            parts = urlsplit(url)
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            secure = parts.scheme == "https"
            cookie = self._jar.header(parts.path, secure=secure, now_s=time.time(), extra=prepared.cookies)
            sent = {"host": parts.netloc, **headers}
            if cookie:
                sent["cookie"] = cookie
            sent["traceparent"] = traceparent
            response = self._response(method, parts.scheme, parts.netloc, _head(method, target or "/", sent), body)
            exchange.status = response.status_code
            exchange.headers = _headers(response)
            set_cookies = (value for name, value in exchange.headers if name == "set-cookie")
            self._jar.store(set_cookies, parts.path, time.time())
            self._read(response, exchange, keep_body=keep_body)
            location = response.get("location") if response.status_code in REDIRECTS else None
            if not follow or not isinstance(location, str):
                return
            to = _redirected(url, location, headers.get("host"))
            if urlsplit(to)[:2] != parts[:2]:
                headers.pop("authorization", None)
            url = to
            if method != "HEAD" and (response.status_code == 303 or (response.status_code < 303 and method == "POST")):
                method, body = "GET", b""
                headers = {name: value for name, value in headers.items() if not name.startswith("content-")}
        raise RefusedError("too many redirects")

    def _response(self, method: str, scheme: str, netloc: str, head: bytes, body: bytes) -> HTTPSocketResponse:
        """The head of the response. A kept-alive connection may be closed by the server just as we write to it: then, and only
        for methods that may be repeated, the request goes out once more on a new connection."""
        origin = f"{scheme}://{netloc}"
        if origin != self._origin:
            self._hang_up()
            self._origin = origin
        kept = self._socket is not None
        try:
            return self._attempt(method, scheme, netloc, head + body)
        except (HTTPConnectionClosed, ConnectionResetError, BrokenPipeError):
            if not kept or method not in IDEMPOTENT:
                raise
        self._counters.retried += 1
        return self._attempt(method, scheme, netloc, head + body)

    def _attempt(self, method: str, scheme: str, netloc: str, request: bytes) -> HTTPSocketResponse:
        if self._socket is None:
            self._connect(scheme, netloc)
        connection, self._socket = self._socket, None  # whole again when the response has been read
        try:
            connection.sendall(request)
            response = HTTPSocketResponse(connection, block_size=_READ_BYTES, method=method)
        except BaseException:
            connection.close()
            raise
        self._socket = connection
        return response

    def _connect(self, scheme: str, netloc: str) -> None:
        parts = urlsplit(f"//{netloc}")
        host = parts.hostname or ""
        self._connecting = True
        connection = socket.create_connection((host, parts.port or (443 if scheme == "https" else 80)))
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connecting = False
            if scheme == "https":
                connection = self._ssl_context.wrap_socket(connection, server_hostname=host)
        except BaseException:
            connection.close()
            raise
        self._socket = connection

    def _read(self, response: HTTPSocketResponse, exchange: Exchange, *, keep_body: bool) -> None:
        exchange.body.clear()
        while chunk := response.read(_READ_BYTES):
            exchange.body_bytes += len(chunk)
            if exchange.body_bytes > MAX_BODY_BYTES:
                raise RefusedError("body too large")
            if keep_body and len(exchange.body) < KEPT_BODY_BYTES:
                exchange.body += chunk[: KEPT_BODY_BYTES - len(exchange.body)]
        if response.should_close():
            self._hang_up()

    def _hang_up(self) -> None:
        connection, self._socket = self._socket, None
        self._connecting = False
        if connection is not None:
            connection.close()


def _head(method: str, target: str, headers: dict[str, str]) -> bytes:
    lines = [f"{method} {target} HTTP/1.1".encode("ascii")]
    for name, value in headers.items():
        octets = _octets(value)
        if not _VALUE.match(octets.decode("latin-1")):
            raise RefusedError("invalid request: Illegal header value")  # without the value, which may be a secret
        lines.append(name.encode("ascii") + b": " + octets)
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _octets(value: str) -> bytes:
    """As `harness.load.client` has it: as it came where it came from a header, which is read as Latin-1."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8")


def _headers(response: HTTPSocketResponse) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in response.info().items()]


def _redirected(url: str, location: str, host_header: str | None) -> str:
    """Where a redirect leads. An absolute one to the name in the plan's own Host header means the server we talk to."""
    try:
        to = urljoin(url, location)
        here, there = urlsplit(url), urlsplit(to)
        same_host = there.hostname == here.hostname
    except ValueError:
        raise RefusedError("invalid request: redirect to no address") from None
    if host_header is not None and there.netloc == host_header:
        return there._replace(scheme=here.scheme, netloc=here.netloc, fragment="").geturl()
    if not same_host or there.scheme not in {"http", "https"}:
        raise RefusedError("redirect to another host")  # never send load, cookies or headers to a third party
    return there._replace(fragment="").geturl()


def _describe(error: Exception, *, connecting: bool) -> str:
    """A short text, the same for the same trouble, so that it can be counted, and free of anybody's data."""
    if isinstance(error, RefusedError):
        return str(error)
    if isinstance(error, ssl.SSLError):
        return f"tls: {error.reason or error}"[:_MAX_ERROR_CHARS]
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return "connection reset"
    if isinstance(error, HTTPConnectionClosed):
        return "connection closed without a response"
    if isinstance(error, HTTPParseError):
        return f"protocol error: {str(error).partition(':')[0].strip()}"[:_MAX_ERROR_CHARS]
    return f"cannot connect: {error}"[:_MAX_ERROR_CHARS] if connecting else "connection lost"
