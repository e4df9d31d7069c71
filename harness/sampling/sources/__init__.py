"""One file per kernel file: a pure parser over bytes, and a reader that takes the mount point.

Parsers never raise: what they do not understand is None or left out, and unknown lines are ignored, so that a newer kernel
does no harm. Readers raise OSError, nothing else. Numbers above 2**63 - 1 (a torn or negative counter) are unknown too.
"""

from __future__ import annotations

from . import buddyinfo, loadavg, meminfo, pagetypeinfo, pressure, slabinfo, stat, swaps, vmstat, zoneinfo

# Makers of the system-wide sources, in the order they are read. A new one is a file and a name here.
SYSTEM_SOURCES = (
    meminfo.source,
    pressure.source,
    vmstat.source,
    stat.source,
    loadavg.source,
    buddyinfo.source,
    swaps.source,
    zoneinfo.source,
    slabinfo.source,
    pagetypeinfo.source,
)
