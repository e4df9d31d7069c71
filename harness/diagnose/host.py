"""The machine as the rules see it: kernel counters over the measured rounds, at their floors and between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.diagnose.pool import PoolView, RoundInfo, judged_rounds
from harness.model.timeline import Timeline

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class HostView:
    """What host rules ask about one machine. ``pools``: the application's, already looked at."""

    timeline: Timeline
    rounds: Sequence[RoundInfo]
    pools: Sequence[PoolView]

    @property
    def range_ns(self) -> tuple[int, int] | None:
        """The judged stretch of the run."""
        return (self.rounds[0].start_ns, self.rounds[-1].floor_ns) if self.rounds else None

    def at_floors(self, metric: str) -> Floats | None:
        """(rounds,) the metric in the sweep of each round's floor, or the last one before it; None where one is missing."""
        series = self.timeline.series.get((metric, None))
        if series is None or not self.rounds or not series.t_ns.size:
            return None
        at = np.array([r.floor_ns for r in self.rounds], dtype=np.int64)
        index = np.searchsorted(series.t_ns, at, side="right") - 1
        return None if index[0] < 0 else series.values[index].astype(np.float64)

    def during(self, metric: str) -> tuple[NDArray[np.int64], Floats] | None:
        """(times, values) of every sweep of the judged stretch; None where there is none."""
        series, span = self.timeline.series.get((metric, None)), self.range_ns
        if series is None or span is None:
            return None
        first, last = np.searchsorted(series.t_ns, span)
        if last <= first:
            return None
        return series.t_ns[first:last], series.values[first:last].astype(np.float64)


def host_of(timeline: Timeline, pools: Sequence[PoolView]) -> HostView:
    """The view of the machine that the run was recorded on."""
    return HostView(timeline, judged_rounds(timeline), pools)
