"""What a php-fpm pool says of itself on its status page (``pm.status_path``), over HTTP or by FastCGI from the pool itself.

Looking costs the pool one request, which is in its counters; a worker that answers it is the one that is "Running".
Source: https://www.php.net/manual/en/fpm.status.php
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from adapters.php.fpm.fastcgi import Address, FastCgiError, ask, listen_address
from harness.errors import TargetError, UsageError

PAGE_CAP = 4 << 20
_MOST_PROCESSES = 4096
_INT_LIMIT = 2**63
_POOL: Mapping[str, str] = {
    # of the page -> ours
    "accepted conn": "fpm.accepted",
    "listen queue": "fpm.queue",
    "max listen queue": "fpm.queue_highest",
    "idle processes": "fpm.idle",
    "active processes": "fpm.active",
    "total processes": "fpm.total",
    "max active processes": "fpm.active_highest",
    "max children reached": "fpm.max_children_reached",
    "slow requests": "fpm.slow_requests",
}


@dataclass(frozen=True, slots=True)
class Worker:
    """``values``: ``fpm.requests`` and, between requests, ``fpm.last_request_memory_bytes``, which contains what earlier requests
    of the worker left behind: it is no peak of that request. ``start``: seconds since 1970."""

    pid: int
    start: int | None
    idle: bool
    values: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Status:
    """One look. ``values``: of the whole pool since its start."""

    pool: str
    values: Mapping[str, int]
    workers: tuple[Worker, ...]

    def pressure(self, before: Mapping[str, int] | None = None) -> Mapping[str, str]:
        """In words what says that requests had to wait, by ``pool.<what>``: since the pool's start, or since it had these
        ``values`` before."""
        since = "since its start" if before is None else "during the run"
        reached, slow = (self._more(f"fpm.{name}", before or {}) for name in ("max_children_reached", "slow_requests"))
        queue = self.values.get("fpm.queue", 0)
        said = {
            "pool.workers": (reached, f"{since} the pool was out of workers {reached} times (pm.max_children)"),
            "pool.queue": (queue, f"{queue} requests waited in the pool's queue when it was looked at"),
            "pool.slow": (slow, f"{since} the pool logged {slow} requests as slow"),
        }
        return {what: text for what, (number, text) in said.items() if number}

    def _more(self, name: str, before: Mapping[str, int]) -> int:
        now, then = self.values.get(name, 0), before.get(name, 0)
        return now - then if now >= then else now  # less than before: the pool was started again


@dataclass(frozen=True, slots=True)
class Page:
    """Where the page is: ``url``, or ``path`` of the pool that listens at ``address``."""

    url: str | None = None
    address: Address | None = None
    path: str = ""


def page_of(text: str) -> Page:
    """``http://...``, ``tcp://HOST:PORT/PATH`` or ``unix:///SOCKET?PATH``. Raises UsageError."""
    if _is_url(text):
        return Page(url=text)
    if text.startswith("unix:///"):
        socket, _, path = text.removeprefix("unix://").partition("?")
        address = listen_address(socket)
    elif text.startswith("tcp://"):
        where, slash, path = text.removeprefix("tcp://").partition("/")
        address, path = listen_address(where), slash + path
    else:
        address, path = None, ""
    if address is None or not path.startswith("/"):
        raise UsageError(
            f"target.php.fpm.status: {text!r} is not the address of a status page",
            hint="http://HOST/PATH, tcp://HOST:PORT/PATH or unix:///SOCKET?/PATH",
        )
    return Page(address=address, path=path)


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets without an address in them, a port that cannot be one
        return False


def read_status(page: Page, timeout_s: float) -> Status:
    """Look. Raises TargetError with the reason."""
    body = _fetch(page, "json&full", timeout_s)
    found = parse_status(body)
    if found is None and b'"processes"' in body:  # an address that a client sent can spoil the long form
        found = parse_status(_fetch(page, "json", timeout_s))
    if found is None:
        raise TargetError("what answers there is no status page of php-fpm")
    return found


def _fetch(page: Page, query: str, timeout_s: float) -> bytes:
    if page.address is not None:
        parameters = {
            "SCRIPT_NAME": page.path, "SCRIPT_FILENAME": page.path, "REQUEST_METHOD": "GET", "REQUEST_URI": page.path,
            "QUERY_STRING": query, "SERVER_PROTOCOL": "HTTP/1.1", "GATEWAY_INTERFACE": "CGI/1.1",
        }  # fmt: skip
        answer = ask(page.address, parameters, timeout_s, PAGE_CAP)
        if answer.status != 200:
            raise FastCgiError(f"{page.address} has no page {page.path} (status {answer.status})")
        return answer.body
    assert page.url is not None
    try:
        return asyncio.run(_download(f"{page.url}{'&' if urlsplit(page.url).query else '?'}{query}", timeout_s))
    except TimeoutError as error:
        raise TargetError(f"{page.url} did not answer within {timeout_s:g} s") from error
    except _BadAnswerError as error:
        raise TargetError(f"{page.url} answered with {error}") from error
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:  # the last: a host name that cannot be one
        raise TargetError(f"{page.url} cannot be read: {str(error) or type(error).__name__}") from error


class _BadAnswerError(Exception):
    """Not what was asked for; the text says what came."""


async def _download(url: str, timeout_s: float) -> bytes:
    """At most ``timeout_s`` altogether: the client's own limit is one for each piece, and pieces may trickle for ever. What is
    compressed unasked stays so. Raises TimeoutError, _BadAnswerError, httpx's errors and ValueError."""
    secure = url.startswith("https://")  # else certificates need not be loaded, which takes longer than all the rest
    async with (
        asyncio.timeout(timeout_s),
        httpx.AsyncClient(timeout=2 * timeout_s, trust_env=False, verify=secure) as client,
        client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as response,
    ):
        if response.status_code != 200:
            raise _BadAnswerError(f"status {response.status_code}")
        body = b""
        async for part in response.aiter_raw():
            body += part
            if len(body) > PAGE_CAP:
                raise _BadAnswerError(f"more than {PAGE_CAP} bytes")
        return body


def parse_status(body: bytes) -> Status | None:
    """The JSON form, short or full; None when it is something else. Pure."""
    try:
        data = json.loads(body, strict=False)
    except (ValueError, RecursionError):
        return None
    if (
        not isinstance(data, dict)
        or not isinstance(data.get("pool"), str)
        or _count(data.get("total processes")) is None
    ):
        return None
    processes = data.get("processes")
    workers = [_worker(p) for p in processes[:_MOST_PROCESSES]] if isinstance(processes, list) else []
    values = {ours: number for theirs, ours in _POOL.items() if (number := _count(data.get(theirs))) is not None}
    return Status(_text(data["pool"]), values, tuple(w for w in workers if w is not None))


def _worker(data: object) -> Worker | None:
    pid = _count(data.get("pid")) if isinstance(data, dict) else None
    if not isinstance(data, dict) or not pid:
        return None
    idle = data.get("state") == "Idle"
    requests, memory = _count(data.get("requests")), _count(data.get("last request memory"))
    values = {} if requests is None else {"fpm.requests": requests}
    if idle and memory:
        values["fpm.last_request_memory_bytes"] = memory
    return Worker(pid, _count(data.get("start time")), idle, values)


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value < _INT_LIMIT else None


def _text(value: str) -> str:
    return re.sub("[^ -~]", "?", value[:64])
