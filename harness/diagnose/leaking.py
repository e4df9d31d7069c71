"""What all findings about memory that is never given back have in common: evidence, wording, confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.diagnose.account import Account
from harness.diagnose.attribution import Attribution, Driven, Driver
from harness.diagnose.growth import Growth
from harness.diagnose.pool import PoolView
from harness.diagnose.wording import (
    agreement_evidence,
    attribution_evidence,
    curve_evidence,
    every_request_to,
    growing_by,
    growth_of,
    metric_name,
    per_hour,
    runs_jobs,
    severity,
    slices_evidence,
    step_evidence,
    which_endpoint,
    workers_text,
)
from harness.model.finding import EXPLAINS, TIME_SHARE, Cause, Confidence, Evidence, Finding, Side, Subject
from harness.model.finding import Growth as Growing
from harness.units import format_bytes

_FOREIGN = 0.05
_SECONDS_PER_HOUR = 3600
_AGREE, _DISAGREE = 0.75, 0.5
_EXPLAINED_LOW, _EXPLAINED_HIGH = 0.7, 1.3
_ALL = 0.9  # of the growth: what explains less is told to be a part of it


@dataclass(frozen=True, slots=True)
class Leak:
    """One kind of leak as a rule sees it. ``explains``: bytes a round of the pool's growth that are this; ``witnesses``: further
    signals, independent of the trend of memory, that say it is this kind; ``most``: what confidence cannot exceed, and why."""

    cause: Cause
    curve: Growth
    explains: float
    evidence: Sequence[Evidence]
    witnesses: int
    most: Confidence = Confidence.HIGH


def leak_finding(pool: PoolView, account: Account, split: Attribution, leak: Leak) -> Finding:
    """The finding, with the evidence that every kind shares: the trend, the workers' own trends, the split by endpoint."""
    named, own = split.dominant, _own(pool, leak, split)
    rising, judged, workers = agreement_evidence(pool)
    evidence = [
        curve_evidence("pool.floor", f"{metric_name(pool)} of {workers_text(pool)}", account.curve, pool.stretch),
        *slices_evidence(pool),
        *_judged_by(account, leak, pool),
        *workers,
        *attribution_evidence(split),
        *leak.evidence,
        *step_evidence(account.curve, pool),
    ]
    if not _steady(account, leak):
        text = "that the increments shrink from round to round, as those of a very large cache would, is not ruled out"
        evidence.append(Evidence("decay", leak.curve.ratio, "ratio", text, Side.AGAINST))
    return Finding(
        cause=leak.cause,
        severity=severity(own, pool),
        confidence=_confidence(pool, account, split, leak, rising / judged if judged else 0.0),
        subject=Subject(
            host=pool.stable[0].host,
            runtime=pool.runtime,
            pool=pool.name,
            pid=pool.stable[0].pid if len(pool.stable) == 1 else None,
            endpoint=None if named is None else named.endpoint,
        ),
        summary=_summary(pool, own, split) + _part(leak, own, pool),
        growth=_growth(pool, own, split),
        evidence=evidence,
        prescriptions=(),
        range_ns=pool.range_ns,
        numbers=_numbers(account, leak, split),
    )


def _judged_by(account: Account, leak: Leak, pool: PoolView) -> list[Evidence]:
    """What was judged where private memory alone would not be called growth."""
    if account.grows or leak.curve is account.curve:
        return []
    what = "what it was judged by, live bytes that the allocators count exactly and pages do not show yet,"
    return [curve_evidence("heap.judged", what, leak.curve, pool.stretch)]


def _own(pool: PoolView, leak: Leak, split: Attribution) -> Growth:
    """The curve without what something else accounts for: the rate of a small leak is not that of the whole pool. What requests
    to the named endpoint keep is all its own, of whatever kind it is."""
    curve, named = leak.curve, split.dominant
    kept = 0.0 if named is None else named.bytes_per_request * pool.in_a_round(named.endpoint, named.requests)
    own = max(leak.explains, kept)
    # Memory that was free at first takes some of it up, and in slices of little traffic most: it will not for long.
    hidden = pool.flows and kept > curve.per_round / _ALL
    if not 0 < own < _ALL * curve.per_round and not hidden:
        return curve
    share = own / curve.per_round
    return replace(curve, per_round=own, low=share * curve.low, high=share * curve.high)


def _part(leak: Leak, own: Growth, pool: PoolView) -> str:
    if own.per_round >= leak.curve.per_round:
        return ""
    whole, share = format_bytes(leak.curve.per_round), 100 * own.per_round / leak.curve.per_round
    return f" That is {share:.0f} % of the {whole} by which {pool.name} grows with every {pool.stretch}."


