"""Run the rules over every pool and draw one verdict. Whatever crashes costs its own answer, never the report."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from harness.diagnose.arbiter import PRIVATE, arbitrate, explained, outweighed
from harness.diagnose.attribution import EndpointGrowth, attribute_private, attribute_shared
from harness.diagnose.conclusion import conclude, doubt
from harness.diagnose.growth import MIN_ROUNDS
from harness.diagnose.host import HostView, host_of
from harness.diagnose.pool import PoolView, is_watch, pools_of
from harness.diagnose.rules import HostRule, PoolRule, host_rules, pool_rules
from harness.diagnose.together import together
from harness.model.event import Missing
from harness.model.finding import Cause, Confidence, Finding, Growth, Severity, Subject, Verdict
from harness.model.timeline import Timeline

T = TypeVar("T")

_SEVERITIES = (Severity.CRITICAL, Severity.WARNING, Severity.INFO)
_COSTS = ": cannot be judged well"
_CONFIDENCES = (Confidence.HIGH, Confidence.MEDIUM, Confidence.LOW)
# Among findings of one severity: memory that never comes back before the rest, doubt before reassurance.
_ORDER = (
    Cause.LEAK_OBJECTS,
    Cause.LEAK_NATIVE,
    Cause.LEAK_MMAP,
    Cause.LEAK,
    Cause.SHARED_MEMORY,
    Cause.THREADS,
    Cause.MAPPED_FILES,
    Cause.GC_DELAY,
    Cause.FRAGMENTATION,
    Cause.THP,
    Cause.DESCRIPTORS,
    Cause.COW_UNSHARING,
    Cause.KERNEL_PRESSURE,
    Cause.KERNEL_SLAB,
    Cause.KERNEL_FRAGMENTATION,
    Cause.RETENTION,
    Cause.INCONCLUSIVE,
    Cause.WARMUP,
    Cause.HEALTHY,
    Cause.PAGE_CACHE,
)
_OF_MACHINE = frozenset(
    {Cause.SHARED_MEMORY, Cause.PAGE_CACHE, Cause.KERNEL_SLAB, Cause.KERNEL_PRESSURE, Cause.KERNEL_FRAGMENTATION}
)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything concluded about a timeline. ``endpoints``: retained bytes by endpoint, where they could be estimated."""

    verdict: Verdict
    findings: tuple[Finding, ...]
    endpoints: dict[str, EndpointGrowth]
    missing: tuple[Missing, ...]
    pools: tuple[PoolView, ...] = field(repr=False, default=())


def diagnose(
    timeline: Timeline, rules: Sequence[PoolRule] | None = None, about_host: Sequence[HostRule] | None = None
) -> Diagnosis:
    """Pure: the same timeline always gives the same diagnosis."""
    chosen = pool_rules() if rules is None else rules
    findings: list[Finding] = []
    missing: dict[str, Missing] = {}
    pools = tuple(_guarded("pools", "the run", lambda: pools_of(timeline), missing))
    for pool in pools:
        findings += _of_pool(pool, chosen, missing)
    for host in _guarded("host", "the run", lambda: [host_of(timeline, pools)], missing):
        for host_rule in host_rules() if about_host is None else about_host:
            findings += _apply_to_host(host_rule, host, missing)
    if "pools" in missing:
        findings.append(_not_judged(Subject(runtime=timeline.manifest.runtime), ["the search for pools"]))
    elif not pools:
        findings.append(_nothing_to_judge(timeline))
    smaller = [f for f in findings if outweighed(f, findings)]
    findings.sort(
        key=lambda f: (
            f.secondary,
            _SEVERITIES.index(f.severity),
            _is_nobodys(f),
            f in smaller,
            _rank(f.cause),
            -explained(f),
            _CONFIDENCES.index(f.confidence),
        )
    )
    return Diagnosis(
        verdict=_verdict(findings, pools, missing),
        findings=tuple(findings),
        endpoints=_endpoint_growth(pools, missing),
        missing=tuple(missing.values()),
        pools=pools,
    )


def _of_pool(pool: PoolView, rules: Sequence[PoolRule], missing: dict[str, Missing]) -> list[Finding]:
    """What is to be said of one pool, and what it was said without."""
    found = _judged(pool, rules, missing)
    for metric, rounds in pool.gaps.items():
        reason = f"not read in every worker of {pool.name} at {rounds} of {len(pool.rounds)} floors"
        missing.setdefault(metric, Missing(metric, reason, "it was judged by the other rounds"))
    return found


def _judged(pool: PoolView, rules: Sequence[PoolRule], missing: dict[str, Missing]) -> list[Finding]:
    """Where a rule failed, what it would have said is not known: then nothing is healthy."""
    found = [finding for rule in rules for finding in _apply(rule, pool, missing)]
    if found:
        left_open = _guarded("doubt", pool.name, lambda: _left_open(pool, found), missing)
        return [*arbitrate(found), *left_open]
    concluded = _guarded("conclusion", pool.name, lambda: [conclude(pool)], missing)
    failed = [f"the rule {rule.id}" for rule in rules if _signal(rule.id) in missing]
    if failed or not concluded:
        about = Subject(runtime=pool.runtime, pool=pool.name)
        return [_not_judged(about, failed or ["the conclusion"])]
    return list(concluded)


