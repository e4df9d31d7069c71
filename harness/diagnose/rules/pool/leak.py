"""Private memory grows with every round, and what kind of memory it is cannot be told: ``leak``, the parent of ``leak.*``.

The arbiter drops it where another rule accounts for the growth.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.diagnose.account import account_of
from harness.diagnose.attribution import attribute_private
from harness.diagnose.growth import Growth
from harness.diagnose.heap import heap_of
from harness.diagnose.leaking import Leak, leak_finding
from harness.diagnose.objects import Objects, objects_grow
from harness.diagnose.pool import PoolView
from harness.model.finding import Cause, Confidence, Evidence, Finding, Side
from harness.units import format_bytes


class LeakRule:
    id = "leak"
    needs = ("process.memory.pss_anon",)

    def check(self, pool: PoolView) -> Sequence[Finding]:
        account = account_of(pool)
        if account is None:
            return ()
        split = attribute_private(pool)
        objects = objects_grow(pool, split)
        curve = account.curve if account.grows else _of_malloc(pool, objects)
        if curve is None:
            return ()
        evidence, most = list(objects.evidence), Confidence.HIGH
        if account.live_ruled_out and account.live is not None:
            text = (
                f"live bytes of all allocators changed by {format_bytes(account.live.per_round, sign=True)} a {pool.stretch}: "
                "what the application keeps does not grow, its memory does"
            )
            evidence.append(Evidence("heap.live", account.live.per_round, "bytes/round", text, Side.AGAINST))
            most = Confidence.LOW
        leak = Leak(Cause.LEAK, curve, curve.per_round, evidence, witnesses=0, most=most)
        return [leak_finding(pool, account, split, leak)]


def _of_malloc(pool: PoolView, objects: Objects) -> Growth | None:
    """What malloc holds, where it grows steadily, pages do not show it yet, and it cannot be told whose it is."""
    native = heap_of(pool).native_live
    return native if objects.uncounted and native is not None and native.grows and native.steady else None


RULE = LeakRule()
