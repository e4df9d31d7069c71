"""The sampled series as a block: what the tracks of the page draw, one time base per sampler.

Times are µs since the start of the run. Values are in the metric's own unit, divided by the header's ``scale`` (their
greatest common divisor). A base holds the instants of all sweeps; where the sampler stalled, one more instant is put into the
hole and named in ``holes``: no line may be drawn across it. A sweep without a value of some series is no hole, as the sampler
measures what costs much less often.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from harness.model.process import ProcessKey
from harness.model.report import PoolLedgerRow, Report
from harness.model.run import Series
from harness.model.timeline import Timeline
from harness.report.page.blocks import Block
from harness.report.pools import is_measured, memory_metric, pool_sum, pools
from harness.report.shared_memory import segments

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PROCESS = ("pss", "rss", "uss", "pss_anon", "pss_file", "pss_shmem", "swap")
_PROCESS_METRICS = (*(f"process.memory.{p}" for p in _PROCESS), "process.threads", "process.fds")
_PARTS = ("pss_anon", "pss_file", "pss_shmem")
_SYSTEM = (
    *(
        f"system.meminfo.{n}"
        for n in ("MemAvailable", "MemFree", "Cached", "Slab", "SReclaimable", "SwapFree", "Dirty")
    ),
    *(f"system.psi.memory.{n}" for n in ("some_avg10", "full_avg10")),
    *(f"sampler.{n}" for n in ("tick", "late", "missed")),
    *(f"load.{n}" for n in ("in_flight", "lag")),
)
_PARTED = 4  # pools
_CGROUP = (".memory.current", ".memory.swap.current", ".memory.max")
_CGROUPS = 8  # of which the page draws lines
LEDGER_PARTS = (
    "live", "allocator_held", "other_native", "image", "file", "shared", "stacks", "thp", "unexplained",
)  # fmt: skip
POINTS = 5_000_000  # above, the page shows the least and most of each stretch
_SWAP = {"system.vmstat.pswpin": "derived.swap_in", "system.vmstat.pswpout": "derived.swap_out"}
_BUDDY = "system.buddyinfo."
_AT_FLOORS = ("ledger", "segment")  # have bases of their own
# A hole is 3 times the step that 9 of 10 sweeps keep to. Not the median: floors put many short steps between the regular ones.
_UNLIMITED = 2**52  # a limit beyond what any host has is none
_HOLE, _USUAL_PERCENTILE = 3, 90
_LATENCY_BINS = 400
_LATENCY_PER_BIN = 20  # a p99 over fewer requests says little


@dataclass(frozen=True, slots=True)
class Drawn:
    """One series to draw: measured, summed over a pool, or derived."""

    metric: str
    t_ns: NDArray[np.int64]
    values: NDArray[np.int64]
    process: int | None = None
    pool: int | None = None
    host: str = ""  # whose sampler it comes from: each sweeps at instants of its own


def drawn(report: Report) -> list[Drawn]:
    """What is drawn, in a stable order."""
    timeline = report.timeline
    found = [
        *_pools(timeline),
        *_processes(timeline),
        *_system(timeline),
        *_cgroups(timeline),
        *_latency(timeline),
        *_ledger(report),
        *_segments(timeline),
    ]
    return [d for d in found if d.t_ns.size]


def thinned(series: Sequence[Drawn], limit: int) -> tuple[list[Drawn], int]:
    """Series of at most about ``limit`` points, and how many sweeps one stretch holds (1: nothing was left out).

    Of each stretch of sweeps a series keeps its least and its most, so that no spike is lost: the least stands at the first
    instant of the stretch, the most at its middle, the same instants for all series of one sampler.
    """
    total = sum(s.t_ns.size for s in series)
    if total <= limit:
        return list(series), 1
    stretch = 2 * -(-total // limit)
    bases: dict[str, NDArray[np.int64]] = {}
    for name in {_base_of(s.metric) for s in series}:
        parts = [s.t_ns for s in series if _base_of(s.metric) == name]
        times = parts[0]
        for part in parts[1:]:
            if part.size != times.size or not np.array_equal(part, times):
                times = np.union1d(times, part)
        bases[name] = times
    return [_least_and_most(s, bases[_base_of(s.metric)], stretch) for s in series], stretch


def _least_and_most(item: Drawn, base: NDArray[np.int64], stretch: int) -> Drawn:
    if base.size <= stretch or item.metric.startswith("ledger."):
        return item
    index = np.searchsorted(base, item.t_ns) // stretch
    begins = np.flatnonzero(np.diff(index, prepend=-1))
    at = index[begins] * stretch
    times = np.empty(2 * begins.size, dtype=np.int64)
    values = np.empty_like(times)
    times[0::2], times[1::2] = base[at], base[np.minimum(at + stretch // 2, base.size - 1)]
    values[0::2], values[1::2] = np.minimum.reduceat(item.values, begins), np.maximum.reduceat(item.values, begins)
    keep = np.diff(times, append=times[-1] + 1) > 0  # a last stretch of one instant
    return replace(item, t_ns=times[keep], values=values[keep])


def _cgroups(timeline: Timeline) -> Iterator[Drawn]:
    """Memory of the pools' cgroups, and the limit where there is one. Pools of one cgroup say the same; it is drawn once."""
    seen: set[bytes] = set()
    for (metric, process), series in sorted(timeline.series.items(), key=lambda each: each[0][0]):
        if process is not None or not metric.startswith("cgroup.") or not metric.endswith(_CGROUP):
            continue
        values = np.minimum(series.values, _UNLIMITED)
        alike = values.tobytes()
        none = not values.any() or (metric.endswith(".memory.max") and int(values.min()) >= _UNLIMITED)
        if none or alike in seen or len(seen) >= _CGROUPS:
            continue
        seen.add(alike)
        yield Drawn(metric, series.t_ns, values)


