"""Sharing out the touched pages of some mappings among the allocators that live in them, in proportion to PSS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from harness.diagnose.ledger.taken import Claim


class Region(NamedTuple):
    """Mappings of one kind, bytes. ``touched``: pages that are in memory or swapped out; ``pss``: of those in memory."""

    touched: int
    pss: int


class Share(NamedTuple):
    """What a region holds of one allocator, bytes of PSS."""

    allocator: str
    live: int
    held: int


class Shares(NamedTuple):
    """A region shared out: bytes of PSS. ``rest`` belongs to no allocator. The sum may be some bytes below the region's."""

    of: Sequence[Share]
    rest: int


def share_out(region: Region, claims: Sequence[Claim]) -> Shares:
    """Who has how much of ``region``; allocators come first, the rest is nobody's."""
    touched, pss = region
    if touched <= 0:
        return Shares([Share(claim.allocator, 0, 0) for claim in claims], 0)
    if len(claims) == 1:
        return _alone(claims[0], touched, pss)
    live, held = _in_memory(claims, touched)
    nobodys = touched - sum(live) - sum(held)
    of = [
        Share(c.allocator, n * pss // touched, m * pss // touched) for c, n, m in zip(claims, live, held, strict=True)
    ]
    return Shares(of, nobodys * pss // touched)


def _alone(claim: Claim, touched: int, pss: int) -> Shares:
    """The same where only one allocator lives, which is most often so."""
    committed = min(claim.committed, touched)
    live = min(claim.live, touched)
    share = Share(claim.allocator, live * pss // touched, (committed - live) * pss // touched)
    return Shares((share,), (touched - committed) * pss // touched)


def _in_memory(claims: Sequence[Claim], touched: int) -> tuple[list[int], list[int]]:
    """(live, held) touched bytes of each claim, all together at most ``touched``."""
    live = [claim.live for claim in claims]
    held = [claim.committed - claim.live for claim in claims]
    lacking = sum(live) + sum(held) - touched
    if lacking > 0:
        guessed = [i for i, claim in enumerate(claims) if not claim.counted]
        for amounts, which in ((held, guessed), (live, guessed), (held, None), (live, None)):
            lacking = _reduce(amounts, range(len(claims)) if which is None else which, lacking)
            if lacking <= 0:
                break
    return live, held


def _reduce(amounts: list[int], which: Sequence[int], lacking: int) -> int:
    """Take ``lacking`` away from some amounts in proportion; what could not be taken. Rounding takes a byte more, never less."""
    there = sum([amounts[i] for i in which])
    left = max(0, there - lacking)
    for i in which:
        amounts[i] = amounts[i] * left // there if there else 0
    return lacking - there
