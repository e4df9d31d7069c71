"""Which keys of one section go together. Shared by the models and by the checks that read files with other mistakes.

Each function gets a section as in the file (absent or None = not given) and yields what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
BODIES = ("form", "json", "body")
ATTACH = ("port", "pid", "match", "pidfile")
CAPTURE = ("regex", "header", "json")

Section = Mapping[str, object]


def request_mistakes(request: Section) -> Iterator[str]:
    """Exactly one method, at most one body."""
    name = request.get("name")
    who = f"the request {name!r}" if isinstance(name, str) else "this request"
    methods = _given(request, METHODS)
    if not methods:
        yield f"{who} has no path: add for example 'get: /'"
    for given in (methods, _given(request, BODIES)):
        if len(given) > 1:
            yield f"{who} has {' and '.join(given)}: keep one"


def attach_mistakes(attach: Section) -> Iterator[str]:
    """Exactly one way to find the process."""
    if len(_given(attach, ATTACH)) != 1:
        yield f"attach needs exactly one of {', '.join(ATTACH)}"


def capture_mistakes(capture: Section) -> Iterator[str]:
    """Exactly one way to find the value."""
    if len(_given(capture, CAPTURE)) != 1:
        yield f"capture needs exactly one of {', '.join(CAPTURE)}"


def target_mistakes(target: Section) -> Iterator[str]:
    """At most one way in (a target that ``each_round`` runs has none), options for its own runtime only."""
    ways = ways_in(target)
    if len(ways) > 1:
        yield f"the target has {' and '.join(ways)}: keep one"
    for runtime in _given(target, ("python", "php")):
        if target.get("runtime", "any") != runtime:
            yield f"target.{runtime} needs runtime: {runtime}"


def ways_in(target: Section) -> tuple[str, ...]:
    """Which of launch, attach and php.serve are given."""
    php = target.get("php")
    serve = php.get("serve") if isinstance(php, Mapping) else None
    given = {
        "launch": bool(target.get("launch")),
        "attach": target.get("attach") is not None,
        "php.serve": serve is not None,
    }
    return tuple(way for way, is_given in given.items() if is_given)


def _given(section: Section, keys: tuple[str, ...]) -> list[str]:
    return [key for key in keys if section.get(key) is not None]
