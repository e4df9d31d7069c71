"""Shared memory that grows with every round: a cache in shared memory (APCu, opcache, multiprocessing) that never forgets.

What nobody has mapped is a matter of `harness.diagnose.rules.host.tmpfs`.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.diagnose.attribution import Attribution, EndpointGrowth, attribute_shared
from harness.diagnose.conclusion import doubt
from harness.diagnose.growth import Growth
from harness.diagnose.pool import PoolView
from harness.diagnose.shared_kinds import Filled, filled_kind, kind_evidence
from harness.diagnose.wording import (
    as_in_the_rounds,
    attribution_evidence,
    curve_evidence,
    every_request_to,
    growing_by,
    growth_of,
    per_hour,
    severity,
    step_evidence,
    which_endpoint,
)
from harness.model.finding import EXPLAINS, Cause, Confidence, Evidence, Finding, Severity, Side, Subject
from harness.units import format_bytes, format_duration

_FOREIGN = 0.05


class SharedMemoryRule:
    id = "shared-memory"
    needs = ("process.memory.pss_shmem",)

    def check(self, pool: PoolView) -> Sequence[Finding]:
        curve = pool.shared
        if curve is None or not curve.grows:
            return ()
        split = attribute_shared(pool)
        endpoint = split.dominant
        private, filled = pool.memory, filled_kind(pool)
        evidence = [
            curve_evidence("pool.shmem", f"shared memory of {pool.name} (each page counted once)", curve, pool.stretch),
            *([] if filled is None else kind_evidence(filled, pool.stretch)),
            *attribution_evidence(split),
            *step_evidence(curve, pool),
        ]
        if private is not None and _private_stays(pool):
            text = "private memory of the workers does not grow, so the growth is in the shared segment alone"
            evidence.append(Evidence("pool.floor", private.per_round, "bytes/round", text))
        if not curve.steady:
            text = "that the increments shrink, as those of a cache that fills up, is not ruled out"
            evidence.append(Evidence("decay", curve.ratio, "ratio", text, Side.AGAINST))
        return [
            Finding(
                cause=Cause.SHARED_MEMORY,
                severity=_severity(pool, curve, filled),
                confidence=_confidence(pool, curve, split, filled),
                subject=Subject(
                    host=pool.members[0].info.key.host,
                    runtime=pool.runtime,
                    pool=pool.name,
                    endpoint=None if endpoint is None else endpoint.endpoint,
                ),
                summary=_summary(pool, curve, split, filled),
                growth=growth_of(curve, pool, endpoint),
                evidence=evidence,
                prescriptions=(),
                range_ns=pool.range_ns,
                numbers=_numbers(curve, filled),
            )
        ]


RULE = SharedMemoryRule()


def _severity(pool: PoolView, curve: Growth, filled: Filled | None) -> Severity:
    """What lies in a segment of a size of its own cannot take all memory, however fast it fills."""
    return severity(curve, pool) if filled is None or filled.segment is None else Severity.WARNING


def _numbers(curve: Growth, filled: Filled | None) -> dict[str, float]:
    numbers = {EXPLAINS: curve.per_round, "growth_bytes_per_round": curve.per_round}
    if filled is not None and filled.segment is not None:
        numbers |= {"segment_bytes": filled.segment.size, "segment_free_bytes": filled.segment.free}
    return numbers


def _summary(pool: PoolView, curve: Growth, split: Attribution, filled: Filled | None) -> str:
    kind = f": {filled.kind.value}" if filled is not None and filled.certain else ""
    if split.dominant is not None:
        best = split.dominant
        rate = _until_full(pool, best, filled) or per_hour(curve, pool, best)
        return (
            f"{every_request_to(best.endpoint, pool)} adds about {format_bytes(best.bytes_per_request)} (95 % CI "
            f"{format_bytes(best.ci95[0])} to {format_bytes(best.ci95[1])}) to the shared memory of {pool.name}{kind}{rate}; "
            "replacing workers does not free it."
        )
    return (
        f"The shared memory of {pool.name}{kind} grows by {growing_by(curve, pool)}; replacing workers does not free it. "
        f"{which_endpoint(split, pool)}"
    )


def _until_full(pool: PoolView, named: EndpointGrowth, filled: Filled | None) -> str:
    """Of a segment of a size of its own: when it is full. A rate an hour would go beyond that; empty where this is not known."""
    segment, rounds, words = (
        None if filled is None else filled.segment,
        pool.rounds_per_hour,
        as_in_the_rounds(pool, named),
    )
    if segment is None or rounds is None or rounds <= 0 or words is None:
        return ""
    left = format_duration(segment.rounds_left / rounds * 3600e9)
    return f"; {words}, its segment of {format_bytes(segment.size)} is full in {left}"


def _private_stays(pool: PoolView) -> bool:
    """Whether it is known that private memory does not grow; noise that would hide growth is no proof of none."""
    return pool.memory is not None and pool.memory.judged and not pool.memory.grows and doubt(pool) is None


def _confidence(pool: PoolView, curve: Growth, split: Attribution, filled: Filled | None) -> Confidence:
    points = 1
    points += split.explained is not None and 0.7 <= split.explained <= 1.3 and bool(split.leading())
    points += _private_stays(pool)
    points += filled is not None and filled.certain
    points -= pool.foreign_share > _FOREIGN
    if not curve.steady:
        points = min(points, 2)
    return Confidence.HIGH if points >= 3 else Confidence.MEDIUM if points == 2 else Confidence.LOW
