"""The split of a pool's growth by endpoint, from the best of what was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from harness.diagnose.attribution.driving import driven_by
from harness.diagnose.attribution.garbage import Garbage
from harness.diagnose.attribution.lasting import Doubt
from harness.diagnose.attribution.model import Attribution, Driven, Driver, EndpointGrowth, Measure, nothing
from harness.diagnose.attribution.observations import (
    Observations,
    observe_levels,
    observe_metric,
    observe_shared,
    observe_sum,
    observe_workers,
)
from harness.diagnose.attribution.records import Kept, kept_by_endpoint, weighed
from harness.diagnose.attribution.split import Estimate, Rows, Split, bends, split_growth
from harness.diagnose.pool import PAGE_STEP_BYTES, PoolView

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ENOUGH_JOINED = 0.95
_MIN_BLOCKS = 6  # time blocks; with fewer the halves say nothing
_DOMINANT_SHARE = 0.6
_HALF = 0.5  # is enough where no other endpoint explains half as much
_STAND_OUT = 2.0
LIVE_STEP_BYTES = 16 * 1024  # per process: tables that double, pools of a new size


def attribute_private(pool: PoolView) -> Attribution:
    """Split the growth of private memory, by worker and block."""
    return pool.once("attribute_private", lambda: _attribute_private(pool))


def attribute_shared(pool: PoolView) -> Attribution:
    """Split the growth of the pool's shared memory, by block."""
    return pool.once("attribute_shared", lambda: _attribute_shared(pool))


def attribute_metric(pool: PoolView, metric: str, step: float) -> Attribution:
    """Split the growth of another metric of the pool's processes, by worker and block. ``step``: in which a worker takes it."""
    return pool.once(f"attribute {metric}", lambda: _attribute_metric(pool, metric, step))


def attribute_levels(pool: PoolView, levels: Mapping[int, int], step: float) -> Attribution:
    """Split the growth of what belongs to the pool and to no worker. ``levels``: by the time of a floor; ``step``: in which it is
    taken."""
    if not pool.measured_spans:
        return nothing("no requests were sent")
    seen = observe_levels(pool, levels)
    return nothing("it was not measured") if seen is None else _attributed(pool, seen, Measure.OTHER, step)


def _attribute_metric(pool: PoolView, metric: str, step: float) -> Attribution:
    if pool.coverage is None:
        return nothing("no requests were sent")
    if pool.coverage < ENOUGH_JOINED:
        return nothing(f"only {100 * pool.coverage:.0f} % of the requests could be tied to a worker")
    seen = observe_metric(pool, metric)
    return (
        nothing("no worker lived from one floor to the next")
        if seen is None
        else _attributed(pool, seen, Measure.OTHER, step)
    )


def _attribute_private(pool: PoolView) -> Attribution:
    if pool.coverage is None:
        return nothing("no requests were sent")
    if pool.coverage < ENOUGH_JOINED:
        if pool.replaced or not pool.alone:
            return nothing(f"only {100 * pool.coverage:.0f} % of the requests could be tied to a worker")
        seen = observe_sum(pool)
    else:
        seen = observe_workers(pool)
    if seen is None:
        return nothing("no worker lived from one floor to the next")
    return _attributed(pool, seen, Measure.PAGES if seen.live is None else Measure.LIVE)


def _attribute_shared(pool: PoolView) -> Attribution:
    if not pool.measured_spans:
        return nothing("no requests were sent")
    seen = observe_shared(pool)
    return nothing("shared memory was not measured") if seen is None else _attributed(pool, seen, Measure.SHARED)


def _attributed(pool: PoolView, seen: Observations, measure: Measure, step: float = PAGE_STEP_BYTES) -> Attribution:
    blocks = np.unique(seen.moment[~seen.idle]).size
    if not seen.endpoints or not seen.pages.size:
        return nothing("no block has a floor before and after it")
    if blocks < _MIN_BLOCKS or seen.pages.size <= len(seen.endpoints):
        return nothing(
            f"{seen.pages.size} observations in {blocks} blocks are too few for {len(seen.endpoints)} endpoints"
        )
    kept = kept_by_endpoint(pool) if measure in (Measure.LIVE, Measure.PAGES) else {}
    witnessed = [i for i, name in enumerate(seen.endpoints) if name in kept and kept[name].certain]
    split, grain = _measured(seen, measure, step, witnessed)
    # Garbage is modelled for all requests alike, so the few that keep something stand for all only where nothing else proves it.
    open_ones = [n for n, e in zip(seen.endpoints, split.endpoints, strict=True) if n in kept and not e.proven]
    rather = weighed(seen, kept, open_ones)
    if rather is not None:
        other, _ = _measured(rather, measure, step, witnessed)
        if any(e.proven for n, e in zip(seen.endpoints, other.endpoints, strict=True) if n in open_ones):
            seen, split = rather, other
    grown = float(seen.pages.sum())
    # Free memory at the start hides growth of live bytes from the pages; no live byte is in memory that came from mmap().
    observed = grown if seen.live is None else max(grown, float(seen.live.sum()))
    endpoints = tuple(
        _endpoint(name, estimate, seen.counts[:, i].sum(), observed, kept.get(name))
        for i, (name, estimate) in enumerate(zip(seen.endpoints, split.endpoints, strict=True))
    )
    driven = _driven(seen, split, observed, grain)
    dominant, reason = _dominant(endpoints, split, observed, driven.by)
    if dominant is not None and measure is Measure.PAGES:  # which move by noise, unlike live bytes
        rival = _contradicting(dominant, endpoints)
        if rival is not None:
            counted = f"live allocations certainly grow around single requests to {rival}"
            reason = f"memory seems to grow with {dominant.endpoint}, but {counted}, and not around those"
            dominant = None
    if dominant is None and seen.flows and not any(e.proven for e in endpoints):
        reason += _pointed_at(pool, endpoints)
    modelled = sum(e.bytes_per_request * e.requests for e in endpoints)
    return Attribution(
        endpoints=endpoints,
        dominant=dominant,
        reason=driven.reason if dominant is None and driven.by is Driver.TIME else reason,
        explained=modelled / grown if grown > 0 else None,
        observations=int(seen.pages.size),
        measure=measure,
        grown_bytes=grown,
        live_bytes=None if seen.live is None else float(seen.live.sum()),
        common=None if split.common is None else (split.common.value, (split.common.low, split.common.high)),
        driven=driven,
    )


