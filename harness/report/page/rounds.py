"""Memory over the measured rounds: what the harness's own probes and profilers take afterwards is not of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.model.span import PhaseName
from harness.model.timeline import Timeline

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Sizes:
    """In bytes; all None where nothing was measured."""

    start: int | None = None
    end: int | None = None
    peak: int | None = None

    @property
    def change(self) -> int | None:
        """From start to end."""
        return None if self.start is None or self.end is None else self.end - self.start


def stretch(timeline: Timeline) -> tuple[int, int] | None:
    """From the begin of the first measured round to the end of the last, in ns; None in a run without a whole one."""
    rounds = [w for w in timeline.windows if w.phase is PhaseName.ROUNDS]
    ends = [w.end_ns for w in rounds if w.end_ns is not None]
    return (min(w.start_ns for w in rounds), max(ends)) if ends else None


def sizes(times: NDArray[np.int64], values: NDArray[np.int64], within: tuple[int, int] | None) -> Sizes:
    """First, last and largest value between two instants; None: of all."""
    if within is not None:
        values = values[(times >= within[0]) & (times <= within[1])]
    return Sizes(int(values[0]), int(values[-1]), int(values.max())) if values.size else Sizes()
