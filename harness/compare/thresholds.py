"""What matters: by how much a quantity may differ before anybody would act on it, and what it means for the outcome."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from harness.compare.model import Weight
from harness.model.measure import Unit
from harness.scenario.hints import did_you_mean
from harness.units import parse_bytes, parse_duration_ns, parse_share

_KIB = 1024
_MIB = 1024 * 1024
_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Threshold:
    """``absolute`` in the metric's unit, or ``relative`` to the base, whichever is more."""

    absolute: float
    relative: float = 0.0

    def of(self, base: float) -> float:
        """What matters beside a base of that size."""
        return max(self.absolute, self.relative * abs(base))


@dataclass(frozen=True, slots=True)
class Kind:
    """How a metric is compared.

    ``usual``: the standard deviation that two runs of one program have beyond their intervals, as a share and at least as an
    amount: measured, see docs/compare.md; ``typical`` as in `harness.compare.statistics.Estimate`. ``by_factors``: it differs by
    factors rather than by amounts. Weights: of pools, of endpoints, of the whole application.
    """

    unit: Unit
    threshold: Threshold
    usual: Threshold = Threshold(0.0)
    typical: bool = True
    by_factors: bool = False
    of_pool: Weight = Weight.TELLS
    of_endpoint: Weight = Weight.TELLS
    of_all: Weight = Weight.TELLS

    def weight(self, pool: str | None, endpoint: str | None) -> Weight:
        if pool is not None:
            return self.of_pool
        return self.of_all if endpoint is None else self.of_endpoint


_LEVEL = Threshold(2 * _MIB, 0.05)
_LEVEL_USUAL = Threshold(256 * _KIB, 0.01)
_PART = Threshold(_MIB, 0.05)
_KEPT = Threshold(256, 0.10)
_RATE = Threshold(100_000, 0.10)
_LATENCY_USUAL = Threshold(0, 0.45)  # so much on a machine with other work on it, that one run a side says little
# How fast a pool grows, best first: what the allocators count, pages, what endpoints keep; a request, else a round.
GROWTH = (
    "live_bytes_per_request",
    "retained_bytes_per_request",
    "kept_by_endpoints",
    "live_per_round",
    "growth_per_round",
)
# How much a pool has, best first: without pages of files, whose PSS depends on what else on the machine maps them.
LEVELS = (("floor_own", "floor_pss"), ("peak_own", "peak_pss"))
_MUST, _MAY = Weight.MUST, Weight.MAY

