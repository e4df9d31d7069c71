"""Files that are written or read fill the page cache: the machine's free memory falls, and nobody is short of any.

Seen best in the target's memory group: file pages that are charged to it and that no process has mapped. Without such a group
only the machine's page cache is known, which anybody may fill. Sources: docs/causes.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.diagnose.attribution import attribute_levels
from harness.diagnose.growth import Growth, Yardstick
from harness.diagnose.host import Group, HostView, not_mapped, of_processes
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
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_MIB = 1024 * 1024
_OWN_RECORDS_BYTES = 1024  # a request: what this tool's agent writes down in the target, with room to spare
_HOST_FLOOR_BYTES, _HOST_FLOOR_SHARE = 8 * _MIB, 0.001  # of all memory, a round: other programs write files too
_FOLLOWS = 0.5  # of the growth, by which MemAvailable must fall to speak against harmlessness
_AT_LIMIT = 0.9


class PageCacheRule:
    id = "page-cache"
    needs = ("system.meminfo.Cached", "system.meminfo.MemAvailable")

    def check(self, host: HostView) -> Sequence[Finding]:
        found = [finding for group in host.groups for finding in _of_group(host.where(group.pool), group)]
        return found or _of_host(host.alone)


RULE = PageCacheRule()


def _of_group(host: HostView, group: Group) -> list[Finding]:
    pool, prefix = group.pool, f"{group.prefix}memory.stat."
    charged, shared = host.at_floors(f"{prefix}file"), host.at_floors(f"{prefix}shmem")
    mapped = of_processes(pool, "pss_file")
    if charged is None or shared is None or mapped is None:
        return []
    curve = host.grows(charged - shared - mapped, Yardstick(_MIB + _records_bytes(pool), _MIB, doubt=_MIB))
    if curve is None:
        return []
    split = attribute_levels(pool, not_mapped(host, group, "file", ["shmem"], "pss_file"), PAGE_STEP_BYTES)
    harmless, available = _available(host, curve)
    evidence = [
        curve_evidence("cgroup.file", f"page cache charged to {group.text}", curve, pool.stretch),
        *_cache_of_host(host),
        *available,
        *private_evidence(pool),
        *_limit(host, group),
        *attribution_evidence(split),
    ]
    private = pool.memory
    points = 1 + group.own + (private is not None and private.judged and not private.grows) - (not harmless)
    return [
        host_finding(
            host,
            Cause.PAGE_CACHE,
            Severity.INFO,
            by_points(points),
            f"Files that {pool.name} writes or reads fill the page cache, {growing_by(curve, pool)}. That is harmless: the "
            f"kernel gives it up when memory is needed.{by_endpoint(split)}",
            evidence,
            pool=pool,
            endpoint=split.dominant,
            curve=curve,
            numbers={"growth_bytes_per_round": curve.per_round},
        )
    ]  # fmt: skip


def _records_bytes(pool: PoolView) -> float:
    return _OWN_RECORDS_BYTES * len(pool.all_spans) / len(pool.rounds)


def _of_host(host: HostView) -> list[Finding]:
    levels = _host_levels(host)
    total = host.memory_bytes
    floor = max(_HOST_FLOOR_BYTES, _HOST_FLOOR_SHARE * (total or 0.0))
    curve = host.grows(levels, Yardstick(floor, _HOST_FLOOR_BYTES, doubt=_HOST_FLOOR_BYTES))
    if curve is None:
        return []
    _, available = _available(host, curve)
    return [
        host_finding(
            host,
            Cause.PAGE_CACHE,
            Severity.INFO,
            Confidence.LOW,
            f"The page cache of this machine grows by {format_bytes(curve.per_round)} a {host.stretch}: {SOMEBODY} writes "
            f"or reads files. The kernel gives that up when memory is needed.{not_ours(host)}",
            [curve_evidence("meminfo.cached", "page cache of the machine", curve, host.stretch), *available],
            curve=curve,
            numbers={"growth_bytes_per_round": curve.per_round},
        )
    ]  # fmt: skip


def _host_levels(host: HostView) -> Floats | None:
    """Page cache of the machine: shared memory and tmpfs, which cannot be given up, are counted in ``Cached`` too."""
    cached, buffers, shared = (host.at_floors(f"system.meminfo.{name}") for name in ("Cached", "Buffers", "Shmem"))
    if cached is None or shared is None:
        return None
    return cached - shared + (0.0 if buffers is None else buffers)


def _cache_of_host(host: HostView) -> list[Evidence]:
    levels = _host_levels(host)
    if levels is None:
        return []
    changed = float(levels[-1] - levels[0])
    grown = format_bytes(changed, sign=True)
    text = f"page cache of the whole machine changed by {grown} over the {host.stretch}s, whoever did it"
    return [Evidence("meminfo.cached", changed, "bytes", text, Side.CONTEXT)]


def _available(host: HostView, curve: Growth) -> tuple[bool, list[Evidence]]:
    """(whether MemAvailable stays, the row): what the kernel could hand out does not shrink by what it can take back."""
    levels = host.at_floors("system.meminfo.MemAvailable")
    if levels is None:
        return True, []
    floor = max(_FOLLOWS * curve.per_round, _MIB)
    falls = host.grows(levels[0] - levels, Yardstick(floor, _MIB, doubt=_MIB, relative=0)) is not None
    changed = float(levels[-1] - levels[0])
    text = f"MemAvailable changed by {format_bytes(changed, sign=True)} over the {host.stretch}s"
    if falls:
        text += ", steadily downwards: it is not only memory that the kernel can give up"
        return False, [Evidence("meminfo.available", changed, "bytes", text, Side.AGAINST)]
    return True, [Evidence("meminfo.available", changed, "bytes", f"{text} and does not fall with it")]


def _limit(host: HostView, group: Group) -> list[Evidence]:
    """The group's limit counts the page cache too: near it, file pages are given up to make room."""
    limit, current = host.at_floors(f"{group.prefix}memory.max"), host.at_floors(f"{group.prefix}memory.current")
    if limit is None or current is None or current[-1] < _AT_LIMIT * limit[-1]:
        return []
    used, most = format_bytes(float(current[-1])), format_bytes(float(limit[-1]))
    text = f"{group.text} is at {used} of its limit of {most}, and page cache counts towards it"
    return [Evidence("cgroup.max", float(limit[-1]), "bytes", text, Side.AGAINST)]
