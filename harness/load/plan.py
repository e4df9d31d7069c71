"""What the load generator is told to do: the scenario's traffic, compiled.

The session builds a `LoadPlan`, sends it as JSON over a pipe and never writes it to disk, since it may hold secrets.

Strings marked *template* may hold ``${name}``: a constant of `LoadPlan.variables` (filled in first; the place for secrets from
the environment, so that their text is never parsed) or a value captured from a response. All types raise ValueError when
put together wrongly; the text names the field.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from urllib.parse import urlsplit

from harness.load.plan_json import JsonObject, JsonValue
from harness.load.template import Template

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")  # RFC 9110 token
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_MAX_NAME_CHARS = 200

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class CapturePlan:
    """Where the value of ``${variable}`` comes from: the response of request ``source``.

    Exactly one of: ``regex`` (searched in the body; ``group`` is the value), ``header`` (a response header's name), ``json``
    (a path such as ``data.items.0.id`` into a JSON body). ``source`` may be the declaring request itself: the value is then
    for others to use. ``fresh``: send the source again before each use instead of keeping the value.
    """

    variable: str
    source: str
    regex: str | None = None
    header: str | None = None
    json: str | None = None
    group: int = 1
    fresh: bool = False

    def __post_init__(self) -> None:
        if not _NAME.match(self.variable):
            raise ValueError(f"variable: {self.variable!r} is not a name")
        if sum(x is not None for x in (self.regex, self.header, self.json)) != 1:
            raise ValueError(f"capture of {self.variable}: give one of regex, header and json")
        if self.regex is not None:
            try:
                groups = re.compile(self.regex).groups
            except (re.error, OverflowError, RecursionError) as error:
                raise ValueError(f"capture of {self.variable}: regex: {error}") from None
            if not 0 <= self.group <= groups:
                raise ValueError(f"capture of {self.variable}: the regex has no group {self.group}")


@dataclass(frozen=True, slots=True)
class CheckPlan:
    """What a good response looks like. Names of failed checks: ``status``, ``contains``, ``not_contains``, ``latency``.

    ``statuses`` empty: any status below 400. ``contains``/``not_contains``: plain texts, looked for in the first 2 MiB of
    the body.
    """

    statuses: tuple[int, ...] = ()
    contains: tuple[str, ...] = ()
    not_contains: tuple[str, ...] = ()
    max_latency_ns: int | None = None


@dataclass(frozen=True, slots=True)
class RequestPlan:
    """One kind of request; ``name`` is the endpoint's name everywhere, whatever the URL becomes.

    ``path`` (template) starts with ``/`` and may hold a query. ``weight`` is the share of a round's mix. ``once``: sent by
    each user before its first other request, and not part of the mix. ``headers``, ``cookies``, ``query``, ``form`` are
    (name, template) pairs; ``json`` is any JSON value whose strings are templates; ``body`` is a template. At most one of
    the last three. ``timeout_s`` None: the plan's.
    """

    name: str
    path: str
    method: str = "GET"
    weight: float = 1.0
    once: bool = False
    headers: Pairs = ()
    cookies: Pairs = ()
    query: Pairs = ()
    form: Pairs | None = None
    json: JsonValue = None
    body: str | None = None
    captures: tuple[CapturePlan, ...] = ()
    checks: CheckPlan = field(default_factory=CheckPlan)
    follow_redirects: bool = False
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= _MAX_NAME_CHARS:
            raise ValueError(f"name: must have 1 to {_MAX_NAME_CHARS} characters")
        for text in self.templates():
            try:
                Template.parse(text)
            except ValueError as error:
                raise ValueError(f"request {self.name!r}: {error}") from None
        if not _TOKEN.match(self.method):
            raise ValueError(f"request {self.name!r}: {self.method!r} is not a method")
        if not self.path.startswith(("/", "${")):
            raise ValueError(f"request {self.name!r}: path must start with '/'")
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise ValueError(f"request {self.name!r}: weight must be above 0")
        if sum(x is not None for x in (self.form, self.json, self.body)) > 1:
            raise ValueError(f"request {self.name!r}: give at most one of form, json and body")
        for name, _ in (*self.headers, *self.cookies):
            if not _TOKEN.match(name):
                raise ValueError(f"request {self.name!r}: {name!r} is not a header or cookie name")
        _check_timeout(f"request {self.name!r}: ", self.timeout_s)

    def templates(self) -> Iterator[str]:
        """Every template string of the request."""
        yield self.path
        for _, text in (*self.headers, *self.cookies, *self.query, *(self.form or ())):
            yield text
        if self.body is not None:
            yield self.body
        yield from _strings(self.json)

    def variables(self) -> frozenset[str]:
        """Names of all variables it needs before it can be sent."""
        return frozenset[str]().union(*(Template.parse(text).variables for text in self.templates()))


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """All traffic of a run. ``users`` is the concurrency of rounds and the size of the prepared pool of stages.

    ``base_url``: scheme, host, optional port and path prefix. ``timeout_s`` bounds a request from connecting to the last byte.
    ``headers``: (name, template) pairs added to every request. ``verify`` False accepts any TLS
    certificate; ``ca_file`` names a PEM bundle to trust instead of the built-in one. ``variables``: constants for templates.
    """

    base_url: str
    requests: tuple[RequestPlan, ...]
    users: int = 1
    seed: int = 0
    timeout_s: float = 30.0
    headers: Pairs = ()
    verify: bool = True
    ca_file: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_base_url(self.base_url)
        if self.users < 1:
            raise ValueError("users: must be at least 1")
        _check_timeout("", self.timeout_s)
        for name, _ in self.headers:
            if not _TOKEN.match(name):
                raise ValueError(f"headers: {name!r} is not a header name")
        names = [request.name for request in self.requests]
        if len(set(names)) != len(names):
            raise ValueError(f"requests: two are called {next(n for n in names if names.count(n) > 1)!r}")
        if all(request.once for request in self.requests):
            raise ValueError("requests: there must be at least one that is not sent once only")
        self._check_needs()

    def needs(self, request: RequestPlan) -> Mapping[str, CapturePlan]:
        """The capture behind each variable ``request`` needs: its own declaration, else the only one among all requests.

        ValueError when there is none or when several differ. Constants of the plan are left out.
        """
        needed = request.variables().union(*(Template.parse(text).variables for _, text in self.headers))
        own = {capture.variable: capture for capture in request.captures}
        return {v: own.get(v) or self._only_capture(request, v) for v in sorted(needed - set(self.variables))}

    def _only_capture(self, request: RequestPlan, variable: str) -> CapturePlan:
        found = {c for r in self.requests for c in r.captures if c.variable == variable}
        if len(found) != 1:
            reason = "captured nowhere" if not found else "captured in several ways: say here which one is meant"
            raise ValueError(f"request {request.name!r}: ${{{variable}}} is {reason}")
        return found.pop()

    def _check_needs(self) -> None:
        by_name = {request.name: request for request in self.requests}
        for request in self.requests:
            for capture in request.captures:
                if capture.source not in by_name:
                    raise ValueError(
                        f"request {request.name!r}: there is no request {capture.source!r} to capture from"
                    )
        sources = {r.name: {c.source for c in self.needs(r).values()} for r in self.requests}
        for name, direct in sources.items():
            seen, todo = set[str](), set(direct)
            while todo:
                source = todo.pop()
                if source == name:
                    raise ValueError(f"request {name!r}: what it needs is captured from its own response")
                seen.add(source)
                todo |= sources[source] - seen

    def to_json(self) -> dict[str, JsonValue]:
        """As plain JSON values."""
        return asdict(self) | {"variables": dict(self.variables)}

    @classmethod
    def from_json(cls, value: object) -> LoadPlan:
        """The inverse of `to_json`, for a value as ``json.loads`` gives it; ValueError names a wrong or unknown field."""
        data = JsonObject(value, "plan")
        requests = tuple(_request(JsonObject(r, f"plan.requests[{i}]")) for i, r in enumerate(data.array("requests")))
        plan = cls(
            base_url=data.text("base_url"),
            requests=requests,
            users=data.integer("users", 1),
            seed=data.integer("seed", 0),
            timeout_s=data.number("timeout_s", 30.0),
            headers=data.pairs("headers"),
            verify=data.flag("verify", default=True),
            ca_file=data.text_or_none("ca_file"),
            variables=data.texts("variables"),
        )
        data.done()
        return plan


def check_base_url(url: str) -> None:
    """ValueError unless ``url`` is ``http(s)://host[:port][/prefix]``."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError("base_url: must look like http://host:port, without query and user name")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("base_url: the port must be a number up to 65535") from None


def _request(data: JsonObject) -> RequestPlan:
    captures = tuple(
        _capture(JsonObject(c, f"{data.path}.captures[{i}]")) for i, c in enumerate(data.array("captures", ()))
    )
    checks = _checks(JsonObject(data.take("checks", {}), f"{data.path}.checks"))
    request = RequestPlan(
        name=data.text("name"),
        path=data.text("path"),
        method=data.text("method", "GET"),
        weight=data.number("weight", 1.0),
        once=data.flag("once"),
        headers=data.pairs("headers"),
        cookies=data.pairs("cookies"),
        query=data.pairs("query"),
        form=data.pairs_or_none("form"),
        json=data.take("json", None),
        body=data.text_or_none("body"),
        captures=captures,
        checks=checks,
        follow_redirects=data.flag("follow_redirects"),
        timeout_s=data.number_or_none("timeout_s"),
    )
    data.done()
    return request


def _capture(data: JsonObject) -> CapturePlan:
    capture = CapturePlan(
        variable=data.text("variable"),
        source=data.text("source"),
        regex=data.text_or_none("regex"),
        header=data.text_or_none("header"),
        json=data.text_or_none("json"),
        group=data.integer("group", 1),
        fresh=data.flag("fresh"),
    )
    data.done()
    return capture


def _checks(data: JsonObject) -> CheckPlan:
    checks = CheckPlan(
        statuses=data.integers("statuses"),
        contains=data.strings("contains"),
        not_contains=data.strings("not_contains"),
        max_latency_ns=data.integer_or_none("max_latency_ns"),
    )
    data.done()
    return checks


def _strings(value: JsonValue) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)


def _check_timeout(where: str, timeout_s: float | None) -> None:
    if timeout_s is not None and not (math.isfinite(timeout_s) and timeout_s > 0):
        raise ValueError(f"{where}timeout_s: must be above 0")
