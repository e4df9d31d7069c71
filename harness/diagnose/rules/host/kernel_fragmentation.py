"""Free memory is in pieces too small for huge pages and for the kernel's own large blocks, and somebody waits for that.

Broken-up free memory alone harms nobody: the memory of processes is mapped page by page. So it is a finding only where requests
for large blocks stall, or where huge pages were wanted and small ones were taken. It does not make the kernel swap.
Sources: docs/causes.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.diagnose.buddy import COSTLY_ORDER, HUGE_ORDER, Zone, unusable_share, zones_of
from harness.diagnose.host import Counted, Group, HostView, of_processes
from harness.diagnose.host_wording import SOMEBODY, by_points, host_finding, share_text
from harness.diagnose.pool import PoolView
from harness.diagnose.straits import STALLED_SHARE, lasting, stalled
from harness.model.finding import Cause, Evidence, Finding, Severity, Side

_STALLS_PER_SECOND = 0.2
_FALLBACKS_PER_SECOND = 0.5
_FALLBACK_SHARE = 0.1  # of the huge pages that were wanted
_BROKEN_UP = 0.5  # Fu at the order of a huge page
_THRESHOLD = 0.5  # FI above which the kernel compacts rather than reclaims (vm.extfrag_threshold, 500 of 1000)
_FEWEST_ROUNDS = 3
_ANSWER = "it does not make the machine swap: the memory of processes is taken page by page, and needs no large blocks"


class KernelFragmentationRule:
    id = "kernel.fragmentation"
    needs = ("system.buddyinfo.0.Normal.0 | system.buddyinfo.0.DMA32.0", "system.vmstat.compact_stall")

    def check(self, host: HostView) -> Sequence[Finding]:
        host = host.alone
        if len(host.rounds) < _FEWEST_ROUNDS:
            return ()
        stalls, fails = host.counted("system.vmstat.compact_stall"), host.counted("system.vmstat.compact_fail")
        fallbacks = host.counted("system.vmstat.thp_fault_fallback")
        wanted = host.counted("system.vmstat.thp_fault_fallback", "system.vmstat.thp_fault_alloc")
        stalling = lasting(stalls, _STALLS_PER_SECOND, host)
        share = 0.0 if fallbacks is None or wanted is None or not wanted.total else fallbacks.total / wanted.total
        falling_back = lasting(fallbacks, _FALLBACKS_PER_SECOND, host) and share >= _FALLBACK_SHARE
        zones = zones_of(_last_values(host))
        if not (stalling or falling_back) or not _broken_up(zones):
            return ()
        sufferer = next((g for g in host.groups if _suffers(host, g)), None)
        evidence = [
            *_zones(zones),
            *_counts(stalls, fails, stalling),
            *_fallbacks(fallbacks, share, falling_back),
            *_harm(host, sufferer),
            Evidence("vmstat.swap", _total(host, "system.vmstat.pswpout"), "pages", _ANSWER, Side.CONTEXT),
        ]
        pieces = "Free memory of this machine is in pieces too small for huge pages and large blocks of the kernel"
        summary = (
            f"{pieces}, and {sufferer.pool.name} waits for that."
            if sufferer is not None
            else f"{pieces}; {SOMEBODY} asks for them and has to wait or to do without. It does not make the machine swap."
        )
        return [
            host_finding(
                host,
                Cause.KERNEL_FRAGMENTATION,
                Severity.WARNING,
                by_points(stalling + falling_back + 1),
                summary,
                evidence,
                pool=None if sufferer is None else sufferer.pool,
                numbers={
                    "unusable_share": unusable_share(zones, HUGE_ORDER) or 0.0,
                    "compaction_stalls_per_second": 0.0 if stalls is None else stalls.per_second,
                    "huge_fallback_share": share,
                },
            )
        ]


RULE = KernelFragmentationRule()


def _last_values(host: HostView) -> dict[str, int]:
    """Free blocks at the last floor."""
    levels = ((metric, host.at_floors(metric)) for metric in host.starting_with("system.buddyinfo."))
    return {metric: int(level[-1]) for metric, level in levels if level is not None}


def _broken_up(zones: Sequence[Zone]) -> bool:
    """By either index: most free memory is useless for a huge page, or large blocks fail for its pieces in the main zone."""
    share = unusable_share(zones, HUGE_ORDER)
    if share is not None and share >= _BROKEN_UP:
        return True
    return any((zone.index(order) or 0.0) > _THRESHOLD for zone in zones[:1] for order in (COSTLY_ORDER, HUGE_ORDER))


def _suffers(host: HostView, group: Group) -> bool:
    """Compaction is part of what tasks of the group wait for; that they use huge pages says that they want large blocks."""
    waiting = stalled(host, f"{group.prefix}memory.pressure_total.")
    return waiting is not None and waiting >= STALLED_SHARE and _uses_huge_pages(group.pool)


def _uses_huge_pages(pool: PoolView) -> bool:
    huge = of_processes(pool, "anon_huge")
    return huge is not None and bool(huge.any())


def _zones(zones: Sequence[Zone]) -> list[Evidence]:
    rows = []
    for zone in zones[:3]:
        fu, fi = zone.unusable(HUGE_ORDER), zone.index(HUGE_ORDER)
        if fu is None or fi is None:
            continue
        why = (
            "a huge page can still be had"
            if fi < 0
            else f"fragmentation index {fi:.2f}, 1 = for its pieces, 0 = for lack of memory"
        )
        text = f"zone {zone.name}: {share_text(fu)} of its free memory is in blocks too small for a huge page; {why}"
        rows.append(Evidence("buddyinfo", fu, "share", text, Side.FOR if fu >= _BROKEN_UP else Side.CONTEXT))
    return rows


def _counts(stalls: Counted | None, fails: Counted | None, stalling: bool) -> list[Evidence]:
    if stalls is None:
        return []
    vain = "" if fails is None else f", {fails.total:.0f} times in vain"
    text = f"tasks waited {stalls.total:.0f} times while memory was moved together{vain}"
    return [
        Evidence("vmstat.compact_stall", stalls.per_second, "count/s", text, Side.FOR if stalling else Side.AGAINST)
    ]


def _fallbacks(fallbacks: Counted | None, share: float, falling_back: bool) -> list[Evidence]:
    if fallbacks is None:
        return []
    text = f"{fallbacks.total:.0f} times a huge page was wanted and small ones were taken, {share_text(share)} of all"
    side = Side.FOR if falling_back else Side.CONTEXT
    return [Evidence("vmstat.thp_fault_fallback", share, "share", text, side)]


def _harm(host: HostView, sufferer: Group | None) -> list[Evidence]:
    prefix = "system.psi_total.memory." if sufferer is None else f"{sufferer.prefix}memory.pressure_total."
    share = stalled(host, prefix)
    if share is None:
        return []
    whose = "the whole machine" if sufferer is None else sufferer.text
    text = f"tasks of {whose} waited for memory in {share_text(share)} of the time"
    return [Evidence("psi.some", share, "share", text, Side.FOR if share >= STALLED_SHARE else Side.AGAINST)]


def _total(host: HostView, metric: str) -> float | None:
    counted = host.counted(metric)
    return None if counted is None else counted.total
