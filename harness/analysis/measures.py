"""What expectations are judged by: every quantity of a run, of the whole application and of each endpoint and pool. Pure.

Growth has the interval that diagnosis gives it. Percentiles of latencies and shares of errors have the interval that they have
as a sample of what such requests do; a limit inside it is met by chance. Counts and peaks are facts of this run.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from harness.analysis.ledger import part_growth_rows
from harness.analysis.order import quantile_ranks, share_interval
from harness.diagnose.conclusion import hidden
from harness.diagnose.engine import Diagnosis
from harness.diagnose.growth import MIN_ROUNDS, Shape
from harness.diagnose.pool import PoolView
from harness.model.finding import Cause
from harness.model.measure import Measure, Unit
from harness.model.process import ProcessKey, Role
from harness.model.report import EndpointRow
from harness.model.run import Series
from harness.model.span import PhaseName
from harness.model.timeline import Timeline, Worker
from harness.report.pools import PSS, RSS, PoolSum, own_sum, pool_sum, pools
from harness.scenario.enough import for_percentile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Longs = NDArray[np.int64]

_PERCENTILES = (50, 90, 95, 99)
_MEMORY_PERCENTILES = (50, 95, 99)
_NOT_MEASURED = (PhaseName.PROBES, PhaseName.PROFILED)
_MOST_REQUESTS = 0.5
_NO_REQUESTS = "no request was measured"


def measures(timeline: Timeline, diagnosis: Diagnosis, endpoints: Sequence[EndpointRow]) -> tuple[Measure, ...]:
    """All of them; those without a subject are of the whole application."""
    return (*_growth(diagnosis), *_retained_by_endpoint(diagnosis, endpoints), *_memory(timeline),
            *_request_peaks(endpoints), *_traffic(timeline))  # fmt: skip


# --- growth ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Rise:
    """What a pool grows by in a round, private and shared, in bytes; ``reason`` where that is not known."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    blind: float | None = None
    reason: str = ""

    def measure(self, metric: str, factor: float | None, why_none: str, pool: str | None) -> Measure:
        """In another unit of work: times ``factor``, which is None where it is not known."""
        if self.reason or factor is None:
            return Measure(metric, Unit.BYTES, None, pool=pool, reason=self.reason or why_none)
        blind = None if self.blind is None else self.blind * factor
        return Measure(
            metric, Unit.BYTES, self.value * factor, self.low * factor, self.high * factor, None, pool, blind
        )


def _growth(diagnosis: Diagnosis) -> Iterator[Measure]:
    by_metric: dict[str, list[Measure]] = defaultdict(list)
    for pool in diagnosis.pools:
        rise, n = _rise(pool, diagnosis), pool.requests_per_round
        by_metric["growth_per_round"].append(rise.measure("growth_per_round", 1.0, "", pool.name))
        hourly = rise.measure("growth_per_hour", pool.rounds_per_hour, "the rate of the rounds is not known", pool.name)
        by_metric["growth_per_hour"].append(hourly)
        if pool.measured_spans:
            why = "too few of the requests could be tied to workers that lived through the rounds"
            per_request = rise.measure("retained_bytes_per_request", 1 / n if n else None, why, pool.name)
            by_metric["retained_bytes_per_request"].append(per_request)
    for found in by_metric.values():
        yield from found
    yield _together("growth_per_round", by_metric["growth_per_round"])
    yield _together("growth_per_hour", by_metric["growth_per_hour"])
    yield _worst("retained_bytes_per_request", by_metric["retained_bytes_per_request"])


def _rise(pool: PoolView, diagnosis: Diagnosis) -> _Rise:
    reason = _why_unknown(pool)
    if reason is not None or pool.memory is None:
        return _Rise(reason=f"{pool.name}: {reason}")
    curves = [c for c in (pool.memory, pool.shared) if c is not None and c.known]
    value, low, high = sum(c.per_round for c in curves), sum(c.low for c in curves), sum(c.high for c in curves)
    for curve in curves:
        if curve.shape is Shape.UNCLEAR and len(curve.levels) > 1:  # its jumps are in no interval, and may come again
            high += max(0.0, curve.total / (len(curve.levels) - 1) - curve.high)
    blind = _blind(pool, diagnosis)
    live = next((row for row in part_growth_rows([pool]) if row.part == "live" and row.exact), None)
    if live is not None and live.interval is not None and live.interval[0] > max(0.0, high):
        high = live.interval[1]  # it fills what the allocators hold already; pages follow
    elif blind is not None and hidden(pool) is not None:
        high = max(high, blind)
    return _Rise(value, low, max(high, value), blind)


