"""Which keys of one section go together. Shared by the models and by the checks that read files with other mistakes.

Each function gets a section as in the file (absent or None = not given) and yields what is wrong with it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import TypeGuard

from harness.scenario.addresses import called

METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
BODIES = ("form", "json", "body")
ENGINE_KEYS = ("workers", "remote_workers", "listen", "hosts")  # under load, beside engine
LINE_TOOLS = ("lines", "memory_profiler")  # profilers that watch functions which a scenario names
ATTACH = ("port", "pid", "match", "pidfile")
CAPTURE = ("regex", "header", "json")
PYTHON_AT_START = ("overlay", "tracemalloc.from_boot")  # change how a program is started
PYTHON_INSIDE = ("jobs", "gc_freeze")  # done by the agent

_ABSOLUTE = re.compile(r"/[^\x00-\x1f]{1,400}")  # a place on another host

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


def engine_mistakes(load: Section) -> Iterator[str]:
    """Workers are Locust's; those from elsewhere must know where to go."""
    for key in ENGINE_KEYS:
        if load.get(key) is not None and load.get("engine") != "locust":
            yield f"{key} are for engine: locust" if key != "listen" else "listen is for engine: locust"
            return
    elsewhere = load.get("remote_workers") or load.get("hosts")
    listen = load.get("listen")
    if load.get("remote_workers") and not listen:
        yield "remote_workers need listen: HOST:PORT, an address of this machine that they can reach"
    if load.get("hosts") and isinstance(listen, str) and listen.startswith(("0.0.0.0:", "[::]:")):
        yield "listen must be the address that the hosts reach this machine by, not any address"
    if load.get("workers") == 0 and not elsewhere:
        yield "there is nobody to send: give workers, remote_workers or hosts"


def target_mistakes(target: Section) -> Iterator[str]:
    """At most one way in (a target that ``each_round`` runs has none), options for its own runtime only."""
    ways = ways_in(target)
    if len(ways) > 1 and not _goes_together(target, ways):
        yield f"the target has {' and '.join(ways)}: keep one"
    yield from _container_mistakes(target)
    yield from _host_mistakes(target, ways)
    for runtime in _given(target, ("python", "php")):
        if target.get("runtime", "any") != runtime:
            yield f"target.{runtime} needs runtime: {runtime}"
    python = target.get("python")
    if isinstance(python, Mapping) and not _hosts(target):
        yield from _python_mistakes(python, attached="attach" in ways)
        if "container" in ways or "containers" in ways:
            for name in (*PYTHON_AT_START, *PYTHON_INSIDE):
                if _is_set(python, name):
                    yield f"target.python.{name} is for programs that are started here, not for containers"


def _goes_together(target: Section, ways: tuple[str, ...]) -> bool:
    """Containers of this machine beside other hosts, for which ``attach`` may be said once."""
    if not _hosts(target) or {"container", "containers"} <= set(ways):
        return False
    if target.get("host") is not None:  # then the containers are that host's
        return False
    return set(ways) <= {"attach", "container", "containers", "hosts"}


def _container_mistakes(target: Section) -> Iterator[str]:
    """Names, and directories for the agent, that occur twice; an agent of no language."""
    if target.get("runtime", "any") == "any" and any(_has_agent(each) for each in _contained(target)):
        yield "agent needs target.runtime, such as python"
    several = target.get("containers")
    items = [item for item in several if isinstance(item, Mapping)] if isinstance(several, list | tuple) else []
    names = [item.get("name") for item in items]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield f"the container {name!r} is named twice"
    for agent in _shared(item["agent"] for item in items if _has_agent(item)):
        yield f"two containers have the agent in {agent!r}: each needs a directory of its own (harness agent)"


def _shared(directories: Iterable[object]) -> Iterator[str]:
    """Those that are named more than once, however each is written."""
    counted = Counter(str(PurePosixPath(str(directory))) for directory in directories)
    yield from (directory for directory, times in counted.items() if times > 1)


