"""What only shows when several parts of a scenario are looked at together.

These checks read the plain data, not the models, so that they also find the mistakes of a file that has others: a part
of the wrong shape is passed over here, because the models report it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from harness.scenario.expect import parse_expectation
from harness.scenario.hints import did_you_mean
from harness.scenario.shape import (
    LINE_TOOLS,
    METHODS,
    attach_mistakes,
    capture_mistakes,
    request_mistakes,
    target_mistakes,
    ways_in,
)
from harness.scenario.source import Data, Loc
from harness.scenario.variables import looks_like_environment, malformed, references

# Where ${NAME} is replaced in a request.
TEMPLATED = (*METHODS, "headers", "cookies", "query", "form", "json", "body")
_SECRET_KEY = re.compile(
    r"passw|passphrase|secret|token|credential|api[-_]?key|private[-_]?key|authorization", re.IGNORECASE
)

Found = tuple[Loc, str]


@dataclass(frozen=True, slots=True)
class _Request:
    loc: Loc
    data: Mapping[str, Data]
    name: str
    captures: Mapping[str, str]  # variable -> name of the request it comes from
    uses: frozenset[str]  # all names it refers to


def find_mistakes(data: Data) -> Iterator[Found]:
    """Mistakes across sections of a scenario's data, in no particular order."""
    root = _mapping(data)
    requests = list(_requests(root))
    yield from _sections(root, requests)
    yield from _target_fits_load(root, requests)
    yield from _names(requests)
    yield from _sources(requests)
    yield from _cycles(requests)
    yield from _variables(root, requests)
    yield from _subjects(root, requests)


def find_doubts(data: Data) -> Iterator[Found]:
    """Things that work but are probably not what was wanted."""
    root = _mapping(data)
    for loc, text in _templates(root):
        key = next((str(part) for part in reversed(loc) if isinstance(part, str)), "")
        if text and _SECRET_KEY.search(key) and not references(text):
            yield loc, f"{key!r} looks like a secret in clear text: write ${{NAME}} and set NAME in the environment"
    for loc, text in _urls(root):
        if _has_password(text):
            yield loc, "the address holds a password in clear text"
    requests = list(_requests(root))
    used = frozenset[str]().union(*(request.uses for request in requests))
    for request in requests:
        for variable in request.captures:
            if variable not in used:
                yield (
                    (*request.loc, "capture", variable),
                    f"{variable!r} is captured but ${{{variable}}} is used nowhere",
                )
    yield from _profilers(root)


def _profilers(root: Mapping[str, Data]) -> Iterator[Found]:
    """Profilers that are asked for and cannot say anything."""
    target, profile = _mapping(root.get("target")), root.get("profile", "auto")
    long_form = _mapping(profile)
    asked = long_form.get("tools", "auto") if isinstance(profile, dict) else profile
    tools = _list(asked) or [asked]
    options = _mapping(target.get("python"))
    if not (long_form.get("functions") or options.get("functions")):
        for tool in (t for t in tools if t in LINE_TOOLS):
            yield (
                ("profile",),
                f"{tool} watches functions: name some under profile.functions, such as shop.views:basket",
            )
    contained = _contained(target)
    hosts = [target.get("host"), *_list(target.get("hosts"))]
    places = [*contained, *hosts, *(each for host in hosts for each in _contained(_mapping(host)))]
    without = target.get("runtime") == "python" and not any(_mapping(place).get("agent") for place in places)
    empty = without and any(contained)
    elsewhere = _elsewhere(target) and not target.get("launch")
    watched = without and ("attach" in target or elsewhere) and not options.get("inject") and not empty
    if empty and root.get("requests") and tools != ["none"]:
        hint = "mount it (harness agent), or write profile: none"
        yield ("target",), f"no profiler runs in a container that was started without the agent: {hint}"
    if watched and root.get("requests") and tools != ["none"]:
        hint = "add python: {inject: true} (stops it for up to a second), start it with launch, or write profile: none"
        if elsewhere:
            hint = "start it with the agent there (harness agent ssh://HOST/DIR), or write profile: none"
        loc = "attach" if "attach" in target else "host" if "host" in target else "hosts"
        yield ("target", loc), f"no profiler runs in a process that was started without the harness: {hint}"


def environment_references(data: Data) -> Iterator[Found]:
    """Every use of an environment variable as (where, name)."""
    root = _mapping(data)
    captured = frozenset(variable for request in _requests(root) for variable in request.captures)
    for loc, text in _templates(root):
        yield from (
            (loc, name) for name in sorted(references(text) - (captured if loc[0] == "requests" else frozenset()))
        )


def _contained(section: Mapping[str, Data]) -> list[Data]:
    """Containers of a target, or of a host."""
    return [section.get("container"), *_list(section.get("containers"))]


