"""What the processes of a pool have mapped, by class of mapping and by file, at the floors of the judged rounds.

Classes: `harness/sampling/sources/pid_smaps_classes.py`. A class that a process does not have has nothing in it. Names of files
are told when they change (``process.files``), so at a floor the last ones count. Summed PSS counts each page once, whoever maps
it, so processes may come and go.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.diagnose.pool import PoolView
from harness.model.host import HOST, ORDER_UNKNOWN, WITHIN_NS
from harness.model.process import ProcessKey
from harness.model.timeline import FloorPoint

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_SMAPS = "process.smaps."
_FILES = "process.files"
_OF_EVENT = frozenset({HOST, WITHIN_NS, ORDER_UNKNOWN})  # what events of other hosts say besides


def class_levels(pool: PoolView, field: str, *classes: str, stable: bool = False) -> Floats | None:
    """(rounds,) sum of ``process.smaps.<class>.<field>`` over all processes of the pool at each floor, or over those that lived
    throughout. None where the mappings of one of them were not read."""
    sums = []
    for info in pool.rounds:
        floor = pool.floors.get(info.floor_ns, {})
        points = [floor[key] for key in pool.stable_all] if stable else list(floor.values())
        if not points or not all(_was_read(point) for point in points):
            return None
        names = [f"{_SMAPS}{name}.{field}" for name in classes]
        sums.append(sum(point.values.get(name) or 0 for point in points for name in names))
    return np.array(sums, dtype=np.float64) if sums else None


def _was_read(point: FloorPoint) -> bool:
    return any(name.startswith(_SMAPS) for name in point.values)


@dataclass(frozen=True, slots=True)
class GrowingFile:
    """A data file, and by how many bytes its mapped pages (PSS, all processes) grew from the first floor to the last."""

    name: str
    grown: float


def growing_files(pool: PoolView) -> Sequence[GrowingFile]:
    """Files that were told (each process tells its largest), the fastest growing first."""
    if len(pool.rounds) < 2:
        return ()
    first, last = (_files_at(pool, pool.rounds[at].floor_ns) for at in (0, -1))
    grown = [GrowingFile(name, float(last[name] - first.get(name, 0))) for name in sorted(last)]
    return sorted((file for file in grown if file.grown > 0), key=lambda file: -file.grown)


def _files_at(pool: PoolView, t_ns: int) -> Mapping[str, int]:
    """Bytes by name over the processes that were there."""
    last: dict[ProcessKey, Mapping[str, object]] = {}
    for event in sorted(_told(pool), key=lambda e: e[0]):
        if event[0] <= pool.timeline.swept_at(t_ns, event[1].host):
            last[event[1]] = event[2]
    found: dict[str, int] = defaultdict(int)
    for key in pool.floors.get(t_ns, {}):
        for name, size in last.get(key, {}).items():
            if name not in _OF_EVENT:
                found[name] += size if isinstance(size, int) else 0
    return found


def _told(pool: PoolView) -> Sequence[tuple[int, ProcessKey, Mapping[str, object]]]:
    return [
        (e.t_ns, e.process, e.attributes) for e in pool.timeline.events if e.kind == _FILES and e.process is not None
    ]
