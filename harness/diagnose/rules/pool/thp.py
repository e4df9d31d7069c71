"""Huge pages make memory resident that nobody touched: one byte in 2 MiB costs 2 MiB.

Growing: anonymous huge pages grow by most of what private memory grows by, while the allocators' live bytes and the addresses
that are mapped do not. Where addresses or live bytes grow as well, somebody asks for that memory, and huge pages are only where
it lies. Standing: a large part of private memory is in huge pages that are certainly not in use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.diagnose.account import Account, Part, account_of
from harness.diagnose.attribution import attribute_private
from harness.diagnose.growth import Growth, Yardstick, judge
from harness.diagnose.mappings import class_levels
from harness.diagnose.pool import FLOOR_BYTES, HUGE_PAGE_BYTES, PoolView
from harness.diagnose.wording import attribution_evidence, curve_evidence, growing_by, growth_of, metric_name, severity
from harness.model.finding import EXPLAINS, Cause, Confidence, Evidence, Finding, Severity, Side, Subject
from harness.units import format_bytes

_HUGE = "process.memory.anon_huge"
_MOSTLY = 0.5
_ALL_LOW, _ALL_HIGH = 0.7, 1.3
_MATTERS_BYTES, _MATTERS_SHARE = (
    8 * 1024 * 1024,
    0.3,
)  # a worker; of private memory: as for free memory that allocators hold
_ANONYMOUS = ("heap", "anonymous", "thread_stack")


class ThpRule:
    id = "thp"
    needs = (_HUGE,)

    def check(self, pool: PoolView) -> Sequence[Finding]:
        account, levels = account_of(pool), pool.matrix((_HUGE,))
        if account is None or levels is None or not levels.any():
            return ()
        found = _growing(pool, account, levels.sum(axis=0)) if account.curve.grows else None
        if found is not None:
            return [_growing_finding(pool, account, found)]
        return _standing(pool, account)


RULE = ThpRule()


@dataclass(frozen=True, slots=True)
class _Huge:
    """Bytes a round. ``asked``: what certainly is asked for, by live bytes or by addresses; None = neither is known."""

    curve: Growth
    addresses: float | None
    live: float | None

    @property
    def asked(self) -> float | None:
        known = [v for v in (self.addresses, self.live) if v is not None]
        return max(0.0, *known) if known else None


def _growing(pool: PoolView, account: Account, levels: np.ndarray[tuple[int], np.dtype[np.float64]]) -> _Huge | None:
    floor = FLOOR_BYTES * len(pool.stable) ** 0.5
    curve = judge(levels, Yardstick(floor, HUGE_PAGE_BYTES, doubt=HUGE_PAGE_BYTES))
    if not curve.grows or curve.per_round < _MOSTLY * account.curve.per_round:
        return None
    sizes = class_levels(pool, "size", *_ANONYMOUS, stable=True)
    addresses = None if sizes is None else float(sizes[-1] - sizes[0]) / (sizes.size - 1)
    live = account.live
    return _Huge(curve, addresses, live.per_round if live is not None and live.known else None)


def _growing_finding(pool: PoolView, account: Account, found: _Huge) -> Finding:
    grown, asked = found.curve.per_round, found.asked
    excess = 0.0 if asked is None else max(0.0, min(grown, account.curve.per_round) - asked)
    alone = asked is not None and asked < (1 - _MOSTLY) * grown
    split = attribute_private(pool)
    named = split.dominant
    points = 1 + alone + (found.live is not None and found.live < (1 - _MOSTLY) * grown)
    points += _ALL_LOW <= grown / account.curve.per_round <= _ALL_HIGH
    if account.share(Part.THREADS) >= _MOSTLY:
        alone = False
    return Finding(
        cause=Cause.THP,
        severity=severity(account.curve, pool) if alone else Severity.INFO,
        confidence=(Confidence.HIGH if points >= 4 else Confidence.MEDIUM if points >= 3 else Confidence.LOW)
        if alone
        else Confidence.LOW,
        subject=Subject(
            host=pool.stable[0].host,
            runtime=pool.runtime,
            pool=pool.name,
            endpoint=None if named is None else named.endpoint,
        ),
        summary=_summary(pool, account, alone),
        growth=growth_of(account.curve, pool, named),
        evidence=[
            curve_evidence("pool.floor", metric_name(pool), account.curve, pool.stretch),
            curve_evidence("anon_huge", "anonymous huge pages", found.curve, pool.stretch),
            *_asked_evidence(found, pool),
            *_setting_evidence(pool),
            *attribution_evidence(split),
        ],
        prescriptions=(),
        range_ns=pool.range_ns,
        numbers={EXPLAINS: excess, "huge_bytes_per_round": grown},
    )


def _summary(pool: PoolView, account: Account, alone: bool) -> str:
    if alone:
        return (
            f"{pool.name} grows by {growing_by(account.curve, pool)}, because the kernel fills in huge pages around the "
            "little that is touched: neither what the allocators have in use nor what is mapped grows by as much."
        )
    return (
        f"What {pool.name} grows by lies in huge pages; whether more is in memory than is touched cannot be told from this "
        "run."
    )


def _asked_evidence(found: _Huge, pool: PoolView) -> list[Evidence]:
    rows = []
    limit = (1 - _MOSTLY) * found.curve.per_round
    if found.live is not None:
        text = f"live bytes of all allocators change by {format_bytes(found.live, sign=True)} a {pool.stretch}"
        side = Side.FOR if found.live < limit else Side.AGAINST
        rows.append(Evidence("heap.live", found.live, "bytes/round", text, side))
    if found.addresses is not None:
        text = f"addresses of anonymous mappings change by {format_bytes(found.addresses, sign=True)} a {pool.stretch}"
        side = Side.FOR if found.addresses < limit else Side.AGAINST
        rows.append(Evidence("smaps.size", found.addresses, "bytes/round", text, side))
    return rows


def _setting_evidence(pool: PoolView) -> list[Evidence]:
    enabled = pool.timeline.manifest.facts.get("thp.enabled")
    if enabled is None:
        return []
    who = {"always": "everybody gets huge pages", "madvise": "only who asks with madvise() gets huge pages"}.get(
        str(enabled), "nobody gets huge pages now"
    )
    return [Evidence("thp.enabled", None, "", f"the kernel's setting is {enabled}: {who}", Side.CONTEXT)]


def _standing(pool: PoolView, account: Account) -> Sequence[Finding]:
    slack = pool.part_levels("thp_slack")
    if slack is None or account.curve.grows:
        return ()
    least, level = float(slack.min()), account.curve.levels[-1]
    if least < max(_MATTERS_BYTES * len(pool.stable) ** 0.5, _MATTERS_SHARE * level):
        return ()
    text = (
        f"{format_bytes(least)} of the huge pages are certainly not in use, at every floor: {100 * least / level:.0f} % of "
        "private memory"
    )
    return [
        Finding(
            cause=Cause.THP,
            severity=Severity.INFO,
            confidence=Confidence.MEDIUM,
            subject=Subject(host=pool.stable[0].host, runtime=pool.runtime, pool=pool.name),
            summary=f"{pool.name} does not grow, but {format_bytes(least)} of its private memory are there only because huge "
            "pages reach further than what was used.",
            growth=growth_of(account.curve, pool, None),
            evidence=[
                curve_evidence("pool.floor", metric_name(pool), account.curve, pool.stretch),
                Evidence("thp.slack", least, "bytes", text),
                *_setting_evidence(pool),
            ],
            prescriptions=(),
            range_ns=pool.range_ns,
            numbers={"thp_slack_bytes": least},
        )
    ]
