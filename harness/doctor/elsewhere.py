"""Other hosts of a scenario: whether a run would get there, and what it would find. One command each; nothing is put there."""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import HarnessError, TargetError
from harness.plugins.spec import Check, CheckLevel
from harness.sampling.missing import COSTS
from harness.scenario.target import AttachSpec, HostSpec, TargetSpec
from harness.targets.connectors.choose import connector_to
from harness.targets.connectors.deploy import NoPython
from harness.targets.connectors.peek import Looked, look
from harness.targets.connectors.spec import Connector
from harness.targets.containers import find
from harness.targets.engines.there import engines_of
from harness.targets.there import life_there

_MEANT = "which signals a host gives is said by harness doctor there; --json lists those of this machine"
_WHO = "is the service running there, and may this user see it?"
_INSTALL = "install it there, or write its whole path: a session without a terminal has another PATH than yours"
_NOT_INSIDE = "what the allocators and the runtime of the others hold is not known"
_LOGIN = "log in as the user whose processes they are, or as root"


def checks_of(hosts: Sequence[HostSpec], attach: AttachSpec | None = None, programs: Sequence[str] = ()) -> list[Check]:
    """What is found on each host. An error: it cannot be reached, or has no such process or program.
    ``attach``: of hosts that have none of their own; None for a target that is started there. ``programs``: what that starts."""
    found = [
        check
        for spec in hosts
        for check in _check(spec, None if spec.in_containers else spec.watched(attach), programs)
    ]
    return [*found, Check("target.host", CheckLevel.INFO, _MEANT)] if hosts else []


def order_of(attach: AttachSpec | None) -> dict[str, object]:
    """``attach`` in the words of `harness.sampling.remote.find`; empty for None."""
    if attach is None:
        return {}
    pidfile = None if attach.pidfile is None else str(attach.pidfile)
    said = {"port": attach.port, "pid": attach.pid, "match": attach.match, "pidfile": pidfile}
    return {key: value for key, value in said.items() if value is not None}


def programs_of(target: TargetSpec | None) -> tuple[str, ...]:
    """What ``launch`` would look for on the PATH of a host, or has the whole path of; not what a variable or a PATH of the
    scenario's own decides, nor what is relative to a directory there."""
    found = []
    for program in () if target is None or "PATH" in target.env else target.launch:
        name = program.argv[0]
        if "PATH" not in program.env and "$" not in name and ("/" not in name or name.startswith("/")):
            found.append(name)
    return tuple(dict.fromkeys(found))


def _check(spec: HostSpec, attach: AttachSpec | None, programs: Sequence[str]) -> list[Check]:
    name = f"target.host {spec.label}"
    try:
        connector = connector_to(spec.host)
        try:
            contained = [_check_container(connector, spec, each.name) for each in spec.in_containers]
            order = order_of(attach) or ({"programs": list(programs)} if programs and not contained else {})
            looked = look(connector, order)
        finally:
            connector.close()
    except NoPython as error:
        text = f"reached; {error.message}: only what a shell can show of /proc would be known"
        costs = "nothing is known from inside the runtimes, and a line that breaks loses samples"
        fix = "install python3 there (the harness itself is not needed)"
        return [Check(name, CheckLevel.WARNING, text, fix, costs)]
    except HarnessError as error:
        return [Check(name, CheckLevel.ERROR, error.message, error.hint)]
    return [judged(name, looked, _WHO if attach is not None else _INSTALL), *contained]


def _check_container(connector: Connector, spec: HostSpec, container: str) -> Check:
    """Whether it runs there. Raises TargetError when the host cannot be reached."""
    name = f"target.host {spec.label}, container {container}"
    try:
        engine, state = find(container, engines_of(connector))
    except TargetError as error:
        return Check(name, CheckLevel.ERROR, error.message, error.hint)
    life = life_there(connector, state)
    if life is None:
        why = "its processes are not that host's" if state.running else "it does not run"
        return Check(name, CheckLevel.ERROR, f"{engine.label} knows it, but {why}", f"docker start {container}")
    return Check(name, CheckLevel.INFO, f"runs, by {engine.label}; its first process is pid {life.pid} there")


def judged(name: str, looked: Looked, fix: str = _WHO) -> Check:
    """What is found there as one check called ``name``; ``fix``: of what is not there. Pure."""
    reached = f"reached as {looked.user}: {looked.system}, Python {looked.python}"
    if looked.why is not None:
        return Check(name, CheckLevel.ERROR, f"{reached}; but {looked.why}", fix)
    if not looked.processes:
        return Check(name, CheckLevel.INFO, reached)
    several = looked.processes > 1
    who = f"{looked.name} (pid {looked.pid}){f', {looked.processes} processes' if several else ''}"
    if looked.totals < looked.processes:
        text = f"{reached}; found {who}, but this user may read the memory totals of {looked.totals} of them"
        return Check(name, CheckLevel.WARNING, text, _LOGIN, COSTS["process.memory.pss"])
    if looked.memory < looked.processes:
        text = f"{reached}; found {who}, but this user may look into the memory of {looked.memory} of them"
        return Check(name, CheckLevel.WARNING, text, _LOGIN, _NOT_INSIDE)
    return Check(
        name, CheckLevel.INFO, f"{reached}; found {who}, and {'their' if several else 'its'} memory may be looked into"
    )
