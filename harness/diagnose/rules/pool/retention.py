"""High water: one large request or job made memory rise in one step, what it used is free again, and the allocator keeps the
pages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from harness.diagnose.account import account_of
from harness.diagnose.growth import Shape
from harness.diagnose.highwater import high_water
from harness.diagnose.holding import Holding, holding_evidence, holding_of
from harness.diagnose.pool import PoolView
from harness.diagnose.wording import curve_evidence, growth_of, mdl_text, metric_name
from harness.model.finding import EXPLAINS, Cause, Confidence, Evidence, Finding, Severity, Side, Subject
from harness.model.highwater import Clue, HighWater
from harness.units import format_bytes

_MOSTLY = 0.5  # of the step
_MOST_MARKS = 3


class RetentionRule:
    id = "retention"
    needs = ("process.memory.pss_anon", "runtime.glibc.used | agent.python.glibc.used")

    def check(self, pool: PoolView) -> Sequence[Finding]:
        account, found = account_of(pool), holding_of(pool)
        if account is None or found is None or account.grows or account.curve.shape is Shape.SLOWING:
            return ()
        if not found.in_one_step or found.pinned or found.can_be_given_back is False:
            return ()
        raised = _raised(pool, found)
        points = 1 + bool(found.can_be_given_back) + (account.curve.shape in (Shape.FLAT, Shape.SETTLED))
        return [
            Finding(
                cause=Cause.RETENTION,
                severity=Severity.INFO,
                confidence=Confidence.HIGH if points >= 3 else Confidence.MEDIUM if points == 2 else Confidence.LOW,
                subject=Subject(host=pool.stable[0].host, runtime=pool.runtime, pool=pool.name),
                summary=f"{pool.name} holds {format_bytes(found.held)} of free memory since {found.step_where}, when it rose by "
                f"{format_bytes(found.step)} at once: something large was built there and freed again, and the "
                f"allocator has kept the pages.{_by(_named(raised, found))} "
                f"It does not grow; a leak of more than {mdl_text(account.curve, pool)} would have shown.",
                growth=growth_of(account.curve, pool, None),
                evidence=[
                    curve_evidence("pool.floor", metric_name(pool), account.curve, pool.stretch),
                    *holding_evidence(found),
                    *_marks(raised),
                ],
                prescriptions=(),
                range_ns=pool.range_ns,
                numbers=_numbers(found),
            )
        ]


RULE = RetentionRule()


def _raised(pool: PoolView, found: Holding) -> list[HighWater]:
    """The rises of the workers' high-water marks between the floors around the step, the largest first."""
    since_ns, t_ns = found.step_ns
    marks = pool.once("high_water", lambda: high_water(pool.timeline))
    inside = [m for m in marks if m.process in pool.stable and since_ns < m.t_ns <= t_ns]
    return sorted(inside, key=lambda m: (-m.rise, m.t_ns))


def _named(raised: Sequence[HighWater], found: Holding) -> str | None:
    """The endpoint whose requests certainly did it: by their records, or as the only ones in flight, they raised the marks by
    most of the step, and no others did."""
    rises: dict[str | None, int] = defaultdict(int)
    for mark in raised:
        rises[mark.endpoint if mark.clue in (Clue.RECORD, Clue.ALONE) else None] += mark.rise
    large = [name for name, rise in rises.items() if rise >= _MOSTLY * found.step]
    return large[0] if len(large) == 1 else None


def _by(endpoint: str | None) -> str:
    return "" if endpoint is None else f" A request to {endpoint} did that."


def _marks(raised: Sequence[HighWater]) -> list[Evidence]:
    return [
        Evidence(
            "process.memory.hwm",
            float(m.rise),
            "bytes",
            f"meanwhile the most that process {m.process.pid} ever had resident rose by {format_bytes(m.rise)}: {_who(m)}",
            Side.CONTEXT,
        )
        for m in raised[:_MOST_MARKS]
    ]


def _who(mark: HighWater) -> str:
    if mark.endpoint is None:
        return f"which of {mark.candidates} requests did it is not known" if mark.candidates else "no request is known"
    how = {
        Clue.RECORD: "by the record that was made of it in the worker",
        Clue.ALONE: "the only one in flight at that time",
        Clue.ENDPOINT: "for one was in flight at each such rise",
    }
    return f"a request to {mark.endpoint} did it, {how[mark.clue or Clue.ENDPOINT]}"


def _numbers(found: Holding) -> dict[str, float]:
    numbers = {EXPLAINS: 0.0, "held_bytes": found.held, "held_share": found.share, "step_bytes": found.step}
    if found.returned is not None:
        numbers["trim_returned_bytes"] = float(found.returned)
    return numbers