def _ledger(report: Report) -> Iterator[Drawn]:
    """What the memory of each pool is made of, floor by floor; a part that nobody could tell has no line."""
    numbers = {name: i for i, name in enumerate(pools(report.timeline))}
    rows: dict[str, dict[int, PoolLedgerRow]] = {}
    for row in report.pool_ledger:
        rows.setdefault(row.pool, {})[row.t_ns] = row
    for pool, floors in rows.items():
        if pool not in numbers:
            continue
        for part in LEDGER_PARTS:
            known = [(t, v) for t in sorted(floors) if (v := floors[t].parts.get(part)) is not None]
            if known:
                times, values = (np.array(column, dtype=np.int64) for column in zip(*known, strict=True))
                yield Drawn(f"ledger.{part}", times, values, pool=numbers[pool])


def _segments(timeline: Timeline) -> Iterator[Drawn]:
    """What is used of the memory that all workers of a pool share by design."""
    numbers = {name: i for i, name in enumerate(pools(timeline))}
    for segment in segments(timeline):
        yield Drawn(f"segment.{segment.kind}", segment.t_ns, segment.used, pool=numbers[segment.pool])


def _pools(timeline: Timeline) -> list[Drawn]:
    """Sums of each pool, and of its parts where these do not become more layers than can be told apart."""
    metric, grouped = memory_metric(timeline), pools(timeline)
    parts = _PARTS if sum(map(is_measured, grouped.values())) <= _PARTED else ()
    found = []
    for number, members in enumerate(grouped.values()):
        names = {"total": metric, **({p: f"process.memory.{p}" for p in parts} if is_measured(members) else {})}
        host = members[0].info.key.host
        for part, name in names.items():
            total = pool_sum(timeline.series, members, name)
            if total is not None:
                found.append(Drawn(f"pool.{part}", total.t_ns, total.values, pool=number, host=host))
    return found if len({item.host for item in found}) < 2 else _on_common_instants(found)


def _on_common_instants(items: Sequence[Drawn]) -> list[Drawn]:
    """They are drawn on top of each other, and each host sweeps at instants of its own: at those of the others a pool has its
    latest value, for as long as no sweep of its own is missing."""
    instants = np.unique(np.concatenate([item.t_ns for item in items]))
    return [
        _held(item, instants, _HOLE * _usual_step([each for each in items if each.host == item.host])) for item in items
    ]


def _held(item: Drawn, instants: NDArray[np.int64], most_ns: float) -> Drawn:
    if not item.t_ns.size:
        return item
    latest = np.searchsorted(item.t_ns, instants, side="right") - 1
    known = (latest >= 0) & (instants <= item.t_ns[-1]) & (instants - item.t_ns[latest] <= most_ns)
    return replace(item, t_ns=instants[known], values=item.values[latest[known]])


def _processes(timeline: Timeline) -> Iterator[Drawn]:
    for metric in _PROCESS_METRICS:
        for number, worker in enumerate(timeline.workers):
            series = timeline.series.get((metric, worker.info.key))
            if series is not None:
                yield Drawn(metric, series.t_ns, series.values, process=number, host=worker.info.key.host)


def _system(timeline: Timeline) -> Iterator[Drawn]:
    for metric in _SYSTEM:
        series = timeline.series.get((metric, None))
        if series is not None:
            yield Drawn(metric, series.t_ns, series.values)
    page_size = timeline.manifest.host.get("page_size_bytes")
    page_bytes = page_size if isinstance(page_size, int) else 4096
    for metric, name in _SWAP.items():
        series = timeline.series.get((metric, None))
        if series is not None and series.t_ns.size > 1:
            yield Drawn(name, series.t_ns[1:], _rate(series, page_bytes))
    yield from _buddyinfo(timeline.series)


def _rate(series: Series, factor: int) -> NDArray[np.int64]:
    """Units per second between neighbouring sweeps; a counter that went back counts as no change."""
    steps = np.maximum(np.diff(series.values), 0) * factor
    return np.round(steps * (1e9 / np.maximum(np.diff(series.t_ns), 1))).astype(np.int64)