def _why_unknown(pool: PoolView) -> str | None:
    if len(pool.rounds) < MIN_ROUNDS:
        return f"only {len(pool.rounds)} complete {pool.stretch}s were measured and {MIN_ROUNDS} are needed"
    if not pool.stable:
        return f"no worker lived through all measured {pool.stretch}s"
    if pool.stable_share is not None and pool.stable_share < _MOST_REQUESTS:
        return f"most requests were answered by workers that did not live through all measured {pool.stretch}s"
    if pool.memory is None or not (pool.memory.known and pool.memory.judged):
        return f"the memory of its workers was not measured at the end of every {pool.stretch}"
    return None


def _blind(pool: PoolView, diagnosis: Diagnosis) -> float | None:
    """The smallest growth a round that this run could have seen, as the conclusion about the pool says it."""
    n = pool.requests_per_round
    for finding in diagnosis.findings:
        told = finding.growth.mdl_bytes_per_request
        if finding.subject.pool == pool.name and finding.cause in (Cause.HEALTHY, Cause.WARMUP) and told and n:
            return told * n
    return pool.memory.mdl_per_round if pool.memory is not None and pool.memory.judged else None


def _together(metric: str, of_pools: Sequence[Measure]) -> Measure:
    """The sum over all pools: the ends of the intervals are added, which is never too narrow."""
    unknown = _unknown(metric, of_pools)
    if unknown is not None:
        return unknown
    value, low, high, blind = (_total([getattr(m, end) for m in of_pools]) for end in ("value", "low", "high", "blind"))
    return Measure(metric, Unit.BYTES, value, low, high, blind=blind)


def _worst(metric: str, of_pools: Sequence[Measure]) -> Measure:
    """Of the pool that grows most: what holds for it holds for all."""
    unknown = _unknown(metric, of_pools)
    if unknown is not None:
        return unknown
    value, low, high = (max(getattr(m, end) for m in of_pools) for end in ("value", "low", "high"))
    blind = [m.blind for m in of_pools if m.blind is not None]
    return Measure(metric, Unit.BYTES, value, low, high, blind=max(blind, default=None))


def _unknown(metric: str, of_pools: Sequence[Measure]) -> Measure | None:
    reason = (
        "no pool of workers was measured"
        if not of_pools
        else next((m.reason for m in of_pools if m.value is None), None)
    )
    return None if reason is None else Measure(metric, Unit.BYTES, None, reason=reason)


def _total(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) if len(known) == len(values) else None


def _retained_by_endpoint(diagnosis: Diagnosis, endpoints: Sequence[EndpointRow]) -> Iterator[Measure]:
    blind = _blind_by_endpoint(diagnosis)
    for row in endpoints:
        found = Measure("retained_bytes_per_request", Unit.BYTES, None, endpoint=row.name, blind=blind.get(row.name))
        if row.retained_bytes_per_request is None or row.ci95 is None:
            yield replace(
                found, blind=None, reason=f"how much {row.name} keeps could not be told from the other endpoints"
            )
        else:
            low, high = row.ci95
            yield replace(found, value=row.retained_bytes_per_request, low=low, high=high)


def _blind_by_endpoint(diagnosis: Diagnosis) -> dict[str, float]:
    """What the pool's blind spot is in requests to one endpoint alone."""
    found: dict[str, float] = {}
    for pool in diagnosis.pools:
        per_round = _blind(pool, diagnosis)
        counts: dict[str, int] = defaultdict(int)
        for joined in pool.measured_spans:
            counts[joined.span.endpoint] += 1
        for name, count in counts.items():
            if per_round is not None and pool.rounds:
                found[name] = max(found.get(name, 0.0), per_round * len(pool.rounds) / count)
    return found


# --- memory ---------------------------------------------------------------------------------------------------------


def _memory(timeline: Timeline) -> Iterator[Measure]:
    by_pool = {
        name: members for name, members in pools(timeline).items() if any(w.role is Role.WORKER for w in members)
    }
    yield from _sizes(timeline, [w for members in by_pool.values() for w in members], None)
    for name, members in pools(timeline).items():
        yield from _sizes(timeline, members, name)


