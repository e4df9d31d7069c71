"""What of a scenario's target is on this machine already: whether a run would find it, and whom the check-up looks at."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.doctor.agents import Wanted, check_here
from harness.doctor.model import Subject
from harness.doctor.subject import running_target
from harness.errors import HarnessError
from harness.plugins.spec import Check, CheckLevel
from harness.scenario.schema import Scenario
from harness.scenario.target import AttachSpec, ContainerSpec, TargetSpec
from harness.session.hosts.containers import pools_here
from harness.session.target import ATTACHED, attachments_of
from harness.targets.attach import Attachment
from harness.targets.containers import find, is_here, life_of
from harness.targets.engines.choose import engines

_NO_PROCESS = "no such process runs"
_START = "start the service; the text must be part of its command line (ps -ef)"
_FROM_INSIDE = "its restarts are not on the timeline, and its accounts are as seen from inside"


@dataclass
class Here:
    """``subject``: whom to look at, None where nothing that is measured runs here. ``watched``: what is here and only watched, in
    words; ``measured``: what else is."""

    subject: Subject | None = None
    checks: list[Check] = field(default_factory=list)
    measured: list[str] = field(default_factory=list)
    watched: list[str] = field(default_factory=list)

    def shows(self, target: TargetSpec | None) -> bool:
        """Whether the signals of this machine are those of something that is judged."""
        return bool(self.measured) or not (self.watched or (target is not None and target.elsewhere))


@dataclass(frozen=True, slots=True)
class _Part:
    """One container, or what is attached to. ``name``: of its check; ``text``: what it is; ``found``: its processes."""

    name: str
    text: str
    measured: bool
    found: tuple[Attachment, ...]


def look_here(scenario: Scenario, again: str, *, announces: bool) -> Here:
    """Nothing in it for a target that is launched, or is on other hosts. ``again``: see `Subject`; ``announces``: see
    `LanguageAdapter`."""
    here = Here()
    target = scenario.target
    if target is None:
        return here
    parts = [*_contained(target, scenario, here, announces=announces), *_attached(target, scenario.scenario_dir, here)]
    alive = [part for part in parts if _lives(part, here)]
    for part in parts:
        (here.measured if part.measured else here.watched).append(part.text)
    chosen = [part for part in alive if part.measured]
    attachments = [attachment for part in chosen for attachment in part.found]
    here.subject = running_target(attachments, _in_words(target, chosen), again) if attachments else None
    return here


def _lives(part: _Part, here: Here) -> bool:
    """Whether there are processes of it. A text to match is looked for here."""
    if not part.found:
        return False
    if running_target(part.found, "", "") is not None:
        return True
    contained = part.name.startswith("target.container")
    text, fix = ("no process of it is left", "docker ps -a") if contained else (_NO_PROCESS, _START)
    here.checks.append(Check(part.name, CheckLevel.ERROR, text, fix))
    return False


def _in_words(target: TargetSpec, parts: Sequence[_Part]) -> str:
    if target.attach is not None and not target.elsewhere and not target.here:
        return "the target it attaches to"
    return f"{', '.join(part.text for part in parts)}{' on this machine' if target.elsewhere else ''}"


def of_whom(target: TargetSpec | None, here: Here) -> list[Check]:
    """Whose signals are shown, where the target is in several places or only watched. Pure."""
    elsewhere = () if target is None else target.elsewhere
    said = []
    if here.measured and (elsewhere or here.watched):
        names = ", ".join(here.measured)
        whose = f"this machine, not of {names}" if here.subject is None else f"{names} on this machine"
        said.append(f"the signals below are those of {whose}")
    if here.watched:
        several = len(here.watched) > 1
        are, their = ("are", "their") if several else ("is", "its")
        said.append(f"{', '.join(here.watched)} on this machine {are} only watched, so {their} signals are left out")
    if elsewhere:
        names = ", ".join(host.label for host in elsewhere)
        said.append(
            f"which signals {names} {'give' if len(elsewhere) > 1 else 'gives'} is said by harness doctor there"
        )
    if said and not here.shows(target):
        said.append("--json lists those of this machine")
    return [Check("signals", CheckLevel.INFO, "; ".join(said))] if said else []


# --- processes ------------------------------------------------------------------------------------------------------


def _attached(target: TargetSpec, scenario_dir: Path, here: Here) -> list[_Part]:
    found: list[tuple[str, str, bool, AttachSpec | None]] = [
        (f"target.hosts {host.label}", host.label, host.measured, host.watched(target.attach)) for host in target.here
    ]
    if not target.elsewhere and not target.here:
        found.append(("target.attach", "what it attaches to", True, target.attach))
    parts = []
    for name, text, measured, attach in found:
        if attach is None:
            continue
        try:
            attachments = attachments_of(attach, scenario_dir, ATTACHED if name == "target.attach" else text)
        except HarnessError as error:
            here.checks.append(Check(name, CheckLevel.ERROR, error.message, error.hint))
            attachments = ()
        parts.append(_Part(name, text, measured, attachments))
    return parts


# --- containers -----------------------------------------------------------------------------------------------------


def _contained(target: TargetSpec, scenario: Scenario, here: Here, *, announces: bool) -> list[_Part]:
    key = "target.container" if target.container is not None else "target.containers"
    parts = []
    for spec, pool in zip(target.in_containers, pools_here(target), strict=True):
        name = f"{key} {spec.name}"
        pid = _first_process(spec, name, here)
        found = () if pid is None else (Attachment(pool, pid=pid),)
        parts.append(_Part(name, f"the container {spec.name}", spec.measured, found))
        if spec.agent is not None and scenario.runtime != "any":
            directory = scenario.resolve_path(spec.agent)
            roots = () if pid is None else (pid,)
            here.checks.append(
                check_here(Wanted(f"{name}, agent", directory, roots, True, scenario.runtime, announces))
            )
    return parts


def _first_process(spec: ContainerSpec, name: str, here: Here) -> int | None:
    """None where it does not run, or not on this machine."""
    try:
        _, state = find(spec.name, engines(os.environ))
    except HarnessError as error:
        here.checks.append(Check(name, CheckLevel.ERROR, error.message, error.hint))
        return None
    if not state.running:
        here.checks.append(Check(name, CheckLevel.ERROR, "it does not run", f"docker start {spec.name}"))
        return None
    life = life_of(state)
    if life is not None and is_here(life):
        return life.pid
    text = "it runs, but its processes are not this machine's: it is read from inside, by exec"
    fix = "run the harness where the containers run"
    here.checks.append(Check(name, CheckLevel.WARNING, text, fix, _FROM_INSIDE))
    return None
