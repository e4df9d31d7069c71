"""How broken up the free memory of a zone is, from its free blocks of each order (/proc/buddyinfo). Pure.

``k[i]`` is the number of free blocks of order i (2^i pages), F the free pages, B the free blocks. Free pages that lie in per-CPU
lists are not counted. Sources: Gorman and Whitcroft, OLS 2006 (unusable free space index); mm/vmstat.c, fragmentation_index()
and extfrag_for_order().
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

HUGE_ORDER = 9  # 2 MiB of pages of 4 KiB: what a huge page needs
COSTLY_ORDER = 4  # above 3 the kernel gives up sooner (PAGE_ALLOC_COSTLY_ORDER)
_PREFIX = "system.buddyinfo."


@dataclass(frozen=True, slots=True)
class Zone:
    """``name``: node and zone, as in ``0 Normal``. ``blocks``: free blocks by order."""

    name: str
    blocks: tuple[int, ...]

    @property
    def free_pages(self) -> int:
        return sum(count << order for order, count in enumerate(self.blocks))

    def unusable(self, order: int) -> float | None:
        """Fu: the share of free memory that lies in blocks too small for ``order``; 0 best, 1 worst, None without free memory."""
        free = self.free_pages
        if free == 0:
            return None
        return (free - sum(count << i for i, count in enumerate(self.blocks) if i >= order)) / free

    def index(self, order: int) -> float | None:
        """FI: why a request of ``order`` would fail: towards 0 for lack of memory, towards 1 because it is broken up.
        -1: it would not fail, for there is a block. None without free memory."""
        if any(self.blocks[order:]):
            return -1.0
        count = sum(self.blocks)
        return None if count == 0 else 1 - (1 + self.free_pages / (1 << order)) / count


def zones_of(values: Mapping[str, int]) -> Sequence[Zone]:
    """Zones with free memory from ``system.buddyinfo.<node>.<zone>.<order>``, the one with most free memory first."""
    found: dict[str, dict[int, int]] = defaultdict(dict)
    for metric, value in values.items():
        if metric.startswith(_PREFIX):
            name, _, order = metric.removeprefix(_PREFIX).rpartition(".")
            if order.isdecimal():
                found[name.replace(".", " ", 1)][int(order)] = value
    zones = [
        Zone(name, tuple(orders.get(i, 0) for i in range(max(orders) + 1))) for name, orders in sorted(found.items())
    ]
    return sorted((zone for zone in zones if zone.free_pages), key=lambda zone: -zone.free_pages)


def unusable_share(zones: Sequence[Zone], order: int) -> float | None:
    """Fu over all zones, each counted by its free memory; None without any."""
    free = sum(zone.free_pages for zone in zones)
    return sum((zone.unusable(order) or 0.0) * zone.free_pages for zone in zones) / free if free else None