@dataclass(frozen=True, slots=True)
class _Size:
    """What a process has: the end of the names of its metrics, what people call it, the series without which it is not known."""

    name: str
    title: str
    series: str
    total: Callable[[Mapping[tuple[str, ProcessKey | None], Series], Sequence[Worker]], PoolSum | None]


_PSS = _Size("pss", "PSS", PSS, lambda series, members: pool_sum(series, members, PSS))
_OWN = _Size("own", "own memory", "process.memory.pss_anon", own_sum)  # PSS without pages of files


def _sizes(timeline: Timeline, members: Sequence[Worker], pool: str | None) -> Iterator[Measure]:
    for size in (_PSS, _OWN):
        whole = size.total(timeline.series, members)
        unknown = _why_no_size(timeline, members, size, whole)
        metrics = (f"peak_{size.name}", f"peak_worker_{size.name}", f"end_{size.name}",
                   *(f"{size.name}_p{q}" for q in _MEMORY_PERCENTILES))  # fmt: skip
        if whole is None or unknown:
            yield from (Measure(metric, Unit.BYTES, None, pool=pool, reason=unknown) for metric in metrics)
        else:
            yield from _sizes_of(size, whole, timeline, members, pool)


def _why_no_size(timeline: Timeline, members: Sequence[Worker], size: _Size, whole: PoolSum | None) -> str:
    """Empty where it is known of all that were there all the time."""
    if whole is None:
        places = {worker.info.key.host or "this machine" for worker in members}
        names = {PSS, *(f"{PSS} on {place}" for place in places)}  # of several hosts each signal says where
        told = next((f": {m.reason}" for m in timeline.missing if m.signal in names), "")
        return f"{size.title} was not measured{told}"
    unread = _unread(timeline, members, size.series)
    return (
        ""
        if unread is None
        else f"{size.title} of process {unread.info.key.pid} was not measured, though it was there all the time"
    )


def _sizes_of(
    size: _Size, whole: PoolSum, timeline: Timeline, members: Sequence[Worker], pool: str | None
) -> Iterator[Measure]:
    """Before the run's probes and its profiled pass: what a profiler needs is not what the application needs."""
    name, title = size.name, size.title
    of_workers = [size.total(timeline.series, [worker]) for worker in members if worker.role is Role.WORKER]
    until_ns = min((w.start_ns for w in timeline.windows if w.phase in _NOT_MEASURED), default=None)
    highest = max((v for each in of_workers if (v := _highest(each, until_ns)) is not None), default=None)
    yield _fact(f"peak_{name}", _highest(whole, until_ns), pool, f"{title} was not measured before the run's probes")
    yield _fact(f"peak_worker_{name}", highest, pool, f"the {title} of no worker was measured")
    rounds = [w for w in timeline.windows if w.phase == PhaseName.ROUNDS and w.block is None and w.end_ns is not None]
    ends = [w.floor_ns or w.end_ns for w in rounds]
    last = max((end for end in ends if end is not None), default=None)
    if last is not None and members:
        last = timeline.swept_at(last, members[0].info.key.host)
    before = np.searchsorted(whole.t_ns, -1 if last is None else last, side="right")
    why = "no measured round was completed"
    yield _fact(f"end_{name}", int(whole.values[before - 1]) if before else None, pool, why)
    first = min((w.start_ns for w in rounds), default=0)
    inside = whole.values[(whole.t_ns >= first) & (whole.t_ns <= (last or 0))]
    for q in _MEMORY_PERCENTILES:
        yield _fact(f"{name}_p{q}", float(np.percentile(inside, q)) if inside.size else None, pool, why)


def _unread(timeline: Timeline, members: Sequence[Worker], metric: str) -> Worker | None:
    """A process whose ``metric`` was never read, though it had memory from the first sweep of the rounds to the last."""
    rounds = [w for w in timeline.windows if w.phase is PhaseName.ROUNDS and w.block is None and w.end_ns is not None]
    if not rounds:
        return None
    first, last = min(w.start_ns for w in rounds), max(w.floor_ns or w.end_ns or 0 for w in rounds)
    for worker in members:
        resident = timeline.series.get((RSS, worker.info.key))
        if resident is None or (metric, worker.info.key) in timeline.series:
            continue
        times = resident.t_ns[resident.values > 0]
        if times.size and times[0] <= first and times[-1] >= last:
            return worker
    return None


