"""Which restart policy pays: policies simulated on the memory that this run's workers had, by requests since their start.

A worker's memory as a function of the requests it has answered is measured (all workers together, medians), and goes on behind
the last measured point with the growth per request that the rounds gave. On that curve workers are replaced in the ways servers
offer: gunicorn's ``max_requests`` with ``randint(0, jitter)`` added for each life, php-fpm's ``pm.max_requests`` without, a
supervisor that ends what is above a limit, and never. Requests fall on workers by chance. All begin together, as after a deploy.

What it does not know: requests that get slower as memory grows, the time until a new worker answers at all, and pages shared with
the master that a worker copies while its interpreter shuts down.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.diagnose.growth import Shape
from harness.diagnose.pool import PoolView
from harness.model.process import ProcessKey, Role
from harness.model.report import RecyclingPolicy, RecyclingRow
from harness.model.span import PhaseName, RequestRecord
from harness.units import format_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

COLD_REQUESTS = 50  # of a worker's life, which may be slower than the rest
_BINS = 60
_STEPS = 4000
_LIVES = 20  # of each worker, at least, are simulated
_HORIZON_HOURS = 24.0
_LEAST_REQUESTS, _MOST_REQUESTS = 100, 1_000_000
_LEAST_UNKNOWN = 1000  # where it is not known what a cold start costs
_JITTER_SHARE = 0.2
_MAY_GROW = 0.25  # of a warm worker's memory
_COLD_SHARE = 0.02  # of the time that requests take
_PAYS_SHARE, _PAYS_BYTES = 0.1, 8 * 1024 * 1024
_SEED = 1
# Measured before anything was done to the workers.
_NATURAL = (PhaseName.LAUNCH, PhaseName.WARMUP, PhaseName.ROUNDS)
NONE, MAX_REQUESTS, MEMORY_LIMIT = "none", "max-requests", "memory-limit"


@dataclass(frozen=True, slots=True)
class WorkerCurve:
    """Private memory of a worker (bytes) by the requests it has answered. ``slope``: bytes per request behind the last point."""

    requests: Floats
    level: Floats
    slope: float

    def at(self, requests: Floats) -> Floats:
        """Memory after so many requests."""
        beyond = np.maximum(0.0, requests - self.requests[-1])
        level: Floats = np.interp(requests, self.requests, self.level) + self.slope * beyond
        return level


@dataclass(frozen=True, slots=True)
class Outcome:
    """Private memory of all workers together, in bytes."""

    average: float
    peak: float


def simulate(
    curve: WorkerCurve, workers: int, requests: int, life: float | None, jitter: int = 0, seed: int = _SEED
) -> Outcome:
    """``requests`` in all, each answered by a worker chosen by chance. ``life``: requests after which a worker is replaced, with
    a whole number from 0 to ``jitter`` added by chance for each worker; None: never. The same seed gives the same outcome."""
    rng = np.random.default_rng(seed)
    steps = min(_STEPS, max(1, requests))
    arrivals = rng.multinomial(requests // steps, np.full(workers, 1 / workers), size=steps)
    answered = np.vstack([np.zeros((1, workers)), np.cumsum(arrivals, axis=0)])
    total = np.zeros(steps + 1)
    for worker in range(workers):
        age = answered[:, worker]
        if life is not None:
            number = int(age[-1] // life) + 2
            ends = np.cumsum(life + rng.integers(0, jitter + 1, size=number))
            index = np.searchsorted(ends, age, side="right")
            age = age - np.concatenate([[0.0], ends])[index]
        total += curve.at(age)
    return Outcome(float(total.mean()), float(total.max()))


def curve_of(pool: PoolView) -> WorkerCurve | None:
    """None where the requests of the workers or their growth are not known."""
    memory, per_round = pool.memory, pool.requests_per_round
    if memory is None or per_round is None or not memory.known or pool.anon_metric is None:
        return None
    points = [_points(pool, key) for key in pool.stable]
    requests = np.concatenate([p[0] for p in points])
    levels = np.concatenate([p[1] for p in points])
    if requests.size < _BINS // 10 or requests.max() <= 0:
        return None
    edges = np.linspace(0, requests.max(), min(_BINS, requests.size // 2) + 1)
    of = np.clip(np.searchsorted(edges, requests, side="right") - 1, 0, edges.size - 2)
    used = np.unique(of)
    ends = memory.shape in (Shape.SLOWING, Shape.SETTLED)  # then what is measured is nearly all there will be
    slope = memory.per_round / per_round if memory.rises and not ends else 0.0
    return WorkerCurve(
        requests=np.array([np.median(requests[of == b]) for b in used]),
        level=np.array([np.median(levels[of == b]) for b in used]),
        slope=max(0.0, slope),
    )


def _points(pool: PoolView, key: ProcessKey) -> tuple[Floats, Floats]:
    """(requests answered before, private memory) at each sweep of a worker's undisturbed life."""
    series = pool.timeline.series.get((f"process.memory.{pool.anon_metric}", key))
    if series is None:
        return np.empty(0), np.empty(0)
    until = max((w.end_ns or 0 for w in pool.timeline.windows if w.phase in _NATURAL), default=0)
    until = max(until, pool.rounds[-1].floor_ns)
    ends = _answers(pool).get(key, np.empty(0, dtype=np.int64))
    keep = series.t_ns <= until
    return np.searchsorted(ends, series.t_ns[keep]).astype(np.float64), series.values[keep].astype(np.float64)


