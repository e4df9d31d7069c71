"""HTTP for one virtual user: one kept-alive connection, the user's cookies, errors as short texts.

Requests go straight to an `httpx.AsyncHTTPTransport`; `httpx.AsyncClient` above it would double the cost of a request and
brings a cookie store, redirects and environment lookups that are either unwanted or done here with bounds.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import aclosing
from functools import lru_cache
from importlib.util import find_spec

import httpx

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

_MAX_ERROR_CHARS = 200
_CLOSE_SECONDS = 0.5
_DETAILS = re.compile(r"[:(,]|\bb?['\"]")

# httpcore tries `import sniffio` several times a request. Where it is not installed each try searches the whole path again, which
# was a third of a request's cost; this entry makes the import fail at once. httpcore then assumes asyncio, rightly.
if find_spec("sniffio") is None:
    sys.modules["sniffio"] = None  # type: ignore[assignment]  # documented: None makes the import raise


@lru_cache(maxsize=256)
def _url(origin: str, raw_path: bytes) -> httpx.URL:
    return httpx.URL(origin).copy_with(raw_path=raw_path)  # parsing costs a tenth of a request


class Client:
    """One user's way to the target. ``send`` must not run twice at a time."""

    def __init__(self, ssl_context: ssl.SSLContext, jar: CookieJar, counters: Counters) -> None:
        self._ssl_context = ssl_context
        self._jar = jar
        self._counters = counters
        self._transport: httpx.AsyncHTTPTransport | None = None
        self._connecting = False
        self._connected_anew = False
        self._extensions = {
            "timeout": {"connect": None, "read": None, "write": None, "pool": None},  # one deadline covers all
            "trace": self._trace,
        }

    async def send(
        self, prepared: Prepared, base: Base, *, traceparent: str, timeout_s: float, follow: bool, keep_body: bool
    ) -> Exchange:
        """Send and read the response, and those it redirects to if ``follow``. Raises nothing but CancelledError."""
        exchange = Exchange()
        try:
            async with asyncio.timeout(timeout_s):
                await self._follow(exchange, prepared, base, traceparent, follow=follow, keep_body=keep_body)
        except TimeoutError:
            exchange.error = "connect timeout" if self._connecting else "read timeout"
            await self.close()  # a connection cut off in the middle is of no use, nor is its pool's state
        except (httpx.HTTPError, httpx.InvalidURL, RefusedError) as error:
            exchange.error = describe(error)
        return exchange

    async def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        transport, self._transport = self._transport, None
        if transport is not None:
            try:
                async with asyncio.timeout(_CLOSE_SECONDS):  # a peer may never answer TLS close_notify
                    await transport.aclose()
            except (TimeoutError, httpx.HTTPError):
                pass

    async def _follow(
        self, exchange: Exchange, prepared: Prepared, base: Base, traceparent: str, *, follow: bool, keep_body: bool
    ) -> None:
        url = _url(base.origin, base.prefix + prepared.target)
        method, headers, body = prepared.method, prepared.headers, prepared.body
        for _ in range(MAX_REDIRECTS + 1):
            request = self._request(method, url, headers, prepared.cookies, body, traceparent)
            response = await self._response(request)
            exchange.status = response.status_code
            exchange.headers = _headers(response)
            set_cookies = (value for name, value in exchange.headers if name == "set-cookie")
            self._jar.store(set_cookies, url.path, time.time())
            await _read(response, exchange, keep_body=keep_body)
            location = response.headers.get("location") if response.status_code in REDIRECTS else None
            if not follow or location is None:
                return
            target = _redirected(url, location, dict(headers).get("host"))
            if (target.scheme, target.netloc) != (url.scheme, url.netloc):
                headers = tuple(h for h in headers if h[0] != "authorization")
            url = target
            if method != "HEAD" and (response.status_code == 303 or (response.status_code < 303 and method == "POST")):
                method, body = "GET", b""
                headers = tuple(h for h in headers if not h[0].startswith("content-"))
        raise RefusedError("too many redirects")

    def _request(
        self,
        method: str,
        url: httpx.URL,
        headers: Iterable[tuple[str, str]],
        cookies: Mapping[str, str],
        body: bytes,
        traceparent: str,
    ) -> httpx.Request:
        sent = [(name.encode("ascii"), _octets(value)) for name, value in headers]
        if all(name != b"host" for name, _ in sent):
            sent.insert(0, (b"host", url.netloc))
        cookie = self._jar.header(url.path, secure=url.scheme == "https", now_s=time.time(), extra=cookies)
        if cookie:
            sent.append((b"cookie", _octets(cookie)))
        sent.append((b"traceparent", traceparent.encode("ascii")))
        return httpx.Request(method, url, headers=sent, stream=httpx.ByteStream(body), extensions=self._extensions)

    async def _response(self, request: httpx.Request) -> httpx.Response:
        """The head of the response. A kept-alive connection may be closed by the server just as we write to it: then, and only
        for methods that may be repeated, the request goes out once more on a new connection."""
        self._connected_anew = False
        try:
            return await self._open().handle_async_request(request)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            if self._connected_anew or request.method not in IDEMPOTENT:
                raise
        self._counters.retried += 1
        return await self._open().handle_async_request(request)

    def _open(self) -> httpx.AsyncHTTPTransport:
        if self._transport is None:
            limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
            self._transport = httpx.AsyncHTTPTransport(verify=self._ssl_context, trust_env=False, limits=limits)
        return self._transport

    async def _trace(self, event: str, info: object) -> None:
        """httpcore's progress reports: they tell a new connection from a kept one."""
        if event == "connection.connect_tcp.started":
            self._connecting = self._connected_anew = True
        elif event == "http11.send_request_headers.started":
            self._connecting = False


