"""Directories of agents that a scenario names: whether a run could use each of them, and whether anybody writes there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath

from harness.errors import TargetError
from harness.plugins.spec import Check, CheckLevel
from harness.session.agents.deployed import (
    ANOTHER_MOUNTED,
    ANOTHER_THERE,
    ENVIRONMENT,
    ENVIRONMENT_CAP,
    SILENT,
    SILENT_CONTAINER,
    SILENT_COSTS,
    UNUSABLE_FIX,
    VERSION_COSTS,
    Deployed,
    deployed,
    for_runtime,
    no_agent,
    other_version,
    unusable,
)
from harness.session.agents.mirror import RESULTS
from harness.session.agents.mounted import read_environment
from harness.targets.connectors.deploy import NoPython
from harness.targets.connectors.local import LocalConnector
from harness.targets.connectors.peek import Writers, writers
from harness.targets.connectors.spec import Connector

_WITH_IT = "start the application anew with the variables of {}"
_MOUNTED = "start the container anew with this directory mounted, and with the variables of {}"
_OTHERS = "name by attach the processes that were started with it"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A directory, and who should write there. ``name``: of the check; ``roots``: processes that are watched, with those below
    them; ``contained``: these are in a container; ``runtime``: of the scenario; ``announces``: see `LanguageAdapter`."""

    name: str
    directory: PurePath
    roots: Sequence[int]
    contained: bool
    runtime: str
    announces: bool


def check_there(connector: Connector, wanted: Wanted) -> Check:
    """Of a directory on another host. Raises TargetError, where that cannot be reached."""
    found = deployed(connector.get(PurePosixPath(wanted.directory, ENVIRONMENT), ENVIRONMENT_CAP))
    return _check(connector, wanted, found, ANOTHER_THERE)


def check_here(wanted: Wanted) -> Check:
    """Of a directory of this machine. A run would find out by itself what cannot be found out here."""
    try:
        return _check(LocalConnector(), wanted, read_environment(Path(wanted.directory)), ANOTHER_MOUNTED)
    except TargetError as error:
        why = "no python3 (3.8 or newer) is on the PATH" if isinstance(error, NoPython) else error.message
        return Check(wanted.name, CheckLevel.WARNING, f"who writes to {wanted.directory} was not looked up: {why}")


def _check(connector: Connector, wanted: Wanted, said: Deployed | str, another: str) -> Check:
    found = for_runtime(said, wanted.runtime)
    if isinstance(found, str):
        return Check(wanted.name, CheckLevel.ERROR, no_agent(wanted.directory, found), another)
    holds = (str(PurePosixPath(found.order).parent), RESULTS)
    told = writers(connector, wanted.directory, found.records, holds, wanted.roots, contained=wanted.contained)
    return judged(wanted, found, told)


def judged(wanted: Wanted, found: Deployed, told: Writers) -> Check:
    """What is known of it as one check. A run is kept from starting only by what keeps it from using the directory. Pure."""
    if told.why is not None:
        return Check(wanted.name, CheckLevel.ERROR, unusable(wanted.directory, told.why), UNUSABLE_FIX)
    environment = wanted.directory / ENVIRONMENT
    anew = (_MOUNTED if wanted.contained else _WITH_IT).format(environment)
    differs = other_version(found)
    if differs:
        fix = f"write a new one (harness agent) into another directory, and {anew.replace(str(environment), 'its agent.env')}"
        return Check(wanted.name, CheckLevel.WARNING, f"{wanted.directory}: {differs}", fix, VERSION_COSTS)
    if told.inside:
        text = f"{told.inside} of {told.watched} processes that are watched write to it"
        return Check(wanted.name, CheckLevel.INFO, f"{wanted.directory} holds an agent of this version; {text}")
    if told.others:
        text = f"{told.others} processes that live write to {wanted.directory}, and none of them is watched"
        return Check(wanted.name, CheckLevel.WARNING, text, _OTHERS, SILENT_COSTS)
    if not wanted.announces:
        text = f"{wanted.directory} holds an agent of this version; whether it is in use shows with the first request"
        return Check(wanted.name, CheckLevel.INFO, text)
    text = f"{wanted.directory}: {SILENT_CONTAINER if wanted.contained else SILENT}"
    if wanted.contained:
        text += f" It must be mounted as {found.root}."
    elif found.root != str(wanted.directory):
        text += f" It was written for an application that sees it as {found.root}."
    return Check(wanted.name, CheckLevel.WARNING, text, anew, SILENT_COSTS)
