"""Objects that the kernel keeps for the target grow: names of files, inodes, buffers of sockets. No process's memory shows them.

Seen best in the target's memory group, to which the kernel charges them. Which cache it is, only the machine's /proc/slabinfo
tells. What can be given up (directory entries, inodes) is no harm; what cannot (sockets, unread data) is a leak in the kernel's
memory. Sources: docs/causes.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.diagnose.attribution import attribute_levels
from harness.diagnose.growth import Growth, Yardstick
from harness.diagnose.host import Group, HostView, of_processes
from harness.diagnose.host_wording import (
    SOMEBODY,
    by_endpoint,
    by_points,
    host_finding,
    not_ours,
    private_evidence,
)
from harness.diagnose.pool import PAGE_STEP_BYTES, PoolView
from harness.diagnose.wording import attribution_evidence, curve_evidence, growing_by
from harness.model.finding import Cause, Confidence, Evidence, Finding, Severity, Side
from harness.units import format_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_KIB, _MIB = 1024, 1024 * 1024
_GROUP = Yardstick(256 * _KIB, 256 * _KIB, doubt=_MIB)  # an idle group moves by some pages a round
_CACHE = Yardstick(128 * _KIB, 256 * _KIB, doubt=_MIB, relative=0.0005)
_MACHINE = Yardstick(4 * _MIB, 4 * _MIB, doubt=8 * _MIB)  # everybody on the machine is in it
_THREAD_BYTES = 32 * _KIB  # kernel stack of 16 KiB, task_struct and what belongs to it
_FILE_SHARE = (
    0.04  # of page cache, that its own bookkeeping takes: 104 B of buffer head and 3 B of tree for a page of 4 KiB
)
_TABLE_SHARE = 1 / 512  # 8 B of page table for a page of 4 KiB
_ACCOUNTS_LOW, _ACCOUNTS_HIGH = 0.5, 1.5
_MOSTLY = 0.5
_RECLAIMABLE = re.compile(
    r"dentry|.*inode|radix_tree_node|buffer_head|extent_status|kmalloc-rcl-.*|.*_(inode|extent).*cache"
)
_SLAB = "system.slab."
_INODE = re.compile(r".*inode.*")
_SOCKETS = re.compile(r"sock_inode_cache|skbuff_.*|(TCP|UDP|UNIX|PING|RAW).*")
_SOCKET_CACHE = Yardstick(16 * _KIB, 16 * _KIB, doubt=64 * _KIB, relative=0.0005)


@dataclass(frozen=True, slots=True)
class _Cache:
    name: str
    curve: Growth

    @property
    def reclaimable(self) -> bool:
        return _RECLAIMABLE.fullmatch(self.name) is not None


class KernelSlabRule:
    id = "kernel.slab"
    needs = ("system.meminfo.SReclaimable", "system.meminfo.SUnreclaim", "system.slab.dentry")

    def check(self, host: HostView) -> Sequence[Finding]:
        found = [finding for group in host.groups for finding in _of_group(host.where(group.pool), group)]
        return found or _of_host(host.alone)


RULE = KernelSlabRule()


def _growing_caches(
    host: HostView, names: re.Pattern[str] = re.compile(r".*"), yardstick: Yardstick = _CACHE
) -> list[_Cache]:
    """Those that certainly grow, the fastest first."""
    chosen = {m.removeprefix(_SLAB): m for m in host.starting_with(_SLAB) if names.fullmatch(m.removeprefix(_SLAB))}
    curves = ((name, host.grows(host.at_floors(metric), yardstick)) for name, metric in chosen.items())
    found = [_Cache(name, curve) for name, curve in curves if curve is not None]
    return sorted(found, key=lambda cache: -cache.curve.per_round)


def _of_group(host: HostView, group: Group) -> list[Finding]:
    pool, levels = group.pool, _charged(host, group)
    caches = _growing_caches(host)
    curve = host.grows(levels, _GROUP)
    if curve is None:
        return []
    cache = next((c for c in caches if c.curve.per_round <= _ACCOUNTS_HIGH * curve.per_round), None)
    named = cache is not None and cache.curve.per_round >= _ACCOUNTS_LOW * curve.per_round
    sockets = (
        () if named and cache is not None and cache.reclaimable else _growing_caches(host, _SOCKETS, _SOCKET_CACHE)
    )
    lost = _cannot_be_given_up(host, group, curve, cache if named else None, sockets)
    metric = f"{group.prefix}memory.stat."
    times = host.at(f"{metric}{_split_by(host, metric)}", pool.floors)
    split = attribute_levels(pool, times, PAGE_STEP_BYTES)
    evidence = [
        curve_evidence("cgroup.kernel", f"memory that the kernel keeps for {group.text}", curve, pool.stretch),
        *_cache_evidence(cache, curve, caches),
        *_socket_evidence(sockets, pool),
        *_kind_evidence(host),
        *private_evidence(pool),
        *attribution_evidence(split),
    ]
    what = "sockets and data that waits in them" if sockets else "kernel objects"
    what += f" ({cache.name})" if named and cache is not None else ""
    grows = f"The kernel keeps more and more {what} for {pool.name}, {growing_by(curve, pool)}"
    end = {
        True: "; the kernel cannot give them up, so this is a leak that no process shows.",
        False: "; the kernel gives them up when memory is needed, so this is harmless unless it costs time.",
        None: "; whether it can give them up is not known.",
    }[lost]
    return [
        host_finding(
            host,
            Cause.KERNEL_SLAB,
            Severity.WARNING if lost else Severity.INFO,
            by_points(1 + group.own + (named or bool(sockets)) + (lost is not None) - (not curve.steady)),
            grows + end + by_endpoint(split),
            evidence,
            pool=pool,
            endpoint=split.dominant,
            curve=curve,
            numbers={
                "growth_bytes_per_round": curve.per_round,
                **({} if lost is None else {"unreclaimable_share": float(lost)}),
            },
        )
    ]


def _charged(host: HostView, group: Group) -> Floats | None:
    """What the group is charged for objects. Version 1 knows one number for all of the kernel's memory: threads, page tables and
    the bookkeeping of the page cache, which follow other causes, are taken off."""
    prefix = f"{group.prefix}memory.stat."
    exact = host.sum_at_floors(f"{prefix}slab_reclaimable", f"{prefix}slab_unreclaimable")
    if exact is not None:
        sockets = host.at_floors(f"{prefix}sock")
        return exact if sockets is None else exact + sockets
    kernel, file = host.at_floors(f"{prefix}kernel"), host.at_floors(f"{prefix}file")
    resident, threads = of_processes(group.pool, "rss"), _threads(group.pool)
    if kernel is None or file is None or resident is None or threads is None:
        return None
    return kernel - _FILE_SHARE * file - _TABLE_SHARE * resident - _THREAD_BYTES * threads


def _split_by(host: HostView, prefix: str) -> str:
    """Which number is split by endpoint: the larger part."""
    parts = {name: host.at_floors(prefix + name) for name in ("slab_reclaimable", "slab_unreclaimable", "sock")}
    known = {name: float(level[-1] - level[0]) for name, level in parts.items() if level is not None}
    return max(known, key=lambda name: known[name]) if known else "kernel"


def _threads(pool: PoolView) -> Floats | None:
    sums = []
    for info in pool.rounds:
        values = [floor.values.get("process.threads") for floor in pool.floors.get(info.floor_ns, {}).values()]
        if not values or None in values:
            return None
        sums.append(sum(v or 0 for v in values))
    return np.array(sums, dtype=np.float64)


def _cannot_be_given_up(
    host: HostView, group: Group, curve: Growth, cache: _Cache | None, sockets: Sequence[_Cache]
) -> bool | None:
    """By the group's own numbers, else by the cache that accounts for it, else because sockets become more, else by the machine's
    numbers. None where nothing tells."""
    prefix = f"{group.prefix}memory.stat."
    kept = host.at_floors(f"{prefix}slab_unreclaimable")
    if kept is not None:
        queued = host.at_floors(f"{prefix}sock")
        kept = kept if queued is None else kept + queued
        return float(kept[-1] - kept[0]) >= _MOSTLY * curve.total
    if cache is not None and cache.reclaimable:
        return False
    if sockets and group.pool.descriptors is not None and group.pool.descriptors.grows:
        return True
    machine = host.grows(host.at_floors("system.meminfo.SUnreclaim"), _GROUP)
    if machine is not None and _ACCOUNTS_LOW <= machine.per_round / curve.per_round <= _ACCOUNTS_HIGH:
        return True
    return None


def _cache_evidence(cache: _Cache | None, curve: Growth, caches: Sequence[_Cache]) -> list[Evidence]:
    if cache is None:
        text = "no single cache in /proc/slabinfo grows steadily, or it was not readable"
        return [Evidence("slab.cache", None, "bytes/round", text, Side.AGAINST)]
    part = cache.curve.per_round / curve.per_round
    grown = format_bytes(cache.curve.per_round)
    text = f"the cache {cache.name} of the machine grows by {grown} a round, {100 * part:.0f} % of what is charged"
    side = Side.FOR if part >= _ACCOUNTS_LOW else Side.AGAINST
    rows = [Evidence("slab.cache", cache.curve.per_round, "bytes/round", text, side)]
    if cache.name == "dentry" and not any(_INODE.fullmatch(c.name) for c in caches):
        text = "no cache of inodes grows with it: these are names of files that are not there, or not any more"
        rows.append(Evidence("slab.inodes", 0.0, "bytes/round", text, Side.CONTEXT))
    return rows


def _socket_evidence(sockets: Sequence[_Cache], pool: PoolView) -> list[Evidence]:
    """Data that waits in a socket lies in pages, which no cache shows: that there are ever more sockets is the sign."""
    if not sockets:
        return []
    names = ", ".join(f"{c.name} by {format_bytes(c.curve.per_round)}" for c in sockets[:3])
    rows = [
        Evidence("slab.sockets", sockets[0].curve.per_round, "bytes/round", f"caches of sockets grow: {names} a round")
    ]
    descriptors = pool.descriptors
    if descriptors is not None and descriptors.grows:
        text = f"open descriptors of {pool.name} grow by {descriptors.per_round:.0f} a {pool.stretch}"
        rows.append(Evidence("process.fds", descriptors.per_round, "count/round", text))
    return rows


def _kind_evidence(host: HostView) -> list[Evidence]:
    levels = [host.at_floors(f"system.meminfo.{name}") for name in ("SReclaimable", "SUnreclaim")]
    if levels[0] is None or levels[1] is None:
        return []
    give, keep = (float(level[-1] - level[0]) for level in levels if level is not None)
    text = (
        f"kernel caches of the whole machine changed by {format_bytes(give, sign=True)} that can be given up and by "
        f"{format_bytes(keep, sign=True)} that cannot, whoever did it"
    )
    return [Evidence("meminfo.slab", give + keep, "bytes", text, Side.CONTEXT)]


def _of_host(host: HostView) -> list[Finding]:
    caches = _growing_caches(host)
    kinds = (("SUnreclaim", "which cannot be given up"), ("SReclaimable", "which can be given up"))
    curves = [(name, what, host.grows(host.at_floors(f"system.meminfo.{name}"), _MACHINE)) for name, what in kinds]
    found = next(((name, what, curve) for name, what, curve in curves if curve is not None), None)
    if found is None:
        return []
    name, what, curve = found
    cache = next((c for c in caches if c.curve.per_round <= _ACCOUNTS_HIGH * curve.per_round), None)
    most = (
        f", most of it {cache.name}" if cache is not None and cache.curve.per_round >= _MOSTLY * curve.per_round else ""
    )
    grown = format_bytes(curve.per_round)
    return [
        host_finding(
            host,
            Cause.KERNEL_SLAB,
            Severity.INFO,
            Confidence.LOW,
            f"Objects of the kernel, {what}, grow by {grown} a {host.stretch} on this machine{most}: {SOMEBODY} makes "
            f"them.{not_ours(host)}",
            [
                curve_evidence(f"meminfo.{name}", f"kernel objects of the machine, {what}", curve, host.stretch),
                *_cache_evidence(cache, curve, caches),
            ],
            curve=curve,
            numbers={"growth_bytes_per_round": curve.per_round},
        )
    ]  # fmt: skip
