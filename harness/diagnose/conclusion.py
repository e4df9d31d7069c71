"""What it means that no rule found a cause in a pool: healthy, warmed up, or not to be told from this run."""

from __future__ import annotations

from harness.diagnose.account import account_of, ruled_out
from harness.diagnose.attribution import EndpointGrowth, attribute_private
from harness.diagnose.even import falling, uneven
from harness.diagnose.growth import MIN_ROUNDS, Growth, Shape
from harness.diagnose.heap import heap_of
from harness.diagnose.pool import FLOOR_BYTES, NS_PER_HOUR, PoolView, work_of
from harness.diagnose.sight import as_seen
from harness.diagnose.wording import (
    attribution_evidence,
    curve_evidence,
    every_request_to,
    growth_of,
    mdl_text,
    metric_name,
    requests_to,
    slices_evidence,
    step_evidence,
)
from harness.model.finding import Cause, Confidence, Evidence, Finding, Severity, Subject
from harness.model.finding import Growth as Growing
from harness.units import format_bytes, format_duration

_MOST_REQUESTS = 0.5
_NOISE_SHARE = 0.02  # of the level, a round: a run that could not see this much growth says nothing
_MANY_ROUNDS = 50
_WARMUP_BYTES = 2_000_000
_WARMUP_SHARE = 0.1


def conclude(pool: PoolView) -> Finding:
    """The finding of a pool in which no rule fired."""
    reason = _undecided(pool)
    if reason is not None or pool.memory is None:
        return _inconclusive(pool, reason or "memory was not measured")
    kept = _kept(pool)
    if kept is not None:
        return _contradicted(pool, pool.memory, kept)
    curve = as_seen(pool, pool.memory)
    return _warmup(pool, curve) if _warmed_up(curve) else _healthy(pool, curve)


def doubt(pool: PoolView) -> Finding | None:
    """That private memory cannot be judged, to stand beside a finding about something else; None where it can, or grows."""
    reason = None if pool.memory is None else _undecided_private(pool.memory, pool)
    return None if reason is None else _inconclusive(pool, reason, "private memory leaks")


def _undecided_private(curve: Growth, pool: PoolView) -> str | None:
    return (
        _undecided_traffic(curve, pool)
        or _undecided_curve(curve, "memory", pool)
        or _undecided_noise(pool, curve)
        or hidden(pool)
    )


def _warmed_up(curve: Growth) -> bool:
    """Whether the growth of the first rounds was enough to be worth a word of its own."""
    return curve.shape is Shape.SETTLED and curve.total >= max(_WARMUP_BYTES, _WARMUP_SHARE * curve.levels[0])


def _undecided(pool: PoolView) -> str | None:
    """Why this pool cannot be judged, in words; None when it can."""
    curve = pool.memory
    if len(pool.rounds) < MIN_ROUNDS:
        return f"only {len(pool.rounds)} complete {pool.stretch}s were measured and {MIN_ROUNDS} are needed"
    if not pool.stable:
        return (
            f"no worker lived through all measured {pool.stretch}s, and the memory of different workers is never spliced "
            "together"
        )
    if pool.stable_share is not None and pool.stable_share < _MOST_REQUESTS:
        return (
            f"{100 * (1 - pool.stable_share):.0f} % of the requests were answered by workers that did not live through all "
            "measured rounds"
        )
    if curve is None:
        return "the memory of the workers was not measured at every round's end"
    private = _undecided_private(curve, pool)
    if private is None and pool.shared is not None:
        return _undecided_curve(pool.shared, "shared memory", pool)
    return private


def _undecided_traffic(curve: Growth, pool: PoolView) -> str | None:
    """Where requests became ever fewer, growth that goes with them does too, and looks as if it had ended."""
    if not pool.flows or pool.rounds != pool.slices or not curve.judged or curve.grows:
        return None
    work = work_of(pool.timeline, pool.slices)
    if not uneven(work) or not falling(work):
        return None
    return (
        f"requests became ever fewer, from {work[0]} in a slice to {work[-1]}, and so does growth that goes with them; a longer "
        "run, or steady traffic, would tell"
    )


def _undecided_curve(curve: Growth, what: str, pool: PoolView) -> str | None:
    if curve.shape is Shape.SLOWING:
        return f"{what} still grows, but ever more slowly{_outlook(curve, pool)}"
    if curve.shape is Shape.UNCLEAR and curve.step is not None and curve.high <= curve.mdl_per_round:
        return (
            f"{what} rose by {format_bytes(curve.total)} in several jumps, the largest of {format_bytes(curve.step[1])}, and "
            "whether more of them come is not known"
        )
    if curve.shape is Shape.UNCLEAR:
        return (
            f"{what} may grow by anything between {format_bytes(max(0.0, curve.low))} and {format_bytes(curve.high)} a "
            f"{pool.stretch}, which is not certain enough to call (it would take a steady {format_bytes(curve.mdl_per_round)})"
        )
    return None


