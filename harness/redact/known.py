"""Values that a scenario gives away: what it sends, and what it starts programs with. They are secrets wherever they turn up."""

from __future__ import annotations

import re
from typing import Iterator, List, Mapping, Set
from urllib.parse import parse_qsl, urlsplit

from .secrets import looks_secret
from .sharing import strings_in

_SENT = ("headers", "cookies", "query", "form", "json", "body", "multipart", "variables")
_METHODS = ("get", "post", "put", "patch", "delete", "head", "options", "path", "url")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]{0,63})\}")


def variables(scenario: object) -> Set[str]:
    """Names of ``${NAME}`` in the texts of a scenario: environment variables, and what requests captured."""
    return {name for text in strings_in(scenario) for name in _VARIABLE.findall(text)}


def sent_values(scenario: Mapping[str, object]) -> List[str]:
    """All that its requests send: values of headers, cookies, query strings, fields and bodies. Each once, in order."""
    found: List[str] = []
    requests = scenario.get("requests")
    for request in requests if isinstance(requests, (list, tuple)) else ():
        if isinstance(request, Mapping):
            for name in _SENT:
                found += strings_in(request.get(name))
            for name in _METHODS:
                address = request.get(name)
                found += [value for _, value in parse_qsl(_query(address))] if isinstance(address, str) else []
    return list(dict.fromkeys(text for text in found if not _VARIABLE.fullmatch(text.strip())))


def environment_values(scenario: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """(name, value) of every environment variable it sets."""
    target = scenario.get("target")
    if not isinstance(target, Mapping):
        return
    launch = target.get("launch")
    for part in (target, *(launch if isinstance(launch, (list, tuple)) else ())):
        env = part.get("env") if isinstance(part, Mapping) else None
        if isinstance(env, Mapping):
            for name, value in env.items():
                yield str(name), str(value)


def secret_values(scenario: Mapping[str, object]) -> List[str]:
    """Of all these the ones that are secrets by where they are: cookies, and what has a telling name."""
    found = [value for name, value in environment_values(scenario) if looks_secret(name)]
    requests = scenario.get("requests")
    for request in requests if isinstance(requests, (list, tuple)) else ():
        if isinstance(request, Mapping):
            found += strings_in(request.get("cookies"))
            found += [text for name in _SENT for text in _telling(request.get(name))]
    return list(dict.fromkeys(text for text in found if "${" not in text))


def _telling(value: object, depth: int = 0) -> Iterator[str]:
    if depth > 20:
        return
    if isinstance(value, Mapping):
        for name, each in value.items():
            if looks_secret(str(name)):
                yield from strings_in(each)
            else:
                yield from _telling(each, depth + 1)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _telling(each, depth + 1)


def _query(address: str) -> str:
    try:
        return urlsplit(address).query
    except ValueError:
        return address.partition("?")[2]
