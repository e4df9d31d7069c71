"""Anonymous memory that was mapped past every allocator and is never unmapped: mmap() itself, JIT code, pools of C++ libraries.

Resident anonymous memory grows while what the allocators got from the kernel does not.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.diagnose.account import Part, account_of
from harness.diagnose.attribution import attribute_private
from harness.diagnose.leaking import Leak, leak_finding
from harness.diagnose.pool import PoolView
from harness.model.finding import Cause, Confidence, Evidence, Finding, Side
from harness.units import format_bytes

_MOSTLY = 0.5


class LeakMmapRule:
    id = "leak.mmap"
    needs = ("process.smaps.anonymous.rss", "runtime.glibc.system | agent.python.glibc.system")

    def check(self, pool: PoolView) -> Sequence[Finding]:
        account = account_of(pool)
        if account is None or not account.grows or account.outside is None or not account.outside.grows:
            return ()
        outside = account.outside
        # Stacks of threads and huge pages, which make pages resident that nobody asked for, are somebody else's.
        if outside.per_round < _MOSTLY * account.curve.per_round or account.share(Part.THREADS) >= _MOSTLY:
            return ()
        text = (
            f"anonymous memory outside every allocator grows by {format_bytes(outside.per_round)} a {pool.stretch} (95 % CI "
            f"{format_bytes(outside.low, sign=True)} to {format_bytes(outside.high, sign=True)})"
        )
        evidence = [Evidence("anonymous.outside", outside.per_round, "bytes/round", text)]
        live = account.live
        if live is not None and live.judged:
            side = Side.AGAINST if live.grows else Side.FOR
            text = f"live bytes of all allocators change by {format_bytes(live.per_round, sign=True)} a {pool.stretch}"
            evidence.append(Evidence("heap.live", live.per_round, "bytes/round", text, side))
        mappings = pool.matrix(("process.smaps.anonymous.count",))
        if mappings is not None:
            more = float(mappings[:, -1].sum() - mappings[:, 0].sum())
            text = f"the number of anonymous mappings changed by {more:+.0f} over the {pool.stretch}s"
            evidence.append(Evidence("mappings", more, "count", text, Side.FOR if more > 0 else Side.CONTEXT))
        leak = Leak(
            Cause.LEAK_MMAP,
            account.curve,
            outside.per_round,
            evidence,
            witnesses=1 + (live is not None and not live.grows),
            most=Confidence.HIGH if outside.per_round <= 1.3 * account.curve.per_round else Confidence.MEDIUM,
        )
        return [leak_finding(pool, account, attribute_private(pool), leak)]


RULE = LeakMmapRule()
