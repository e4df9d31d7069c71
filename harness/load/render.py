"""From a plan to bytes: every request compiled once, the constant ones rendered once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

from harness.load.inspect_body import Extract, extractor
from harness.load.plan import CapturePlan, LoadPlan, Pairs, RequestPlan
from harness.load.plan_json import JsonValue
from harness.load.template import Template

USER_AGENT = "profiling-harness"
# Characters a URL may hold as they are. '#' is not among them: a fragment is never sent, so a literal one must be data.
_URL_SAFE = "/?&=%:@!$'()*+,;~-._[]"
_BODY_METHODS = {"POST", "PUT", "PATCH"}


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request ready to send, but for its cookies and its trace. Header names are lower case; ``path`` has no query."""

    method: str
    target: bytes
    path: str
    headers: tuple[tuple[str, str], ...]
    cookies: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Need:
    """A variable a request uses: the capture that fills it and the index of the request whose response it comes from."""

    variable: str
    capture: int
    source: int
    fresh: bool


@dataclass(frozen=True, slots=True)
class CompiledRequest:
    """One request of the plan. ``provides``: captures to refresh from each of its responses."""

    plan: RequestPlan
    timeout_s: float
    needs: tuple[Need, ...]
    provides: tuple[tuple[int, Extract], ...]
    keep_body: bool
    render: Callable[[Mapping[str, str]], Prepared]


@dataclass(frozen=True, slots=True)
class CompiledPlan:
    """``weighted`` are the indexes of the requests that make up the mix, ``once`` those that each user sends first."""

    plan: LoadPlan
    requests: tuple[CompiledRequest, ...]
    weighted: tuple[int, ...]
    once: tuple[int, ...]

    @property
    def weights(self) -> tuple[float, ...]:
        return tuple(self.requests[index].plan.weight for index in self.weighted)


def compile_plan(plan: LoadPlan) -> CompiledPlan:
    """Number the captures, parse the templates, fill in the constants."""
    index_of = {request.name: index for index, request in enumerate(plan.requests)}
    needs = [plan.needs(request) for request in plan.requests]
    captures = list(dict.fromkeys(c for needed in needs for c in needed.values()))
    requests = tuple(
        CompiledRequest(
            plan=request,
            timeout_s=request.timeout_s or plan.timeout_s,
            needs=tuple(Need(v, captures.index(c), index_of[c.source], c.fresh) for v, c in needed.items()),
            provides=tuple((i, extractor(c)) for i, c in enumerate(captures) if c.source == request.name),
            keep_body=_looks_at_body(request, captures),
            render=_renderer(plan, request),
        )
        for request, needed in zip(plan.requests, needs, strict=True)
    )
    return CompiledPlan(
        plan=plan,
        requests=requests,
        weighted=tuple(i for i, r in enumerate(plan.requests) if not r.once),
        once=tuple(i for i, r in enumerate(plan.requests) if r.once),
    )


def _looks_at_body(request: RequestPlan, captures: Sequence[CapturePlan]) -> bool:
    captured = any(c.source == request.name and c.header is None for c in captures)
    return captured or bool(request.checks.contains or request.checks.not_contains)


def _renderer(plan: LoadPlan, request: RequestPlan) -> Callable[[Mapping[str, str]], Prepared]:
    def template(text: str) -> Template:
        return Template.parse(text).bind(plan.variables)

    def templates(pairs: Pairs) -> list[tuple[str, Template]]:
        return [(name, template(text)) for name, text in pairs]

    path = template(request.path)
    query = templates(request.query)
    headers = templates((*plan.headers, *request.headers))
    cookies = templates(request.cookies)
    body = _body_renderer(request, template, templates)
    content_type = _content_type(request)

    def render(values: Mapping[str, str]) -> Prepared:
        content = body(values)
        sent = {"accept": "*/*", "user-agent": USER_AGENT, "accept-encoding": "identity"}
        if content_type is not None:
            sent["content-type"] = content_type
        if content or request.method in _BODY_METHODS:
            sent["content-length"] = str(len(content))
        sent.update((name.lower(), text.render(values)) for name, text in headers)
        target = _target(path.render(values), [(name, text.render(values)) for name, text in query])
        return Prepared(
            method=request.method,
            target=target.encode("ascii"),
            path=target.partition("?")[0],
            headers=tuple(sent.items()),
            cookies={name: text.render(values) for name, text in cookies},
            body=content,
        )

    if plan.needs(request):
        return render
    constant = render({})
    return lambda values: constant


def _target(path: str, query: Sequence[tuple[str, str]]) -> str:
    target = quote(path, safe=_URL_SAFE)
    if not target.startswith("/"):
        target = "/" + target  # a captured value must not be able to continue the host name
    if not query:
        return target
    return target + ("&" if "?" in target else "?") + _form(query)


def _form(pairs: Sequence[tuple[str, str]]) -> str:
    return "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs)


def _content_type(request: RequestPlan) -> str | None:
    if request.form is not None:
        return "application/x-www-form-urlencoded"
    return "application/json" if request.json is not None else None


def _body_renderer(
    request: RequestPlan,
    template: Callable[[str], Template],
    templates: Callable[[Pairs], list[tuple[str, Template]]],
) -> Callable[[Mapping[str, str]], bytes]:
    if request.form is not None:
        form = templates(request.form)
        return lambda values: _form([(name, text.render(values)) for name, text in form]).encode()
    if request.json is not None:
        document = _map_strings(request.json, template)
        return lambda values: json.dumps(_map_strings(document, lambda text: text.render(values))).encode()
    text = template(request.body or "")
    return lambda values: text.render(values).encode()


def _map_strings(value: JsonValue, change: Callable[[JsonValue], JsonValue]) -> JsonValue:
    """The same JSON value with every string (or parsed template) changed; keys of objects stay."""
    if isinstance(value, str | Template):
        return change(value)
    if isinstance(value, dict):
        return {key: _map_strings(item, change) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_map_strings(item, change) for item in value]
    return value