def _numbers(account: Account, leak: Leak, split: Attribution) -> dict[str, float]:
    numbers = {EXPLAINS: leak.explains, "growth_bytes_per_round": leak.curve.per_round}
    for part, amount in account.amounts().items():
        numbers[f"{part.value}_bytes_per_round"] = amount
    if account.garbage is not None:
        numbers["garbage_share"] = account.garbage
    if split.driven.by is Driver.TIME and split.driven.time_share is not None and split.dominant is None:
        numbers[TIME_SHARE] = split.driven.time_share
    return numbers


def _summary(pool: PoolView, curve: Growth, split: Attribution) -> str:
    if split.dominant is not None:
        best = split.dominant
        return (
            f"{every_request_to(best.endpoint, pool)} keeps about {format_bytes(best.bytes_per_request)} "
            f"(95 % CI {format_bytes(best.ci95[0])} to {format_bytes(best.ci95[1])}) in the worker "
            f"that {'does' if runs_jobs(pool) else 'answers'} it"
            f"{per_hour(curve, pool, best)}."
        )
    if split.driven.by is Driver.TIME:
        return _with_time(pool, curve, split.driven)
    n = pool.requests_per_round
    average = "" if n is None else f", {format_bytes(curve.per_round / n)} per request on average"
    workers = workers_text(pool).capitalize()
    grows = "keeps" if len(pool.stable) == 1 else "keep"
    several = [f"{e.endpoint} ({format_bytes(e.bytes_per_request)} per request)" for e in split.leading()[:3]]
    which = (
        f" Requests to {' and '.join(several)} keep memory." if len(several) > 1 else f" {which_endpoint(split, pool)}"
    )
    return f"{workers} of {pool.name} {grows} growing by {growing_by(curve, pool, average)}.{which}"


def _growth(pool: PoolView, curve: Growth, split: Attribution) -> Growing:
    """What goes with time is not slower for fewer requests: its rate is that of the clock, and none is to a request."""
    growth = growth_of(curve, pool, split.dominant)
    rate = split.driven.bytes_per_second
    if split.driven.by is not Driver.TIME:
        return growth
    if rate is not None:
        growth = replace(growth, bytes_per_hour=rate * _SECONDS_PER_HOUR)
    if split.dominant is not None:
        return growth
    return replace(growth, bytes_per_request=None, ci95=None, mdl_bytes_per_request=None)


def _with_time(pool: PoolView, curve: Growth, driven: Driven) -> str:
    """No request is to blame: a thread, a timer, a reader of a queue."""
    rate = driven.bytes_per_second
    per = (
        ""
        if rate is None
        else f", about {format_bytes(rate)} a second, {format_bytes(rate * _SECONDS_PER_HOUR)} an hour"
    )
    grows = "keeps" if len(pool.stable) == 1 else "keep"
    return (
        f"{workers_text(pool).capitalize()} of {pool.name} {grows} growing as time goes by{per}. Requests are not to "
        "blame: look for a thread or a timer in the background."
    )


def _confidence(pool: PoolView, account: Account, split: Attribution, leak: Leak, agreement: float) -> Confidence:
    """By how many independent signals agree: the pool's trend, each worker's own, the regression on requests, and those of this
    kind. Weak measures and contradictions take points away; growth that only a finer yardstick shows is never certain."""
    points = 1 + leak.witnesses
    points += agreement >= _AGREE
    explained = split.explained is not None and _EXPLAINED_LOW <= split.explained <= _EXPLAINED_HIGH
    points += explained and bool(split.leading())
    points -= agreement < _DISAGREE
    points -= pool.anon_metric != "pss_anon"
    points -= pool.replaced > 0
    foreign = pool.foreign_share > _FOREIGN
    shown = account.grows and not account.finer
    if foreign or not _steady(account, leak) or not (shown or account.corroborated):
        points = min(points, 2)
    found = Confidence.HIGH if points >= 3 else Confidence.MEDIUM if points == 2 else Confidence.LOW
    return max(found, leak.most, key=_WEAKEST_LAST.index)


def _steady(account: Account, leak: Leak) -> bool:
    """Whether nothing says that the increments shrink. Live bytes are exact: they show it before noisy pages do."""
    live = account.live
    if live is None or not leak.curve.steady:
        return leak.curve.steady
    levels_off = live.ceiling is not None and live.total >= _EXPLAINED_LOW * leak.curve.total
    exact = live.grows and live.per_round >= _EXPLAINED_LOW * leak.curve.per_round
    return not levels_off and not (exact and live.slightly_slowing)


_WEAKEST_LAST = (Confidence.HIGH, Confidence.MEDIUM, Confidence.LOW)
