"""What a live view remembers of a run: fed with every sweep, asked for a snapshot when it is time to draw."""

from __future__ import annotations

import heapq
import os
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.model.process import ProcessInfo, ProcessKey
from harness.session.guardrails import Rail
from harness.session.live.history import Bin, History, Trend
from harness.session.live.traffic import Traffic
from harness.session.sampler_client import TickView
from harness.units import format_duration

_PSS, _RSS = "process.memory.pss", "process.memory.rss"
_MOST_POOLS = 32
_MOST_EVENTS = 32
_MOST_PROCESSES = 16  # in a snapshot
_NAMED = 3  # processes named in one event
_LATE_SHARE = 0.1  # of the interval: a sweep later than this is counted as late
_LEAST_BIN_NS = 1_000_000_000  # some counters are read once a second
_TREND_STEP_NS = 5_000_000_000
_POOL_POINTS, _PROCESS_POINTS = 60, 24  # five minutes, two minutes
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class PoolLine:
    """One pool now and since the start. ``size``: of the ``measured`` among its ``alive`` processes, by ``metric``."""

    name: str
    alive: int
    measured: int
    metric: str  # PSS, or RSS where PSS of none can be read
    size: int | None
    per_minute: float | None
    bins: tuple[Bin | None, ...]


@dataclass(frozen=True, slots=True)
class ProcessLine:
    """One process now."""

    pid: int
    name: str
    pool: str
    metric: str
    size: int
    per_minute: float | None


@dataclass(frozen=True, slots=True)
class GaugeLine:
    """One reading. ``unit``: bytes, bytes/s, percent, per second or ns. ``lowest``: small values are the ones that matter."""

    name: str
    unit: str
    value: float | None
    bins: tuple[Bin | None, ...]
    lowest: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a frame shows. Names are raw: making them safe to print is the renderer's part."""

    title: str
    status: str  # what is going on, in words: the phase, the time left
    elapsed_ns: int
    span_ns: int  # what the sparklines cover
    pools: tuple[PoolLine, ...]
    processes: tuple[ProcessLine, ...]  # the biggest and those that grow most, in turn
    machine: tuple[GaugeLine, ...]
    sampler_percent: float | None  # of one core, since the first sweep
    ticks: int
    late: int
    missed: int
    events: tuple[tuple[int, str], ...]  # (ns since the start, what happened), oldest first
    traffic: tuple[GaugeLine, ...] = ()  # what the load generator does; empty where there is none
    sent: tuple[int, int, int] | None = None  # requests, failed, dropped
    rails: tuple[Rail, ...] = ()
    early: tuple[tuple[str, str], ...] = ()  # (pool, what its floors say so far)


class _Level:
    """A level with its past."""

    def __init__(self, bin_ns: int) -> None:
        self.history = History(bin_ns)
        self.trend = Trend(_TREND_STEP_NS, _POOL_POINTS)
        self.value: float | None = None

    def add(self, t_ns: int, value: float) -> None:
        self.value = value
        self.history.add(t_ns, value)
        self.trend.add(t_ns, value)


class _Rate:
    """Bytes a second from a counter of pages."""

    def __init__(self) -> None:
        self._before: tuple[int, int] | None = None

    def of(self, t_ns: int, pages: int | None) -> float | None:
        """None for the first reading, where there is none, and where the counter went back."""
        if pages is None:
            return None
        before, self._before = self._before, (t_ns, pages)
        if before is None or t_ns <= before[0] or pages < before[1]:
            return None
        return (pages - before[1]) * _PAGE_BYTES / (t_ns - before[0]) * 1e9


