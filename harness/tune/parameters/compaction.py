"""Fragmentation of free memory. Sources: Documentation/admin-guide/sysctl/vm.rst, mm/vmstat.c, mm/compaction.c."""

from __future__ import annotations

from harness.model.finding import Evidence
from harness.tune.figures import context, huge_blocks, percent, rated, unusable, worst_fragmentation
from harness.tune.model import Host, Judgement, Kind, Parameter, Verdict, leave, unknown, watch

_EXTREME, _DEFAULT = 80, 20
_SCANNED_A_SECOND = 10_000  # pages looked at by background compaction: about 1 % of a core
_FAILED_A_SECOND = 1.0
_HUGE_ORDER = 9


def _fragments(host: Host) -> list[Evidence]:
    evidence = []
    blocks, worst = huge_blocks(host.zones), worst_fragmentation(host.zones)
    if blocks is not None:
        evidence.append(context("buddyinfo", blocks, "count", f"free memory holds {blocks} huge pages in one piece"))
    if worst is not None:
        zone, index = worst
        evidence.append(
            context(
                "fragmentation index",
                index,
                "share",
                f"node {zone.node} {zone.name}: a huge page would fail, index {index:.2f} (towards 0 memory is short, towards 1 "
                "it is fragmented)",
            )
        )
    shares = [(zone, share) for zone in host.zones if (share := unusable(zone.free_blocks, _HUGE_ORDER)) is not None]
    if shares:
        zone, share = max(shares, key=lambda pair: pair[0].managed or 0)
        small = f"{percent(share)} of its free memory is in smaller pieces than a huge page"
        text = f"node {zone.node} {zone.name}, the largest zone: {small}"
        evidence.append(context("unusable free space", share, "share", text))
    return evidence


def _proactiveness(host: Host) -> Judgement:
    value = host.number("vm.compaction_proactiveness")
    if value is None:
        return unknown("It could not be read.")
    evidence = _fragments(host)
    scanned = host.busiest("compact_daemon_migrate_scanned")
    if value > _EXTREME and scanned is not None and scanned[1] >= _SCANNED_A_SECOND:
        return Judgement(
            Verdict.CHANGE,
            "Background compaction works all the time; such a high value is known for that.",
            (rated(*scanned, "compact_daemon_migrate_scanned", "pages looked at by background compaction"), *evidence),
            str(_DEFAULT),
            expected="less CPU of kcompactd, fewer latency spikes",
            risk="fewer huge pages can be had at once",
            verify="harness tune --over 60s under the same load: compact_daemon_migrate_scanned falls, "
            "thp_fault_fallback does not rise",
        )
    failed = host.busiest("thp_fault_fallback")
    finding = host.causes("kernel.fragmentation")
    if finding is not None or (failed is not None and failed[1] >= _FAILED_A_SECOND):
        told = [] if failed is None else [rated(*failed, "thp_fault_fallback", "huge pages that could not be had")]
        return watch(
            f"{finding.summary if finding is not None else 'Huge pages could not be had when they were asked for.'} "
            "Small pages were given instead, which costs speed, not memory. Compacting once (echo 1 > "
            "/proc/sys/vm/compact_memory) "
            "shows whether it would help; only then is a higher value worth its latency.",
            *told, *evidence,
        )  # fmt: skip
    return leave(
        "No allocation is known to have failed for want of a large piece: fragmentation of free memory harms nobody "
        "here.",
        *evidence,
    )


def _extfrag(host: Host) -> Judgement:
    if host.number("vm.extfrag_threshold") is None:
        return unknown("It could not be read.")
    return leave(
        "It only decides whether a large request that fails is answered by compaction or by reclaim. In practice the "
        "index hardly ever "
        "falls below the default of 500.",
        *_fragments(host),
    )


PARAMETERS = (
    Parameter(
        "vm.compaction_proactiveness", Kind.SYSCTL, "vm.compaction_proactiveness", ("vm.compaction_proactiveness",),
        _proactiveness, aliases=("vm.compact_memory",),
    ),
    Parameter("vm.extfrag_threshold", Kind.SYSCTL, "vm.extfrag_threshold", ("vm.extfrag_threshold",), _extfrag),
)  # fmt: skip
