"""Give findings their prescriptions: rules whose cause and setup fit, whose conditions are met, and whose numbers are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.diagnose.host import host_of
from harness.diagnose.pool import PoolView
from harness.diagnose.prescribe.language import Value
from harness.diagnose.prescribe.levels import budget_of, of_pool
from harness.diagnose.prescribe.observed import of_finding, of_host, of_run
from harness.diagnose.prescribe.restarts import of_recycling
from harness.diagnose.prescribe.rule import Rule
from harness.diagnose.prescribe.servers import WITH_JITTER
from harness.diagnose.recycling import recycling_of
from harness.model.finding import Advice, Cause, Finding, Prescription
from harness.model.report import RecyclingRow
from harness.model.timeline import Timeline

MOST = 8  # of one finding
MOST_ANSWERS = 3
# What a restart gives back.
RECYCLABLE = frozenset(
    {
        Cause.LEAK,
        Cause.LEAK_OBJECTS,
        Cause.LEAK_NATIVE,
        Cause.LEAK_MMAP,
        Cause.FRAGMENTATION,
        Cause.RETENTION,
        Cause.COW_UNSHARING,
    }
)


@dataclass(frozen=True, slots=True)
class Advised:
    """Findings with their prescriptions, and the restart policies that were compared."""

    findings: tuple[Finding, ...]
    recycling: tuple[RecyclingRow, ...]


def advise(
    timeline: Timeline, findings: Sequence[Finding], pools: Sequence[PoolView], rules: Sequence[Rule]
) -> Advised:
    """Pure. ``pools`` as the diagnosis looked at them; ``rules`` as `harness.diagnose.prescribe.rule.merged` sorts them."""
    by_name = {pool.name: pool for pool in pools}
    only = pools[0] if len(pools) == 1 else None  # what a finding about the machine is also about
    about_host = of_host(host_of(timeline, pools))
    simulated: dict[str, RecyclingRow | None] = {}
    setups: dict[str | None, Mapping[str, Value]] = {}
    advised = []
    for finding in findings:
        pool = only if finding.subject.pool is None else by_name.get(finding.subject.pool)
        name = None if pool is None else pool.name
        if name not in setups:
            measured = {} if pool is None else of_pool(pool)
            setups[name] = {**about_host, **of_run(timeline, pool), **measured}
        known = {**setups[name], **of_finding(finding)}
        if pool is not None and finding.cause in RECYCLABLE:
            if pool.name not in simulated:
                jitter = known["server"] in WITH_JITTER
                simulated[pool.name] = recycling_of(pool, budget_of(pool).usable, with_jitter=jitter)
            row = simulated[pool.name]
            known.update({} if row is None else of_recycling(row))
        advised.append(replace(finding, prescriptions=prescriptions_for(finding.cause, known, rules)))
    return Advised(tuple(advised), tuple(row for _, row in sorted(simulated.items()) if row is not None))


def prescriptions_for(cause: Cause, known: Mapping[str, Value], rules: Sequence[Rule]) -> tuple[Prescription, ...]:
    """What the rules say in their order: recommendations first, then answers to advice that is often given here."""
    found = [p for rule in rules if (p := _applied(rule, cause, known)) is not None]
    answers = [p for p in found if p.kind is Advice.ANSWER]
    return (*[p for p in found if p.kind is Advice.DO][:MOST], *answers[:MOST_ANSWERS])


def _applied(rule: Rule, cause: Cause, known: Mapping[str, Value]) -> Prescription | None:
    if cause not in rule.causes:
        return None
    if (rule.runtimes and known.get("runtime") not in rule.runtimes) or (
        rule.servers and known.get("server") not in rule.servers
    ):
        return None
    if rule.when is not None and not rule.when.holds(known):
        return None
    if rule.unless is not None and rule.unless.holds(known):
        return None
    texts = {key: template.render(known) for key, template in rule.texts.items()}
    if any(text is None for text in texts.values()):
        return None  # its reason, or its setting, cannot be told from this run
    said = {key: text for key, text in texts.items() if text is not None}
    change = said.get("change")
    return Prescription(
        id=rule.id,
        action=said.get("action", ""),
        command=said.get("command"),
        expected=said.get("expected", ""),
        risk=said.get("risk", ""),
        rollback=said.get("rollback", ""),
        verify=said.get("verify", ""),
        because=said.get("because", ""),
        change=None if change is None or not _applicable(change, known) else change,
        kind=rule.kind,
    )


def _applicable(change: str, known: Mapping[str, Value]) -> bool:
    """What a scenario did not launch it cannot change either."""
    return known.get("launched") is True or not change.startswith("target:")