def _outlook(curve: Growth, pool: PoolView) -> str:
    if curve.ceiling is None or curve.rounds_to_ceiling is None:
        return ""
    rounds = max(1, round(curve.rounds_to_ceiling))
    if rounds > _MANY_ROUNDS:
        return f"; more than {_MANY_ROUNDS} further {pool.stretch}s would be needed to see where it ends"
    now, end = format_bytes(curve.levels[-1]), format_bytes(curve.ceiling)
    return f": if that goes on it levels off near {end} (now {now}) after about {_more(rounds, pool)}"


def _more(rounds: int, pool: PoolView) -> str:
    rate = pool.rounds_per_hour
    if pool.watched and rate is not None:
        return f"{format_duration(rounds * NS_PER_HOUR / rate)} more, so watch for that long"
    return f"{rounds} more {pool.stretch}s, so run that many"


def _undecided_noise(pool: PoolView, curve: Growth) -> str | None:
    limit = max(4 * FLOOR_BYTES * len(pool.stable) ** 0.5, 4 * pool.quantum, _NOISE_SHARE * curve.levels[-1])
    if curve.mdl_per_round > limit:
        return (
            f"memory moves so much from {pool.stretch} to {pool.stretch} that only growth above {mdl_text(curve, pool)} would "
            "have shown"
        )
    return None


def hidden(pool: PoolView) -> str | None:
    """Growth that the sum hides: in one worker, or in objects too small for pages to show."""
    alone = [key for key, curve in pool.memory_by_worker.items() if curve.grows]
    if alone and len(pool.stable) > 1:
        grown = format_bytes(pool.memory_by_worker[alone[0]].per_round)
        return f"the pool as a whole does not grow, but the worker with pid {alone[0].pid} does, by {grown} a {pool.stretch}"
    blocks, n = pool.blocks, pool.requests_per_round
    if blocks is not None and blocks.grows and n is not None and blocks.per_round / n >= 0.5:
        return (
            f"memory does not show it yet, but live Python allocations grow by {blocks.per_round / n:.1f} per request in every "
            "round"
        )
    return _taken_up(pool)


def _taken_up(pool: PoolView) -> str | None:
    """Growth of live bytes that memory does not show, since free memory of the allocators takes it up: for as long as there is
    some. That is no leak by itself (what grows may be garbage that waits), but nothing to call healthy either."""
    account, native = account_of(pool), heap_of(pool).native_live
    live = None if account is None else account.live
    if account is None or live is None:
        return None
    if native is not None and native.grows and native.steady and live.rises:
        return _filled("malloc's live bytes", native, pool)
    if not live.rises or live.shape not in (Shape.LINEAR, Shape.UNCLEAR, Shape.SLOWING):
        return None
    if not live.grows and live.per_round < account.curve.mdl_per_round:
        return None
    return _filled("live bytes of the allocators", live, pool)


def _filled(what: str, curve: Growth, pool: PoolView) -> str:
    grown = format_bytes(curve.per_round)
    return f"memory does not show it yet, but {what} grow by {grown} a {pool.stretch} and fill what is free there"


def _inconclusive(pool: PoolView, reason: str, what: str = "memory leaks") -> Finding:
    curve = pool.memory
    evidence = [] if curve is None else _of_curve(pool, curve)
    if pool.shared is not None and pool.shared.judged:
        evidence.append(curve_evidence("pool.shmem", "shared memory", pool.shared, pool.stretch))
    return Finding(
        cause=Cause.INCONCLUSIVE,
        severity=Severity.INFO,
        confidence=Confidence.LOW,
        subject=_subject(pool),
        summary=f"{pool.name}: whether {what} cannot be told from this run: {reason}.",
        growth=Growing(None, None, None, None) if curve is None else growth_of(curve, pool, None),
        evidence=evidence,
        prescriptions=(),
        range_ns=pool.range_ns,
    )


def _of_curve(pool: PoolView, curve: Growth) -> list[Evidence]:
    return [curve_evidence("pool.floor", metric_name(pool), curve, pool.stretch), *slices_evidence(pool)]


def _kept(pool: PoolView) -> EndpointGrowth | None:
    """The endpoint that clearly keeps memory, too little of it in this run for the pool to be called growing, and no more than
    the pool as a whole allows for."""
    clear = (e for e in attribute_private(pool).leading() if e.clear)
    return next(
        (e for e in clear if not ruled_out(pool, e.bytes_per_request * pool.in_a_round(e.endpoint, e.requests))), None
    )


