"""Memory of malloc that is never freed: an extension module, a C library, a persistent connection.

malloc's live bytes grow although the language's own objects do not. Without a view into malloc: private memory grows although the
objects were counted and do not, and nothing else accounts for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.diagnose.account import Account, Part, account_of
from harness.diagnose.attribution import attribute_private
from harness.diagnose.growth import Growth
from harness.diagnose.heap import HeapView, heap_of
from harness.diagnose.leaking import Leak, leak_finding
from harness.diagnose.objects import Answer, Objects, objects_grow
from harness.diagnose.pool import PoolView
from harness.diagnose.probes import collected
from harness.model.finding import Cause, Confidence, Evidence, Finding, Side
from harness.units import format_bytes

_MOSTLY = 0.5


class LeakNativeRule:
    id = "leak.native"
    needs = ("process.memory.pss_anon", "runtime.glibc.used | agent.python.glibc.used")

    def check(self, pool: PoolView) -> Sequence[Finding]:
        account, heap = account_of(pool), heap_of(pool)
        if account is None:
            return ()
        split = attribute_private(pool)
        objects = objects_grow(pool, split)
        if heap.native_live is not None:
            found = _by_malloc(pool, account, heap, objects)
        else:
            found = None if pool.blocks is None else _by_rest(pool, account, objects)
        return [] if found is None else [leak_finding(pool, account, split, found)]


RULE = LeakNativeRule()


def _by_malloc(pool: PoolView, account: Account, heap: HeapView, objects: Objects) -> Leak | None:
    native, live = heap.native_live, heap.live
    if native is None or not native.grows or objects.answer is Answer.YES or objects.uncounted:
        return None  # objects that nobody counted: it is told as leak, whose kind is not known
    if live is not None and native.per_round < _MOSTLY * max(live.per_round, account.curve.per_round):
        return None
    if not account.grows and not native.steady:
        return None
    freed = collected(pool)
    if freed is not None and freed.live_bytes is not None and freed.live_bytes >= _MOSTLY * native.total:
        return None  # a collection gave it back: it hung on garbage
    text = (
        f"malloc's live bytes grow by {format_bytes(native.per_round)} a {pool.stretch} (95 % CI "
        f"{format_bytes(native.low, sign=True)} to {format_bytes(native.high, sign=True)}){_beside(heap)}"
    )
    evidence = [*objects.evidence, Evidence("malloc.live", native.per_round, "bytes/round", text)]
    most = Confidence.HIGH if objects.answer is Answer.NO else Confidence.MEDIUM
    curve = account.curve if account.grows else native
    return Leak(
        Cause.LEAK_NATIVE, curve, native.per_round, evidence, witnesses=1 + (objects.answer is Answer.NO), most=most
    )


def _beside(heap: HeapView) -> str:
    """What the language's own heap does meanwhile."""
    own: Growth | None = heap.runtime_live
    if own is None:
        return ""
    return f", those of the language's own heap by {format_bytes(own.per_round, sign=True)}"


def _by_rest(pool: PoolView, account: Account, objects: Objects) -> Leak | None:
    """malloc cannot be seen: it is what remains when nothing else is left."""
    if not account.grows or objects.answer is not Answer.NO:
        return None
    if pool.unshared is not None and pool.unshared >= _MOSTLY * account.curve.per_round:
        return None
    if any(account.share(part) >= _MOSTLY for part in (Part.UNSHARED, Part.THREADS, Part.OUTSIDE, Part.HELD)):
        return None
    text = "malloc could not be seen: memory that was mapped past it, or a few large objects, would look the same"
    evidence = [*objects.evidence, Evidence("malloc.live", None, "bytes/round", text, Side.AGAINST)]
    per_round, most = account.curve.per_round, Confidence.MEDIUM
    return Leak(Cause.LEAK_NATIVE, account.curve, per_round, evidence, witnesses=1, most=most)
