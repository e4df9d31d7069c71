"""What runs on other hosts: enough to write a first scenario. One command on each, which leaves nothing there."""

from __future__ import annotations

from collections.abc import Mapping

from harness.errors import TargetError
from harness.targets.connectors.deploy import NoPython
from harness.targets.connectors.peek import Looked, look
from harness.targets.connectors.spec import Connector
from harness.targets.containers import find
from harness.targets.detect import Detection, Recognise, name_of
from harness.targets.engines.there import engines_of
from harness.targets.there import life_there

_UNKNOWN = "which no adapter knows: no profilers"
_BY_TEXT = "name what runs there by a text of its command line: harness init TEXT --host ADDRESS"


def detect_there(
    hosts: Mapping[str, Connector], attach: tuple[str, str | int] | None, container: str | None, url: str | None,
    recognise: Recognise,
) -> Detection:  # fmt: skip
    """What is meant by ``attach`` (see `Detection`) or ``container`` (a name) on each of these hosts, by their addresses.
    ``url``: where requests go, None where it is only watched. Raises TargetError where it is not there."""
    found: list[str] = []
    names: list[str] = []
    runtimes: list[str] = []
    for connector in hosts.values():
        try:
            looked = _looked(connector, attach, container)
        except NoPython as error:
            if attach is None or attach[0] == "port":
                raise TargetError(error.message, hint=_BY_TEXT) from error
            found.append(f"{error.message}: what runs there is not looked for before the run")
            continue
        runtime = recognise(looked.name, looked.command, looked.exe)
        several = f", {looked.processes} processes" if looked.processes > 1 else ""
        found.append(f"{connector.name}: {looked.name} (pid {looked.pid}){several}, {runtime or _UNKNOWN}")
        names.append(looked.name)
        runtimes += [] if runtime is None else [runtime]
    known = dict.fromkeys(runtimes)
    runtime = runtimes[0] if len(known) == 1 else "any"
    if len(known) > 1:
        found.append(f"they run {' and '.join(known)}: a scenario has one runtime, so they are watched from outside")
    name = name_of(container or (names[0] if names else next(iter(hosts.values())).name))
    return Detection(name, runtime, url, tuple(found), attach=attach, container=container, hosts=tuple(hosts))


def _looked(connector: Connector, attach: tuple[str, str | int] | None, container: str | None) -> Looked:
    """Raises NoPython, TargetError."""
    order: dict[str, object] = {} if attach is None else {attach[0]: attach[1]}
    if container is not None:
        engine, state = find(container, engines_of(connector))
        life = life_there(connector, state)
        if life is None:
            text = f"the container {container} does not run on {connector.name}"
            raise TargetError(text, hint=f"`{engine.program} start {container}` there")
        order = {"pid": life.pid}
    looked = look(connector, order)
    if looked.why is not None:
        raise TargetError(f"{connector.name}: {looked.why}", hint=_hint(attach))
    return looked


def _hint(attach: tuple[str, str | int] | None) -> str:
    if attach is not None and attach[0] == "port":
        return f"where a balancer listens on that port, {_BY_TEXT}"
    return "is the service running there, and may this user see it?"
