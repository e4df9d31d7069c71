"""Floors: the levels of every process at the instants when a drained block or round was swept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.model.event import Window
from harness.model.process import ProcessKey, host_key
from harness.model.run import Series
from harness.model.timeline import FloorPoint


def collect_floors(
    windows: Sequence[Window],
    series: Mapping[tuple[str, ProcessKey | None], Series],
    elsewhere: Mapping[str, Mapping[int, int]] | None = None,
) -> tuple[FloorPoint, ...]:
    """One point per process and window with a floor, from sample rows with exactly that time; sorted by time.

    ``elsewhere``: of hosts that swept at another instant for the same floor, that instant by the one of the window, which all of
    them get as their time: it names the floor.

    A round without a floor of its own ends with the floor of its last block. Windows outside rounds have none.
    """
    floors = _with_round_ends([w for w in windows if w.round is not None])
    instants = np.array(sorted({t for _, t in floors}), dtype=np.int64)
    swept = {host: _swept(instants, own) for host, own in (elsewhere or {}).items()}
    values: dict[int, dict[ProcessKey, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for (metric, process), points in series.items():
        if process is None or process == host_key(process.host) or not points.t_ns.size:
            continue
        times = swept.get(process.host, instants)
        if not times.size:
            continue
        at = np.searchsorted(points.t_ns, times)
        hit = (at < points.t_ns.size) & (points.t_ns[np.minimum(at, points.t_ns.size - 1)] == times)
        for t_ns, index in zip(times[hit].tolist(), at[hit].tolist(), strict=True):
            values[t_ns][process][metric] = int(points.values[index])
    result = [
        FloorPoint(process, window.phase, window.round or 0, window.block, floor_ns, metrics)
        for window, floor_ns in floors
        for host, t_ns in _instants_of(floor_ns, elsewhere or {})
        for process, metrics in values.get(t_ns, {}).items()
        if host == (process.host if process.host in swept else None)
    ]
    result.sort(key=lambda f: (f.t_ns, f.process, f.block is None))
    return tuple(result)


def _swept(instants: NDArray[np.int64], own: Mapping[int, int]) -> NDArray[np.int64]:
    return np.array(sorted(own[t] for t in instants.tolist() if t in own), dtype=np.int64)


def _instants_of(floor_ns: int, elsewhere: Mapping[str, Mapping[int, int]]) -> list[tuple[str | None, int]]:
    """Where to look for a floor: its own instant for hosts that are not in ``elsewhere`` (None), and those of the others."""
    return [(None, floor_ns), *((host, own[floor_ns]) for host, own in elsewhere.items() if floor_ns in own)]


def _with_round_ends(windows: Sequence[Window]) -> list[tuple[Window, int]]:
    """Windows with the time of their floor."""
    last_block: dict[tuple[str, int | None], int] = {}
    for window in windows:
        if window.block is not None and window.floor_ns is not None:
            key = (window.phase, window.round)
            last_block[key] = max(window.floor_ns, last_block.get(key, window.floor_ns))
    result = []
    for window in windows:
        floor = window.floor_ns
        if floor is None and window.block is None and window.end_ns is not None:
            floor = last_block.get((window.phase, window.round))
        if floor is not None:
            result.append((window, floor))
    return result
