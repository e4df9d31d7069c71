"""Free memory between live objects that an allocator cannot give back: holes too small, arenas that a few survivors pin.

Growing: private memory grows, live memory does not, what the allocators hold does. Standing: a large part of private memory is
free, and it neither came in one step nor can it be given back.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.diagnose.account import Account, Part, account_of
from harness.diagnose.growth import Shape
from harness.diagnose.holding import Holding, holding_evidence, holding_of
from harness.diagnose.pool import PoolView
from harness.diagnose.wording import curve_evidence, growing_by, growth_of, metric_name, severity
from harness.model.finding import EXPLAINS, Cause, Confidence, Evidence, Finding, Severity, Side, Subject
from harness.units import format_bytes

_MOSTLY = 0.5
_LIVE_SHARE = 0.3  # of the growth: more than this and it is what lives that grows


class FragmentationRule:
    id = "fragmentation"
    needs = ("process.memory.pss_anon", "runtime.glibc.used | agent.python.glibc.used")

    def check(self, pool: PoolView) -> Sequence[Finding]:
        account = account_of(pool)
        if account is None:
            return ()
        if account.grows or account.curve.shape is Shape.SLOWING:
            return [_growing(pool, account)] if _held_grows(account) else ()
        found = holding_of(pool)
        if found is None or not _is_standing(found):
            return ()
        return [_standing(pool, account, found)]


RULE = FragmentationRule()


def _held_grows(account: Account) -> bool:
    held, live = account.held, account.live
    if held is None or live is None:
        return False
    if account.held_by_default:
        return True
    if held.shape not in (Shape.LINEAR, Shape.SLOWING):
        return False
    growth = account.curve.per_round
    return (
        held.per_round >= _MOSTLY * growth
        and live.per_round < _LIVE_SHARE * growth
        and account.share(Part.LIVE) < _LIVE_SHARE
    )


def _is_standing(found: Holding) -> bool:
    """Not what one large job left behind in whole free pages: that is retention."""
    if found.pinned or found.can_be_given_back is False:
        return True
    return not found.in_one_step


def _growing(pool: PoolView, account: Account) -> Finding:
    held, live = account.held, account.live
    assert held is not None
    assert live is not None
    slowing = account.curve.shape is Shape.SLOWING or held.shape is Shape.SLOWING
    text = (
        f"free memory that allocators hold grows by {format_bytes(held.per_round)} a {pool.stretch}, live memory by "
        f"{format_bytes(live.per_round, sign=True)}"
    )
    evidence = [
        curve_evidence("pool.floor", metric_name(pool), account.curve, pool.stretch),
        Evidence("heap.held", held.per_round, "bytes/round", text),
        curve_evidence("heap.live", "live bytes of all allocators", live, pool.stretch),
    ]
    found = holding_of(pool)
    if found is not None:
        evidence += holding_evidence(found)
    if account.only_held and account.outside is not None:
        changed = format_bytes(account.outside.per_round, sign=True)
        text = f"memory that no allocator took changed by {changed}: nothing else is left"
        evidence.append(Evidence("heap.outside", account.outside.per_round, "bytes/round", text))
    if not slowing:
        text = (
            "it does not slow down yet, as fragmentation must in the end: a longer run would show where it levels off"
        )
        evidence.append(Evidence("decay", account.curve.ratio, "ratio", text, Side.AGAINST))
    points = (
        1
        + (live.shape in (Shape.FLAT, Shape.SETTLED))
        + (0.7 <= held.per_round / max(1.0, account.curve.per_round) <= 1.3)
    )
    if held.shape not in (Shape.LINEAR, Shape.SLOWING):
        points = min(
            points, 2 if account.only_held else 1
        )  # it is what is left, by steps too large to be judged by themselves
    return Finding(
        cause=Cause.FRAGMENTATION,
        severity=Severity.WARNING if slowing else severity(account.curve, pool),
        confidence=Confidence.HIGH if points >= 3 else Confidence.MEDIUM if points == 2 else Confidence.LOW,
        subject=_subject(pool),
        summary=f"{pool.name} grows by {growing_by(account.curve, pool)}, although what it keeps does not: the "
        "allocators hold more and more free memory that they cannot give back.",
        growth=growth_of(account.curve, pool, None),
        evidence=evidence,
        prescriptions=(),
        range_ns=pool.range_ns,
        numbers={EXPLAINS: held.per_round, "held_bytes_per_round": held.per_round, **_numbers(found)},
    )


def _standing(pool: PoolView, account: Account, found: Holding) -> Finding:
    points = 1 + found.pinned + found.stayed
    return Finding(
        cause=Cause.FRAGMENTATION,
        severity=Severity.INFO,
        confidence=Confidence.HIGH if points >= 3 else Confidence.MEDIUM if points == 2 else Confidence.LOW,
        subject=_subject(pool),
        summary=f"{pool.name} does not grow, but {format_bytes(found.held)} of its private memory "
        f"({100 * found.share:.0f} %) are free "
        f"and cannot be given back: what lives is spread over all of it ({found.largest.name}).",
        growth=growth_of(account.curve, pool, None),
        evidence=[
            curve_evidence("pool.floor", metric_name(pool), account.curve, pool.stretch),
            *holding_evidence(found),
        ],
        prescriptions=(),
        range_ns=pool.range_ns,
        numbers={EXPLAINS: 0.0, **_numbers(found)},
    )


def _numbers(found: Holding | None) -> dict[str, float]:
    if found is None:
        return {}
    return {"held_bytes": found.held, "held_share": found.share, "occupancy_share": found.occupancy}


def _subject(pool: PoolView) -> Subject:
    return Subject(host=pool.stable[0].host, runtime=pool.runtime, pool=pool.name)
