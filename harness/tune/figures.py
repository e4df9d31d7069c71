"""Numbers that several parameters are judged by, and evidence made of them. Pure.

Fragmentation: Gorman & Whitcroft, OLS 2006 (unusable free space), Gorman's fragmentation index as in ``mm/vmstat.c``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.model.finding import Evidence, Side
from harness.tune.model import Host, Window, Zone
from harness.units import format_bytes

MIB = 1 << 20
_THP_ORDER = 9
_NOT_COUNTED = frozenset(("Movable", "Device"))  # zones that the kernel leaves out of its own reserve


def unusable(free_blocks: Sequence[int], order: int) -> float | None:
    """Share of free memory that is in blocks too small for ``order``, 0 best, 1 worst; None without free memory."""
    free = sum(count << at for at, count in enumerate(free_blocks))
    if not free:
        return None
    return 1 - sum(count << at for at, count in enumerate(free_blocks) if at >= order) / free


def fragmentation_index(free_blocks: Sequence[int], order: int) -> float | None:
    """Why an allocation of ``order`` would fail: towards 0 for lack of memory, towards 1 because memory is fragmented; None when
    it would succeed (the kernel says -1)."""
    blocks = sum(free_blocks)
    free = sum(count << at for at, count in enumerate(free_blocks))
    if not blocks or any(free_blocks[order:]):
        return None
    return 1 - (1 + free / (1 << order)) / blocks


def worst_fragmentation(zones: Sequence[Zone], order: int = _THP_ORDER) -> tuple[Zone, float] | None:
    """Of the zones that could serve ``order`` at all, the one whose index is highest; None: everywhere it would "
    "succeed."""
    indexes = [(zone, index) for zone in zones if (index := fragmentation_index(zone.free_blocks, order)) is not None]
    large = [(zone, index) for zone, index in indexes if (zone.managed or 0) >= 16 << order]
    return max(large, key=lambda pair: pair[1], default=None)


def huge_blocks(zones: Sequence[Zone]) -> int | None:
    """How many huge pages the free blocks would give; None without buddyinfo."""
    if not any(zone.free_blocks for zone in zones):
        return None
    return sum(
        count << (at - _THP_ORDER) for zone in zones for at, count in enumerate(zone.free_blocks) if at >= _THP_ORDER
    )


def kernels_own_reserve_kib(host: Host) -> int | None:
    """What vm.min_free_kbytes would be if nobody had set it: 4 sqrt(KiB of memory), 128 to 262144, and at least what huge pages
    ask for, at most 5 % of memory (mm/page_alloc.c, set_recommended_min_free_kbytes in mm/khugepaged.c)."""
    zones = [zone for zone in host.zones if zone.managed and zone.name not in _NOT_COUNTED]
    page = host.number("page_size")
    if not zones or page is None:
        return None
    managed_kib = sum(zone.managed or 0 for zone in zones) * page // 1024
    own = min(max(math.isqrt(managed_kib * 16), 128), 262_144)
    if host.facts.get("thp.enabled") in ("always", "madvise"):
        block_kib = (host.number("thp.hpage_pmd_size") or 2 * MIB) // 1024
        own = max(own, min(block_kib * len(zones) * 11, managed_kib // 20))
    return own


def context(signal: str, value: float | None, unit: str, text: str) -> Evidence:
    """What was the case."""
    return Evidence(signal, value, unit, text, Side.CONTEXT)


def supports(signal: str, value: float | None, unit: str, text: str) -> Evidence:
    """Speaks for a change."""
    return Evidence(signal, value, unit, text, Side.FOR)


def speaks_against(signal: str, value: float | None, unit: str, text: str) -> Evidence:
    """Speaks against a change."""
    return Evidence(signal, value, unit, text, Side.AGAINST)


def rated(window: Window, rate: float, signal: str, what: str) -> Evidence:
    """``allocstall`` 3.2 a second in the run."""
    return supports(signal, rate, "per second", f"{what}: {rate:.1f} a second {window.words}")


def size(value: float | None) -> str:
    """Bytes for people."""
    return format_bytes(value)


def percent(share: float) -> str:
    """0.123 -> 12 %, 0.0123 -> 1.2 %."""
    return f"{100 * share:.0f} %" if share >= 0.1 or share == 0 else f"{100 * share:.1f} %"
