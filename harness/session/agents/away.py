"""Agents on other hosts: laid down and started there, or placed there by the user before; see docs/remote.md."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

from harness.errors import TargetError, UsageError
from harness.model.process import ProcessInfo
from harness.plugins.spec import Check, CheckLevel, LanguageAdapter, LaunchPlan, Prepared
from harness.session.agents.deployed import (
    ANOTHER_THERE,
    ENVIRONMENT,
    ENVIRONMENT_CAP,
    NO_PYTHON,
    NO_PYTHON_FIX,
    SILENT,
    SILENT_CONTAINER,
    SILENT_COSTS,
    Deployed,
    deployed,
    for_runtime,
    named,
    no_agent,
)
from harness.session.agents.mirror import Mirror
from harness.session.agents.mounted import is_on
from harness.session.agents.presence import tell_of_version
from harness.session.background import in_background
from harness.session.hosts.remote import RemoteHost
from harness.session.parts import Parts
from harness.store import layout
from harness.store.lives import same_pid

_ANSWER_CAP = 1 << 20

Alive = Callable[[], Iterable[ProcessInfo]]


@dataclass(frozen=True, slots=True)
class Inside:
    """A container of the host, which the agent's directory is mounted into. ``pool``: of its processes; ``read``: which id one of
    them has in it, None while that is not known."""

    pool: str
    read: Callable[[int], int | None]


@dataclass(frozen=True, slots=True)
class _There:
    """See `harness.plugins.spec.There`."""

    host: RemoteHost

    @property
    def name(self) -> str:
        return self.host.spec.label

    def run(self, argv: Sequence[str]) -> tuple[int, bytes]:
        done = self.host.connector.run(argv, cap_bytes=_ANSWER_CAP)
        return done.code, done.output


def launched(
    parts: Parts, host: RemoteHost, plans: Sequence[LaunchPlan], alive: Alive
) -> tuple[Sequence[LaunchPlan], Mirror | None]:
    """The plans with the agent in them, which is laid down on their host. Without, and why among what is missing, where this
    language has no agent of that kind. Raises TargetError."""
    adapter = parts.adapter
    if adapter is None or not host.has_python or not any(plan.measured for plan in plans):
        return plans, None  # without Python nothing is started there, which who starts it says
    label = host.spec.label
    work_dir = _directory(parts, label)
    stage = work_dir.with_name(f"{label}.stage")
    stage.mkdir(mode=0o700)
    inside, token = host.path("agent"), secrets.token_hex(16)
    try:
        try:
            variables = adapter.deploy_agent(stage, str(inside), token)
        except UsageError as error:
            parts.missing("agent", f"{label}: {error.message}", SILENT_COSTS)
            return plans, None
        placed = named(variables.get("HARNESS_RECORDS", ""), variables.get("HARNESS_ORDERS", ""), token)
        if placed is None:
            raise TargetError(f"the {adapter.name} adapter has made an agent that cannot be kept on another host")
        mirror = _mirror(parts, host, inside, work_dir, placed, alive, "")
        context = parts.places.others[-1].context
        future = in_background(adapter.launch_there, context, plans, variables, _There(host))
        future.add_done_callback(parts.pump.wake)
        parts.pump.until(future.done)
        prepared, checks = future.result()
        _tell(parts, adapter, prepared, checks)
        mirror.begin(parts.pump, stage)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return prepared.plans, mirror


def _tell(parts: Parts, adapter: LanguageAdapter, prepared: Prepared, checks: Sequence[Check]) -> None:
    for check in checks:
        if check.level is CheckLevel.WARNING:
            parts.progress.step(f"warning: {check.message}")
        if check.costs:
            parts.missing(check.name, check.message, check.costs)
    for name, text in prepared.experiments.items():
        parts.recorder.facts({f"experiment.{name}": text})
        parts.progress.log(f"{adapter.name} experiment: {text}")


def attached(parts: Parts, host: RemoteHost, path: PurePosixPath, alive: Alive, inside: Inside | None) -> Mirror:
    """The agent that the user has placed in a directory of a host. ``inside``: the container that it is mounted into; None: it
    is in none. Raises TargetError when the directory cannot be used."""
    label = host.spec.label
    if not host.has_python:
        raise TargetError(f"{label} {NO_PYTHON}", hint=NO_PYTHON_FIX)
    runtime = parts.scenario.runtime
    placed = for_runtime(deployed(host.get(path / ENVIRONMENT, ENVIRONMENT_CAP)), runtime)
    if isinstance(placed, str):
        raise TargetError(f"{label}: {no_agent(path, placed)}", hint=ANOTHER_THERE)
    tell_of_version(parts, label if inside is None else inside.pool, placed)
    work_dir = _directory(parts, label if inside is None else inside.pool)
    mirror = _mirror(parts, host, path, work_dir, placed, alive, SILENT if inside is None else SILENT_CONTAINER, inside)
    mirror.begin(parts.pump)
    return mirror


def _mirror(
    parts: Parts, host: RemoteHost, there: PurePosixPath, work_dir: Path, placed: Deployed, alive: Alive, silence: str,
    inside: Inside | None = None,
) -> Mirror:  # fmt: skip
    label = host.spec.label
    name = label if inside is None else inside.pool

    def lost(why: str) -> None:
        parts.missing(f"agent.records on {name}", why, "records from then on are not in the run")

    mirror = Mirror(host, name, there, work_dir, placed.records, placed.order, alive, lost)
    away = mirror.away if inside is None else replace(mirror.away, called=inside.read)
    context = replace(parts.context, work_dir=work_dir, token=placed.token, away=away)
    holds = partial(is_on, label) if inside is None else partial(_is_in, label, inside.pool)
    read = same_pid if inside is None else inside.read
    place = parts.places.add(name, context, alive, holds, read, silence)
    if inside is not None:
        mirror.outside = place.context.outside_pid
    return mirror


def _is_in(label: str, pool: str, info: ProcessInfo) -> bool:
    """Whether a process is in this container of a host."""
    return info.pool == pool and info.key.host == label


def _directory(parts: Parts, name: str) -> Path:
    """Where what comes from a host, or a container of it, is kept in the run."""
    directory = parts.context.work_dir / layout.HOSTS / name
    directory.mkdir(mode=0o700, parents=True)
    return directory
