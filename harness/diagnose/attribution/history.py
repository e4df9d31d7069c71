"""What one worker answered in its life, and when garbage was collected in between."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.model.timeline import JoinedSpan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

_GC_RUNS = "gc_runs"  # of the request's record


class History:
    """``spans``: the requests that the worker answered, in whatever order."""

    def __init__(self, spans: Sequence[JoinedSpan]) -> None:
        told = sorted(spans, key=lambda j: (j.span.end_ns, j.span.span_id))
        self._ends: Ints = np.array([j.span.end_ns for j in told], dtype=np.int64)
        positions: dict[str, list[int]] = defaultdict(list)
        for position, joined in enumerate(told):
            positions[joined.span.endpoint].append(position)
        self._positions: Mapping[str, Ints] = {name: np.array(at, dtype=np.int64) for name, at in positions.items()}
        self._collected = _collected(told)

    def answered(self, t_ns: int) -> int:
        """Requests that had been answered by then."""
        return int(np.searchsorted(self._ends, t_ns, side="right"))

    def waiting(self, t_ns: int) -> Counter[str] | None:
        """Requests by endpoint since the last request during which garbage was collected; None where records do not tell."""
        if self._collected is None:
            return None
        until = self.answered(t_ns)
        last = int(np.searchsorted(self._collected, until)) - 1
        since = int(self._collected[last]) + 1 if last >= 0 else 0
        return Counter(
            {name: int(np.searchsorted(at, until) - np.searchsorted(at, since)) for name, at in self._positions.items()}
        )


def _collected(told: Sequence[JoinedSpan]) -> Ints | None:
    """Positions of the requests during which a collection ran; None where a record is missing, or does not say."""
    runs = [None if j.record is None else j.record.values.get(_GC_RUNS) for j in told]
    if not runs or None in runs:
        return None
    return np.flatnonzero(np.array([run or 0 for run in runs]))