def _buddyinfo(series: Mapping[tuple[str, ProcessKey | None], Series]) -> Iterator[Drawn]:
    """Free blocks by order, over all nodes and zones."""
    orders: dict[int, list[Series]] = {}
    for (metric, process), found in series.items():
        last = metric.rpartition(".")[2]
        if process is None and metric.startswith(_BUDDY) and last.isascii() and last.isdigit() and len(last) <= 2:
            orders.setdefault(int(last), []).append(found)
    for order in sorted(orders):
        times = orders[order][0].t_ns
        for other in orders[order][1:]:
            times = np.intersect1d(times, other.t_ns)
        total = np.zeros(times.size, dtype=np.int64)
        for zone in orders[order]:
            total += zone.values[np.isin(zone.t_ns, times)]
        yield Drawn(f"buddy.{order}", times, total)


def _latency(timeline: Timeline) -> Iterator[Drawn]:
    """p50 and p99 of latency in equal stretches of time, at the middle of each; stretches without a response have none."""
    answered = [j.span for j in timeline.spans if j.span.status is not None]
    if not answered:
        return
    starts = np.array([s.start_ns for s in answered], dtype=np.int64)
    latencies = np.array([s.latency_ns for s in answered], dtype=np.int64)
    first, length = int(starts.min()), int(np.ptp(starts)) + 1
    bins = max(1, min(_LATENCY_BINS, len(answered) // _LATENCY_PER_BIN))
    index = (starts - first) * bins // length
    order = np.lexsort((latencies, index))
    index, latencies = index[order], latencies[order]
    used, begins, counts = np.unique(index, return_index=True, return_counts=True)
    middles = first + (2 * used + 1) * length // (2 * bins)
    for name, share in (("latency.p50", 0.5), ("latency.p99", 0.99)):
        at = begins + np.ceil(share * counts).astype(np.int64) - 1
        yield Drawn(name, middles, latencies[at])


def encode(series: Iterable[Drawn], start_ns: int) -> str:
    """The block; series of one sampler share a base. ``row`` of an entry counts into ``series``."""
    block = Block()
    groups: dict[str, list[Drawn]] = {}
    listed = list(series)
    for item in listed:
        groups.setdefault(_base_of(item.metric), []).append(item)
    bases: list[dict[str, object]] = []
    entries: list[dict[str, object]] = []
    rows = {id(item): i for i, item in enumerate(listed)}
    for name, members in groups.items():
        instants = np.unique(np.concatenate([m.t_ns for m in members]))
        # floors lie where rounds end: between them nothing is missing
        times, holes = (instants, []) if name in _AT_FLOORS else _with_holes(instants, _usual_step(_sampled(members)))
        entries.extend({"row": rows[id(member)], **_entry(block, member, times, len(bases))} for member in members)
        bases.append({"name": name, "column": block.column((times - start_ns) // 1000), "holes": holes})
    return block.encode({"bases": bases, "series": entries})


def _base_of(metric: str) -> str:
    kind = metric.partition(".")[0]
    return kind if kind in ("load", "latency", *_AT_FLOORS) else "sampler"


def _sampled(members: Sequence[Drawn]) -> Sequence[Drawn]:
    """Without sums of pools, which may have values at instants of other hosts."""
    return [member for member in members if not member.metric.startswith("pool.")] or members


def _usual_step(members: Sequence[Drawn]) -> float:
    """What 9 of 10 steps of a sampler keep to; of several, the slowest one's. Together they step far more often."""
    by_host: dict[str, list[NDArray[np.int64]]] = {}
    for member in members:
        by_host.setdefault(member.host, []).append(member.t_ns)
    steps = [np.diff(np.unique(np.concatenate(times))) for times in by_host.values()]
    return max((float(np.percentile(each, _USUAL_PERCENTILE)) for each in steps if each.size), default=0.0)


def _with_holes(times: NDArray[np.int64], usual: float) -> tuple[NDArray[np.int64], list[int]]:
    """The instants with one more inside each hole, and where those are."""
    if times.size < 3:
        return times, []
    steps = np.diff(times)
    wide = np.flatnonzero(steps > _HOLE * usual)
    return np.insert(times, wide + 1, times[wide] + steps[wide] // 2), (wide + 1 + np.arange(wide.size)).tolist()


def _entry(block: Block, item: Drawn, times: NDArray[np.int64], base: int) -> dict[str, object]:
    index = np.searchsorted(times, item.t_ns)
    contiguous = bool(index[-1] - index[0] + 1 == index.size)
    scale = max(1, int(np.gcd.reduce(item.values)))
    return {
        "metric": item.metric,
        "process": item.process,
        "pool": item.pool,
        "base": base,
        "first": int(index[0]),
        "index": None if contiguous else block.column(index),
        "values": block.column(item.values // scale),
        "scale": scale,
    }