def _answers(pool: PoolView) -> Mapping[ProcessKey, NDArray[np.int64]]:
    """Ends of each worker's requests, sorted, of all phases."""

    def collect() -> Mapping[ProcessKey, NDArray[np.int64]]:
        found: dict[ProcessKey, list[int]] = defaultdict(list)
        for joined in pool.timeline.spans:
            if joined.worker is not None:
                found[joined.worker].append(joined.span.end_ns)
        return {key: np.sort(np.array(ends, dtype=np.int64)) for key, ends in found.items()}

    return pool.once("answers", collect)


@dataclass(frozen=True, slots=True)
class ColdStart:
    """``extra_s``: by which the first requests to a new worker took longer, all together, median over workers; ``request_s``: how
    long one takes otherwise."""

    extra_s: float
    request_s: float


def cold_start(pool: PoolView) -> ColdStart | None:
    """None where no worker's first requests were recorded inside it."""
    first: dict[ProcessKey, list[RequestRecord]] = defaultdict(list)
    usual: dict[str, list[int]] = defaultdict(list)
    own = {w.info.key for w in pool.members if w.role is Role.WORKER}
    for joined in pool.timeline.spans:
        record, worker = joined.record, joined.worker
        if record is None or record.sequence is None or worker not in own or joined.span.phase not in _NATURAL:
            continue
        if record.sequence < COLD_REQUESTS:
            first[worker].append(record)
        elif (took := _took(record)) is not None:
            usual[record.name].append(took)
    median = {name: float(np.median(values)) for name, values in usual.items() if len(values) >= 5}
    extra = [found for records in first.values() if (found := _extra(records, median)) is not None]
    if not extra:
        return None
    everything = [v for name in median for v in usual[name]]
    return ColdStart(max(0.0, float(np.median(extra))) / 1e9, float(np.mean(everything)) / 1e9)


def _extra(records: Sequence[RequestRecord], median: Mapping[str, float]) -> float | None:
    known = [r for r in records if r.name in median]
    if not any(r.first_in_process for r in known):
        return None
    return sum(took - median[r.name] for r in known if (took := _took(r)) is not None)


def _took(record: RequestRecord) -> int | None:
    return None if record.start_ns is None or record.end_ns is None else record.end_ns - record.start_ns


def recycling_of(pool: PoolView, budget_bytes: float | None = None, *, with_jitter: bool = True) -> RecyclingRow | None:
    """The policies compared, and the one to take. ``budget_bytes``: what the pool's workers could use at most, where known.
    ``with_jitter``: whether the server adds a number by chance, as gunicorn and uWSGI do and php-fpm does not.

    None where too little is known, see `curve_of`.
    """
    curve = curve_of(pool)
    rate, per_round = pool.rounds_per_hour, pool.requests_per_round
    if curve is None or rate is None or per_round is None:
        return None
    share = _JITTER_SHARE if with_jitter else 0.0
    study = _Study(
        pool.name, curve, len(pool.stable), per_round * rate, cold_start(pool), budget_bytes, _warm(pool, curve), share
    )
    return study.row()


def _warm(pool: PoolView, curve: WorkerCurve) -> float:
    """Memory of a worker when the judged rounds began."""
    answers = _answers(pool)
    before = [np.searchsorted(answers.get(k, np.empty(0)), pool.rounds[0].floor_ns) for k in pool.stable]
    return float(curve.at(np.array([float(np.median(before))]))[0])


