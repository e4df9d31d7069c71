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

    of: tuple[Share, ...]
    rest: int


def share_out(region: Region, claims: Sequence[Claim]) -> Shares:
    """Who has how much of ``region``; allocators come first, the rest is nobody's."""
    touched, pss = region
    if touched <= 0:
        return Shares(tuple(Share(c.allocator, 0, 0) for c in claims), 0)
    in_memory = _in_memory(claims, touched)
    nobodys = touched - sum(live + held for _, live, held in in_memory)
    of = tuple(Share(name, live * pss // touched, held * pss // touched) for name, live, held in in_memory)
    return Shares(of, nobodys * pss // touched)


def _in_memory(claims: Sequence[Claim], touched: int) -> Sequence[tuple[str, int, int]]:
    """(allocator, live, held) touched bytes of each claim, together at most ``touched``."""
    lacking = sum(c.committed for c in claims) - touched
    if lacking <= 0:
        return [(c.allocator, c.live, c.committed - c.live) for c in claims]
    live, held = [c.live for c in claims], [c.committed - c.live for c in claims]
    guessed = [i for i, c in enumerate(claims) if not c.counted]
    counted = [i for i, c in enumerate(claims) if c.counted]
    for amounts, which in ((held, guessed), (live, guessed), (held, counted), (live, counted)):
        lacking = _reduce(amounts, which, lacking)
    return [(c.allocator, live[i], held[i]) for i, c in enumerate(claims)]


def _reduce(amounts: list[int], which: Sequence[int], lacking: int) -> int:
    """Take ``lacking`` away from some amounts in proportion; what could not be taken. Rounding takes a byte more, never less."""
    there = sum(amounts[i] for i in which)
    if lacking <= 0 or there <= 0:
        return lacking
    if lacking >= there:
        for i in which:
            amounts[i] = 0
        return lacking - there
    for i in which:
        amounts[i] = amounts[i] * (there - lacking) // there
    return 0