def _hosts(target: Section) -> list[object]:
    """What ``host`` or ``hosts`` holds."""
    several, one = target.get("hosts"), target.get("host")
    return [*(several if isinstance(several, list | tuple) else ()), *([] if one is None else [one])]


def _has_attach(host: object) -> bool:
    return isinstance(host, Mapping) and host.get("attach") is not None


def _label(host: object) -> object:
    """Its name or its address, whichever tells it from others."""
    if isinstance(host, Mapping):
        return host.get("name") or host.get("host")
    return host


def _host_mistakes(target: Section, ways: tuple[str, ...]) -> Iterator[str]:
    """What cannot be done on another host, and hosts that cannot be told apart."""
    hosts = _hosts(target)
    if not hosts:
        return
    if target.get("host") is not None and target.get("hosts"):
        yield "the target has host and hosts: keep one"
    yield from _names_of_two(hosts)
    local = [host for host in hosts if (host.get("host") if isinstance(host, Mapping) else host) == "local"]
    if len(local) > 1:
        yield "this machine (local) is named twice: name what it runs by one attach"
    if "php.serve" in ways:
        yield "target.php.serve is for this machine, not for other hosts: start it there, and use attach"
    if "launch" in ways and target.get("hosts"):
        yield "target.launch is for one host (target.host): with several, start the application there, and use attach"
    contained = target.get("host") is not None and ("container" in ways or "containers" in ways)
    if target.get("attach") is None and "launch" not in ways and not contained:
        for host in hosts:
            if _label(host) and not (_has_attach(host) or _contained(host) or _is_pod(host)):
                yield f"nothing says what to watch on {_label(host)}: add attach to it, or target.attach for all hosts"
    for host in hosts:
        if isinstance(host, Mapping):
            yield from _place_mistakes(target, host, one=target.get("host") is not None, launched="launch" in ways)
    yield from _agent_mistakes(target, hosts, started="launch" in ways)


def _names_of_two(hosts: list[object]) -> Iterator[str]:
    labels = [_label(host) for host in hosts]
    for label in dict.fromkeys(label for label in labels if labels.count(label) > 1):
        yield f"the host {label!r} is named twice"
    names = [called(label) for label in dict.fromkeys(labels) if isinstance(label, str)]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield f"two hosts would be called {name!r}: give one of them a name of its own"


def _place_mistakes(target: Section, host: Section, *, one: bool, launched: bool) -> Iterator[str]:
    """Of one host: what cannot be watched on it, or not in that way."""
    address, label = host.get("host"), _label(host)
    containers = _contained(host)
    if address == "local" and (one or containers):
        yield "host: local is for attach beside other hosts; containers of this machine belong into target.containers"
    if address == "local" and host.get("agent") is not None:
        yield "agent is for other hosts: on this machine use a container's agent, or target.python.inject"
    if containers and _is_pod(host):
        yield f"{label} is a pod: write kubectl://namespace/pod/container for one of its containers"
    if containers and host.get("container") is not None and host.get("containers"):
        yield f"{label} has container and containers: keep one"
    if containers and (_has_attach(host) or launched):
        yield f"{label} has containers and {'launch' if launched else 'attach'}: keep one"
    if launched and _is_pod(host):
        yield f"nothing is started in a pod ({label}): start the application there, and leave target.launch out"
    yield from _mounted_mistakes(host, label, containers or (_contained(target) if one else ()))
    names = [spec.get("name") if isinstance(spec, Mapping) else spec for spec in containers]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield f"the container {name!r} of {label} is named twice"


def _mounted_mistakes(host: Section, label: object, containers: tuple[object, ...]) -> Iterator[str]:
    """Agents in containers of another host."""
    if host.get("agent") is not None and len(containers) > 1:
        yield f"{label}: agent beside the host is for its one container; with several, give each a directory of its own"
    inside = [str(each["agent"]) for each in containers if _has_agent(each)]
    if host.get("agent") is not None and inside:
        yield f"{label}: agent is said beside the host and in its container: keep one"
    for agent in _shared(inside):
        yield f"two containers of {label} have the agent in {agent!r}: each needs a directory of its own (harness agent)"
    for agent in dict.fromkeys(inside):
        if not _ABSOLUTE.fullmatch(agent):
            yield f"{label}: the agent of a container there is in a directory of that host: {agent!r} is no whole path (/opt/...)"