def tls_context(*, verify: bool, ca_file: str | None) -> ssl.SSLContext:
    """What all connections share. ValueError when ``ca_file`` cannot be used."""
    try:
        context = ssl.create_default_context(cafile=ca_file) if ca_file else httpx.create_ssl_context(trust_env=False)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"ca_file: {ca_file} cannot be used: {error}") from None
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def describe(error: Exception) -> str:
    """A short text, the same for the same trouble, so that it can be counted, and free of anybody's data."""
    if isinstance(error, RefusedError):
        return str(error)
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError):
            return f"tls: {cause.reason or cause}"[:_MAX_ERROR_CHARS]
        if isinstance(cause, ConnectionRefusedError):
            return "connection refused"
        if isinstance(cause, ConnectionResetError | BrokenPipeError):
            return "connection reset"
    if isinstance(error, httpx.ConnectError):
        return f"cannot connect: {error}"[:_MAX_ERROR_CHARS]
    if isinstance(error, httpx.NetworkError):
        return "connection lost"
    if "without sending a response" in str(error):
        return "connection closed without a response"
    # Details are cut off: they hold what the target sent, or the value of a header of ours, which may be a secret.
    gist = _DETAILS.split(str(error), maxsplit=1)[0].strip()[:_MAX_ERROR_CHARS]
    ours = isinstance(error, httpx.LocalProtocolError | httpx.InvalidURL | httpx.UnsupportedProtocol)
    return f"{'invalid request' if ours else 'protocol error'}: {gist}"


def _causes(error: BaseException | None) -> Iterable[BaseException]:
    """The chain behind an error, groups opened."""
    todo = [error]
    seen: set[int] = set()
    while todo:
        current = todo.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        todo += [current.__context__, current.__cause__]
        if isinstance(current, BaseExceptionGroup):
            todo += current.exceptions


def _octets(value: str) -> bytes:
    """A header's value on the wire: as it came where it came from a header, which is read as Latin-1."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8")


def _headers(response: httpx.Response) -> list[tuple[str, str]]:
    return [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in response.headers.raw]


def _redirected(url: httpx.URL, location: str, host_header: str | None) -> httpx.URL:
    """Where a redirect leads. An absolute one to the name in the plan's own Host header means the server we talk to."""
    target = url.join(location)
    if host_header is not None and target.netloc.decode("ascii") == host_header:
        return target.copy_with(scheme=url.scheme, netloc=url.netloc)
    if target.host != url.host:  # never send load, cookies or headers to a third party
        raise RefusedError("redirect to another host")
    return target


async def _read(response: httpx.Response, exchange: Exchange, *, keep_body: bool) -> None:
    stream = response.stream
    assert isinstance(stream, httpx.AsyncByteStream)
    exchange.body.clear()
    async with aclosing(stream):
        async for chunk in stream:
            exchange.body_bytes += len(chunk)
            if exchange.body_bytes > MAX_BODY_BYTES:
                raise RefusedError("body too large")
            if keep_body and len(exchange.body) < KEPT_BODY_BYTES:
                exchange.body += chunk[: KEPT_BODY_BYTES - len(exchange.body)]
