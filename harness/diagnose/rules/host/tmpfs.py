"""Shared memory that nobody has mapped grows: files on a tmpfs such as /dev/shm, /run or /tmp, which stay until removed.

What processes have mapped of it is a matter of `harness.diagnose.rules.pool.shared_memory`. Sources: docs/causes.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.diagnose.attribution import attribute_levels
from harness.diagnose.growth import Yardstick
from harness.diagnose.host import Group, HostView, not_mapped, of_processes
from harness.diagnose.host_wording import (
    SOMEBODY,
    by_endpoint,
    by_points,
    host_finding,
    not_ours,
    private_evidence,
)
from harness.diagnose.pool import PAGE_STEP_BYTES
from harness.diagnose.wording import attribution_evidence, curve_evidence, growing_by, severity
from harness.model.finding import Cause, Confidence, Evidence, Finding, Severity, Side
from harness.units import format_bytes

_KIB, _MIB = 1024, 1024 * 1024
_GROUP = Yardstick(256 * _KIB, 256 * _KIB, doubt=_MIB)
_MACHINE = Yardstick(4 * _MIB, 4 * _MIB, doubt=8 * _MIB)  # everybody on the machine is in it


class TmpfsRule:
    id = "tmpfs"
    needs = ("system.meminfo.Shmem",)

    def check(self, host: HostView) -> Sequence[Finding]:
        found = [finding for group in host.groups for finding in _of_group(host.where(group.pool), group)]
        return found or _of_host(host.alone)


RULE = TmpfsRule()


def _of_group(host: HostView, group: Group) -> list[Finding]:
    pool, metric = group.pool, f"{group.prefix}memory.stat.shmem"
    charged, mapped = host.at_floors(metric), of_processes(pool, "pss_shmem")
    if charged is None or mapped is None:
        return []
    curve = host.grows(charged - mapped, _GROUP)
    if curve is None:
        return []
    split = attribute_levels(pool, not_mapped(host, group, "shmem", [], "pss_shmem"), PAGE_STEP_BYTES)
    grown = float(mapped[-1] - mapped[0])
    text = f"of it, what processes of {pool.name} have mapped changed by {format_bytes(grown, sign=True)} only"
    return [
        host_finding(
            host,
            Cause.SHARED_MEMORY,
            severity(curve, pool),
            by_points(1 + group.own + bool(split.leading()) - (not curve.steady)),
            f"{pool.name} fills memory with files on a tmpfs (/dev/shm, /run, /tmp), {growing_by(curve, pool)}: they stay "
            f"when it closes them, and when it ends, until they are removed.{by_endpoint(split)}",
            [
                curve_evidence("cgroup.shmem", f"shared memory of {group.text}, mapped by nobody", curve, pool.stretch),
                Evidence("pool.shmem", grown, "bytes", text),
                *private_evidence(pool),
                *attribution_evidence(split),
            ],
            pool=pool,
            endpoint=split.dominant,
            curve=curve,
            numbers={"growth_bytes_per_round": curve.per_round, "tmpfs_bytes_per_round": curve.per_round},
        )
    ]  # fmt: skip


def _of_host(host: HostView) -> list[Finding]:
    levels = host.at_floors("system.meminfo.Shmem")
    mapped = [of_processes(pool, "pss_shmem") for pool in host.pools]
    known = [m for m in mapped if m is not None]
    if levels is None or len(known) < len(mapped):
        return []
    curve = host.grows(levels - sum(known, np.zeros(levels.size)), _MACHINE)
    if curve is None:
        return []
    text = "it is not what the target's processes have mapped: files on a tmpfs, or shared memory of other programs"
    return [
        host_finding(
            host,
            Cause.SHARED_MEMORY,
            Severity.INFO,
            Confidence.LOW,
            f"Shared memory of this machine grows by {format_bytes(curve.per_round)} a {host.stretch}, and the target has "
            f"not mapped it: {SOMEBODY} fills it.{not_ours(host)}",
            [
                curve_evidence("meminfo.shmem", "shared memory of the machine", curve, host.stretch),
                Evidence("pool.shmem", None, "bytes", text, Side.CONTEXT),
            ],
            curve=curve,
            numbers={"growth_bytes_per_round": curve.per_round},
        )
    ]  # fmt: skip
