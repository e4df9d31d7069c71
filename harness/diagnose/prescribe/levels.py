"""The numbers that rules may use of one pool: what its processes had after the last judged round, and what they may have."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.diagnose.pool import PoolView
from harness.diagnose.prescribe.language import Value
from harness.diagnose.probes import trimmed
from harness.model.process import ProcessKey, Role
from harness.model.timeline import FloorPoint

Values = Mapping[str, Value]
_M = "process.memory."
_AVAILABLE_SHARE = 0.8
_UNLIMITED = 1 << 50  # version 1 of cgroups says so with a number of this size


def _total(values: Sequence[int]) -> float:
    return float(sum(values))


def _most(values: Sequence[int]) -> float:
    return float(max(values))


def _least(values: Sequence[int]) -> float:
    return float(min(values))


def _middle(values: Sequence[int]) -> float:
    return float(np.median(values))


@dataclass(frozen=True, slots=True)
class _Reading:
    """``metrics``: in order of trust, the first that is there counts; ``workers``: of them only, or of every process."""

    name: str
    how: Callable[[Sequence[int]], float]
    metrics: tuple[str, ...]
    workers: bool = True


def _php(part: str) -> tuple[str, ...]:
    return (f"agent.php.{part}", f"runtime.php.{part}")


_READINGS = (
    _Reading("threads", _most, ("process.threads",), workers=False),
    _Reading("descriptors", _most, ("process.fds",), workers=False),
    _Reading("pss_bytes", _total, (_M + "pss", _M + "rss"), workers=False),
    _Reading("worker_pss_bytes", _middle, (_M + "pss", _M + "rss")),
    _Reading("worker_private_bytes", _middle, (_M + "pss_anon", _M + "uss")),
    _Reading("shared_memory_bytes", _total, (_M + "pss_shmem",), workers=False),
    _Reading("file_bytes", _total, (_M + "pss_file",), workers=False),
    _Reading("shared_dirty_bytes", _middle, (_M + "shared_dirty",)),
    _Reading("huge_bytes", _total, (_M + "anon_huge",), workers=False),
    _Reading("glibc_held_bytes", _total, ("runtime.glibc.free", "agent.python.glibc.free")),
    _Reading("glibc_used_bytes", _total, ("runtime.glibc.used", "agent.python.glibc.used")),
    _Reading("glibc_top_bytes", _total, ("runtime.glibc.top", "agent.python.glibc.top")),
    _Reading("glibc_arenas", _most, ("runtime.glibc.arenas", "agent.python.glibc.arenas")),
    _Reading("pymalloc_live_bytes", _total, ("runtime.python.pymalloc.live", "agent.python.pymalloc.live")),
    _Reading("zend_live_bytes", _total, ("runtime.php.heap.size", "agent.php.heap.size")),
    _Reading("gc_enabled", _least, ("runtime.python.gc.enabled", "agent.python.gc.enabled", *_php("gc.enabled"))),
    _Reading("gc_threshold", _most, ("runtime.python.gc.threshold0", *_php("gc.threshold"))),
    _Reading("gc_threshold_oldest", _most, ("runtime.python.gc.threshold2",)),
    _Reading("gc_full_collections", _least, ("runtime.python.gc.collections2", "agent.python.gc.collections2")),
    _Reading("gc_frozen_objects", _least, ("runtime.python.gc.frozen", "agent.python.gc.frozen_objects")),
    _Reading("gc_roots", _most, _php("gc.roots")),
    _Reading("opcache_size_bytes", _most, _php("opcache.size"), workers=False),
    _Reading("opcache_free_bytes", _least, _php("opcache.free"), workers=False),
    _Reading("opcache_wasted_bytes", _most, _php("opcache.wasted"), workers=False),
    _Reading("opcache_restarts", _most, _php("opcache.restarts"), workers=False),
    _Reading("opcache_interned_size_bytes", _most, ("agent.php.opcache.interned_size",), workers=False),
    _Reading("opcache_interned_free_bytes", _least, ("agent.php.opcache.interned_free",), workers=False),
    _Reading("opcache_scripts", _most, ("agent.php.opcache.scripts",), workers=False),
    _Reading("apcu_size_bytes", _most, _php("apcu.size"), workers=False),
    _Reading("apcu_free_bytes", _least, _php("apcu.free"), workers=False),
    _Reading("apcu_entries", _most, ("agent.php.apcu.entries",), workers=False),
    _Reading("apcu_expunges", _most, ("agent.php.apcu.expunges",), workers=False),
    _Reading("apcu_misses", _most, ("agent.php.apcu.misses",), workers=False),
    _Reading("apcu_hits", _most, ("agent.php.apcu.hits",), workers=False),
    _Reading("fpm_max_children_reached", _most, ("agent.php.fpm.max_children_reached",), workers=False),
    _Reading("fpm_queue_highest", _most, ("agent.php.fpm.queue_highest",), workers=False),
    _Reading("fpm_active_highest", _most, ("agent.php.fpm.active_highest",), workers=False),
    _Reading("fpm_workers", _most, ("agent.php.fpm.total",), workers=False),
)
_PYMALLOC_HELD = ("runtime.python.pymalloc.held", "agent.python.pymalloc.held")
_ZEND_REAL = ("runtime.php.heap.real", "agent.php.heap.real")


def of_pool(pool: PoolView) -> Values:
    """What its processes had after the last judged round."""
    last = _last_floor(pool)
    found: dict[str, Value] = {"workers": len(pool.stable), "replaced_workers": pool.replaced}
    roles = {w.info.key for w in pool.members if w.role is Role.WORKER}
    workers = [f for key, f in last.items() if key in roles]
    for reading in _READINGS:
        found[reading.name] = _read(workers if reading.workers else last.values(), reading.metrics, reading.how)
    found.update(_allocators(workers, found))
    levels = pool.levels
    found["worker_first_private_bytes"] = None if levels is None else float(np.median(levels[:, 0]))
    found["unshared_bytes_per_round"] = pool.unshared
    found["worker_peak_bytes"] = _peak(pool, roles)
    given_back = trimmed(pool)
    found["trimmed_bytes"] = None if given_back is None else given_back.resident_bytes
    budget, peak = budget_of(pool), found["worker_peak_bytes"]
    found["memory_limit_bytes"], found["memory_budget_bytes"] = budget.limit, budget.usable
    if budget.usable is not None and isinstance(peak, float) and peak > 0:
        found["affordable_workers"] = math.floor(budget.usable / peak)
    return found


def _last_floor(pool: PoolView) -> Mapping[ProcessKey, FloorPoint]:
    at = pool.rounds[-1].floor_ns if pool.rounds else max(pool.floors, default=0)
    return pool.floors.get(at, {})


def _read(floors: Iterable[FloorPoint], metrics: Sequence[str], how: Callable[[Sequence[int]], float]) -> float | None:
    """Of those processes that have the metric."""
    listed = list(floors)
    for metric in metrics:
        values = [v for f in listed if (v := f.values.get(metric)) is not None]
        if values:
            return how(values)
    return None


def _allocators(workers: Sequence[FloorPoint], found: Values) -> Values:
    """What pymalloc and Zend keep, from what they hold and what of it is in use."""
    derived: dict[str, Value] = {}
    arenas, live = _read(workers, _PYMALLOC_HELD, _total), found.get("pymalloc_live_bytes")
    if arenas and isinstance(live, float):
        derived["pymalloc_held_bytes"] = arenas - live
        derived["pymalloc_occupancy_share"] = live / arenas
    real, used = _read(workers, _ZEND_REAL, _total), found.get("zend_live_bytes")
    if real and isinstance(used, float):
        derived["zend_held_bytes"] = real - used
    return derived


def _peak(pool: PoolView, workers: set[ProcessKey]) -> float | None:
    span = pool.range_ns
    peaks = []
    for key in workers:
        series = next((s for m in ("pss", "rss") if (s := pool.timeline.series.get((_M + m, key))) is not None), None)
        if series is None or span is None:
            continue
        first, last = np.searchsorted(series.t_ns, [span[0], span[1] + 1])
        if last > first:
            peaks.append(float(series.values[first:last].max()))
    return max(peaks, default=None)


@dataclass(frozen=True, slots=True)
class Budget:
    """``limit``: of the memory cgroup that the pool runs in. ``usable``: what its processes could use: that limit, or what they
    use together with four fifths of what is available. None: unknown, or no limit."""

    limit: float | None
    usable: float | None


def budget_of(pool: PoolView) -> Budget:
    """What memory there is for a pool."""
    limits = pool.timeline.of_machine(f"cgroup.{pool.name}.memory.max", pool.host)
    limit = None
    if limits is not None and limits.values.size and 0 < int(limits.values[-1]) < _UNLIMITED:
        limit = float(limits.values[-1])
    used = _read(_last_floor(pool).values(), (_M + "pss", _M + "rss"), _total)
    available = pool.timeline.of_machine("system.meminfo.MemAvailable", pool.host)
    if used is None or available is None or not available.values.size:
        return Budget(limit, limit)
    usable = used + _AVAILABLE_SHARE * float(available.values[-1])
    return Budget(limit, usable if limit is None else min(limit, usable))
