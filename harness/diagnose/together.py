"""One sentence for a run in which none of several pools grows: a verdict that named one would say nothing of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.diagnose.growth import Growth
from harness.diagnose.pool import PoolView
from harness.diagnose.sight import as_seen
from harness.diagnose.wording import mdl_text
from harness.model.finding import Cause, Confidence, Finding, Verdict
from harness.units import format_bytes

_CALM = (Cause.HEALTHY, Cause.WARMUP)
_CONFIDENCES = (Confidence.LOW, Confidence.MEDIUM, Confidence.HIGH)
_NAMED = 6


def together(findings: Sequence[Finding], pools: Sequence[PoolView]) -> Verdict | None:
    """The verdict of all pools, where the first finding says that one does not grow and others do not either; None elsewhere.

    It is as sure as the least sure of them, and its MDL is that of the pool in which a leak would have shown last."""
    if not findings or findings[0].cause not in _CALM:
        return None
    views = {pool.name: pool for pool in pools}
    calm = {f.subject.pool: f for f in findings if f.cause in _CALM and not f.secondary and f.subject.pool in views}
    curves = {p.name: as_seen(p, p.memory) for p in pools if p.name in calm and p.memory is not None}
    if len(calm) < 2 or len(curves) < len(calm):
        return None
    sure = min((f.confidence for f in calm.values()), key=_CONFIDENCES.index)
    warm = [name for name in curves if calm[name].cause is Cause.WARMUP]
    still = [name for name in curves if name not in warm]
    said = [*_warmed(warm, curves, views), *_still(still, all_of_them=not warm)]
    least = _least({name: views[name] for name in curves}, curves)
    return Verdict(
        findings[0].cause,
        sure,
        f"{' '.join(said)} A leak of more than {least} would have shown on each of them; a smaller one would not.",
    )


def _warmed(names: Sequence[str], curves: Mapping[str, Growth], views: Mapping[str, PoolView]) -> list[str]:
    if not names:
        return []
    first = f"in the first {views[names[0]].stretch}s"
    if len(names) == 1:
        return [f"{names[0]} grew by {format_bytes(curves[names[0]].total)} {first} and has stopped: caches filled."]
    who = _and([f"{name} ({format_bytes(curves[name].total)})" for name in names])
    return [f"{who if len(names) <= _NAMED else f'{len(names)} pools'} grew {first} and have stopped: caches filled."]


def _still(names: Sequence[str], *, all_of_them: bool) -> list[str]:
    if not names:
        return []
    if len(names) > _NAMED:
        return [f"None of {'the ' if all_of_them else ''}{len(names)} {'' if all_of_them else 'other '}pools grows."]
    return [f"{_and(names)} {'does' if len(names) == 1 else 'do'} not grow."]


def _least(views: Mapping[str, PoolView], curves: Mapping[str, Growth]) -> str:
    """What would have shown in each of them. Of pools with different traffic one may be the worst by the request, and another by
    the round."""
    pools = list(views.values())
    if any(pool.watched or pool.flows for pool in pools) and all(pool.rounds_per_hour for pool in pools):
        hourly = [curves[pool.name].mdl_per_round * (pool.rounds_per_hour or 0.0) for pool in pools]
        return f"{format_bytes(max(hourly))} an hour"
    worst = max(pools, key=lambda pool: curves[pool.name].mdl_per_round)
    requests = [pool.requests_per_round for pool in pools]
    if all(n is not None and n >= (worst.requests_per_round or 0.0) for n in requests):
        return mdl_text(curves[worst.name], worst)
    return f"{format_bytes(curves[worst.name].mdl_per_round)} a {worst.stretch}"


def _and(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