def _driven(seen: Observations, split: Split, observed: float, grain: float) -> Driven:
    """What the split says of time; where what requests leave goes again, growth that goes with them need not be what stays."""
    driven = driven_by(seen, split.time, observed, grain)
    if driven.by is not Driver.REQUESTS or all(e.doubt is not Doubt.PASSING for e in split.endpoints):
        return driven
    reason = (
        "memory goes with requests, but what they leave goes again, and whether the rest goes with time is not certain"
    )
    return replace(driven, by=Driver.UNKNOWN, reason=reason)


def _measured(seen: Observations, measure: Measure, step: float, witnessed: Sequence[int]) -> tuple[Split, float]:
    """The split of what ``measure`` says, and the bytes that steps of memory may have added to all of it."""
    processes = seen.lives if measure is not Measure.SHARED else 1
    if measure is Measure.LIVE and seen.live is not None:
        grain = float(LIVE_STEP_BYTES * processes)
        split = _split(seen, seen.live, grain, witnessed, seen.garbage)
        return _with_unseen(split, _split(seen, seen.pages - seen.live, PAGE_STEP_BYTES * processes, ())), grain
    garbage = seen.garbage if measure is Measure.PAGES else None
    return _split(seen, seen.pages, step * processes, witnessed, garbage), step * processes


def _split(
    seen: Observations, growth: Floats, grain: float, witnessed: Sequence[int], garbage: Garbage | None = None
) -> Split:
    trend = bends(seen.counts, seen.seconds, seen.moment, _answered(seen)) if seen.flows else None
    return split_growth(
        Rows(seen.counts, seen.seconds, growth, seen.life, seen.moment, garbage, trend), grain, witnessed
    )


def _answered(seen: Observations) -> Floats:
    """Requests that whoever is observed had answered before each row."""
    if seen.workers:
        return seen.answered
    totals: Floats = seen.counts.sum(axis=1)
    before: Floats = np.cumsum(totals) - totals
    return before


def _with_unseen(live: Split, unseen: Split) -> Split:
    """Live bytes, and for each endpoint what is proven of its pages beyond them: memory that no allocator we read has given."""
    both = [
        _sum(exact, pages) if pages.proven else exact
        for exact, pages in zip(live.endpoints, unseen.endpoints, strict=True)
    ]
    return Split(both, live.rest, live.time, live.rest_grows, live.rest_fades)


def _sum(exact: Estimate, pages: Estimate) -> Estimate:
    """Two independent estimates added; their errors add as squares."""
    value = exact.value + pages.value
    below = math.hypot(exact.value - exact.low, pages.value - pages.low)
    above = math.hypot(exact.high - exact.value, pages.high - pages.value)
    return Estimate(value, max(0.0, value - below), value + above, exact.later + pages.later, proven=True)


def _endpoint(name: str, estimate: Estimate, requests: float, observed: float, kept: Kept | None) -> EndpointGrowth:
    return EndpointGrowth(
        endpoint=name,
        requests=round(requests),
        bytes_per_request=estimate.value,
        ci95=(estimate.low, estimate.high),
        share=estimate.value * float(requests) / observed if observed > 0 else 0.0,
        second_half=estimate.later,
        blocks_per_request=None if kept is None else (kept.mean, kept.half_width),
        proven=estimate.proven,
        keeping_share=None if kept is None else kept.keeping_share,
    )


