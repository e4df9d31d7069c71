"""What to profile after the measured rounds, where nobody said: endpoints that may be guilty, one that is not, and with which
tools. Pure; the session acts on it (`harness.session.profiling.auto`)."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.diagnose.attribution import EndpointGrowth
from harness.diagnose.engine import Diagnosis
from harness.diagnose.objects import BLOCKS_NAMED
from harness.model.finding import Cause, Finding
from harness.model.span import PhaseName
from harness.model.timeline import Timeline
from harness.plugins.spec import ToolUse

_FINE = (Cause.HEALTHY, Cause.WARMUP)
_OF_THE_HOST = (
    Cause.PAGE_CACHE,
    Cause.KERNEL_SLAB,
    Cause.KERNEL_PRESSURE,
    Cause.KERNEL_FRAGMENTATION,
    Cause.THP,
)  # no request has a line that does these
_ENOUGH_REQUESTS = 5  # of an endpoint, or nothing was learnt of it
_COUNTED_IN_BYTES = (Cause.LEAK_OBJECTS, Cause.LEAK_NATIVE, Cause.LEAK, Cause.INCONCLUSIVE)
_COUNTED_OTHERWISE = (Cause.THREADS, Cause.DESCRIPTORS, Cause.MAPPED_FILES)
_SOMETHING = 250.0  # bytes of Python's own that come with a thread, a socket or a mapping


ROLE, CAUSE = "role", "cause"  # attributes of the artifacts of a plan


class Role(StrEnum):
    """Why an endpoint is profiled: it may keep memory, or it shows what a request looks like that does not."""

    SUSPECT = "suspect"
    CONTROL = "control"


@dataclass(frozen=True, slots=True)
class Planned:
    """One profiled request. ``expected``: bytes that a request to this endpoint keeps as measured from outside; None where
    that is not known, or no profile would show it."""

    endpoint: str
    use: ToolUse
    role: Role
    cause: Cause
    reason: str
    expected: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, in order, and why in one sentence for each endpoint. ``cause``: the growth that decided."""

    cause: Cause
    steps: tuple[Planned, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """``endpoints``: those that may be profiled. ``suspects``: how many of them at most."""

    endpoints: Sequence[str]
    suspects: int = 3


def plan(
    diagnosis: Diagnosis,
    timeline: Timeline,
    tools_for: Callable[[Cause], Sequence[ToolUse]],
    default: Sequence[ToolUse],
    limits: Limits,
) -> Plan:
    """Pure: the same diagnosis always gives the same plan. ``default``: the tools of a run in which nothing grows."""
    weights = _weights(timeline, limits.endpoints)
    if not weights:
        return Plan(
            diagnosis.verdict.cause, (), ("no endpoint that may be profiled was requested in the measured rounds",)
        )
    suspects = _suspects(diagnosis, weights, limits)
    if not suspects:
        endpoint = max(weights, key=lambda name: weights[name])
        reason = f"nothing grows, and {endpoint} is what most of the time goes to"
        steps = [Planned(endpoint, use, Role.CONTROL, diagnosis.verdict.cause, reason) for use in default]
        return Plan(diagnosis.verdict.cause, tuple(steps), (reason,))
    steps = []
    control = _control(diagnosis.endpoints, weights, [s.endpoint for s in suspects])
    reasons = [s.reason for s in suspects]
    if control is not None:
        reason = f"{control} is the control: what its requests leave too is not what grows"
        reasons.append(reason)
        uses = (use for use in tools_for(suspects[0].cause) if not use.follows)
        steps += [Planned(control, use, Role.CONTROL, suspects[0].cause, reason) for use in uses]
    for suspect in suspects:
        steps += [
            Planned(suspect.endpoint, use, Role.SUSPECT, suspect.cause, suspect.reason, suspect.expected)
            for use in tools_for(suspect.cause)
        ]
    # What follows needs the places that all others have found.
    return Plan(suspects[0].cause, tuple(sorted(steps, key=lambda step: step.use.follows)), tuple(reasons))


@dataclass(frozen=True, slots=True)
class _Suspect:
    endpoint: str
    cause: Cause
    reason: str
    expected: float | None


def _suspects(diagnosis: Diagnosis, weights: Mapping[str, int], limits: Limits) -> list[_Suspect]:
    """Endpoints that findings name first, then those that are possible; each once, with the cause that names it first."""
    found: dict[str, _Suspect] = {}
    for finding in _growing(diagnosis.findings):
        for suspect in _of_finding(finding, diagnosis, weights, limits):
            if len(found) < limits.suspects:
                found.setdefault(suspect.endpoint, suspect)
    return list(found.values())


def _growing(findings: Iterable[Finding]) -> list[Finding]:
    """Findings that a line of the application may explain, in their order."""
    chosen = [f for f in findings if f.cause not in (*_FINE, *_OF_THE_HOST) and not f.secondary]
    certain = [f for f in chosen if f.cause is not Cause.INCONCLUSIVE]
    return certain or chosen


def _of_finding(
    finding: Finding, diagnosis: Diagnosis, weights: Mapping[str, int], limits: Limits
) -> Iterable[_Suspect]:
    named, cause = finding.subject.endpoint, finding.cause
    in_bytes = cause in _COUNTED_IN_BYTES
    other = _SOMETHING if cause in _COUNTED_OTHERWISE else None
    if named is not None and named in weights:
        expected = finding.growth.bytes_per_request if in_bytes else other
        return [_Suspect(named, cause, f"{named} is what the {cause.value} finding names", expected)]
    estimates = sorted((e for e in diagnosis.endpoints.values() if e.endpoint in weights), key=lambda e: -e.share)
    proven = [
        _Suspect(
            e.endpoint,
            cause,
            f"{e.endpoint} certainly keeps memory ({cause.value})",
            e.bytes_per_request if in_bytes else other,
        )
        for e in estimates
        if e.proven
    ]
    possible = [
        _Suspect(
            e.endpoint,
            cause,
            f"{e.endpoint} may keep memory ({cause.value}), no endpoint stands out",
            e.bytes_per_request if in_bytes else other,
        )
        for e in estimates
        if e.bytes_per_request > 0 and cause is not Cause.INCONCLUSIVE
    ]
    adding = [
        _Suspect(
            e.endpoint,
            cause,
            f"{e.endpoint} may keep memory ({cause.value}): live allocations certainly rise around its single requests",
            None,
        )
        for e in sorted(estimates, key=lambda e: -_added(e))
        if _added(e) > 0 and cause in (Cause.LEAK_OBJECTS, Cause.LEAK)
    ]
    heaviest = max(weights, key=lambda name: weights[name])
    text = f"{heaviest} is what most of the time goes to, and no endpoint could be told apart ({cause.value})"
    return (proven or possible or adding or [_Suspect(heaviest, cause, text, None)])[: limits.suspects]


def _added(endpoint: EndpointGrowth) -> float:
    """Live allocations that all its requests added, as single ones show; 0 where one need not add any."""
    if endpoint.blocks_per_request is None:
        return 0.0
    mean, half_width = endpoint.blocks_per_request
    return mean * endpoint.requests if mean - half_width >= BLOCKS_NAMED else 0.0


def _control(estimates: Mapping[str, EndpointGrowth], weights: Mapping[str, int], taken: Sequence[str]) -> str | None:
    """The endpoint that keeps least for certain; where nothing is known of any, the one with most of the time."""
    free = [name for name in weights if name not in taken]

    def most(name: str) -> tuple[float, int]:
        estimate = estimates.get(name)
        return (math.inf if estimate is None else estimate.ci95[1]), -weights[name]

    return min(free, key=most, default=None)


def _weights(timeline: Timeline, allowed: Sequence[str]) -> dict[str, int]:
    """Time that the measured rounds spent in each endpoint (ns); those that were hardly asked left out, unless all were."""
    requests: Counter[str] = Counter()
    spent: dict[str, int] = defaultdict(int)
    for joined in timeline.spans:
        span = joined.span
        if span.phase is PhaseName.ROUNDS and span.endpoint in allowed:
            requests[span.endpoint] += 1
            spent[span.endpoint] += span.latency_ns
    known = {name: spent[name] for name, number in requests.items() if number >= _ENOUGH_REQUESTS}
    return known or dict(spent)