def _highest(whole: PoolSum | None, until_ns: int | None) -> int | None:
    if whole is None:
        return None
    values = whole.values if until_ns is None else whole.values[whole.t_ns < until_ns]
    return int(values.max()) if values.size else None


def _fact(metric: str, value: float | None, pool: str | None, why_none: str) -> Measure:
    return Measure(metric, Unit.BYTES, value, value, value, pool=pool, reason=why_none if value is None else "")


# --- requests -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Requests:
    """Measured requests: how many, how many failed, how long the answered ones took."""

    count: int = 0
    errors: int = 0
    latencies_ns: list[int] = field(default_factory=list)

    def add(self, other: _Requests) -> None:
        self.count += other.count
        self.errors += other.errors
        self.latencies_ns += other.latencies_ns


def _traffic(timeline: Timeline) -> Iterator[Measure]:
    by_endpoint: dict[str, _Requests] = defaultdict(_Requests)
    for joined in timeline.spans:
        span = joined.span
        if span.phase is PhaseName.ROUNDS:
            seen = by_endpoint[span.endpoint]
            seen.count += 1
            seen.errors += not span.ok
            if span.status is not None:
                seen.latencies_ns.append(span.latency_ns)
    dropped = next((event.text for event in timeline.events if event.kind == "load.dropped"), "")
    whole = _Requests()
    for name, seen in by_endpoint.items():
        whole.add(seen)
        yield from _of_requests(seen, name, dropped)
    yield from _of_requests(whole, None, dropped)


def _of_requests(seen: _Requests, endpoint: str | None, dropped: str) -> Iterator[Measure]:
    if not seen.count:
        yield Measure("errors", Unit.RATIO, None, endpoint=endpoint, reason=_NO_REQUESTS)
        yield Measure("errors", Unit.COUNT, None, endpoint=endpoint, reason=_NO_REQUESTS)
    else:
        low, high = share_interval(seen.errors, seen.count)
        yield Measure("errors", Unit.RATIO, seen.errors / seen.count, low, high, endpoint)
        yield Measure("errors", Unit.COUNT, *(float(seen.errors),) * 3, endpoint)
    latencies = np.sort(np.array(seen.latencies_ns, dtype=np.int64))
    for q in _PERCENTILES:
        found = _percentile(latencies, seen.count, q, endpoint)
        if dropped and found.value is not None:
            why = f"{dropped}, and how long they would have taken is not known"
            found = replace(found, high=None, reason=why)
        yield found


def _percentile(ordered: Longs, count: int, q: int, endpoint: str | None) -> Measure:
    """Of ``count`` requests. Those that were not answered took longer than any: what did not come is not fast."""
    metric, answered = f"p{q}", ordered.size
    if not answered:
        return Measure(metric, Unit.NS, None, endpoint=endpoint, reason="no request was answered")
    lost = f"{count - answered} of {count} requests were not answered, and count as slower than any"
    if math.ceil((count - 1) * q / 100) >= answered:
        return Measure(metric, Unit.NS, None, endpoint=endpoint, reason=lost)
    lowest, highest = quantile_ranks(count, q / 100)
    reason = ""
    if highest is None:
        needed = for_percentile(q / 100)
        reason = f"{needed} requests are needed to know how high p{q} may be, and {count} were sent"
    elif highest >= answered:
        highest, reason = None, lost
    value = float(np.percentile(ordered, min(100.0, q * (count - 1) / (answered - 1)))) if answered > 1 else ordered[0]
    return Measure(metric, Unit.NS, float(value), None if lowest is None else float(ordered[lowest]),
                   None if highest is None else float(ordered[highest]), endpoint, reason=reason)  # fmt: skip


def _request_peaks(endpoints: Sequence[EndpointRow]) -> Iterator[Measure]:
    why = "the runtime does not tell how much memory a request held"
    found = [
        Measure(
            "request_peak",
            Unit.BYTES,
            *(row.request_peak,) * 3,
            row.name,
            reason=why if row.request_peak is None else "",
        )
        for row in endpoints
    ]
    yield from found
    values = [m.value for m in found if m.value is not None]
    complete = bool(found) and len(values) == len(found)
    highest = max(values) if complete else None
    yield Measure(
        "request_peak", Unit.BYTES, *(highest,) * 3, reason="" if complete else why if found else _NO_REQUESTS
    )