def _contradicted(pool: PoolView, curve: Growth, kept: EndpointGrowth) -> Finding:
    """Not healthy: the split by endpoint sees growth that the pool as a whole was too short of to show."""
    low, high = (format_bytes(v) for v in kept.ci95)
    every = every_request_to(kept.endpoint, pool)
    return Finding(
        cause=Cause.INCONCLUSIVE,
        severity=Severity.INFO,
        confidence=Confidence.LOW,
        subject=_subject(pool, kept.endpoint),
        summary=f"{pool.name}: whether memory leaks cannot be told from this run: {every[0].lower()}{every[1:]} seems to keep "
        f"{format_bytes(kept.bytes_per_request)} (95 % CI {low} to {high}), {_too_little(pool, curve, kept)}.",
        growth=growth_of(curve, pool, kept),
        evidence=[
            *_of_curve(pool, curve),
            *step_evidence(curve, pool),
            *attribution_evidence(attribute_private(pool)),
        ],
        prescriptions=(),
        range_ns=pool.range_ns,
    )


def _too_little(pool: PoolView, curve: Growth, kept: EndpointGrowth) -> str:
    """Why that is not called a leak: both of what this endpoint keeps, in one round."""
    n, whole = requests_to(kept, pool), format_bytes(curve.per_round)
    adds = None if n is None else n * kept.bytes_per_request
    if n is None or adds is None:
        return f"but the pool as a whole changes by {whole} a {pool.stretch}"
    if adds < curve.mdl_per_round:
        return (
            f"{format_bytes(adds)} a {pool.stretch}, but only {format_bytes(curve.mdl_per_round / n)} for each of them, "
            f"{format_bytes(curve.mdl_per_round)} a {pool.stretch}, would have been called a leak"
        )
    return f"{format_bytes(adds)} a {pool.stretch}, but the pool as a whole changes by {whole} a {pool.stretch}"


def _warmup(pool: PoolView, curve: Growth) -> Finding:
    grown = format_bytes(curve.total)
    return Finding(
        cause=Cause.WARMUP,
        severity=Severity.INFO,
        confidence=_confidence(pool, curve),
        subject=_subject(pool),
        summary=f"{pool.name} grew by {grown} in the first {pool.stretch}s and has stopped: caches filled. A leak of more than "
        f"{mdl_text(curve, pool)} would have shown.",
        growth=growth_of(curve, pool, None),
        evidence=_of_curve(pool, curve),
        prescriptions=(),
        range_ns=pool.range_ns,
    )


def _healthy(pool: PoolView, curve: Growth) -> Finding:
    evidence = [*_of_curve(pool, curve), *step_evidence(curve, pool)]
    if pool.blocks is not None and pool.blocks.judged:
        text = f"live Python allocations changed by {pool.blocks.per_round:+.0f} a {pool.stretch}"
        evidence.append(Evidence("blocks.floor", pool.blocks.per_round, "blocks/round", text))
    if curve.shape is Shape.SETTLED:
        text = f"the {format_bytes(curve.total)} gained in the first {pool.stretch}s have stopped growing"
        evidence.append(Evidence("settled", curve.total, "bytes", text))
    return Finding(
        cause=Cause.HEALTHY,
        severity=Severity.INFO,
        confidence=_confidence(pool, curve),
        subject=_subject(pool),
        summary=f"{pool.name} does not grow. A leak of more than {mdl_text(curve, pool)} would have shown; a smaller one would "
        "not.",
        growth=growth_of(curve, pool, None),
        evidence=evidence,
        prescriptions=(),
        range_ns=pool.range_ns,
    )


def _confidence(pool: PoolView, curve: Growth) -> Confidence:
    """High when the run could have seen little, and what else was measured agrees.

    A watch in which growth could hide that doubles the pool within an hour has not seen much of anything.
    """
    rate = pool.rounds_per_hour
    if pool.watched and (rate is None or curve.mdl_per_round * rate > curve.levels[-1]):
        return Confidence.LOW
    points = 1
    points += curve.mdl_per_round <= 2 * max(pool.quantum, pool.yardstick.relative * curve.levels[-1])
    points += pool.shared is not None and pool.shared.shape in (Shape.FLAT, Shape.SETTLED)
    points += pool.blocks is not None and pool.blocks.shape in (Shape.FLAT, Shape.SETTLED)
    points -= pool.anon_metric != "pss_anon"
    points -= pool.replaced > 0
    return Confidence.HIGH if points >= 3 else Confidence.MEDIUM if points == 2 else Confidence.LOW


def _subject(pool: PoolView, endpoint: str | None = None) -> Subject:
    host = pool.members[0].info.key.host if pool.members else None
    return Subject(host=host, runtime=pool.runtime, pool=pool.name, endpoint=endpoint)