def _dominant(
    endpoints: Sequence[EndpointGrowth], split: Split, observed: float, driver: Driver
) -> tuple[EndpointGrowth | None, str]:
    if observed <= 0:
        return None, "there was no growth over the blocks"
    proven = sorted((e for e in endpoints if e.proven), key=lambda e: -e.share)
    if not proven:
        return None, _why_none(endpoints, split, observed)
    largest = proven[0]
    second = proven[1].share if len(proven) > 1 else 0.0
    if largest.share < (_DOMINANT_SHARE if second > largest.share / 2 else _HALF):
        names = ", ".join(f"{e.endpoint} ({100 * e.share:.0f} %)" for e in proven[:4])
        return None, f"no single endpoint explains most of the growth: {names}"
    others = [e for e in endpoints if e is not largest]
    spread = max(0.0, split.rest.value) if split.rest is not None else 0.0
    elsewhere = sum(e.bytes_per_request * e.requests for e in proven[1:]) / max(1, sum(e.requests for e in others))
    if others and largest.ci95[0] <= _STAND_OUT * (spread + elsewhere):
        alike = f"{largest.endpoint} keeps hardly more per request than the others"
        if driver is Driver.REQUESTS:
            return None, f"{alike}: it is something that every request does"
        return None, f"{alike}: growth may follow time, not requests"
    return largest, ""


def _contradicting(named: EndpointGrowth, endpoints: Sequence[EndpointGrowth]) -> str | None:
    """Another endpoint whose requests certainly add live allocations, and more of them than those of the named one can, if these
    need not add any."""
    if named.blocks_per_request is None or named.blocks_per_request[0] > named.blocks_per_request[1]:
        return None
    most = max(0.0, sum(named.blocks_per_request))
    certain: list[tuple[float, str]] = []
    for each in endpoints:
        if each is not named and each.blocks_per_request is not None:
            mean, half_width = each.blocks_per_request
            if mean - half_width > most:
                certain.append((mean - half_width, each.endpoint))
    return max(certain)[1] if certain else None


def _by_single_requests(endpoint: EndpointGrowth) -> tuple[float, str]:
    """Those around whose single requests allocations grow most certainly come first."""
    mean, half_width = endpoint.blocks_per_request or (0.0, 0.0)
    return half_width - mean, endpoint.endpoint


def _doubted(endpoints: Sequence[EndpointGrowth], split: Split) -> str | None:
    pairs = list(zip(endpoints, split.endpoints, strict=True))
    once, passing, worker, moment = (sorted(e.endpoint for e, found in pairs if found.doubt is each) for each in Doubt)
    if once:
        return f"memory grew when {', '.join(once[:4])} was asked for, but once only"
    if passing:
        return f"memory grew with requests to {', '.join(passing[:4])}, but whether it stays for longer than a while is not told"
    if worker:
        return (
            f"memory grew in those workers most that answered {', '.join(worker[:4])}, but with all that they answered"
        )
    if moment:
        return f"memory grew in all workers when many requests went to {', '.join(moment[:4])}, whoever answered them"
    return None


def _pointed_at(pool: PoolView, endpoints: Sequence[EndpointGrowth]) -> str:
    """What single requests say where the workers as wholes tell nothing: the endpoint around which live allocations rise by most
    of what they grew by in all. It is a lead and names nobody: an object that is kept may have come from memory that another
    request left free."""
    blocks, told = pool.blocks, [(e.blocks_per_request, e) for e in endpoints if e.blocks_per_request is not None]
    if blocks is None or not blocks.grows or not told:
        return ""
    (mean, half_width), most = max(told, key=lambda pair: pair[0][0] * pair[1].requests)
    share = mean * most.requests / blocks.total
    if mean <= half_width or not _DOMINANT_SHARE <= share <= 2 - _DOMINANT_SHARE:
        return ""
    return (
        f"; but around single requests to {most.endpoint} live allocations rise by {mean:.1f}, "
        f"{100 * min(share, 1):.0f} % of all that they grew by"
    )


def _why_none(endpoints: Sequence[EndpointGrowth], split: Split, observed: float) -> str:
    stuck = sorted(e.endpoint for e in endpoints if math.isinf(e.ci95[1]))
    if stuck:
        names = ", ".join(stuck[:4])
        why = "they came in the same proportions all the time, or too few floors were taken between them"
        return f"requests to {names} cannot be told apart: {why}"
    doubted = _doubted(endpoints, split)
    if doubted is not None:
        return doubted
    faded = sorted(e.endpoint for e, found in zip(endpoints, split.endpoints, strict=True) if found.faded)
    if faded:
        return f"that requests to {', '.join(faded[:4])} still kept memory in the second half is not certain"
    if split.rest_fades:
        return "that requests still kept memory in the second half is not certain"
    possible = [e for e in endpoints if e.ci95[1] * e.requests >= _DOMINANT_SHARE * observed]
    if split.common is not None and possible:
        likely = [e.endpoint for e in sorted(possible, key=_by_single_requests)]
        names = ", ".join(likely[:4]) + (", ..." if len(likely) > 4 else "")
        return f"requests keep memory, but whether those to all endpoints do, or mostly those to one ({names}), is not told"
    if split.common is not None and split.time is None:
        return "memory grows with requests to all endpoints alike, or with time, which went by as they came"
    if split.common is not None:
        return "requests to all endpoints keep memory alike, so it is something that every request does"
    return "no endpoint's interval excludes 0"
