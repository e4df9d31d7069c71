"""One measured quantity of a run with what it may also have been: what expectations are judged by."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Unit(StrEnum):
    """Unit of a quantity. RATIO is 0 to 1."""

    BYTES = "bytes"
    NS = "ns"
    RATIO = "ratio"
    COUNT = "count"


@dataclass(frozen=True, slots=True)
class Measure:
    """A quantity in its unit, of the whole application, of one ``endpoint`` or of one ``pool``.

    ``low`` and ``high`` are its 95 % interval; equal to ``value`` where the run is known exactly (a peak, a count); None where
    that end is not known. ``blind`` is the smallest growth that this run could have seen, of quantities that are growth.
    ``value`` is None when it was not measured. ``reason`` says why something is None, as a sentence without a full stop.
    """

    metric: str
    unit: Unit
    value: float | None
    low: float | None = None
    high: float | None = None
    endpoint: str | None = None
    pool: str | None = None
    blind: float | None = None
    reason: str = ""

    @property
    def exact(self) -> bool:
        """Whether there is no doubt about the value."""
        return self.value is not None and self.low == self.value == self.high
