"""Which of a run's profiles bear on a finding: those of the endpoints it is about, and those of the control. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from harness.diagnose.profiling import CAUSE, ROLE, Role
from harness.model.event import Scalar
from harness.model.finding import Finding
from harness.model.profile import Artifact, Profile
from harness.model.report import ProfileView
from harness.model.span import COMMAND

_HOST = "host"  # attribute of artifacts of other hosts


class Witnesses:
    """The profiles that bear on one finding: of the endpoints it is about, and of the control."""

    def __init__(self, views: Sequence[ProfileView], finding: Finding, named: frozenset[str]) -> None:
        parsed = [(v.artifact, v.profile) for v in views if v.profile is not None]
        about = {a.endpoint for a, _ in parsed if self._is_about(a, finding)}
        others = [(a, p) for a, p in parsed if a.endpoint not in about]
        # Where the session took the guilty one itself for the control, the others show what every request leaves.
        control = [(a, p) for a, p in others if self._is_control(a, named)] or others
        suspects = [(a, p) for a, p in parsed if a.endpoint in about]
        self.suspects = _answered_by(suspects, finding.subject.host) or suspects
        control = _beside(control, {a.attributes.get(_HOST) for a, _ in self.suspects})
        self._controls = control
        self.control = [p for _, p in control]
        self.control_names = sorted({a.endpoint or "" for a, _ in control})
        self.tried = [v.artifact for v in views if self._is_about(v.artifact, finding)]

    def of(self, artifact: Artifact) -> list[Profile]:
        """All profiles of the endpoint of one of the suspects."""
        return [p for a, p in self.suspects if a.endpoint == artifact.endpoint]

    def control_elsewhere(self, suspect: Artifact, tool: str) -> list[str]:
        """Hosts that answered the control of this tool, where none of them is the one that answered the suspect."""
        hosts = {a.attributes.get(_HOST) for a, p in self._controls if p.tool == tool}
        return [] if suspect.attributes.get(_HOST) in hosts else sorted(str(host or "this machine") for host in hosts)

    def beside(self, artifact: Artifact) -> list[Profile]:
        """Those of the other suspects."""
        return [p for a, p in self.suspects if a.endpoint != artifact.endpoint]

    @staticmethod
    def _is_about(artifact: Artifact, finding: Finding) -> bool:
        role = artifact.attributes.get(ROLE)
        if finding.subject.endpoint not in (None, COMMAND):  # what a command starts is profiled by names of its own
            return artifact.endpoint == finding.subject.endpoint
        if role is not None:
            return role == Role.SUSPECT and artifact.attributes.get(CAUSE) == finding.cause.value
        return True

    @staticmethod
    def _is_control(artifact: Artifact, named: frozenset[str]) -> bool:
        role = artifact.attributes.get(ROLE)
        return role == Role.CONTROL if role is not None else bool(named) and artifact.endpoint not in named


def _answered_by(found: Sequence[tuple[Artifact, Profile]], host: str | None) -> list[tuple[Artifact, Profile]]:
    """Those that a host answered: another one may run another version. Artifacts of this machine name no host."""
    named = {a.attributes.get(_HOST) for a, _ in found}
    return [(a, p) for a, p in found if a.attributes.get(_HOST) == (host if host in named else None)]


def _beside(control: list[tuple[Artifact, Profile]], hosts: set[Scalar]) -> list[tuple[Artifact, Profile]]:
    """Of each tool those that one of the hosts answered, if there are any: elsewhere the same request may run other code."""
    near = {p.tool for a, p in control if a.attributes.get(_HOST) in hosts}
    return [(a, p) for a, p in control if p.tool not in near or a.attributes.get(_HOST) in hosts]
