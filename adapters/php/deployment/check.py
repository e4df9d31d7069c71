"""Whether a deployed Xdebug does what it should: three requests are sent, and only the one with the secret may leave a file."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import httpx

from adapters.php.servers.nginx import TRIGGER_COOKIE
from adapters.php.xdebug.collector import HEADER
from adapters.php.xdebug.output_names import parse_name
from adapters.php.xdebug.outputs import Outputs
from adapters.php.xdebug.tools import PROFILE, XdebugTool
from harness.clock import Clock
from harness.plugins.spec import Check, CheckLevel

_REQUEST_S = 60.0  # a page of one second takes ten under the profiler
_FILE_S = 5.0
_STEP_S = 0.1
_WHO: Mapping[str, str] = {"none": "a request without the secret", "wrong": "a request with a wrong secret"}


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one request left behind: by the span in a file's name, or by the answer's header."""

    file: str | None
    named: bool

    @property
    def anything(self) -> bool:
        return self.file is not None or self.named


def check_deployment(
    url: str, tool: XdebugTool, cookies: Mapping[str, str], outputs: Outputs, clock: Clock, costs: str
) -> Iterator[Check]:
    """Send the three requests to ``url`` and look. ``cookies`` trigger the tool; ``costs``: what a run loses without it. What the
    requests left is removed again."""
    name = f"php.{tool.name}.deployment"
    tries: Sequence[tuple[str, Mapping[str, str]]] = (
        ("none", {}), ("wrong", dict.fromkeys(cookies, secrets.token_hex(16))), ("right", cookies)
    )  # fmt: skip
    spans = {which: secrets.token_hex(8) for which, _ in tries}
    named = {}
    try:
        for which, sent in tries:
            headers = _ask(url, spans[which], sent)
            if isinstance(headers, str):
                yield Check(name, CheckLevel.INFO, f"the deployed Xdebug was not tried: {url} {headers}")
                return
            named[which] = tool is PROFILE and HEADER in headers
        seen = {which: _Seen(_file(tool, outputs, spans[which]), named[which]) for which in ("none", "wrong")}
        seen["right"] = _Seen(_awaited(tool, outputs, spans["right"], clock, named=named["right"]), named["right"])
    finally:
        outputs.remove(_ours(tool, outputs, set(spans.values())))
    yield from _judged(name, url, tool, seen, outputs.label, costs)


def _judged(
    name: str, url: str, tool: XdebugTool, seen: Mapping[str, _Seen], label: str, costs: str
) -> Iterator[Check]:
    for which, who in _WHO.items():
        if seen[which].anything:
            yield Check(
                name,
                CheckLevel.WARNING,
                f"{who} to {url} left a {tool.kind}: Xdebug is on for everybody, which makes requests twice as slow at least",
                "have the web server send only requests with the secret to the php-fpm that has Xdebug, and set XDEBUG_MODE=off "
                "for the other (harness init TARGET --php-fpm-config DIR writes both)",
            )
            return
    right = seen["right"]
    if not right.anything:
        yield Check(
            name,
            CheckLevel.WARNING,
            f"the request with the secret to {url} left no {tool.kind} in {label}",
            f"is the master with mode {tool.mode} running, does the web server route the cookie {TRIGGER_COOKIE} to it, is the "
            f"secret {'' if tool is PROFILE else f'(with {tool.cookie_suffix} behind it) '}that of both, and is this page PHP?",
            costs,
        )
    elif right.file is None:
        yield Check(
            name,
            CheckLevel.WARNING,
            f"the deployed Xdebug works, but the names of its files do not tell the request: where the application removes "
            f"headers the {tool.kind} may not be found",
            f"xdebug.{tool.output_setting} = {tool.output_name}, and pass the span on (nginx-location.conf of harness init)",
        )
    else:
        yield Check(
            name,
            CheckLevel.INFO,
            f"of three requests to {url} (without the secret, with a wrong one, with it) only the last left a {tool.kind}",
        )


def _ask(url: str, span: str, cookies: Mapping[str, str]) -> Mapping[str, str] | str:
    """The headers of the answer, names in lower case; or in words what happened instead."""
    headers = {"traceparent": f"00-{secrets.token_hex(16)}-{span}-01"}
    if cookies:
        headers["cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
    try:
        with (
            httpx.Client(timeout=_REQUEST_S, trust_env=False) as client,
            client.stream("GET", url, headers=headers) as response,
        ):
            return {name.lower(): value for name, value in response.headers.items()}
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"does not answer ({type(error).__name__})"
    except ValueError:  # a secret that no cookie can carry
        return "cannot be asked with this secret"


def _awaited(tool: XdebugTool, outputs: Outputs, span: str, clock: Clock, *, named: bool) -> str | None:
    """The name that carries the span; waited for where nothing else says that there is a file."""
    deadline_ns = clock.monotonic_ns() + int(_FILE_S * 1e9)
    while True:
        found = _file(tool, outputs, span)
        if found is not None or named or clock.monotonic_ns() >= deadline_ns:
            return found
        clock.sleep(_STEP_S)


def _file(tool: XdebugTool, outputs: Outputs, span: str) -> str | None:
    return next(iter(_ours(tool, outputs, {span})), None)


def _ours(tool: XdebugTool, outputs: Outputs, spans: set[str]) -> list[str]:
    known = (parse_name(tool, entry.name) for entry in outputs.entries())
    return [name.name for name in known if name is not None and name.span_id in spans]
