"""Which causes a run could not have found. Only then is the absence of a finding worth nothing. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.diagnose.engine import Diagnosis
from harness.diagnose.growth import MIN_ROUNDS
from harness.diagnose.pool import PoolView
from harness.diagnose.rules import HostRule, PoolRule, host_rules, pool_rules
from harness.model.event import Missing
from harness.model.finding import Cause
from harness.model.timeline import Timeline

# What explains growth of a worker's private memory: where that cannot be judged there is a finding that says so.
OF_MEMORY = (Cause.LEAK, Cause.LEAK_OBJECTS, Cause.LEAK_NATIVE, Cause.LEAK_MMAP, Cause.GC_DELAY, Cause.FRAGMENTATION,
             Cause.RETENTION)  # fmt: skip
_CAUSES = {cause.value: cause for cause in Cause}


def unjudged(timeline: Timeline, diagnosis: Diagnosis) -> Mapping[Cause, str]:
    """Causes with the reason why nothing can be said of them, as a sentence without a full stop.

    That private memory could not be judged is a finding (inconclusive) and not in here; a rule that failed is.
    """
    found: dict[Cause, str] = {}
    rules: tuple[PoolRule | HostRule, ...] = (*pool_rules(), *host_rules())
    for rule in rules:
        cause = _CAUSES.get(rule.id, Cause.LEAK if rule.id.startswith("leak") else None)
        reason = None if cause is None else next(_reasons(rule, cause, timeline, diagnosis), None)
        if cause is not None and reason is not None:
            found.setdefault(cause, reason)
    return found


def _reasons(rule: PoolRule | HostRule, cause: Cause, timeline: Timeline, diagnosis: Diagnosis) -> Iterator[str]:
    failed: Missing | None = next((m for m in diagnosis.missing if m.signal == f"rule {rule.id}"), None)
    if failed is not None:
        yield failed.reason
    if cause in OF_MEMORY:
        return
    if rule in host_rules():
        yield from (f"{need} was not measured" for need in rule.needs if not _sampled(need, timeline))
        return
    if not diagnosis.pools:
        yield "no pool of workers was measured"
    for pool in diagnosis.pools:
        if len(pool.rounds) < MIN_ROUNDS:
            yield f"{pool.name}: only {len(pool.rounds)} complete {pool.stretch}s were measured and {MIN_ROUNDS} are needed"
        yield from (f"{need} was not measured in {pool.name}" for need in rule.needs if not _at_floors(need, pool))


def _sampled(need: str, timeline: Timeline) -> bool:
    return any((name, None) in timeline.series for name in need.split(" | "))


def _at_floors(need: str, pool: PoolView) -> bool:
    names = need.split(" | ")
    return any(name in floor.values for floors in pool.floors.values() for floor in floors.values() for name in names)
