"""Which endpoint keeps memory, from outside: growth of each worker over each block regressed on what it answered there.

Model: increment of a worker's floor over a block = sum over endpoints of (requests it answered) x (bytes each keeps), all
non-negative. Only differences in the mix tell endpoints apart, so blocks need different mixes (the load generator shuffles
the composition of blocks inside a round). Shared memory belongs to nobody, so there the observation is the pool's sum.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from harness.diagnose.pool import BLOCKS, IN_FLIGHT, PAGE_STEP_BYTES, PoolView
from harness.diagnose.stats import Regression, bootstrap_nnls, nnls, standard_errors
from harness.model.process import ProcessKey
from harness.model.span import PhaseName
from harness.model.timeline import JoinedSpan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_ENOUGH_JOINED = 0.95
_MIN_BLOCKS = 6  # time blocks; with fewer the halves say nothing
_MAX_ENDPOINTS = 64
_MIN_PAIRS = 50
_DOMINANT_SHARE = 0.6
_PERSISTENT_SHARE = 0.5
_STAND_OUT = 2.0
_CLEAR_HALF_WIDTHS = 1.5  # above 0: of many endpoints some interval of 95 % always excludes 0 by chance
_OTHERS = "(other endpoints)"

Block = tuple[int, int | None]  # round, block


@dataclass(frozen=True, slots=True)
class EndpointGrowth:
    """Bytes that each request to an endpoint keeps, with a 95 % interval; ``share`` of all growth that it explains.

    ``blocks_per_request``: live Python allocations each request added, by the agent's count around requests that ran alone
    (mean and 95 % half-width); None without an agent.
    """

    endpoint: str
    requests: int
    bytes_per_request: float
    ci95: tuple[float, float]
    share: float
    second_half: float
    blocks_per_request: tuple[float, float] | None = None

    @property
    def proven(self) -> bool:
        """Whether the interval excludes 0."""
        return self.ci95[0] > 0

    @property
    def clear(self) -> bool:
        """Whether the estimate stays far enough above 0 not to be one chance among many endpoints, in both halves of the run.

        The interval holds the steps in which memory is taken, so this is also more than one such step in every worker.
        """
        half_width = max(self.bytes_per_request - self.ci95[0], self.ci95[1] - self.bytes_per_request)
        lasting = self.second_half >= _PERSISTENT_SHARE * self.bytes_per_request
        return self.proven and lasting and self.bytes_per_request >= _CLEAR_HALF_WIDTHS * half_width


@dataclass(frozen=True, slots=True)
class Attribution:
    """The split of a pool's growth by endpoint. ``dominant`` is set when one endpoint explains at least 60 % of it beyond
    doubt; otherwise ``reason`` says why none does. ``explained``: modelled over observed growth."""

    endpoints: tuple[EndpointGrowth, ...]
    dominant: EndpointGrowth | None
    reason: str
    explained: float | None
    observations: int

    def leading(self) -> list[EndpointGrowth]:
        """Endpoints that certainly keep memory, largest share first."""
        return sorted((e for e in self.endpoints if e.proven), key=lambda e: -e.share)


@dataclass(frozen=True, slots=True)
class _Observations:
    """``counts`` (rows, endpoints), ``growth`` (rows,), ``group`` (rows,): number of the block in time."""

    endpoints: tuple[str, ...]
    counts: Floats
    growth: Floats
    group: NDArray[np.int64]


def attribute_private(pool: PoolView) -> Attribution:
    """Split the growth of private memory, by worker and block."""
    return pool.once("attribute_private", lambda: _attribute_private(pool))


def attribute_shared(pool: PoolView) -> Attribution:
    """Split the growth of the pool's shared memory, by block."""
    return pool.once("attribute_shared", lambda: _attribute_shared(pool))


def _attribute_private(pool: PoolView) -> Attribution:
    if pool.anon_metric is None:
        return _nothing("no worker lived through all rounds")
    if pool.coverage is None:
        return _nothing("no requests were sent")
    if pool.coverage < _ENOUGH_JOINED:
        return _attribute_sum(pool)
    counts: dict[tuple[ProcessKey, Block], Counter[str]] = defaultdict(Counter)
    for joined in pool.measured_spans:
        span = joined.span
        if joined.worker is not None and span.round is not None:
            counts[joined.worker, (span.round, span.block)][span.endpoint] += 1
    rows = []
    for group, (block, before, after) in enumerate(_blocks(pool)):
        for worker in pool.stable:
            level = [_private_level(pool, worker, t) for t in (before, after)]
            if level[0] is not None and level[1] is not None:
                rows.append((group, counts.get((worker, block), Counter()), level[1] - level[0]))
    return _fit(pool, _observations(rows), PAGE_STEP_BYTES * len(pool.stable))


