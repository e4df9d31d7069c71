"""Which kind of shared memory grows in a pool, and what its owner says about it.

The kinds are classes of mappings; what is shared and in none of them is a file on a tmpfs. PHP's two segments, opcache and APCu,
look the same from outside; how much is free in them, the segments themselves tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from harness.diagnose.host import of_processes
from harness.diagnose.mappings import class_levels
from harness.diagnose.pool import PoolView
from harness.model.finding import Evidence, Side
from harness.units import format_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_MOSTLY = 0.7
_MOST = 1.3


class Kind(StrEnum):
    """Names as the report shows them."""

    OPCACHE = "the opcache"
    APCU = "APCu"
    POSIX = "POSIX shared memory (/dev/shm)"
    SYSV = "System V shared memory (shmget)"
    MEMFD = "memfd files"
    ANONYMOUS = "anonymous shared mappings (MAP_SHARED)"
    TMPFS = "mapped files on a tmpfs"


_BY_CLASS = {
    "shm": Kind.POSIX, "sysv": Kind.SYSV, "memfd": Kind.MEMFD, "shared_anonymous": Kind.ANONYMOUS,
}  # fmt: skip
_PHP_CLASS = "opcache_apcu"


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment with a size, of all who map it. ``filled``: bytes a round by which its free memory shrinks; bytes."""

    kind: Kind
    size: float
    free: float
    filled: float

    @property
    def rounds_left(self) -> float:
        return self.free / self.filled


@dataclass(frozen=True, slots=True)
class Filled:
    """The kind that grows most. ``share``: of the growth of the pool's shared memory, so much is this kind. ``segment``: where
    its owner tells how full it is. ``mappings``: more mappings of this kind at the last floor than at the first."""

    kind: Kind
    share: float
    segment: Segment | None
    mappings: float

    @property
    def certain(self) -> bool:
        """Whether this kind accounts for the growth."""
        return _MOSTLY <= self.share <= _MOST


def filled_kind(pool: PoolView) -> Filled | None:
    """None where mappings were not read, or no kind grew."""
    shared = of_processes(pool, "pss_shmem")
    if shared is None or shared.size < 2:
        return None
    total = float(shared[-1] - shared[0])
    grown: dict[str, float] = {}
    for name in (*_BY_CLASS, _PHP_CLASS):
        levels = class_levels(pool, "pss", name)
        if levels is None:
            return None
        grown[name] = float(levels[-1] - levels[0])
    rest = total - sum(grown.values())
    name = max(grown, key=lambda n: grown[n])
    if total <= 0:
        return None
    if rest > grown[name]:
        return Filled(Kind.TMPFS, rest / total, None, 0.0)
    counts = class_levels(pool, "count", name)
    more = 0.0 if counts is None else float(counts[-1] - counts[0])
    if name != _PHP_CLASS:
        return Filled(_BY_CLASS[name], grown[name] / total, None, more)
    segment = _php_segment(pool)
    kind = Kind.APCU if segment is None or segment.kind is Kind.APCU else Kind.OPCACHE
    return None if segment is None else Filled(kind, grown[name] / total, segment, more)


def kind_evidence(found: Filled, stretch: str) -> list[Evidence]:
    """Which kind it is by the mappings, and what the segment's owner says."""
    text = f"{100 * found.share:.0f} % of the growth is in {found.kind.value}, by the classes of the mappings"
    rows = [Evidence("smaps.shared", found.share, "share", text, Side.FOR if found.certain else Side.CONTEXT)]
    if found.mappings > 0:
        text = f"{found.mappings:.0f} more of them are mapped than at the first floor: they are made and never unmapped"
        rows.append(Evidence("smaps.count", found.mappings, "count", text, Side.CONTEXT))
    segment = found.segment
    if segment is not None:
        text = (
            f"{segment.kind.value} itself says that {format_bytes(segment.filled)} of its segment of "
            f"{format_bytes(segment.size)} are filled each {stretch}; {format_bytes(segment.free)} are left"
        )
        rows.append(Evidence("segment.free", -segment.filled, "bytes/round", text))
        text = (
            f"the segment cannot grow beyond its size: it is full in about {segment.rounds_left:.0f} more {stretch}s, and then "
            "it is emptied, or what is new is refused"
        )
        rows.append(Evidence("segment.full", segment.rounds_left, "rounds", text, Side.AGAINST))
    return rows


def _php_segment(pool: PoolView) -> Segment | None:
    """The one of PHP's segments that fills faster."""
    found = [s for s in (_segment(pool, Kind.APCU, "apcu"), _segment(pool, Kind.OPCACHE, "opcache")) if s is not None]
    return max(found, key=lambda s: s.filled, default=None)


def _segment(pool: PoolView, kind: Kind, name: str) -> Segment | None:
    for source in ("runtime", "agent"):
        free, size = _told(pool, f"{source}.php.{name}.free"), _told(pool, f"{source}.php.{name}.size")
        if free is not None and size is not None and free.size > 1:
            filled = float(free[0] - free[-1]) / (free.size - 1)
            if filled > 0:
                return Segment(kind, float(size[-1]), float(free[-1]), filled)
    return None


def _told(pool: PoolView, metric: str) -> Floats | None:
    """(rounds,) what the processes of the pool say at each floor: they map the same segment, so what differs is older."""
    values = []
    for info in pool.rounds:
        floor = pool.floors.get(info.floor_ns, {}).values()
        values.append(min((v for v in (p.values.get(metric) for p in floor) if v is not None), default=None))
    return None if None in values or not values else np.array(values, dtype=np.float64)