def _left_open(pool: PoolView, found: Sequence[Finding]) -> list[Finding]:
    """A finding about something else must not hide that nothing is known of the workers' own memory."""
    if pool.memory is None or pool.memory.grows or any(f.cause in PRIVATE or f.cause is Cause.LEAK for f in found):
        return []
    finding = doubt(pool)
    return [] if finding is None else [finding]


def _apply(rule: PoolRule, pool: PoolView, missing: dict[str, Missing]) -> Sequence[Finding]:
    for need in rule.needs:
        names = need.split(" | ")
        if not any(n in f.values for t in pool.floors.values() for f in t.values() for n in names):
            _note(missing, need, f"not known at the floors of {pool.name}", rule.id)
    return _guarded(_signal(rule.id), pool.name, lambda: rule.check(pool), missing)


def _apply_to_host(rule: HostRule, host: HostView, missing: dict[str, Missing]) -> Sequence[Finding]:
    for need in rule.needs:
        if not any((name, None) in host.timeline.series for name in need.split(" | ")):
            _note(missing, need, "not sampled on this host", rule.id)
    return _guarded(_signal(rule.id), "the host", lambda: rule.check(host), missing)


def _note(missing: dict[str, Missing], signal: str, reason: str, rule: str) -> None:
    """One line for a signal, however many rules want it."""
    before = missing.get(signal)
    rules = [] if before is None else before.costs.removesuffix(_COSTS).split(", ")
    missing[signal] = Missing(signal, reason, ", ".join(dict.fromkeys([*rules, rule])) + _COSTS)


def _guarded(signal: str, subject: str, check: Callable[[], Sequence[T]], missing: dict[str, Missing]) -> Sequence[T]:
    try:
        return check()
    except Exception as error:  # noqa: BLE001  # one defect must not cost the report
        reason = f"it failed on {subject}: {type(error).__name__}: {error}"
        missing[signal] = Missing(signal, reason, "its cause was not judged")
        return ()


def _signal(rule: str) -> str:
    return f"rule {rule}"


def _not_judged(subject: Subject, failed: Sequence[str]) -> Finding:
    where = "" if subject.pool is None else f"{subject.pool}: "
    return _undecided(
        subject,
        f"{where}whether memory leaks cannot be told from this run: {', '.join(failed)} failed, which is a defect of this "
        "program.",
    )


def _verdict(findings: Sequence[Finding], pools: Sequence[PoolView], missing: dict[str, Missing]) -> Verdict:
    """The worst finding speaks for the run; among the harmless, doubt does; where none of several pools grows, all of them."""
    first = findings[0]
    of_all = _guarded("verdict", "the run", lambda: [together(findings, pools)], missing)
    return next(filter(None, of_all), None) or Verdict(first.cause, first.confidence, first.summary)


def _rank(cause: Cause) -> int:
    """Leaks of different kinds are one as bad as the other: what they account for decides."""
    leak = cause in (Cause.LEAK_OBJECTS, Cause.LEAK_NATIVE, Cause.LEAK_MMAP)
    return 0 if leak or cause not in _ORDER else _ORDER.index(cause)


def _is_nobodys(finding: Finding) -> bool:
    """Whether it is something on the machine that cannot be put down to the target: it must not speak for the run."""
    about_machine = finding.cause in _OF_MACHINE and finding.subject.pool is None
    return about_machine and finding.severity is Severity.INFO


def _endpoint_growth(pools: Sequence[PoolView], missing: dict[str, Missing]) -> dict[str, EndpointGrowth]:
    """Estimates by endpoint; of the pool that answered it most. Shared growth replaces private where only that grows."""
    best: dict[str, EndpointGrowth] = {}
    for pool in pools:
        for growth in _guarded("endpoints", pool.name, partial(_estimates, pool), missing):
            if not math.isfinite(growth.ci95[1]):
                continue  # the mix never told it apart from others: there is no estimate
            if growth.endpoint not in best or growth.requests > best[growth.endpoint].requests:
                best[growth.endpoint] = growth
    return best


def _estimates(pool: PoolView) -> Sequence[EndpointGrowth]:
    """What each endpoint keeps, shared or private. Where private memory is in doubt nothing says that an endpoint keeps
    none of it: then only those that certainly fill shared memory are told."""
    private_grows = pool.memory is not None and pool.memory.grows
    if pool.shared is None or not pool.shared.grows or private_grows:
        return attribute_private(pool).endpoints
    shared = attribute_shared(pool)
    return shared.leading() if pool.memory is None or doubt(pool) is not None else shared.endpoints


def _nothing_to_judge(timeline: Timeline) -> Finding:
    rounds = sum(1 for w in timeline.windows if w.phase == "rounds" and w.block is None and w.end_ns is not None)
    reason = (
        "no process of the target was sampled at the end of a measured round"
        if rounds
        else f"it was too short, no slice of it was completed ({MIN_ROUNDS} are needed)"
        if is_watch(timeline)
        else f"no measured round was completed ({MIN_ROUNDS} are needed)"
    )
    return _undecided(
        Subject(runtime=timeline.manifest.runtime), f"Whether memory leaks cannot be told from this run: {reason}."
    )


def _undecided(subject: Subject, summary: str) -> Finding:
    return Finding(
        cause=Cause.INCONCLUSIVE,
        severity=Severity.INFO,
        confidence=Confidence.LOW,
        subject=subject,
        summary=summary,
        growth=Growth(None, None, None, None),
        evidence=(),
        prescriptions=(),
        range_ns=None,
    )