def _attribute_sum(pool: PoolView) -> Attribution:
    """Without knowing who answered what: the sum over all workers against all requests, if nobody else can have answered."""
    if pool.replaced or not pool.alone:
        share = 100 * (pool.coverage or 0)
        return _nothing(f"only {share:.0f} % of the requests could be tied to a worker")
    counts = _counts_by_block(pool.all_spans)
    rows = []
    for group, (block, before, after) in enumerate(_blocks(pool)):
        changes = [(_private_level(pool, w, before), _private_level(pool, w, after)) for w in pool.stable]
        known = [b - a for a, b in changes if a is not None and b is not None]
        if len(known) == len(changes):
            rows.append((group, counts.get(block, Counter()), sum(known)))
    return _fit(pool, _observations(rows), PAGE_STEP_BYTES * len(pool.stable))


def _counts_by_block(spans: Sequence[JoinedSpan]) -> Mapping[Block, Counter[str]]:
    counts: dict[Block, Counter[str]] = defaultdict(Counter)
    for joined in spans:
        span = joined.span
        if span.round is not None:
            counts[span.round, span.block][span.endpoint] += 1
    return counts


def _attribute_shared(pool: PoolView) -> Attribution:
    counts = _counts_by_block(pool.measured_spans)
    if not counts:
        return _nothing("no requests were sent")
    rows = []
    for group, (block, before, after) in enumerate(_blocks(pool)):
        level = [_shared_level(pool, t) for t in (before, after)]
        if level[0] is not None and level[1] is not None:
            rows.append((group, counts.get(block, Counter()), level[1] - level[0]))
    return _fit(pool, _observations(rows), PAGE_STEP_BYTES)


def _blocks(pool: PoolView) -> list[tuple[Block, int, int]]:
    """Blocks of the judged rounds (or the rounds, where there are no blocks) with the floors before and after each."""
    judged = {r.number for r in pool.rounds}
    windows = [
        w
        for w in pool.timeline.windows
        if w.phase is PhaseName.ROUNDS and w.round in judged and w.end_ns is not None and w.floor_ns is not None
    ]
    has_blocks = any(w.block is not None for w in windows)
    times = np.array(sorted(pool.floors), dtype=np.int64)
    found: list[tuple[Block, int, int]] = []
    for window in sorted(windows, key=lambda w: w.start_ns):
        if window.round is None or window.floor_ns is None or (window.block is None) == has_blocks:
            continue
        earlier = int(np.searchsorted(times, window.start_ns, side="right")) - 1
        if earlier >= 0 and window.floor_ns in pool.floors:
            found.append(((window.round, window.block), int(times[earlier]), window.floor_ns))
    return found


def _private_level(pool: PoolView, worker: ProcessKey, t_ns: int) -> int | None:
    floor = pool.floors[t_ns].get(worker)
    if floor is None:
        return None
    value = floor.values.get(f"process.memory.{pool.anon_metric}")
    if value is not None and pool.anon_metric == "pss_anon":
        value += floor.values.get("process.memory.swap_pss") or 0
    return value


def _shared_level(pool: PoolView, t_ns: int) -> int | None:
    values = [f.values.get("process.memory.pss_shmem") for f in pool.floors[t_ns].values()]
    known = [v for v in values if v is not None]
    return sum(known) if known and len(known) == len(values) else None


def _observations(rows: Sequence[tuple[int, Counter[str], int]]) -> _Observations:
    total: Counter[str] = Counter()
    for _, counts, _ in rows:
        total.update(counts)
    names = [name for name, _ in total.most_common(_MAX_ENDPOINTS)]
    column = {name: index for index, name in enumerate(names)}
    if len(total) > len(names):
        names.append(_OTHERS)
    matrix = np.zeros((len(rows), len(names)))
    for row, (_, counts, _) in enumerate(rows):
        for name, count in counts.items():
            matrix[row, column.get(name, len(names) - 1)] += count
    growth = np.array([value for _, _, value in rows], dtype=np.float64)
    group = np.array([number for number, _, _ in rows], dtype=np.int64)
    return _Observations(tuple(names), matrix, growth, group)


def _fit(pool: PoolView, seen: _Observations, grain_bytes: float) -> Attribution:
    """``grain_bytes``: what memory that was free, or taken, in whole steps may add to or hide from the whole run."""
    blocks = np.unique(seen.group).size
    if not seen.endpoints or seen.growth.size == 0:
        return _nothing("no block has a floor before and after it")
    if blocks < _MIN_BLOCKS or seen.growth.size <= len(seen.endpoints):
        return _nothing(
            f"{seen.growth.size} observations in {blocks} blocks are too few for {len(seen.endpoints)} endpoints"
        )
    # With few blocks there is little to resample, and each worker's block has to count for itself.
    groups = seen.group if blocks >= 2 * len(seen.endpoints) + 6 else np.arange(seen.growth.size)
    fit = bootstrap_nnls(seen.counts, seen.growth, groups, draws=400 if len(seen.endpoints) <= 20 else 150)
    half = seen.group >= np.median(seen.group)
    later = nnls(seen.counts[half], seen.growth[half])
    observed = float(seen.growth.sum())
    per_request = _block_deltas(pool)
    endpoints = tuple(
        _endpoint(name, index, seen, fit, float(later[index]), observed, grain_bytes, per_request.get(name))
        for index, name in enumerate(seen.endpoints)
    )
    modelled = float((seen.counts @ fit.coefficients).sum())
    explained = modelled / observed if observed > 0 else None
    dominant, reason = _dominant(endpoints, fit, observed)
    return Attribution(endpoints, dominant, reason, explained, int(seen.growth.size))


