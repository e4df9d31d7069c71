"""What is known of garbage in cycles: what a round keeps through full collections, and, where nobody was made to collect,
whether the collector's switch and its list of possible cycles allow for garbage.

PHP's collector looks at possible roots: values whose reference count fell, but not to 0. Each piece of garbage in a cycle hangs
on at least one of them, and they are listed whether the collector is switched on or not, so garbage cannot pile up while the
list does not grow. A growing list proves nothing by itself: an object that a variable held for a while and a static property
keeps is listed as well, until the collector has looked at it (Zend/zend_gc.c).
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.diagnose.pool import PoolView
from harness.diagnose.probes import collected, kept_again
from harness.model.finding import Evidence, Side
from harness.units import format_bytes

_MOSTLY = 0.5


def kept_evidence(pool: PoolView, where_kept: Side) -> Sequence[Evidence]:
    """What one further round kept between two full collections. ``where_kept``: the side that memory that is kept speaks for."""
    kept = kept_again(pool)
    if kept is None:
        return ()
    stayed = format_bytes(kept.live_bytes, sign=True)
    text = (
        f"one further {pool.stretch}, with a full collection before and after it, kept {stayed} of live memory, "
        f"{100 * max(0.0, kept.share):.0f} % of what a measured one added"
    )
    other = Side.AGAINST if where_kept is Side.FOR else Side.FOR
    if kept.low <= _MOSTLY <= kept.high:
        return [Evidence("gc.kept", kept.share, "ratio", f"{text}: not certain enough to tell", Side.CONTEXT)]
    return [Evidence("gc.kept", kept.share, "ratio", text, where_kept if kept.share > _MOSTLY else other)]


def switched_off(pool: PoolView) -> bool:
    """Whether the cycle collector was off in every stable worker at the last floor."""
    enabled = pool.matrix((f"runtime.{pool.runtime}.gc.enabled",))
    if enabled is None:
        enabled = pool.matrix((f"agent.{pool.runtime}.gc.enabled",))
    return enabled is not None and not enabled[:, -1].any()


def switched_off_and_piling_up(pool: PoolView) -> bool:
    """Whether nobody was made to collect, PHP's collector is off, and both its list of possible roots and the heap grow."""
    if collected(pool) is not None or not switched_off(pool):
        return False
    roots, heap = pool.roots, pool.heap
    return roots is not None and roots.grows and heap is not None and heap.grows


def uncollected_evidence(pool: PoolView, side: Side) -> Sequence[Evidence]:
    """That nothing rules garbage out, where nobody was made to collect; nothing otherwise. ``side``: what garbage speaks for."""
    if collected(pool) is not None:
        return ()
    found, roots = [], pool.roots
    growing = roots is not None and roots.grows
    if roots is not None and growing:
        text = (
            f"the cycle collector's list of possible cycles grows by {roots.per_round:.0f} a {pool.stretch}, to "
            f"{roots.levels[-1]:.0f}, as garbage in cycles makes it grow (objects that are kept may, too)"
        )
        found.append(Evidence("gc.growing", roots.per_round, "entries/round", text, side))
    unlisted = roots is None or not any(roots.levels)  # a list that is always empty may be one that nobody fills
    if switched_off(pool) and (growing or unlisted):
        text = "the cycle collector is switched off in all workers, so garbage in cycles stays for ever"
        found.append(Evidence("gc.enabled", 0.0, "count", text, side))
    return found
