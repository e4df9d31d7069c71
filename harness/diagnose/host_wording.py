"""Findings about a machine: what all of them have in common, and sentences that several rules share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.diagnose.attribution import Attribution, EndpointGrowth
from harness.diagnose.growth import Growth as Curve
from harness.diagnose.host import HostView
from harness.diagnose.pool import PoolView
from harness.diagnose.wording import growth_of
from harness.model.finding import Cause, Confidence, Evidence, Finding, Growth, Severity, Side, Subject
from harness.model.span import COMMAND
from harness.units import format_bytes

SOMEBODY = "something on this host, which may not be the target,"
_NOTHING = Growth(None, None, None, None)


def host_finding(
    host: HostView,
    cause: Cause,
    severity: Severity,
    confidence: Confidence,
    summary: str,
    evidence: Sequence[Evidence],
    *,
    pool: PoolView | None = None,
    endpoint: EndpointGrowth | None = None,
    curve: Curve | None = None,
    numbers: Mapping[str, float] | None = None,
) -> Finding:
    """``pool``: whose doing or whose harm it is; None: that is not known, so it is no more than information. Bytes that the
    kernel keeps are no process's, so nothing of the pool's own growth is explained by them."""
    return Finding(
        cause=cause,
        severity=Severity.INFO if pool is None else severity,
        confidence=Confidence.LOW if pool is None else confidence,
        subject=Subject(
            host=host.name,
            runtime=None if pool is None else pool.runtime,
            pool=None if pool is None else pool.name,
            endpoint=None if endpoint is None else endpoint.endpoint,
        ),
        summary=summary,
        growth=_NOTHING if curve is None else _growth(host, pool, endpoint, curve),
        evidence=evidence,
        prescriptions=(),
        range_ns=host.range_ns,
        numbers=numbers or {},
    )


def by_points(points: int) -> Confidence:
    """Independent signals that agree: three and more, two, one."""
    return Confidence.HIGH if points >= 3 else Confidence.MEDIUM if points == 2 else Confidence.LOW


def private_evidence(pool: PoolView) -> list[Evidence]:
    """That the processes themselves do not grow, where that is known."""
    private = pool.memory
    if private is None or not private.judged:
        return []
    text = f"private memory of the workers changes by {format_bytes(private.per_round, sign=True)} a {pool.stretch}"
    if private.grows:
        return [
            Evidence("pool.floor", private.per_round, "bytes/round", f"{text}, which is another matter", Side.CONTEXT)
        ]
    return [Evidence("pool.floor", private.per_round, "bytes/round", f"{text}: it is not the processes that grow")]


def not_ours(host: HostView) -> str:
    """A sentence that clears the target, where its own group does not show what the machine shows."""
    return " The target's own memory group shows nothing of it." if any(group.own for group in host.groups) else ""


def by_endpoint(split: Attribution) -> str:
    """A sentence that names the endpoint, where there is one."""
    best = split.dominant
    if best is None:
        return ""
    each = "Each job" if best.endpoint == COMMAND else f"Each request to {best.endpoint}"
    return f" {each} adds about {format_bytes(best.bytes_per_request)}."


def share_text(share: float) -> str:
    """``4.2 %``."""
    return f"{100 * share:.1f} %"


def _growth(host: HostView, pool: PoolView | None, endpoint: EndpointGrowth | None, curve: Curve) -> Growth:
    if pool is not None:
        return growth_of(curve, pool, endpoint)
    rate = next((p.rounds_per_hour for p in host.pools), None)
    return Growth(None, None, None if rate is None else curve.per_round * rate, None)
