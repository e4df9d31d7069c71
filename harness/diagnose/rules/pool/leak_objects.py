"""Objects of the language that are reachable for good: a list, a cache, a registry, a static property that only grows.

The runtime's own count of live allocations grows with memory, by at least 0.7 for each request to the endpoint that is named
(0.05 per request of the mix when none is); in PHP, most of the growth are live bytes of Zend's heap, which happens only where the
heap outlives the jobs. Garbage in cycles looks the same until somebody collects it, so what the collection after the last
round freed is taken off, and where no full one ran the finding is never certain. What one further round keeps although all
garbage was collected before and after it is no garbage. Where the collector is switched off, or what it has to look at grows with
the heap, and nobody could be made to collect, garbage is as good an explanation: then the finding is no more than a suspicion.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.diagnose.account import Account, account_of
from harness.diagnose.attribution import attribute_private
from harness.diagnose.growth import Growth, Shape
from harness.diagnose.heap import heap_of
from harness.diagnose.leaking import Leak, leak_finding
from harness.diagnose.objects import Answer, objects_grow
from harness.diagnose.pool import PoolView
from harness.diagnose.probes import collected
from harness.diagnose.uncollected import kept_evidence, switched_off_and_piling_up, uncollected_evidence
from harness.model.finding import Cause, Confidence, Evidence, Finding, Side

_RULED_OUT, _SMALL, _MOSTLY = 0.1, 0.3, 0.5  # garbage, of the growth
_FULL_COLLECTION_RUNS = (
    121  # 11 x 11 collections of the youngest generation: before that no full one is even considered
)


class LeakObjectsRule:
    id = "leak.objects"
    needs = ("process.memory.pss_anon", "agent.python.blocks | runtime.python.pymalloc.blocks | runtime.php.heap.size")

    def check(self, pool: PoolView) -> Sequence[Finding]:
        account = account_of(pool)
        curve = None if account is None else _growing(pool, account)
        if account is None or curve is None:
            return ()
        split = attribute_private(pool)
        objects = objects_grow(pool, split)
        garbage = account.garbage
        if objects.answer is not Answer.YES or (garbage is not None and garbage >= _MOSTLY):
            return ()
        if switched_off_and_piling_up(pool):
            return ()  # told as gc-delay, which a single call of the collector proves or rules out
        beside = _malloc_beside(pool)
        waiting = [] if garbage is not None else uncollected_evidence(pool, Side.AGAINST)
        certain = _garbage_is_ruled_out(pool, garbage) and not beside
        leak = Leak(
            cause=Cause.LEAK_OBJECTS,
            curve=curve,
            explains=_kept(account, curve),
            evidence=[*objects.evidence, *_garbage(pool, garbage), *kept_evidence(pool, Side.FOR), *waiting, *beside],
            witnesses=1,
            most=Confidence.LOW if waiting else Confidence.HIGH if certain else Confidence.MEDIUM,
        )
        return [leak_finding(pool, account, split, leak)]


RULE = LeakObjectsRule()


def _malloc_beside(pool: PoolView) -> list[Evidence]:
    """That most of what grows lies with malloc although no more objects lie there: an extension's memory, which the objects may
    own, or which may be lost beside them."""
    heap = heap_of(pool)
    large, native, live = heap.large_blocks, heap.native_live, heap.live
    if large is None or large.shape not in (Shape.FLAT, Shape.SETTLED) or native is None or live is None:
        return []
    if not native.grows or not live.grows or native.per_round < _MOSTLY * live.per_round:
        return []
    share = native.per_round / live.per_round
    text = (
        f"malloc has {100 * share:.0f} % of the growth of live memory, but no more Python objects: it is memory of an extension "
        "that the objects own, or that is lost beside them"
    )
    return [Evidence("malloc.live", share, "ratio", text, Side.AGAINST)]


def _growing(pool: PoolView, account: Account) -> Growth | None:
    """What certainly grows: private memory, or live bytes although resident memory does not show them yet, because free memory of
    the allocators takes them up; in all, or what malloc has of them while it has ever more Python objects and a cache that still
    fills bends the sum."""
    if account.grows:
        return account.curve
    live, native, large = account.live, heap_of(pool).native_live, heap_of(pool).large_blocks
    if live is not None and live.grows and live.steady:
        return live
    if native is not None and native.grows and native.steady and large is not None and large.grows and large.steady:
        return native
    return None


def _kept(account: Account, curve: Growth) -> float:
    """Bytes a round of ``curve`` that are kept for good."""
    if curve is account.curve or curve is account.live:
        return account.curve.per_round if account.kept is None else account.kept
    return curve.per_round * (1 - min(1.0, account.garbage or 0.0))


def _garbage_is_ruled_out(pool: PoolView, garbage: float | None) -> bool:
    if garbage is not None:
        return garbage < _SMALL
    if pool.blocks is None:
        return pool.roots is not None and not pool.roots.grows
    return _collections(pool) >= _FULL_COLLECTION_RUNS


def _garbage(pool: PoolView, share: float | None) -> list[Evidence]:
    found = collected(pool)
    if share is None or found is None:
        return _too_few(pool)
    grown = pool.blocks.levels[-1] - pool.blocks.levels[0] if pool.blocks is not None else None
    freed = (
        f"{found.objects} objects"
        if found.blocks is None
        else f"{found.objects} objects, {found.blocks} live allocations"
    )
    added = "" if grown is None or found.blocks is None else f"; the rounds had added {grown:.0f}"
    did = f"a full collection after the last round freed {freed}{added}"
    if share < _RULED_OUT:
        meaning, side = "that garbage in cycles explains the growth is ruled out", Side.FOR
    else:
        meaning = f"at most {100 * share:.0f} % of the growth was garbage in cycles, the rest is kept"
        side = Side.FOR if share < _SMALL else Side.AGAINST
    return [Evidence("gc.probe", float(found.objects), "objects", f"{did}: {meaning}", side)]


def _too_few(pool: PoolView) -> list[Evidence]:
    if pool.blocks is None or _collections(pool) >= _FULL_COLLECTION_RUNS:
        return []
    text = (
        f"about {_collections(pool):.0f} collections ran in each worker, too few for a full one: that the objects "
        "are garbage in cycles, still waiting for it, is not ruled out"
    )
    return [Evidence("gc.runs", _collections(pool), "count", text, Side.AGAINST)]


def _collections(pool: PoolView) -> float:
    """Garbage collections per stable worker during the judged rounds, as far as recorded."""
    stable = set(pool.stable)
    runs = sum(
        j.record.values.get("gc_runs") or 0 for j in pool.measured_spans if j.worker in stable and j.record is not None
    )
    return runs / max(1, len(stable))
