"""Other hosts of a scenario: whether a run would get there, and what it would find. One command each; nothing is put there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from harness.doctor.agents import Wanted, check_there
from harness.errors import HarnessError, TargetError
from harness.plugins.spec import Check, CheckLevel
from harness.sampling.missing import COSTS
from harness.scenario.target import AttachSpec, HostSpec, TargetSpec
from harness.session.agents.deployed import NO_PYTHON, NO_PYTHON_FIX
from harness.targets.connectors.choose import connector_to
from harness.targets.connectors.deploy import NoPython
from harness.targets.connectors.peek import Looked, look
from harness.targets.connectors.spec import Connector
from harness.targets.containers import find
from harness.targets.engines.there import engines_of
from harness.targets.there import life_there

_WHO = "is the service running there, and may this user see it?"
_INSTALL = "install it there, or write its whole path: a session without a terminal has another PATH than yours"
_NOT_INSIDE = "what the allocators and the runtime of the others hold is not known"
_LOGIN = "log in as the user whose processes they are, or as root"


def checks_of(target: TargetSpec | None, *, announces: bool = True) -> list[Check]:
    """What is found on each host. An error: it cannot be reached, or has no such process or program, or no agent where the
    scenario names one. ``announces``: see `LanguageAdapter`."""
    if target is None:
        return []
    hosts = _Hosts("target.hosts" if target.host is None else "target.host", target, programs_of(target), announces)
    return [check for spec in target.elsewhere for check in hosts.check(spec)]


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


@dataclass(frozen=True, slots=True)
class _Hosts:
    """``key``: of the scenario; ``programs``: what would be started there."""

    key: str
    target: TargetSpec
    programs: Sequence[str]
    announces: bool

    def check(self, spec: HostSpec) -> list[Check]:
        """Of one host; the first says whether it is reached."""
        name = f"{self.key} {spec.label}"
        further: list[Check] = []
        try:
            connector = connector_to(spec.host)
            try:
                lives = self._containers(connector, spec, name, further)
                attach = None if spec.in_containers else spec.watched(self.target.attach)
                started = {"programs": list(self.programs)} if self.programs and not spec.in_containers else {}
                looked = look(connector, order_of(attach) or started)
                further += self._agents(connector, spec, name, looked, lives)
            finally:
                connector.close()
        except NoPython as error:
            return [_without_python(spec, name, error), *further]
        except HarnessError as error:
            return [Check(name, CheckLevel.ERROR, error.message, error.hint)]
        return [judged(name, looked, _WHO if attach is not None else _INSTALL), *further]

    def _containers(
        self, connector: Connector, spec: HostSpec, name: str, further: list[Check]
    ) -> Mapping[str, tuple[int, ...]]:
        """The first process of each that runs there."""
        lives: dict[str, tuple[int, ...]] = {}
        for each in spec.in_containers:
            check, pid = _check_container(connector, f"{name}, container {each.name}", each.name)
            further.append(check)
            lives[each.name] = () if pid is None else (pid,)
        return lives

    def _agents(
        self, connector: Connector, spec: HostSpec, name: str, looked: Looked, lives: Mapping[str, tuple[int, ...]]
    ) -> list[Check]:
        found = []
        for directory, each in spec.agents:
            where = f"{name}, agent" if each is None else f"{name}, agent in {each.name}"
            roots = looked.roots if each is None else lives[each.name]
            wanted = Wanted(
                where, PurePosixPath(directory), roots, each is not None, self.target.runtime, self.announces
            )
            found.append(check_there(connector, wanted))
        return found


def _without_python(spec: HostSpec, name: str, error: NoPython) -> Check:
    if spec.agents:
        return Check(name, CheckLevel.ERROR, f"reached; {spec.label} {NO_PYTHON}", NO_PYTHON_FIX)
    text = f"reached; {error.message}: only what a shell can show of /proc would be known"
    costs = "nothing is known from inside the runtimes, and a line that breaks loses samples"
    return Check(name, CheckLevel.WARNING, text, "install python3 there (the harness itself is not needed)", costs)


def _check_container(connector: Connector, name: str, container: str) -> tuple[Check, int | None]:
    """Whether it runs there, and its first process. Raises TargetError when the host cannot be reached."""
    try:
        engine, state = find(container, engines_of(connector))
    except TargetError as error:
        return Check(name, CheckLevel.ERROR, error.message, error.hint), None
    life = life_there(connector, state)
    if life is None:
        why = "its processes are not that host's" if state.running else "it does not run"
        fix = f"docker start {container}"
        return Check(name, CheckLevel.ERROR, f"{engine.label} knows it, but {why}", fix), None
    text = f"runs, by {engine.label}; its first process is pid {life.pid} there"
    return Check(name, CheckLevel.INFO, text), life.pid


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
