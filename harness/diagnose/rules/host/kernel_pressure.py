"""There is too little memory: the kernel takes it away as fast as it is used, and work waits.

In a memory group: its limit is hit in most rounds, *and* something suffers (tasks wait, pages are read again, swapped, or a
process is killed). A group that is full of page cache hits its limit all the time and suffers nothing. On the machine: the kernel
reclaims directly or swaps, tasks wait, and the target's own processes have to fetch pages again; where only others do, it is
information. Sources: docs/causes.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.diagnose.host import Counted, Group, HostView
from harness.diagnose.host_wording import SOMEBODY, by_points, host_finding, share_text
from harness.diagnose.pool import PoolView
from harness.diagnose.straits import FAULTS_PER_SECOND, STALLED_SHARE, Harm, harm_of, lasting, stalled
from harness.model.event import Event
from harness.model.finding import Cause, Evidence, Finding, Severity, Side
from harness.units import format_bytes

_HITS_PER_SECOND = 1.0
_REFAULTS_PER_SECOND = 100.0  # pages, 400 KiB
_SWAP_PER_SECOND = 10.0  # pages
_STALLS_PER_SECOND = 0.2
_SCARCE = 0.1  # of the machine's memory, available
_FEWEST_ROUNDS = 3


class KernelPressureRule:
    id = "kernel.pressure"
    needs = ("system.meminfo.MemAvailable", "system.vmstat.pgscan_direct", "system.psi_total.memory.some")

    def check(self, host: HostView) -> Sequence[Finding]:
        if len(host.rounds) < _FEWEST_ROUNDS:
            return ()
        found = [finding for group in host.groups for finding in _of_group(host.where(group.pool), group)]
        return found or _of_machine(host.alone)


RULE = KernelPressureRule()


def _of_group(host: HostView, group: Group) -> list[Finding]:
    prefix, harm = f"{group.prefix}memory.", harm_of(group.pool)
    hits = host.counted(*(f"{prefix}events.{name}" for name in ("max", "high", "failcnt")))
    killed = host.counted(f"{prefix}events.oom_kill")
    waiting = stalled(host, f"{prefix}pressure_total.")
    refaults = host.counted(
        *(f"{prefix}stat.{name}" for name in ("workingset_refault_file", "workingset_refault_anon"))
    )
    hit = lasting(hits, _HITS_PER_SECOND, host)
    waits = waiting is not None and waiting >= STALLED_SHARE
    reads = lasting(refaults, _REFAULTS_PER_SECOND, host)
    told = host.kills_told(group.pool)
    died = (killed is not None and killed.total > 0) or bool(told)
    if not died and not (hit and (waits or reads or harm.any)):
        return []
    evidence = [*_limit(host, group, hits), *(_told(told) or _killed(killed)), *_waiting(waiting, group.text)]
    evidence += [*_refaults(refaults, group.text, reads), *_of_pool(group.pool, harm)]
    outside = False
    if waiting is None and refaults is None:  # version 1: only the machine's counters tell, which are everybody's
        machine, whole = (
            stalled(host, "system.psi_total.memory."),
            host.counted("system.vmstat.workingset_refault_file"),
        )
        reads = lasting(whole, _REFAULTS_PER_SECOND, host)
        evidence += [*_waiting(machine, "the whole machine"), *_refaults(whole, "the whole machine", reads)]
        outside = reads and (machine is None or machine >= STALLED_SHARE)
    points = hit + waits + harm.reads_again + harm.swaps + reads * (not outside) + outside + 2 * died
    return [
        host_finding(
            host,
            Cause.KERNEL_PRESSURE,
            Severity.CRITICAL if died else Severity.WARNING,
            by_points(points if group.own else min(points, 2)),
            _group_summary(host, group, died),
            evidence,
            pool=group.pool,
            numbers={**_numbers(hits, waiting, harm), "limit_kills": _kills(told, killed)},
        )
    ]


def _group_summary(host: HostView, group: Group, died: bool) -> str:
    limit = host.at_floors(f"{group.prefix}memory.max")
    bound = "its limit" if limit is None else f"its limit of {format_bytes(limit[-1])}"
    if died:
        return f"{group.pool.name} does not fit into its memory group: a process was killed for {bound}."
    return (
        f"{group.pool.name} works at {bound} of memory: the kernel throws out pages that are needed again at once, and "
        "requests wait for that."
    )


def _of_machine(host: HostView) -> list[Finding]:
    swapping = host.counted("system.vmstat.pswpout", "system.vmstat.pswpin")
    reclaims = host.counted(*host.starting_with("system.vmstat.allocstall"))
    waiting = stalled(host, "system.psi_total.memory.")
    available, total = host.at_floors("system.meminfo.MemAvailable"), host.memory_bytes
    swaps, reclaiming = (
        lasting(swapping, _SWAP_PER_SECOND, host),
        lasting(reclaims, _STALLS_PER_SECOND, host),
    )
    scarce = available is not None and total is not None and float(available.min()) < _SCARCE * total
    short = (swaps or reclaiming) if waiting is None else waiting >= STALLED_SHARE
    if not short or swaps + reclaiming + scarce == 0:
        return []
    pool = next((p for p in host.pools if harm_of(p).any), None)
    harm = None if pool is None else harm_of(pool)
    evidence = [
        *_waiting(waiting, "the whole machine"),
        *_activity(reclaims, "a task had to free memory itself", reclaiming),
    ]
    evidence += _activity(swapping, "a page went to or came from swap", swaps)
    if available is not None and total is not None:
        share = float(available.min()) / total
        text = f"MemAvailable was down to {format_bytes(float(available.min()))}, {share_text(share)} of the machine's memory"
        evidence.append(Evidence("meminfo.available", share, "share", text, Side.FOR if scarce else Side.AGAINST))
    evidence += _killed(host.counted("system.vmstat.oom_kill"))
    if pool is None or harm is None:
        text = "no process of the target had to fetch pages again or was swapped out"
        evidence.append(Evidence("pool.faults", 0.0, "count/s", text, Side.AGAINST))
        summary = f"This machine is short of memory, but the target does not suffer from it: {SOMEBODY} uses it up."
    else:
        evidence += _of_pool(pool, harm)
        summary = f"This machine is short of memory, and {pool.name} suffers from it: its pages are taken away and fetched again."
    points = (waiting is not None) + swaps + reclaiming + scarce + (harm is not None)
    return [
        host_finding(
            host,
            Cause.KERNEL_PRESSURE,
            Severity.WARNING,
            by_points(points - 1),
            summary,
            evidence,
            pool=pool,
            numbers=_numbers(None, waiting, harm),
        )
    ]


def _numbers(hits: Counted | None, waiting: float | None, harm: Harm | None) -> dict[str, float]:
    found = {"limit_hits": None if hits is None else hits.total, "stalled_share": waiting}
    found["major_faults_per_second"] = None if harm is None else harm.faults
    return {name: float(value) for name, value in found.items() if value is not None}


def _limit(host: HostView, group: Group, hits: Counted | None) -> list[Evidence]:
    if hits is None:
        return []
    often = hits.rounds_with(1)
    text = f"{group.text} hit its limit {hits.total:.0f} times, in {share_text(often)} of the {host.stretch}s"
    return [Evidence("cgroup.limit", hits.per_second, "count/s", text, Side.FOR if hits.total else Side.AGAINST)]


def _killed(killed: Counted | None) -> list[Evidence]:
    if killed is None or not killed.total:
        return []
    text = f"the kernel killed {killed.total:.0f} processes for lack of memory"
    return [Evidence("oom_kill", killed.total, "count", text)]


def _told(kills: Sequence[Event]) -> list[Evidence]:
    return [Evidence("oom_kill", _kills(kills, None), "count", kills[-1].text)] if kills else []


def _kills(told: Sequence[Event], counted: Counted | None) -> float:
    """Processes of the group that were killed for lack of memory."""
    counts = [event.attributes.get("kills") for event in told]
    number = sum(count if isinstance(count, int) else 1 for count in counts)
    return float(number or (0.0 if counted is None else counted.total))


def _waiting(share: float | None, whose: str) -> list[Evidence]:
    if share is None:
        return []
    text = f"tasks of {whose} waited for memory in {share_text(share)} of the time (pressure stall information, some)"
    return [Evidence("psi.some", share, "share", text, Side.FOR if share >= STALLED_SHARE else Side.AGAINST)]


def _refaults(counted: Counted | None, whose: str, lasts: bool) -> list[Evidence]:
    if counted is None:
        return []
    text = f"{counted.per_second:.0f} pages a second of {whose} were read again soon after they had been thrown out"
    return [Evidence("workingset.refault", counted.per_second, "pages/s", text, Side.FOR if lasts else Side.AGAINST)]


def _activity(counted: Counted | None, what: str, lasts: bool) -> list[Evidence]:
    if counted is None:
        return []
    text = f"{what} {counted.per_second:.1f} times a second"
    signal = "vmstat.swap" if "swap" in what else "vmstat.allocstall"
    return [Evidence(signal, counted.per_second, "count/s", text, Side.FOR if lasts else Side.CONTEXT)]


def _of_pool(pool: PoolView, harm: Harm) -> list[Evidence]:
    rows = []
    if harm.faults is not None:
        text = f"processes of {pool.name} waited for a page from disk or swap {harm.faults:.1f} times a second"
        side = Side.FOR if harm.faults >= FAULTS_PER_SECOND else Side.CONTEXT
        rows.append(Evidence("pool.faults", harm.faults, "count/s", text, side))
    if harm.swaps:
        text = f"{format_bytes(harm.swapped)} of {pool.name} went to swap over the {pool.stretch}s"
        rows.append(Evidence("pool.swap", harm.swapped, "bytes", text))
    return rows