class LiveState:
    """Memory is bounded by the number of living processes, not by the length of the run."""

    def __init__(self, title: str, interval_ns: int, started_ns: int) -> None:
        self._title = title
        self._interval_ns = interval_ns
        self._bin_ns = max(interval_ns, _LEAST_BIN_NS)
        self._started_ns = started_ns
        self.status = ""
        self._pools: dict[tuple[str, str], _Level] = {}  # by pool and metric
        self._alive: Mapping[ProcessKey, ProcessInfo] = {}
        self._pss: dict[ProcessKey, int] = {}
        self._rss: dict[ProcessKey, int] = {}
        self._trends: dict[ProcessKey, Trend] = {}
        self._available, self._slab = _Level(self._bin_ns), _Level(self._bin_ns)
        self._pressure, self._swap_in, self._swap_out = (_Level(self._bin_ns) for _ in range(3))
        self._in_rate, self._out_rate = _Rate(), _Rate()
        self._oom_kills: int | None = None
        self._events: deque[tuple[int, str]] = deque(maxlen=_MOST_EVENTS)
        self._first_cpu: tuple[int, int] | None = None
        self._cpu_percent: float | None = None
        self.ticks = self._late = self._missed = 0
        self._rate, self._p50, self._p99 = (_Level(self._bin_ns) for _ in range(3))
        self._traffic: Traffic | None = None
        self._rails: tuple[Rail, ...] = ()
        self.early: Mapping[str, str] = {}

    # -- feeding -------------------------------------------------------------------------------------------------------

    def observe(self, view: TickView) -> None:
        """Take in one sweep."""
        self._births_and_deaths(view)
        for key, values in view.processes.items():
            if key in view.alive:
                self._process(view.t_ns, key, values)
        for (pool, metric), (size, _, _) in self._sizes().items():
            if size is not None and ((pool, metric) in self._pools or len(self._pools) < 2 * _MOST_POOLS):
                self._pools.setdefault((pool, metric), _Level(self._bin_ns)).add(view.t_ns, size)
        self._machine(view.t_ns, view.system)
        self._cost(view)

    def load(self, traffic: Traffic | None, rails: Sequence[Rail]) -> None:
        """Take in what the load generator does, and how near the guard rails are."""
        self._rails = tuple(rails)
        self._traffic = traffic
        if traffic is None:
            return
        readings = ((self._rate, traffic.per_second), (self._p50, traffic.p50_ns), (self._p99, traffic.p99_ns))
        for level, value in readings:
            level.value = value
            if value is not None:
                level.add(traffic.t_ns, value)

    def _process(self, t_ns: int, key: ProcessKey, values: Mapping[str, int]) -> None:
        if (rss := values.get(_RSS)) is not None:
            self._rss[key] = rss
        if (pss := values.get(_PSS)) is not None:
            self._pss[key] = pss
        size = pss if key in self._pss else rss
        if size is not None:
            self._trends.setdefault(key, Trend(_TREND_STEP_NS, _PROCESS_POINTS)).add(t_ns, size)

    def _births_and_deaths(self, view: TickView) -> None:
        born = [info for key, info in view.alive.items() if key not in self._alive]
        ended = [info for key, info in self._alive.items() if key not in view.alive]
        if self.ticks and self._alive:
            self._tell(view.t_ns, born, "started", {})
        ages = {info.key: f" after {format_duration(view.t_ns - info.born_ns)}" for info in ended}
        self._tell(view.t_ns, ended, "ended", ages)
        for info in ended:
            for kept in (self._pss, self._rss, self._trends):
                kept.pop(info.key, None)
        self._alive = view.alive

    def _tell(
        self, t_ns: int, who: Sequence[ProcessInfo], what: str, more: Mapping[ProcessKey, str]
    ) -> None:  # fmt: skip
        for pool, count in Counter(info.pool for info in who).items():
            named = [i for i in who if i.pool == pool][:_NAMED]
            pids = ", ".join(f"{i.key.pid}{more.get(i.key, '')}" for i in named)
            rest = f" and {count - _NAMED} more" if count > _NAMED else ""
            self._event(t_ns, f"{pool}: {what}: {pids}{rest}")

    def _machine(self, t_ns: int, system: Mapping[str, int]) -> None:
        psi = system.get("system.psi.memory.some_avg10")
        readings = (
            (self._available, system.get("system.meminfo.MemAvailable")),
            (self._slab, system.get("system.meminfo.Slab")),
            (self._pressure, None if psi is None else psi / 100),
            (self._swap_in, self._in_rate.of(t_ns, system.get("system.vmstat.pswpin"))),
            (self._swap_out, self._out_rate.of(t_ns, system.get("system.vmstat.pswpout"))),
        )
        for level, value in readings:
            if value is not None:
                level.add(t_ns, value)
        kills = system.get("system.vmstat.oom_kill")
        if kills is not None:
            if self._oom_kills is not None and kills > self._oom_kills:
                self._event(t_ns, f"the kernel killed {kills - self._oom_kills} for lack of memory (OOM)")
            self._oom_kills = kills

    def _cost(self, view: TickView) -> None:
        self.ticks += 1
        self._late += view.late_ns > _LATE_SHARE * self._interval_ns
        self._missed += view.missed
        if self._first_cpu is None:
            self._first_cpu = (view.t_ns, view.cpu_ns)
        elif view.t_ns > self._first_cpu[0]:
            self._cpu_percent = 100 * (view.cpu_ns - self._first_cpu[1]) / (view.t_ns - self._first_cpu[0])

    def _event(self, t_ns: int, text: str) -> None:
        self._events.append((max(0, t_ns - self._started_ns), text))

    # -- asking --------------------------------------------------------------------------------------------------------

    def _sizes(self) -> dict[tuple[str, str], tuple[int | None, int, int]]:
        """(pool, metric) -> (size, measured, alive): by PSS if any process has one, else by RSS."""
        alive = Counter(info.pool for info in self._alive.values())
        found: dict[tuple[str, str], tuple[int | None, int, int]] = {}
        for metric, known in (("RSS", self._rss), ("PSS", self._pss)):
            total, measured = Counter[str](), Counter[str]()
            for key, size in known.items():
                pool = self._alive[key].pool
                total[pool] += size
                measured[pool] += 1
            for pool, count in measured.items():
                found.pop((pool, "RSS"), None)
                found[pool, metric] = (total[pool], count, alive[pool])
        unknown = alive.keys() - {pool for pool, _ in found}
        return found | {(pool, "PSS"): (None, 0, alive[pool]) for pool in unknown}

    def snapshot(self, now_ns: int) -> Snapshot:
        """The state now."""
        return Snapshot(
            title=self._title,
            status=self.status,
            elapsed_ns=max(0, now_ns - self._started_ns),
            span_ns=max((level.history.span_ns for level in (*self._pools.values(), self._available)), default=0),
            pools=tuple(self._pool_lines()),
            processes=self._process_lines(),
            machine=(
                _gauge("available", "bytes", self._available, lowest=True),
                _gauge("slab", "bytes", self._slab),
                _gauge("pressure", "percent", self._pressure),
                _gauge("swap in", "bytes/s", self._swap_in),
                _gauge("swap out", "bytes/s", self._swap_out),
            ),
            sampler_percent=self._cpu_percent,
            ticks=self.ticks,
            late=self._late,
            missed=self._missed,
            events=tuple(self._events),
            traffic=self._traffic_lines(),
            sent=None if self._traffic is None else (self._traffic.sent, self._traffic.failed, self._traffic.dropped),
            rails=self._rails,
            early=tuple(sorted(self.early.items()))[:_MOST_POOLS],
        )

    def _traffic_lines(self) -> tuple[GaugeLine, ...]:
        if self._traffic is None:
            return ()
        return (
            _gauge("requests", "per second", self._rate),
            _gauge("latency p50", "ns", self._p50),
            _gauge("latency p99", "ns", self._p99),
        )

    def _pool_lines(self) -> list[PoolLine]:
        sizes = self._sizes()
        gone = {pool for pool, _ in self._pools} - {pool for pool, _ in sizes}
        lines = []
        for (pool, metric), (size, measured, alive) in sizes.items():
            level = self._pools.get((pool, metric))
            slope, bins = (None, ()) if level is None else (level.trend.per_minute(), level.history.bins)
            lines.append(PoolLine(pool, alive, measured, metric, size, slope, bins))
        for (pool, metric), level in self._pools.items():
            if pool in gone:
                lines.append(PoolLine(pool, 0, 0, metric, None, None, level.history.bins))
        return sorted(lines, key=lambda line: (line.name, line.metric))[:_MOST_POOLS]

    def _process_lines(self) -> tuple[ProcessLine, ...]:
        lines = [
            ProcessLine(key.pid, info.comm, info.pool, "PSS" if key in self._pss else "RSS", size, self._slope(key))
            for key, info in self._alive.items()
            if (size := self._pss.get(key, self._rss.get(key))) is not None
        ]
        growing = heapq.nlargest(
            _MOST_PROCESSES // 2, (p for p in lines if (p.per_minute or 0) > 0), key=lambda p: p.per_minute or 0
        )
        biggest = heapq.nlargest(_MOST_PROCESSES, lines, key=lambda p: p.size)
        # Alternating, so that whatever number of rows there is room for holds some of both.
        mixed = [p for pair in zip(biggest, [*growing, *biggest], strict=False) for p in pair]
        return tuple(dict.fromkeys(mixed))[:_MOST_PROCESSES]

    def _slope(self, key: ProcessKey) -> float | None:
        trend = self._trends.get(key)
        return None if trend is None else trend.per_minute()


def _gauge(name: str, unit: str, level: _Level, *, lowest: bool = False) -> GaugeLine:
    return GaugeLine(name, unit, level.value, level.history.bins, lowest)
