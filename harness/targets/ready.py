"""Is the target answering? One probe at a time; the session repeats it."""

from __future__ import annotations

import http.client
import socket
import ssl
from urllib.parse import urlsplit, urlunsplit

from harness.errors import UsageError

_TIMEOUT_S = 2.0


def probe(url: str) -> str | None:
    """None when ``url`` answers (HTTP status below 500, or a TCP connection for ``tcp://``), else why it does not."""
    parts = urlsplit(url)
    if parts.hostname is None or parts.scheme not in {"http", "https", "tcp"}:
        raise UsageError(f"cannot probe {url!r}", hint="use http://host:port/path, https://... or tcp://host:port")
    try:
        if parts.scheme == "tcp":
            socket.create_connection((parts.hostname, parts.port or 80), _TIMEOUT_S).close()
            return None
        return _http(
            parts.scheme, parts.hostname, parts.port, f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        )
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def without_secrets(url: str) -> str:
    """The URL for messages: no user name, password or query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _http(scheme: str, host: str, port: int | None, path: str) -> str | None:
    connection: http.client.HTTPConnection
    if scheme == "https":
        unverified = ssl._create_unverified_context()  # noqa: S323  # liveness only; nothing secret is sent
        connection = http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=unverified)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path, headers={"User-Agent": "profiling-harness"})
        status = connection.getresponse().status
    finally:
        connection.close()
    return None if status < 500 else f"HTTP {status}"
