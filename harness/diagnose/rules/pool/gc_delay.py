"""Garbage in reference cycles that waits for a collector which comes late, or never: memory is high, but nothing is kept.

Proof is a collection: after the last round it frees at least half of what the rounds have added, or, where memory goes up and
down instead of growing, a part of it that matters. One further round between two full collections keeps next to nothing then.

Where nobody could be made to collect there is no proof. But a PHP worker whose collector is switched off, and whose list of
possible cycles grows with its heap, has all that this takes, and hardly any other worker has its collector off: a suspicion.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.diagnose.account import Account, account_of
from harness.diagnose.growth import Shape
from harness.diagnose.pool import PoolView
from harness.diagnose.probes import Collected, collected
from harness.diagnose.uncollected import (
    kept_evidence,
    switched_off,
    switched_off_and_piling_up,
    uncollected_evidence,
)
from harness.diagnose.wording import curve_evidence, growing_by, growth_of, metric_name, severity
from harness.model.finding import EXPLAINS, Cause, Confidence, Evidence, Finding, Severity, Side, Subject
from harness.units import format_bytes

_MOSTLY, _NEARLY_ALL = 0.5, 0.8  # garbage, of the growth
_TRIFLE = 0.3  # of the growth
_MATTERS_BYTES = 4_000_000  # garbage of all workers together that is worth a word where memory does not grow
_MATTERS_SHARE = 0.1  # of private memory


class GcDelayRule:
    id = "gc-delay"
    needs = ("process.memory.pss_anon", "agent.python.blocks | runtime.python.pymalloc.blocks | runtime.php.heap.size")

    def check(self, pool: PoolView) -> Sequence[Finding]:
        account, freed = account_of(pool), collected(pool)
        if account is None:
            return ()
        if freed is None:
            return [_suspected(pool, account)] if account.grows and switched_off_and_piling_up(pool) else ()
        if freed.objects == 0:
            return ()
        share = account.garbage
        if share is not None and share >= _MOSTLY and _something_grows(account) and _weighs(account, share):
            return [_growing(pool, account, freed, share)]
        waiting = freed.live_bytes
        level = account.curve.levels[-1]
        if waiting is None or waiting < max(_MATTERS_BYTES, _MATTERS_SHARE * level):
            return ()
        return [_standing(pool, account, freed, waiting)]


RULE = GcDelayRule()


def _something_grows(account: Account) -> bool:
    """In bytes: a few objects more, which no byte counter shows, are no matter."""
    curves = (account.curve, account.live)
    return any(c is not None and (c.grows or c.shape is Shape.SLOWING) for c in curves)


def _weighs(account: Account, share: float) -> bool:
    """Whether the garbage is more than a trifle beside what memory grows by for other reasons."""
    live = account.live
    return live is None or not account.grows or min(1.0, share) * live.per_round >= _TRIFLE * account.curve.per_round


def _growing(pool: PoolView, account: Account, freed: Collected, share: float) -> Finding:
    curve = account.curve if account.grows or account.live is None else account.live
    collector = _collector(pool)
    points = 1 + (share >= _NEARLY_ALL) + any(e.side is Side.FOR for e in collector)
    why = "the collector is switched off" if switched_off(pool) else "the collector comes late"
    return Finding(
        cause=Cause.GC_DELAY,
        severity=severity(curve, pool),
        confidence=Confidence.HIGH if points >= 3 else Confidence.MEDIUM if points == 2 else Confidence.LOW,
        subject=_subject(pool),
        summary=f"Garbage in reference cycles piles up in {pool.name}, {growing_by(curve, pool)}: {why}. Nothing keeps it, a "
        f"full collection freed {100 * min(1.0, share):.0f} % of what the {pool.stretch}s had added.",
        growth=growth_of(curve, pool, None),
        evidence=[
            curve_evidence("pool.floor", metric_name(pool), account.curve, pool.stretch),
            _freed(freed),
            *kept_evidence(pool, Side.AGAINST),
            *collector,
        ],
        prescriptions=(),
        range_ns=pool.range_ns,
        numbers={
            EXPLAINS: min(1.0, share) * (curve if account.live is None else account.live).per_round,
            "garbage_share": share,
            **_numbers(freed),
        },
    )


def _suspected(pool: PoolView, account: Account) -> Finding:
    """Nobody could be made to collect."""
    live = account.live if account.live is not None and account.live.grows else account.curve
    return Finding(
        cause=Cause.GC_DELAY,
        severity=severity(account.curve, pool),
        confidence=Confidence.LOW,
        subject=_subject(pool),
        summary=f"{pool.name} grows by {growing_by(account.curve, pool)}. That is likely garbage in reference cycles: "
        "the cycle collector is switched off, and what it would have to look at grows with the heap. No worker could be "
        "made to collect, so objects that are kept are not ruled out.",
        growth=growth_of(account.curve, pool, None),
        evidence=[
            curve_evidence("pool.floor", metric_name(pool), account.curve, pool.stretch),
            *uncollected_evidence(pool, Side.FOR),
            Evidence(
                "gc.probe",
                None,
                "objects",
                "nobody could be made to collect: objects that something keeps would look the same",
                Side.AGAINST,
            ),
        ],
        prescriptions=(),
        range_ns=pool.range_ns,
        numbers={EXPLAINS: min(live.per_round, account.curve.per_round)},
    )


def _standing(pool: PoolView, account: Account, freed: Collected, waiting: int) -> Finding:
    return Finding(
        cause=Cause.GC_DELAY,
        severity=Severity.INFO,
        confidence=Confidence.MEDIUM,
        subject=_subject(pool),
        summary=f"{pool.name} carries {format_bytes(waiting)} of garbage in reference cycles, which a full "
        "collection frees: that "
        "comes rarely. It goes up and down and does not grow without end.",
        growth=growth_of(account.curve, pool, None),
        evidence=[
            curve_evidence("pool.floor", metric_name(pool), account.curve, pool.stretch),
            _freed(freed),
            *_collector(pool),
        ],
        prescriptions=(),
        range_ns=pool.range_ns,
        numbers={EXPLAINS: 0.0, **_numbers(freed)},
    )


def _freed(freed: Collected) -> Evidence:
    size = "" if freed.live_bytes is None else f", {format_bytes(freed.live_bytes)} of live memory"
    back = (
        ""
        if freed.resident_bytes is None
        else f", of which {format_bytes(max(0, freed.resident_bytes))} went back to the kernel"
    )
    text = f"a full collection after the last round freed {freed.objects} objects{size}{back}, in {freed.pause_ns / 1e6:.0f} ms"
    return Evidence("gc.probe", float(freed.objects), "objects", text)


def _numbers(freed: Collected) -> dict[str, float]:
    numbers = {"gc_freed_objects": float(freed.objects), "gc_pause_ns": float(freed.pause_ns)}
    if freed.live_bytes is not None:
        numbers["garbage_bytes"] = float(freed.live_bytes)
    return numbers


def _collector(pool: PoolView) -> list[Evidence]:
    """What the collector did during the rounds."""
    if switched_off(pool):
        return [Evidence("gc.enabled", 0.0, "count", "the cycle collector is switched off in all workers")]
    if pool.runtime == "php":
        runs = _ran(pool, "gc.runs")
        return [] if runs is None else [_runs("gc.runs", runs, "the cycle collector", rare=runs == 0)]
    full = _ran(pool, "gc.collections2")
    return (
        []
        if full is None
        else [_runs("gc.collections2", full, "full collections of the oldest generation", rare=full <= 2)]
    )


def _ran(pool: PoolView, name: str) -> float | None:
    """How often, in a stable worker on average, during the judged rounds."""
    for source in ("runtime", "agent"):
        runs = pool.matrix((f"{source}.{pool.runtime}.{name}",))
        if runs is not None:
            return float((runs[:, -1] - runs[:, 0]).mean())
    return None


def _runs(signal: str, runs: float, what: str, *, rare: bool) -> Evidence:
    text = f"{what} ran {runs:.1f} times in a worker during the judged rounds"
    return Evidence(signal, runs, "count", text, Side.FOR if rare else Side.AGAINST)


def _subject(pool: PoolView) -> Subject:
    return Subject(host=pool.stable[0].host, runtime=pool.runtime, pool=pool.name)
