"""Pages shared with the master since the fork are written to and copied: PSS of the workers rises, and nothing is kept.

It ends when everything that was shared is copied. So it is no leak, but memory that the pool will need.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.diagnose.account import Account, Part, account_of
from harness.diagnose.growth import Shape
from harness.diagnose.ledger.sharing import sharing_curves
from harness.diagnose.pool import PoolView
from harness.diagnose.unsharing import Unsharing, unsharing_of
from harness.diagnose.wording import curve_evidence, growth_of, metric_name, workers_text
from harness.model.finding import EXPLAINS, Cause, Confidence, Evidence, Finding, Severity, Side, Subject
from harness.units import format_bytes

_EXPLAINED_SHARE = 0.5
_AGREE_LOW, _AGREE_HIGH = 0.5, 1.5
_LIVE_SHARE = 0.3  # of the growth: more than this and it is what lives that grows
_FEWEST_COLLECTIONS = 1


class CowUnsharingRule:
    id = "cow-unsharing"
    needs = ("process.memory.pss_anon", "process.memory.shared_dirty")

    def check(self, pool: PoolView) -> Sequence[Finding]:
        account, found = account_of(pool), unsharing_of(pool)
        if account is None or found is None or account.curve.shape not in (Shape.LINEAR, Shape.SLOWING):
            return ()
        curve, copied = account.curve, found.copied
        if curve.per_round <= 0 or copied.shape not in (Shape.LINEAR, Shape.SLOWING):
            return ()
        if copied.per_round < _EXPLAINED_SHARE * curve.per_round or _is_kept(account):
            return ()
        pace = format_bytes(copied.per_round)
        evidence = [
            curve_evidence("pool.floor", metric_name(pool), curve, pool.stretch),
            Evidence(
                "shared_dirty",
                -copied.per_round,
                "bytes/round",
                f"pages that {workers_text(pool)} share and that were written before the fork shrink by {pace} a {pool.stretch}",
            ),
            *_resident(account, pool),
            *_live(account, pool),
            *_family(found, pool),
            *_end(found, pool),
            *_since_fork(pool),
            *_writers(found),
        ]
        return [
            Finding(
                cause=Cause.COW_UNSHARING,
                severity=Severity.WARNING,
                confidence=_confidence(account, found),
                subject=Subject(host=pool.stable[0].host, runtime=pool.runtime, pool=pool.name),
                summary=f"The workers of {pool.name} copy memory they shared with their master since the fork, {pace} a "
                f"{pool.stretch}; this ends when the {format_bytes(found.still_shared)} that they still share are copied, and is "
                "not a leak.",
                growth=growth_of(curve, pool, None),
                evidence=evidence,
                prescriptions=(),
                range_ns=pool.range_ns,
                numbers=_numbers(account, found),
            )
        ]


RULE = CowUnsharingRule()


def _is_kept(account: Account) -> bool:
    """Whether what lives grows as well, by so much that copies are not what matters."""
    return account.share(Part.LIVE) >= 1 - _LIVE_SHARE


def _accounts_for(account: Account, found: Unsharing) -> float:
    """Bytes a round of private memory. A page that was shared by n counted for a part in each already, so private memory rises by
    less than what is copied; where mappings were read, by what it rises beyond resident memory."""
    unshared = account.unshared
    if unshared is not None and unshared.known and unshared.per_round > 0:
        return min(unshared.per_round, account.curve.per_round)
    return min(found.copied.per_round, account.curve.per_round)


def _numbers(account: Account, found: Unsharing) -> dict[str, float]:
    numbers = {
        EXPLAINS: _accounts_for(account, found),
        "growth_bytes_per_round": account.curve.per_round,
        "copied_bytes_per_round": found.copied.per_round,
        "still_shared_bytes": found.still_shared,
    }
    if found.collecting is not None:
        numbers["collector_writes"] = float(found.collecting)
    return numbers


def _confidence(account: Account, found: Unsharing) -> Confidence:
    """Shared pages shrink, resident memory stays, live bytes stay, and the whole family's memory rises: four counters."""
    points = 1 + _resident_stays(account) + _live_stays(account)
    points += found.family is not None and found.family > 0
    return Confidence.HIGH if points >= 4 else Confidence.MEDIUM if points >= 2 else Confidence.LOW


