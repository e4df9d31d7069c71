"""High water: one large request or job made memory rise in one step, what it used is free again, and the allocator keeps the
pages."""

from __future__ import annotations

from collections.abc import Sequence

from harness.diagnose.account import account_of
from harness.diagnose.growth import Shape
from harness.diagnose.holding import Holding, holding_evidence, holding_of
from harness.diagnose.pool import PoolView
from harness.diagnose.wording import curve_evidence, growth_of, mdl_text, metric_name
from harness.model.finding import EXPLAINS, Cause, Confidence, Finding, Severity, Subject
from harness.units import format_bytes


class RetentionRule:
    id = "retention"
    needs = ("process.memory.pss_anon", "runtime.glibc.used | agent.python.glibc.used")

    def check(self, pool: PoolView) -> Sequence[Finding]:
        account, found = account_of(pool), holding_of(pool)
        if account is None or found is None or account.grows or account.curve.shape is Shape.SLOWING:
            return ()
        if not found.in_one_step or found.pinned or found.can_be_given_back is False:
            return ()
        points = 1 + bool(found.can_be_given_back) + (account.curve.shape in (Shape.FLAT, Shape.SETTLED))
        return [
            Finding(
                cause=Cause.RETENTION,
                severity=Severity.INFO,
                confidence=Confidence.HIGH if points >= 3 else Confidence.MEDIUM if points == 2 else Confidence.LOW,
                subject=Subject(host=pool.stable[0].host, runtime=pool.runtime, pool=pool.name),
                summary=f"{pool.name} holds {format_bytes(found.held)} of free memory since {found.step_where}, when it rose by "
                f"{format_bytes(found.step)} at once: something large was built there and freed again, and the "
                "allocator has kept "
                f"the pages. It does not grow; a leak of more than {mdl_text(account.curve, pool)} would have shown.",
                growth=growth_of(account.curve, pool, None),
                evidence=[
                    curve_evidence("pool.floor", metric_name(pool), account.curve, pool.stretch),
                    *holding_evidence(found),
                ],
                prescriptions=(),
                range_ns=pool.range_ns,
                numbers=_numbers(found),
            )
        ]


RULE = RetentionRule()


def _numbers(found: Holding) -> dict[str, float]:
    numbers = {EXPLAINS: 0.0, "held_bytes": found.held, "held_share": found.share, "step_bytes": found.step}
    if found.returned is not None:
        numbers["trim_returned_bytes"] = float(found.returned)
    return numbers
