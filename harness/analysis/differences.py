"""How much more a run has of something than its baselines, by the statistics of `harness.compare`. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from harness.compare.statistics import Difference, Estimate, geometric, ratio, side_of
from harness.compare.statistics import difference as of_sides
from harness.compare.thresholds import kind_of
from harness.model.measure import Measure, Unit

_MOST_SHARE = 1e6
_HALVINGS = 80


def together(bases: Sequence[Measure]) -> Measure:
    """The mean of the baselines with its interval; all have a value."""
    estimates = [_estimate(base) for base in bases]
    side = (geometric(estimates) if _by_factors(bases[0]) else None) or side_of(estimates)
    blind = [base.blind for base in bases if base.blind is not None]
    known = len(blind) == len(bases)
    return replace(bases[0], value=side.value, low=_finite(side.low), high=_finite(side.high),
                   blind=max(blind) if known else None)  # fmt: skip


def difference(head: Measure, bases: Sequence[Measure]) -> Measure:
    """``head`` less the mean of ``bases``, with its 95 % interval; an end that is not known is None."""
    found = _factor(head, bases) or _contrast(head, bases, 0.0)
    return replace(head, value=found.value, low=_finite(found.low), high=_finite(found.high))


def relative(head: Measure, bases: Sequence[Measure]) -> Measure | None:
    """The difference as a share of the baselines' mean (0.05: 5 % more); None where that is not certainly above 0.

    Of what differs by factors it is that factor. Else the interval holds every share v for which ``head`` less (1 + v) times the
    baseline is not certainly different from 0 (Fieller's way, without its formula: the interval of that difference may be
    lopsided).
    """
    base, factor = together(bases), _factor(head, bases)
    if factor is not None and base.value:
        ends = [_finite(end / base.value) for end in (factor.value, factor.low, factor.high)]
        return replace(head, unit=Unit.RATIO, value=ends[0], low=ends[1], high=ends[2])
    if base.value is None or base.low is None or not base.low > 0 or head.value is None:
        return None
    value = head.value / base.value - 1
    low = _root(lambda share: _contrast(head, bases, share).low, -1.0 - _MOST_SHARE, value)
    high = _root(lambda share: _contrast(head, bases, share).high, value, _MOST_SHARE)
    return replace(head, unit=Unit.RATIO, value=value, low=low, high=high)


def _root(of: Callable[[float], float], low: float, high: float) -> float | None:
    """Where a falling function is 0; None where it is not between the two."""
    if not (of(low) >= 0 >= of(high)):
        return None
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if of(middle) > 0 else (low, middle)
    return (low + high) / 2


def _by_factors(measure: Measure) -> bool:
    """Whether it differs from run to run by factors, as latencies do, so that its logarithm is what is compared."""
    return kind_of(measure.metric).by_factors


def _factor(head: Measure, bases: Sequence[Measure]) -> Difference | None:
    return ratio([_estimate(base) for base in bases], [_estimate(head)]) if _by_factors(head) else None


def _contrast(head: Measure, bases: Sequence[Measure], share: float) -> Difference:
    """Head less (1 + share) times the baseline."""
    factor = 1 + share
    scaled = [_scaled(_estimate(base), factor) for base in bases]
    return of_sides(scaled, [_estimate(head)])


def _scaled(estimate: Estimate, factor: float) -> Estimate:
    ends = sorted((estimate.low * factor, estimate.high * factor)) if factor else (0.0, 0.0)
    return Estimate(estimate.value * factor, ends[0], ends[1], estimate.usual * abs(factor), estimate.typical)


def _estimate(measure: Measure) -> Estimate:
    value = math.nan if measure.value is None else measure.value
    low = -math.inf if measure.low is None else min(measure.low, value)
    high = math.inf if measure.high is None else max(measure.high, value)
    kind = kind_of(measure.metric)
    return Estimate(value, low, high, kind.usual.of(value), kind.typical)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