def _resident_stays(account: Account) -> bool:
    unshared = account.unshared
    if unshared is None or not unshared.known:
        return False
    return _AGREE_LOW * account.curve.per_round <= unshared.per_round <= _AGREE_HIGH * account.curve.per_round


def _live_stays(account: Account) -> bool:
    return account.live is not None and account.live.shape in (Shape.FLAT, Shape.SETTLED)


def _resident(account: Account, pool: PoolView) -> list[Evidence]:
    unshared = account.unshared
    if unshared is None or not unshared.known:
        return []
    grown = format_bytes(unshared.per_round)
    text = f"{grown} a {pool.stretch} of the growth were in memory before: they only stopped being shared"
    side = Side.FOR if _resident_stays(account) else Side.AGAINST
    return [Evidence("anonymous.unshared", unshared.per_round, "bytes/round", text, side)]


def _live(account: Account, pool: PoolView) -> list[Evidence]:
    live = account.live
    if live is None or not live.judged:
        return []
    text = f"live bytes of all allocators change by {format_bytes(live.per_round, sign=True)} a {pool.stretch}"
    return [
        Evidence("heap.live", live.per_round, "bytes/round", text, Side.FOR if _live_stays(account) else Side.AGAINST)
    ]


def _family(found: Unsharing, pool: PoolView) -> list[Evidence]:
    if found.family is None:
        return []
    text = f"PSS of all processes together, the master's too, changes by {format_bytes(found.family, sign=True)} a {pool.stretch}"
    return [Evidence("family.pss", found.family, "bytes/round", text, Side.FOR if found.family > 0 else Side.AGAINST)]


def _end(found: Unsharing, pool: PoolView) -> list[Evidence]:
    left = found.rounds_left
    when = "" if left is None else f"; at this pace that takes {left:.0f} more {pool.stretch}s"
    if found.copied.shape is Shape.SLOWING:
        when = "; it is slowing down already"
    text = f"the workers can copy {format_bytes(found.still_shared)} more and no further{when}"
    return [Evidence("shared_dirty.left", found.still_shared, "bytes", text, Side.CONTEXT)]


def _since_fork(pool: PoolView) -> list[Evidence]:
    """The worker that has copied most, from its fork on."""
    own = [
        c for c in sharing_curves(pool.timeline) if c.pool == pool.name and c.key in pool.stable and c.points[0].shared
    ]
    if not own:
        return []
    most = max(own, key=lambda c: c.unshared)
    first, last = most.points[0], most.points[-1]
    text = (
        f"pid {most.key.pid} shared {format_bytes(first.shared)} when it was first seen, {first.age_ns / 1e9:.0f} s after its "
        f"fork, and {format_bytes(last.shared)} at the end; its own memory went from {format_bytes(first.private)} to "
        f"{format_bytes(last.private)}"
    )
    return [Evidence("fork.shared", float(most.unshared), "bytes", text)]


def _writers(found: Unsharing) -> list[Evidence]:
    rows = []
    if found.full_collections is not None:
        if found.collecting:
            text = f"it goes with the {found.full_collections} full collections in the workers: they write into every container"
        elif found.full_collections < _FEWEST_COLLECTIONS:
            text = "no full collection ran in the workers: reading an object changes its reference counter, and that is a write"
        elif found.collecting is None:
            text = f"{found.full_collections} full collections ran in the workers, in every round: whether they write is not told"
        else:
            text = (
                f"it does not go with the {found.full_collections} full collections in the workers: reading an object changes "
                "its reference counter, and that is a write"
            )
        rows.append(Evidence("gc.full", float(found.full_collections), "count", text, Side.CONTEXT))
    if found.probe is not None:
        text = f"one full collection after the last round unshared {format_bytes(max(0.0, found.probe))} at once"
        rows.append(Evidence("gc.probe", found.probe, "bytes", text, Side.CONTEXT))
    return rows
