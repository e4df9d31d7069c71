"""Pages shared with the master since the fork are written to and copied: PSS of the workers rises, nothing is kept."""

from __future__ import annotations

from collections.abc import Sequence

from harness.diagnose.growth import Growth
from harness.diagnose.pool import PoolView
from harness.diagnose.wording import curve_evidence, growth_of, metric_name
from harness.model.finding import EXPLAINS, Cause, Confidence, Evidence, Finding, Severity, Subject
from harness.units import format_bytes

_EXPLAINED_SHARE = 0.5


def explains(pool: PoolView, curve: Growth) -> bool:
    """Whether pages that stopped being shared account for at least half of the growth."""
    return pool.unshared is not None and curve.per_round > 0 and pool.unshared >= _EXPLAINED_SHARE * curve.per_round


class CowUnsharingRule:
    id = "cow-unsharing"
    needs = ("process.memory.pss_anon", "process.memory.shared_dirty")

    def check(self, pool: PoolView) -> Sequence[Finding]:
        curve = pool.memory
        if curve is None or not curve.grows or pool.unshared is None or not explains(pool, curve):
            return ()
        shrink = format_bytes(pool.unshared)
        return [
            Finding(
                cause=Cause.COW_UNSHARING,
                severity=Severity.WARNING,
                confidence=Confidence.MEDIUM,
                subject=Subject(host=pool.stable[0].host, runtime=pool.runtime, pool=pool.name),
                summary=f"The workers of {pool.name} copy memory they shared with their master since the fork, {shrink} a "
                f"{pool.stretch}; this ends when everything is copied and is not a leak.",
                growth=growth_of(curve, pool, None),
                evidence=[
                    curve_evidence("pool.floor", metric_name(pool), curve, pool.stretch),
                    Evidence(
                        "shared_dirty",
                        -pool.unshared,
                        "bytes/round",
                        f"shared dirty pages shrink by {shrink} a {pool.stretch}",
                    ),
                ],
                prescriptions=(),
                range_ns=pool.range_ns,
                numbers={EXPLAINS: pool.unshared},
            )
        ]


RULE = CowUnsharingRule()
