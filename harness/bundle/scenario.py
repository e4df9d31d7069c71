"""What of a scenario goes into a bundle: what a run needs to be judged again and compared, by a list of what is kept. Pure.

Not on the list, so never in a bundle: descriptions, addresses, headers, cookies, query strings, fields, bodies, captures, checks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from harness.redact.sharing import Sharing

_METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
# Settings of allocators and runtimes that explain memory; prescriptions look whether they are set already.
_SETTINGS = re.compile(
    r"MALLOC_[A-Z_]+|PYTHON(?:MALLOC|GC|HASHSEED|UNBUFFERED|DONTWRITEBYTECODE|OPTIMIZE|TRACEMALLOC)|GLIBC_TUNABLES"
    r"|(?:OMP|OPENBLAS|MKL|NUMEXPR)_NUM_THREADS|LD_PRELOAD|WEB_CONCURRENCY|PHP_FCGI_(?:CHILDREN|MAX_REQUESTS)|USE_ZEND_ALLOC"
)
# What git names a commit: by its hash, or by the last tag before it.
_COMMIT = re.compile(r"(?:[\w.+]{1,20}-[0-9]{1,6}-g)?[0-9a-f]{7,40}(?:-dirty)?")
_PLAIN = re.compile(r"[\w.,:=/+%~ \-]{0,200}")


def shared_scenario(scenario: Mapping[str, object], sharing: Sharing) -> dict[str, object]:
    """The scenario with what is kept, its texts fit to be shared; ``sharing.counts`` counts what is not."""
    found: dict[str, object] = {
        "name": sharing.code(str(scenario.get("name", ""))),
        "requests": _requests(scenario, sharing),
    }
    for name in ("load", "profile", "sample", "guard"):
        if name in scenario:
            found[name] = _plain(scenario[name], sharing)
    version = scenario.get("version")
    if isinstance(version, str) and version:
        found["version"] = shared_version(version, sharing)
    target = scenario.get("target")
    if isinstance(target, Mapping):
        found["target"] = _target(target, sharing)
    expect = scenario.get("expect")
    found["expect"] = (
        [sharing.code(str(line)) for line in expect]
        if isinstance(expect, Sequence) and not isinstance(expect, str)
        else []
    )
    return found


def shared_version(version: str, sharing: Sharing) -> str:
    """Of the application. A commit looks as random as a key, and runs are compared by it."""
    return version if _COMMIT.fullmatch(version) else sharing.code(version)


def _requests(scenario: Mapping[str, object], sharing: Sharing) -> list[dict[str, object]]:
    requests = scenario.get("requests")
    found = []
    for request in requests if isinstance(requests, list | tuple) else ():
        if isinstance(request, Mapping):
            kept: dict[str, object] = {
                key: request[key] for key in ("weight", "once", "follow_redirects") if key in request
            }
            kept["name"] = sharing.code(str(request.get("name", "")))
            for method in _METHODS:
                if isinstance(request.get(method), str):
                    kept[method] = sharing.request(f"{method.upper()} {request[method]}").partition(" ")[2]
            sharing.counts["sent value of a request"] += sum(
                len(value) if isinstance(value, Mapping) else 1
                for key in ("headers", "cookies", "query", "form", "json", "body", "capture", "check")
                if (value := request.get(key))
            )
            found.append(kept)
    return found


def containers_in(scenario: Mapping[str, object]) -> list[str]:
    """Names of the containers that the target runs in, here and on other hosts, and of the one that Xdebug's files are in."""
    target = _part(scenario, "target")
    one, several = target.get("host"), target.get("hosts")
    places = [target, one, *(several if isinstance(several, list | tuple) else ())]
    named = [spec.get("name") for place in places if isinstance(place, Mapping) for spec in _containers(place)]
    named.append(_part(_part(target, "php"), "xdebug").get("container"))
    return [str(name) for name in named if name]


def _part(of: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = of.get(name)
    return found if isinstance(found, Mapping) else {}


def _containers(target: Mapping[str, object]) -> list[Mapping[str, object]]:
    one, several = target.get("container"), target.get("containers")
    return [
        spec for spec in (one, *(several if isinstance(several, list | tuple) else ())) if isinstance(spec, Mapping)
    ]


def _target(target: Mapping[str, object], sharing: Sharing) -> dict[str, object]:
    found: dict[str, object] = {"runtime": str(target.get("runtime", "any")), "env": _env(target, sharing)}
    launch, attach, php = target.get("launch"), target.get("attach"), target.get("php")
    if isinstance(launch, list | tuple):
        found["launch"] = [_program(p, sharing) for p in launch if isinstance(p, Mapping)]
    if isinstance(attach, Mapping):
        found["attach"] = {str(key): sharing.command(str(value)) for key, value in attach.items() if value is not None}
    if containers := _containers(target):
        found["containers"] = [
            {"name": sharing.text(str(spec.get("name", ""))), "measured": bool(spec.get("measured", True))}
            for spec in containers
        ]
    serve = php.get("serve") if isinstance(php, Mapping) else None
    if isinstance(serve, Mapping):
        found["php"] = {
            "serve": {key: _plain(serve[key], sharing) for key in ("docroot", "workers", "web") if key in serve}
        }
    return found


def _program(program: Mapping[str, object], sharing: Sharing) -> dict[str, object]:
    found: dict[str, object] = {"run": sharing.command(str(program.get("run", ""))), "env": _env(program, sharing)}
    if isinstance(program.get("name"), str):
        found["name"] = sharing.code(str(program["name"]))
    if "measured" in program:
        found["measured"] = bool(program["measured"])
    return found


def _env(part: Mapping[str, object], sharing: Sharing) -> dict[str, str]:
    env = part.get("env")
    found = {}
    for name, value in env.items() if isinstance(env, Mapping) else ():
        kept = _SETTINGS.fullmatch(str(name)) and _PLAIN.fullmatch(str(value))
        found[sharing.code(str(name))] = sharing.path(str(value)) if kept else sharing.pseudonym("value", str(value))
    return found


def _plain(value: object, sharing: Sharing, depth: int = 0) -> object:
    """Settings of ours: numbers as they are, short plain words as names, anything else as a command."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping) and depth < 8:
        return {
            str(key): sharing.command(str(each))
            if key in {"each_round", "command"}
            else _plain(each, sharing, depth + 1)
            for key, each in value.items()
        }
    if isinstance(value, list | tuple) and depth < 8:
        return [_plain(each, sharing, depth + 1) for each in value]
    text = str(value)
    return sharing.path(text) if _PLAIN.fullmatch(text) else sharing.command(text)