@dataclass(frozen=True, slots=True)
class _Study:
    pool: str
    curve: WorkerCurve
    workers: int
    per_hour: float
    cold: ColdStart | None
    budget: float | None
    warm: float
    jitter_share: float

    @property
    def grows(self) -> bool:
        return self.curve.slope > 0

    def row(self) -> RecyclingRow:
        never = self._never()
        tried = [self._max_requests(n) for n in self._candidates()]
        best = self._best(tried)
        policies = [never]
        chosen = None
        if best is not None:
            index = tried.index(best)
            policies += tried[max(0, index - 1) : index + 2]
            policies.append(self._memory_limit(best))
            if self._pays(never, best):
                chosen = policies.index(best)
        return RecyclingRow(
            pool=self.pool,
            workers=self.workers,
            requests_per_hour=self.per_hour,
            fresh_bytes=int(self.curve.level[0]),
            warm_bytes=int(self.warm),
            growth_bytes_per_request=self.curve.slope,
            cold_start_s=None if self.cold is None else self.cold.extra_s,
            horizon_s=_HORIZON_HOURS * 3600,
            policies=tuple(policies),
            chosen=chosen,
            reason=self._reason(best, pays=chosen is not None),
        )

    def _candidates(self) -> list[int]:
        """1, 2, 5, 10, ... requests, not more than a worker answers in the time that is compared."""
        most = min(_MOST_REQUESTS, self.per_hour * _HORIZON_HOURS / self.workers)
        steps = [m * 10**e for e in range(1, 7) for m in (1, 2, 5)]
        return [n for n in steps if _LEAST_REQUESTS <= n <= most]

    def _never(self) -> RecyclingPolicy:
        each = self.per_hour * _HORIZON_HOURS / self.workers
        ages = np.linspace(0, each, _STEPS)
        level = self.curve.at(ages) * self.workers
        hours = None
        if self.budget is not None and level[-1] > self.budget:
            hours = _HORIZON_HOURS * float(np.argmax(level > self.budget)) / _STEPS
        return RecyclingPolicy(NONE, "never", None, None, None, int(level.mean()), int(level.max()), 0.0, hours)

    def _simulated(self, name: str, life: float, jitter: int, limit_bytes: int | None = None) -> RecyclingPolicy:
        requests = math.ceil(_LIVES * (life + jitter) * self.workers)
        outcome = simulate(self.curve, self.workers, requests, life, jitter)
        return RecyclingPolicy(
            policy=name,
            text=_in_words(life, jitter, limit_bytes),
            requests=int(life) if limit_bytes is None else None,
            jitter=jitter if limit_bytes is None else None,
            average_bytes=int(outcome.average),
            peak_bytes=int(outcome.peak),
            cold_starts_per_hour=self.per_hour / (life + jitter / 2),
            limit_bytes=limit_bytes,
            hours_to_budget=None,
        )

    def _max_requests(self, number: int) -> RecyclingPolicy:
        return self._simulated(MAX_REQUESTS, number, int(number * self.jitter_share))

    def _memory_limit(self, like: RecyclingPolicy) -> RecyclingPolicy:
        """A limit that replaces workers as often as ``like`` does."""
        life = (like.requests or 0) + (like.jitter or 0) / 2
        limit = float(self.curve.at(np.array([life]))[0])
        return self._simulated(MEMORY_LIMIT, life, 0, int(limit))

    def _best(self, tried: Sequence[RecyclingPolicy]) -> RecyclingPolicy | None:
        """The rarest replacement that keeps a growing worker near its warm size; of one that does not grow the smallest average.
        Never so often that cold starts take more than a fiftieth of the time of all requests."""
        least = self._least_requests()
        allowed = [p for p in tried if p.requests is not None and p.requests >= least]
        if not allowed:
            return None
        if not self.grows:
            return min(allowed, key=lambda p: (p.average_bytes, -(p.requests or 0)))
        small = [p for p in allowed if self._grown(p) <= _MAY_GROW * self.warm]
        return small[-1] if small else allowed[0]

    def _grown(self, policy: RecyclingPolicy) -> float:
        oldest = float((policy.requests or 0) + (policy.jitter or 0))
        return float(self.curve.at(np.array([oldest]))[0]) - self.warm

    def _least_requests(self) -> float:
        if self.cold is None:
            return _LEAST_UNKNOWN
        return self.cold.extra_s / (_COLD_SHARE * self.cold.request_s) if self.cold.request_s > 0 else _LEAST_UNKNOWN

    def _pays(self, never: RecyclingPolicy, best: RecyclingPolicy) -> bool:
        saved = self._saved(never, best)
        return saved >= max(_PAYS_BYTES, _PAYS_SHARE * self.warm * self.workers)

    def _saved(self, never: RecyclingPolicy, best: RecyclingPolicy) -> int:
        if not self.grows:
            return never.average_bytes - best.average_bytes
        most = never.peak_bytes if self.budget is None else min(never.peak_bytes, int(self.budget))
        return most - best.peak_bytes

    def _reason(self, best: RecyclingPolicy | None, *, pays: bool) -> str:
        if best is None:
            return "workers would have to be replaced so often that cold starts cost more than the memory is worth"
        if not pays:
            return "replacing workers would save less than a tenth of the pool's memory: it does not pay"
        if not self.grows:
            return "memory does not grow without end, but workers that begin anew hold less of it on average"
        if self._grown(best) <= _MAY_GROW * self.warm:
            return (
                f"the rarest replacement after which no worker is more than {100 * _MAY_GROW:.0f} % above its warm size"
            )
        return "the most frequent replacement whose cold starts take less than a fiftieth of the time of all requests"


def _in_words(life: float, jitter: int, limit_bytes: int | None) -> str:
    if limit_bytes is not None:
        return f"above {format_bytes(limit_bytes)} of private memory"
    return f"after {life:.0f} requests" + (f" and up to {jitter} more" if jitter else "")