def _mapping(data: Data) -> Mapping[str, Data]:
    return data if isinstance(data, dict) else {}


def _list(data: Data) -> list[Data]:
    return data if isinstance(data, list) else []


def _requests(root: Mapping[str, Data]) -> Iterator[_Request]:
    for index, item in enumerate(_list(root.get("requests"))):
        if isinstance(item, dict):
            captures = {
                variable: source
                for variable, spec in _mapping(item.get("capture")).items()
                if isinstance(source := _mapping(spec).get("from"), str)
            }
            name = item.get("name")
            uses = references([item.get(key) for key in TEMPLATED])
            yield _Request(("requests", index), item, name if isinstance(name, str) else "", captures, uses)


def _strings(data: Data, loc: Loc) -> Iterator[tuple[Loc, str]]:
    if isinstance(data, str):
        yield loc, data
    elif isinstance(data, dict):
        for key, value in data.items():
            yield from _strings(value, (*loc, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _strings(value, (*loc, index))


def _templates(root: Mapping[str, Data]) -> Iterator[tuple[Loc, str]]:
    """Every text in which ``${NAME}`` is replaced."""
    for request in _requests(root):
        for key in TEMPLATED:
            yield from _strings(request.data.get(key), (*request.loc, key))
    target = _mapping(root.get("target"))
    for key in ("env", "php", "python"):
        yield from _strings(target.get(key), ("target", key))
    for index, program in enumerate(_list(target.get("launch"))):
        yield from _strings(_mapping(program).get("env"), ("target", "launch", index, "env"))
    yield from _commands(root)


def _commands(root: Mapping[str, Data]) -> Iterator[tuple[Loc, str]]:
    """Command lines: ``${NAME}`` is replaced in their words, other uses of ``${`` are left to the program."""
    launch = _mapping(root.get("target")).get("launch")
    if isinstance(launch, str):
        yield ("target", "launch"), launch
    for index, program in enumerate(_list(launch)):
        run, loc = (program.get("run"), ("run",)) if isinstance(program, dict) else (program, ())
        yield from _strings(run, ("target", "launch", index, *loc))
    for key in ("each_round", "command"):
        yield from _strings(_mapping(root.get("load")).get(key), ("load", key))


def _urls(root: Mapping[str, Data]) -> Iterator[tuple[Loc, str]]:
    target = _mapping(root.get("target"))
    for key in ("ready", "url"):
        yield from _strings(target.get(key), ("target", key))
    for request in _requests(root):
        for method in METHODS:
            yield from _strings(request.data.get(method), (*request.loc, method))


def _has_password(text: str) -> bool:
    try:
        password = urlsplit(text).password
    except ValueError:
        return False
    return bool(password) and not references(password)


def _sections(root: Mapping[str, Data], requests: list[_Request]) -> Iterator[Found]:
    target = root.get("target")
    if isinstance(target, dict):
        yield from ((("target",), text) for text in target_mistakes(target))
        if isinstance(attach := target.get("attach"), dict):
            yield from ((("target", "attach"), text) for text in attach_mistakes(attach))
    for request in requests:
        yield from ((request.loc, text) for text in request_mistakes(request.data))
        for variable, capture in _mapping(request.data.get("capture")).items():
            if isinstance(capture, dict):
                yield from (((*request.loc, "capture", variable), text) for text in capture_mistakes(capture))


def _target_fits_load(root: Mapping[str, Data], requests: list[_Request]) -> Iterator[Found]:
    load = root.get("load")
    each_round = isinstance(load, dict) and "each_round" in load
    observe = isinstance(load, dict) and "observe" in load
    target = root.get("target")
    if target is None and not each_round:
        yield ("target",), "'target' is missing: say what to launch or attach to (only load.each_round can do without)"
    if isinstance(target, dict) and not each_round and not ways_in(target):
        yield (
            ("target",),
            "the target needs launch (a command to start), attach (port, pid, match or pidfile) or container (a name)",
        )
    if each_round or observe:
        return
    if _sent_by_others(load) and not requests:
        return  # what they send is theirs; requests beside them are for profiles
    if not requests and root.get("requests", []) == []:
        yield (
            ("requests",),
            "'requests' is missing: without requests, use load: {observe: 10m} or {each_round: COMMAND}",
        )
    if requests and all(request.data.get("once") is True for request in requests):
        yield ("requests",), "every request is done once: nothing is left to send in the rounds"
    if isinstance(target, dict) and ways_in(target) and not _has_base_url(target):
        for request in requests:
            for method in METHODS:
                path = request.data.get(method)
                if isinstance(path, str) and path.startswith("/"):
                    say = "has no address: add target.ready or target.url"
                    if _elsewhere(target):
                        say = (
                            "is on other hosts: add target.url, the address that answers to requests from this machine"
                        )
                    yield (*request.loc, method), f"where is {path}? The target {say}"
                    return


def _sent_by_others(load: Data) -> bool:
    """Whether the requests, and so the names of endpoints, are those of another program."""
    return isinstance(load, dict) and ("command" in load or "locustfile" in load)


def _has_base_url(target: Mapping[str, Data]) -> bool:
    served = _mapping(target.get("php")).get("serve")
    port = not _elsewhere(target) and _mapping(target.get("attach")).get("port")
    return bool(target.get("ready") or target.get("url") or served or port)


def _elsewhere(target: Mapping[str, Data]) -> bool:
    return bool(target.get("host") or target.get("hosts"))


def _names(requests: list[_Request]) -> Iterator[Found]:
    seen: set[str] = set()
    for request in requests:
        if request.name and request.name in seen:
            yield (*request.loc, "name"), f"two requests are called {request.name!r}: give each its own name"
        seen.add(request.name)


def _sources(requests: list[_Request]) -> Iterator[Found]:
    names = [request.name for request in requests if request.name]
    for request in requests:
        for variable, source in request.captures.items():
            if source not in names:
                loc = (*request.loc, "capture", variable, "from")
                yield loc, f"no request is called {source!r}{did_you_mean(source, names)}"


def _cycles(requests: list[_Request]) -> Iterator[Found]:
    shared = {variable: source for request in requests for variable, source in request.captures.items()}
    needs = {
        request.name: sorted({{**shared, **request.captures}[v] for v in request.uses if v in shared})
        for request in requests
    }
    reported: set[frozenset[str]] = set()
    for request in requests:
        cycle = _cycle_through(request.name, needs)
        if cycle and frozenset(cycle) not in reported:
            reported.add(frozenset(cycle))
            chain = " needs ".join(repr(name) for name in (*cycle, cycle[0]))
            yield (*request.loc, "capture"), f"captures go in a circle: {chain}"


def _cycle_through(start: str, needs: Mapping[str, list[str]]) -> list[str]:
    """The shortest way from ``start`` back to itself, or nothing."""
    paths = [[start]]
    seen: set[str] = set()
    for path in paths:  # grows while it is walked: breadth first
        for name in needs.get(path[-1], []):
            if name == start:
                return path
            if name not in seen:
                seen.add(name)
                paths.append([*path, name])
    return []


def _variables(root: Mapping[str, Data], requests: list[_Request]) -> Iterator[Found]:
    commands = {loc for loc, _ in _commands(root)}
    for loc, text in _templates(root):
        if loc not in commands and (broken := malformed(text)) is not None:
            yield loc, f"{broken!r} is not a reference: write ${{NAME}}, or $${{ for the text ${{"
    captured = sorted({variable for request in requests for variable in request.captures})
    for loc, name in environment_references(dict(root)):
        if not looks_like_environment(name):
            hint = did_you_mean(name, captured if loc[0] == "requests" else ())
            where = "captured from no request" if loc[0] == "requests" else "not an environment variable"
            yield loc, f"${{{name}}} is {where}{hint}; environment variables are upper case, $${{ is the text ${{"
    yield from _ambiguous(requests)


def _ambiguous(requests: list[_Request]) -> Iterator[Found]:
    """A variable that several requests capture in different ways must be captured where it is used, too."""
    ways: dict[str, list[Data]] = {}
    for request in requests:
        for variable, spec in _mapping(request.data.get("capture")).items():
            known = ways.setdefault(variable, [])
            if spec not in known:
                known.append(spec)
    for request in requests:
        for name in sorted(request.uses - request.captures.keys()):
            if len(ways.get(name, [])) > 1:
                yield (
                    request.loc,
                    f"${{{name}}} is captured in several ways: say in this request's capture which is meant",
                )


def _subjects(root: Mapping[str, Data], requests: list[_Request]) -> Iterator[Found]:
    names = [request.name for request in requests if request.name]
    for index, name in enumerate(_list(_mapping(root.get("profile")).get("endpoints"))):
        if isinstance(name, str) and name not in names:
            yield ("profile", "endpoints", index), f"no request is called {name!r}{did_you_mean(name, names)}"
    for index, text in enumerate(_list(root.get("expect"))):
        if isinstance(text, str):
            try:
                endpoint = parse_expectation(text).endpoint
            except ValueError:
                continue  # the models report it
            if endpoint is not None and endpoint not in names and not _sent_by_others(root.get("load")):
                yield ("expect", index), f"no request is called {endpoint!r}{did_you_mean(endpoint, names)}"
