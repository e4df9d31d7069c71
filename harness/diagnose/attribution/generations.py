"""Growth per request in pools whose workers are replaced: over all generations, each observed for as long as it lived.

A limit such as ``max_requests`` hides a leak from everybody who looks at the pool's memory, and no worker may live through all
rounds. But each life is growth by itself. A new worker grows too, while its caches fill, so growth counts only if it goes on in
the last third of the lives.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.diagnose.attribution.attribute import ENOUGH_JOINED, LIVE_STEP_BYTES
from harness.diagnose.attribution.model import Measure
from harness.diagnose.attribution.observations import OTHERS, Observations, observe_workers
from harness.diagnose.attribution.regression import Fit, Sample, fit
from harness.diagnose.pool import PAGE_STEP_BYTES, PoolView

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_MIN_OBSERVATIONS = 18
_SURE = 0.995  # one-sided
_LASTING = 0.7  # of the growth in the first third of the lives


@dataclass(frozen=True, slots=True)
class GenerationGrowth:
    """``bytes_per_request`` over all generations with its 95 % interval, ``late`` the same in the last third of the lives (by
    requests answered), ``early`` in the first. ``grows``: it is certain, more than a step of memory in each worker, and lasts;
    else ``reason`` says why not. ``lives``: workers that were observed; ``replaced``: of them ended during the rounds."""

    bytes_per_request: float
    ci95: tuple[float, float]
    early: float
    late: float
    lives: int
    replaced: int
    observations: int
    measure: Measure
    grows: bool
    reason: str


def attribute_generations(pool: PoolView) -> GenerationGrowth | None:
    """None where no worker could be observed often enough, or too few requests are tied to workers."""
    return pool.once("attribute_generations", lambda: _attribute(pool))


def _attribute(pool: PoolView) -> GenerationGrowth | None:
    if pool.coverage is None or pool.coverage < ENOUGH_JOINED:
        return None
    seen = observe_workers(pool)
    if seen is None or seen.pages.size < _MIN_OBSERVATIONS or not seen.counts.any():
        return None
    live = seen.live is not None
    growth = seen.live if seen.live is not None else seen.pages
    requests = seen.counts.sum(axis=1)
    whole = _per_request(pool, seen, growth)
    # The growth that the mix of each row lets expect: its level does not matter, so that chance in the mix does not either.
    expected = seen.counts @ fit(Sample(seen.counts, growth, seen.life, seen.moment)).value
    limits = np.quantile(seen.answered[requests > 0], [1 / 3, 2 / 3])
    first, last = (
        fit(Sample(expected[:, None], growth, seen.life, seen.moment).where(rows))
        for rows in (seen.answered <= limits[0], seen.answered >= limits[1])
    )
    value, error = float(whole.value[0]), float(whole.error[0])
    reach = whole.reach() * error
    step = (LIVE_STEP_BYTES if live else PAGE_STEP_BYTES) * seen.lives
    reason = _why_not(whole, first, last, value * float(requests.sum()), step)
    keys = {w.info.key for w in pool.members if w.info.ended_ns is not None}
    return GenerationGrowth(
        bytes_per_request=value,
        ci95=(value - reach, value + reach),
        early=value * float(first.value[0]),
        late=value * float(last.value[0]),
        lives=seen.lives,
        replaced=len(keys & set(seen.workers)),
        observations=int(requests.size),
        measure=Measure.LIVE if live else Measure.PAGES,
        grows=not reason,
        reason=reason,
    )


def _why_not(whole: Fit, first: Fit, last: Fit, grown: float, step: float) -> str:
    """Why this is no growth that goes on and on; empty if it is."""
    if whole.value[0] <= whole.reach(_SURE) * whole.error[0]:
        return "growth per request over all generations is not certain"
    if grown <= step:
        return "all growth together is less than one step in which memory is taken, for each worker"
    if last.value[0] <= last.reach() * last.error[0]:
        return "it is not certain that workers still grow in the last third of their lives"
    if last.value[0] < _LASTING * first.value[0]:
        return "workers grow ever less as they get older: caches that fill look like that"
    return ""


def _per_request(pool: PoolView, seen: Observations, growth: Floats) -> Fit:
    """Growth per request of the mix of all rounds is the first coefficient. The others are what endpoints differ by, so that a
    row whose mix is another one is no noise."""
    sent = Counter(j.span.endpoint for j in pool.measured_spans)
    weights = [sent.pop(name, 0) for name in seen.endpoints]
    if seen.endpoints[-1] == OTHERS:
        weights[-1] += sum(sent.values())
    usual = np.array(weights, dtype=np.float64) / sum(weights)
    requests = seen.counts.sum(axis=1)
    unusual = (seen.counts - np.outer(requests, usual))[:, :-1]
    return fit(Sample(np.column_stack([requests, unusual]), growth, seen.life, seen.moment))