def _has_agent(item: object) -> TypeGuard[Section]:
    return isinstance(item, Mapping) and item.get("agent") is not None


def _items(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, list | tuple) else ()


def _contained(host: object) -> tuple[object, ...]:
    """The containers of a host, or of a target."""
    if not isinstance(host, Mapping):
        return ()
    one = host.get("container")
    return (*(() if one is None else (one,)), *_items(host.get("containers")))


def _is_pod(host: object) -> bool:
    address = host.get("host") if isinstance(host, Mapping) else host
    return isinstance(address, str) and address.startswith("kubectl://")


def _agent_mistakes(target: Section, hosts: list[object], *, started: bool) -> Iterator[str]:
    """Agents on other hosts."""
    contained = [each for host in hosts for each in _contained(host)]
    agents = [item for item in (*hosts, *contained) if _has_agent(item)]
    if target.get("host") is not None:
        agents += [item for item in _contained(target) if _has_agent(item)]
    if started and agents:
        yield "agent is for an application that runs there already: what is launched gets one without it"
    if agents and target.get("runtime", "any") == "any" and not any(_has_agent(each) for each in _contained(target)):
        yield "agent needs target.runtime, such as python"
    yield from _agents_of_two(hosts)
    python = target.get("python")
    if not isinstance(python, Mapping):
        return
    for name in ("inject", "overlay") if started else ("inject", *PYTHON_AT_START, *PYTHON_INSIDE):
        if _is_set(python, name):
            why = "this machine" if started else "programs that are started by the run"
            yield f"target.python.{name} is for {why}, not for what {'is started' if started else 'runs'} on other hosts"


def _agents_of_two(hosts: list[object]) -> Iterator[str]:
    """A host may be watched in several places, by other names; one run has a directory once."""
    by_address: dict[str, list[str]] = {}
    for host in hosts:
        if isinstance(host, Mapping):
            own = {str(PurePosixPath(str(item["agent"]))) for item in (host, *_contained(host)) if _has_agent(item)}
            by_address.setdefault(str(host.get("host")).rstrip("/"), []).extend(own)
    for address, directories in by_address.items():
        for agent in _shared(directories):
            yield f"{address} is named twice with the agent in {agent!r}: each needs a directory of its own (harness agent)"


def _python_mistakes(python: Section, *, attached: bool) -> Iterator[str]:
    """Options that would do nothing."""
    inject = python.get("inject") is True
    if inject and not attached:
        yield "target.python.inject is for attach: what is started here gets the agent without it"
    if not attached:
        return
    for name in PYTHON_AT_START:
        if _is_set(python, name):
            yield f"target.python.{name} is for programs that are started here, not for attach"
    for name in PYTHON_INSIDE:
        if _is_set(python, name) and not inject:
            yield f"target.python.{name} needs the agent: with attach, add inject: true"


def _is_set(section: Section, dotted: str) -> bool:
    name, _, rest = dotted.partition(".")
    value = section.get(name)
    if rest:
        return isinstance(value, Mapping) and _is_set(value, rest)
    return bool(value)


def ways_in(target: Section) -> tuple[str, ...]:
    """Which of launch, attach, container, containers and php.serve are given; hosts: what they hold is said with each of them."""
    php = target.get("php")
    serve = php.get("serve") if isinstance(php, Mapping) else None
    given = {
        "launch": bool(target.get("launch")),
        "attach": target.get("attach") is not None,
        "container": target.get("container") is not None,
        "containers": bool(target.get("containers")),
        "hosts": target.get("attach") is None
        and not target.get("launch")
        and any(_has_attach(item) or _contained(item) or _is_pod(item) for item in _hosts(target)),
        "php.serve": serve is not None,
    }
    return tuple(way for way, is_given in given.items() if is_given)


def _given(section: Section, keys: tuple[str, ...]) -> list[str]:
    return [key for key in keys if section.get(key) is not None]
