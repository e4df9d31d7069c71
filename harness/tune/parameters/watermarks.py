"""When the kernel begins to reclaim. Sources: Documentation/admin-guide/sysctl/vm.rst, mm/page_alloc.c, mm/vmscan.c."""

from __future__ import annotations

from harness.model.finding import Evidence
from harness.tune.figures import context, kernels_own_reserve_kib, percent, rated, size, speaks_against, supports
from harness.tune.model import Host, Judgement, Kind, Parameter, Verdict, leave, unknown, watch

_STALLS_A_SECOND = 1.0
_SHORT = 0.05  # of memory available: it is short, not late
_MOST_SCALE = 500  # 5 % of memory between watermarks; more is memory thrown away
_LEAST_KIB, _MOST_SHARE = 1024, 0.05
_BROKEN = "below 1024 the kernel's documentation calls the system subtly broken, and prone to deadlock under high load"


def _scale(host: Host) -> Judgement:
    value, stalls = host.number("vm.watermark_scale_factor"), host.busiest("allocstall*")
    before = host.since_boot("allocstall*")
    if value is None or (stalls is None and before is None):
        return unknown("How often tasks had to reclaim by themselves could not be read (/proc/vmstat).")
    counted = (
        () if before is None else (context("allocstall", before, "count", f"direct reclaims since boot: {before}"),)
    )
    if stalls is None or stalls[1] < _STALLS_A_SECOND:
        if stalls is None:
            return leave("Nothing was watched that would speak for a change.", *counted)
        return leave(
            f"kswapd keeps up: hardly any task had to stop and reclaim memory itself {stalls[0].words}.", *counted
        )
    evidence = (rated(*stalls, "allocstall", "tasks that had to stop and reclaim memory themselves"), *counted)
    quick = stalls[0].rate("kswapd_low_wmark_hit_quickly")
    if quick:
        evidence = (
            *evidence,
            rated(stalls[0], quick, "kswapd_low_wmark_hit_quickly", "kswapd went to sleep too early"),
        )
    available = host.available_share
    if available is None or available < _SHORT:
        told = "unknown" if available is None else percent(available)
        return watch(
            f"Tasks reclaim by themselves, and memory is short (least available: {told}): starting earlier does not "
            f"make more of it. "
            "Find who uses it (harness top --by pool).",
            *evidence, speaks_against("MemAvailable", available, "share", f"least memory available: {told}"),
        )  # fmt: skip
    target = min(_MOST_SCALE, max(50, 2 * value))
    if value >= _MOST_SCALE:
        return watch("Tasks reclaim by themselves although the watermarks are far apart already.", *evidence)
    cost = None if host.total is None else host.total * target // 10_000
    return Judgement(
        Verdict.CHANGE,
        "Allocations come in bursts that kswapd starts too late for, although memory is there: let it start earlier.",
        (*evidence, supports("MemAvailable", available, "share", f"least memory available: {percent(available)}")),
        str(target),
        expected="kswapd wakes up earlier and frees more at a time; fewer tasks stop to reclaim (allocstall)",
        risk=f"about {size(cost)} between two watermarks, so up to twice that is kept free instead of caching files",
        verify="harness tune --over 60s under the same load: allocstall falls below one a second",
    )


def _min_free(host: Host) -> Judgement:
    value, total = host.number("vm.min_free_kbytes"), host.total
    if value is None or total is None:
        return unknown("It, or how much memory there is, could not be read.")
    own = kernels_own_reserve_kib(host)
    share = value * 1024 / total
    evidence: tuple[Evidence, ...] = (
        context("vm.min_free_kbytes", share, "share", f"{size(value * 1024)} of {size(total)} is {percent(share)}"),
    )
    if own is not None:
        evidence = (
            *evidence,
            context("kernel's own", own, "KiB", f"the kernel itself would choose about {own} on this machine"),
        )
    if value < _LEAST_KIB or share > _MOST_SHARE * 1.02:  # the kernel's own 5 % is of a little less than MemTotal
        low = value < _LEAST_KIB
        why = (
            f"It is too low: {_BROKEN}."
            if low
            else f"It is too high: {percent(share)} of memory is never given out; 5 % is the most the kernel itself "
            f"takes."
        )
        if own is None:
            return watch(f"{why} Remove the line that sets it and boot again: the kernel then chooses.", *evidence)
        return Judgement(
            Verdict.CHANGE, why, evidence, str(own),
            expected="emergency allocations find memory again" if low else f"{size((value - own) * 1024)} can be used "
            f"again",
            risk="none that is known: it is what the kernel chooses where nobody sets it" if low
            else "whoever raised it may have had a driver in mind that allocates without waiting",
            verify="harness tune: it is between 1024 and 5 % of memory; no 'page allocation failure' in dmesg",
        )  # fmt: skip
    if own is not None and value < 0.95 * own and "vm.min_free_kbytes" in host.origins:
        return watch(
            f"{host.origins['vm.min_free_kbytes']} sets less than the kernel would choose itself (about {own}): a "
            f"number from "
            "somewhere else lowers it here. Removing the line and booting again gives it back.",
            *evidence,
        )
    return leave(
        "It is in order. It is the reserve for emergencies: raising it neither defragments nor makes a process "
        "smaller.",
        *evidence,
    )


def _boost(host: Host) -> Judgement:
    value = host.number("vm.watermark_boost_factor")
    if value is None:
        return unknown("It could not be read.")
    return leave(
        "After a fragmentation event kswapd reclaims some page cache, so that compaction has less to do; it neither "
        "swaps nor writes "
        "for that." if value else "It is off: nothing is reclaimed because of fragmentation."
    )  # fmt: skip


PARAMETERS = (
    Parameter(
        "vm.watermark_scale_factor", Kind.SYSCTL, "vm.watermark_scale_factor", ("vm.watermark_scale_factor",), _scale,
        unit="1/10000 of memory",
    ),
    Parameter("vm.min_free_kbytes", Kind.SYSCTL, "vm.min_free_kbytes", ("vm.min_free_kbytes",), _min_free, unit="KiB"),
    Parameter(
        "vm.watermark_boost_factor", Kind.SYSCTL, "vm.watermark_boost_factor", ("vm.watermark_boost_factor",), _boost,
        unit="1/10000 of a watermark",
    ),
)  # fmt: skip
