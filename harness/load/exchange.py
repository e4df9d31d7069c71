"""What one exchange with a server is, whoever carries it out: shared by all ways of sending requests. Standard library only."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import quote, urlsplit

from harness.load.render import Prepared

MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_REDIRECTS = 10
REDIRECTS = frozenset({301, 302, 303, 307, 308})
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})  # RFC 9110 9.2.2
_PATH_SAFE = "/%:@!$&'()*+,;=~-._"


@dataclass(frozen=True, slots=True)
class Base:
    """Where requests go: origin (``http://host:port/``) and path prefix."""

    origin: str
    prefix: bytes
    host: str

    @classmethod
    def parse(cls, base_url: str) -> Base:
        """``base_url`` as `harness.load.plan.check_base_url` accepts it."""
        parts = urlsplit(base_url)
        prefix = quote(parts.path, safe=_PATH_SAFE).rstrip("/").encode("ascii")
        return cls(f"{parts.scheme}://{parts.netloc}/", prefix, parts.hostname or "")


@dataclass(slots=True)
class Exchange:
    """What became of one request. ``error`` None: a complete response. ``body_bytes`` counts what arrived, also before an error.

    ``headers`` are the last response's, lower case; ``body`` is the first 2 MiB of its body if it was to be kept.
    """

    status: int | None = None
    error: str | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)
    body_bytes: int = 0
    body: bytearray = field(default_factory=bytearray)


@dataclass(slots=True)
class Counters:
    """Totals of the process. ``retried``: requests sent a second time because the server had closed the kept-alive connection."""

    in_flight: int = 0
    dropped: int = 0
    retried: int = 0


class Sender(Protocol):
    """One user's way to the target."""

    async def send(
        self, prepared: Prepared, base: Base, *, traceparent: str, timeout_s: float, follow: bool, keep_body: bool
    ) -> Exchange:
        """Send and read the response, and those it redirects to if ``follow``. Raises nothing but CancelledError."""

    async def close(self) -> None:
        """Close the connection; the next request opens a new one."""


class RefusedError(Exception):
    """We do not go on with this exchange; the text is the span's error."""


def new_span_id() -> str:
    """16 hex digits."""
    return os.urandom(8).hex()


def traceparent_of(span_id: str) -> str:
    """A W3C ``traceparent`` in a trace of its own."""
    return f"00-{os.urandom(16).hex()}-{span_id}-01"