KINDS: Mapping[str, Kind] = {
    "retained_bytes_per_request": Kind(Unit.BYTES, _KEPT, of_pool=_MUST, of_endpoint=_MAY),
    "live_bytes_per_request": Kind(Unit.BYTES, _KEPT, of_pool=_MUST),
    "kept_by_endpoints": Kind(Unit.BYTES, _KEPT, of_pool=_MUST),
    "growth_per_round": Kind(Unit.BYTES, _RATE, of_pool=_MUST),
    "growth_per_hour": Kind(Unit.BYTES, Threshold(100 * _MIB, 0.10)),
    "live_per_round": Kind(Unit.BYTES, _RATE, of_pool=_MUST),
    "peak_own": Kind(Unit.BYTES, _LEVEL, _LEVEL_USUAL, of_pool=_MUST),
    "floor_own": Kind(Unit.BYTES, _LEVEL, _LEVEL_USUAL, of_pool=_MUST),
    "peak_pss": Kind(Unit.BYTES, _LEVEL, _LEVEL_USUAL, of_pool=_MUST),
    "floor_pss": Kind(Unit.BYTES, _LEVEL, _LEVEL_USUAL, of_pool=_MUST),
    "peak_worker_pss": Kind(Unit.BYTES, _LEVEL, _LEVEL_USUAL),
    "end_pss": Kind(Unit.BYTES, _LEVEL, _LEVEL_USUAL),
    "pss_p50": Kind(Unit.BYTES, _LEVEL, _LEVEL_USUAL),
    "pss_p95": Kind(Unit.BYTES, _LEVEL, _LEVEL_USUAL),
    "pss_p99": Kind(Unit.BYTES, _LEVEL, _LEVEL_USUAL),
    "peak_worker_own": Kind(Unit.BYTES, _LEVEL, _LEVEL_USUAL),
    "end_own": Kind(Unit.BYTES, _LEVEL, _LEVEL_USUAL),
    "own_p50": Kind(Unit.BYTES, _LEVEL, _LEVEL_USUAL),
    "own_p95": Kind(Unit.BYTES, _LEVEL, _LEVEL_USUAL),
    "own_p99": Kind(Unit.BYTES, _LEVEL, _LEVEL_USUAL),
    "request_peak": Kind(Unit.BYTES, Threshold(256 * _KIB, 0.10), Threshold(16 * _KIB, 0.02), of_endpoint=_MAY),
    "errors": Kind(Unit.RATIO, Threshold(0.005), of_endpoint=_MAY, of_all=_MAY),
    "p50": Kind(
        Unit.NS, Threshold(_MS, 0.10), _LATENCY_USUAL, typical=False, by_factors=True, of_endpoint=_MAY, of_all=_MAY
    ),
    "p90": Kind(Unit.NS, Threshold(2 * _MS, 0.20), _LATENCY_USUAL, typical=False, by_factors=True),
    "p95": Kind(Unit.NS, Threshold(2 * _MS, 0.20), _LATENCY_USUAL, typical=False, by_factors=True),
    "p99": Kind(
        Unit.NS, Threshold(5 * _MS, 0.25), _LATENCY_USUAL, typical=False, by_factors=True, of_endpoint=_MAY, of_all=_MAY
    ),
    "threads_per_round": Kind(Unit.COUNT, Threshold(0.5, 0.10), of_pool=_MAY),
    "descriptors_per_round": Kind(Unit.COUNT, Threshold(0.5, 0.10), of_pool=_MAY),
}
_PARTS = ("live", "live_runtime", "live_native", "allocator_held", "other_native", "image", "file", "shared", "stacks", "thp",
          "swap", "unexplained")  # fmt: skip


def kind_of(metric: str) -> Kind:
    """How ``metric`` is compared; the parts of the ledger have no names of their own here."""
    found = KINDS.get(metric)
    if found is not None:
        return found
    growing = metric.endswith("_per_round")
    return Kind(Unit.BYTES, _RATE if growing else _PART, Threshold(0) if growing else _LEVEL_USUAL)


def metric_names() -> tuple[str, ...]:
    """Every metric that may have a threshold of its own."""
    return (*KINDS, *(name for part in _PARTS for name in (f"floor_{part}", f"{part}_per_round") if name not in KINDS))


def parse_threshold(text: str) -> tuple[str, Threshold]:
    """``peak_pss=5%``, ``p99=10ms``, ``retained_bytes_per_request=100B``, or both: ``peak_pss=4MiB,5%``: whichever is more.

    Raises ValueError with what was meant.
    """
    name, equals, value = (piece.strip() for piece in text.partition("="))
    if not equals or not value:
        raise ValueError(f"{text!r} is not a threshold: write for example peak_pss=5% or p99=10ms")
    if name not in metric_names():
        raise ValueError(f"{name!r} is not a metric{did_you_mean(name, metric_names()) or ': ' + ', '.join(KINDS)}")
    unit = kind_of(name).unit
    absolute, relative = 0.0, 0.0
    for piece in value.split(","):
        if piece.strip().endswith("%") and unit is not Unit.RATIO:
            relative = parse_share(piece)
        else:
            absolute = _amount(piece.strip(), unit)
    if absolute == relative == 0:
        raise ValueError(f"{text!r}: a threshold is more than 0, for nothing is measured that exactly")
    return name, Threshold(absolute, relative)


def _amount(text: str, unit: Unit) -> float:
    if unit is Unit.BYTES:
        return parse_bytes(text)
    if unit is Unit.NS:
        return parse_duration_ns(text)
    if unit is Unit.RATIO:
        return parse_share(text)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{text!r} is not a number")
    return value