def _endpoint(
    name: str,
    index: int,
    seen: _Observations,
    fit: Regression,
    later: float,
    observed: float,
    grain_bytes: float,
    blocks_per_request: tuple[float, float] | None,
) -> EndpointGrowth:
    requests = float(seen.counts[:, index].sum())
    value, error = float(fit.coefficients[index]), float(fit.standard_error[index])
    grain = grain_bytes / requests
    low = min(float(fit.low[index]), value - 1.96 * error) - grain
    high = max(float(fit.high[index]), value + 1.96 * error) + grain
    share = value * requests / observed if observed > 0 else 0.0
    return EndpointGrowth(name, int(requests), value, (max(0.0, low), high), share, later, blocks_per_request)


def _dominant(
    endpoints: Sequence[EndpointGrowth], fit: Regression, observed: float
) -> tuple[EndpointGrowth | None, str]:
    if observed <= 0:
        return None, "there was no growth over the blocks"
    largest = max(endpoints, key=lambda e: e.share)
    if not np.isfinite(fit.standard_error).all():
        stuck = [e.endpoint for e, error in zip(endpoints, fit.standard_error, strict=True) if not np.isfinite(error)]
        if largest.endpoint in stuck:
            return None, f"the mix was the same in every block, so {', '.join(sorted(stuck)[:4])} cannot be told apart"
    proven = [e for e in endpoints if e.proven]
    if not proven:
        return None, "no endpoint's interval excludes 0"
    if not largest.proven or largest.share < _DOMINANT_SHARE:
        names = ", ".join(f"{e.endpoint} ({100 * e.share:.0f} %)" for e in sorted(proven, key=lambda e: -e.share)[:4])
        return None, f"no single endpoint explains most of the growth: {names}"
    others = [e for e in endpoints if e is not largest]
    spread = sum(e.bytes_per_request * e.requests for e in others) / max(1, sum(e.requests for e in others))
    if others and largest.ci95[0] <= _STAND_OUT * spread:
        return (
            None,
            f"{largest.endpoint} keeps hardly more per request than the others: growth may follow time, not requests",
        )
    if largest.second_half < _PERSISTENT_SHARE * largest.bytes_per_request:
        return None, f"{largest.endpoint} grew in the first half of the rounds only"
    return largest, ""


def _block_deltas(pool: PoolView) -> Mapping[str, tuple[float, float]]:
    """Live Python allocations that a request adds for good, with the 95 % half-width, by endpoint.

    Uses pairs of consecutive records of one process whose later request ran alone, so that nothing else came between. What
    an endpoint still holds while its record is written (its response) would look like growth after another endpoint's
    request, so the level of each endpoint is fitted along: change = kept[this] + level[this] - level[previous].
    """
    stable = set(pool.stable)
    by_worker: dict[ProcessKey, list[tuple[int, int, str, bool]]] = defaultdict(list)
    for joined in pool.measured_spans:
        record, worker = joined.record, joined.worker
        if worker is None or worker not in stable or record is None or record.sequence is None:
            continue
        value = record.values.get(BLOCKS)
        if value is not None:
            alone = record.values.get(IN_FLIGHT) == 1
            by_worker[worker].append((record.sequence, value, joined.span.endpoint, alone))
    pairs: dict[tuple[str, str], list[int]] = defaultdict(list)
    for rows in by_worker.values():
        rows.sort()
        for (before, was, previous, _), (after, now, endpoint, alone) in pairwise(rows):
            if alone and after == before + 1:
                pairs[previous, endpoint].append(now - was)
    return _kept_and_level(pairs)


def _kept_and_level(pairs: Mapping[tuple[str, str], Sequence[int]]) -> Mapping[str, tuple[float, float]]:
    names = sorted({name for pair in pairs for name in pair})
    count, width = sum(len(v) for v in pairs.values()), 2 * len(names) - 1
    if len(names) > _MAX_ENDPOINTS or count < max(_MIN_PAIRS, 2 * width):
        return {}
    column = {name: index for index, name in enumerate(names)}
    gram, moment, power = np.zeros((width, width)), np.zeros(width), 0.0
    for (previous, endpoint), changes in pairs.items():
        row = np.zeros(2 * len(names))
        row[column[endpoint]] = 1
        row[len(names) + column[endpoint]] += 1
        row[len(names) + column[previous]] -= 1
        row = row[:width]  # levels are relative to the last endpoint's
        values = np.array(changes, dtype=np.float64)
        gram += len(changes) * np.outer(row, row)
        moment += values.sum() * row
        power += float((values * values).sum())
    solution = np.linalg.lstsq(gram, moment, rcond=None)[0]
    noise = max(0.0, power - float(solution @ moment)) / (count - width)
    errors = standard_errors(gram, noise)
    return {
        name: (float(solution[i]), float(1.96 * errors[i])) for i, name in enumerate(names) if np.isfinite(errors[i])
    }


def _nothing(reason: str) -> Attribution:
    return Attribution((), None, reason, None, 0)
