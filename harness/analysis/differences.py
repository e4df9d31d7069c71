"""How much more one run has of something than another, from their intervals alone. Pure.

The ends of the two intervals are put together as those of independent estimates, without assuming that they are symmetric
(MOVER: Donner and Zou, Closed-form confidence intervals for functions of the normal mean and standard deviation, Statistical
Methods in Medical Research 21, 2012).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from harness.model.measure import Measure, Unit


@dataclass(frozen=True, slots=True)
class _Ends:
    value: float
    low: float
    high: float


def difference(head: Measure, base: Measure) -> Measure:
    """``head`` less ``base`` with its 95 % interval; an end that one of them does not know is None."""
    h, b = _ends(head), _ends(base)
    value = h.value - b.value
    low = value - math.hypot(h.value - h.low, b.high - b.value)
    high = value + math.hypot(h.high - h.value, b.value - b.low)
    return replace(head, value=value, low=_finite(low), high=_finite(high))


def relative(head: Measure, base: Measure) -> Measure | None:
    """The difference as a share of ``base`` (0.05: 5 % more); None where the baseline is not certainly above 0."""
    h, b = _ends(head), _ends(base)
    if not (b.low > 0 and math.isfinite(b.value)):
        return None
    low = _ratio_end(h.value, h.low, b.value, b.high, -1)
    high = _ratio_end(h.value, h.high, b.value, b.low, 1)
    return replace(head, unit=Unit.RATIO, value=h.value / b.value - 1, low=None if low is None else low - 1,
                   high=None if high is None else high - 1)  # fmt: skip


def _ratio_end(h: float, h_end: float, b: float, b_end: float, side: int) -> float | None:
    """One end of the interval of h / b. The lower is made of the lower end of h and the upper of b, the upper the other way."""
    if not (math.isfinite(h_end) and math.isfinite(b_end)):
        return None
    divisor = b_end * (2 * b - b_end)
    if divisor <= 0:  # the baseline is so doubtful that the formula has no answer: only what certainly holds is told
        return min(0.0, h_end / b) if side < 0 else None
    root = math.sqrt(max(0.0, (h * b) ** 2 - h_end * b_end * (2 * h - h_end) * (2 * b - b_end)))
    return (h * b + side * root) / divisor


def _ends(measure: Measure) -> _Ends:
    value = math.nan if measure.value is None else measure.value
    low = -math.inf if measure.low is None else measure.low
    return _Ends(value, low, math.inf if measure.high is None else measure.high)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
