"""Synthetic runs with known truth: what a perfect recorder would have stored about an application that we made up.

`simulate` sends the load generator's own schedule to a pool of workers, lets each request leave behind what its endpoint
keeps, adds noise, and returns a `RawRun`, so that correlation and diagnosis are both exercised on it.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from kernel_counters import Counters, Machine

from harness.load.schedule import round_blocks
from harness.model.event import PROBE_COLLECT, PROBE_COLLECT_AGAIN, PROBE_TRIM, Anchor, Event, Window
from harness.model.process import ProcessInfo, ProcessKey
from harness.model.run import RawRun, RunManifest, RunStatus, Series
from harness.model.span import PhaseName, RequestRecord, Span

SECOND = 1_000_000_000
REQUEST_NS = 2_000_000
WALL = 1_700_000_000 * SECOND
_MASTER_PID = 100
_COLLECTED_AFTER = 700  # containers


@dataclass(frozen=True)
class Endpoint:
    """What one request to it leaves behind: private bytes, live allocations, bytes of shared memory, for every nth request."""

    name: str
    weight: float = 1.0
    leak_bytes: int = 0
    leak_blocks: float = 0
    native_bytes: int = 0  # kept by malloc, not by the language's heap
    mapped_bytes: int = 0  # kept by mmap, past every allocator
    shared_bytes: int = 0
    level_blocks: int = 0  # live while its record is written, gone afterwards
    every: int = 1
    adds: Mapping[str, int] = field(default_factory=dict)  # metric of the worker, or of the machine -> by what
    cycles: int = 0  # containers of garbage, 100 bytes each, that only the collector frees; needs ``collector``
    leak_containers: int = 0  # of what it keeps, so many objects are the collector's business
    last_weight: float | None = None  # where requests come all the time: what ``weight`` has become in the last round


SIX = tuple(Endpoint(name) for name in ("home", "search", "item", "cart_add", "login", "about"))


def six(**leaks: Mapping[str, Any]) -> tuple[Endpoint, ...]:
    """Six endpoints, some of which leak: ``six(cart_add={"leak_bytes": 10240})``."""
    return tuple(Endpoint(e.name, **leaks.get(e.name, {})) for e in SIX)


@dataclass(frozen=True)
class App:
    """The application, the traffic and the weaknesses of the recording.

    ``noise_bytes``: standard deviation of each worker's level, an AR(1) process with coefficient ``phi`` (1: random walk).
    ``extra``: further private bytes of a worker after so many requests to it (a cache that fills). ``quantum``: resident
    memory grows in steps of this size. ``steps``: bytes that appear in every worker in a round. ``restarts``: worker index
    -> rounds before which it is replaced. ``records``: "span" (agent with span ids), "log" (access log), "time" (agent
    without span ids), "none". ``threads_per_round`` etc. grow in every worker. ``unshared_per_round``: shared dirty pages that
    become private. ``blocks_at_floors``: the agent was asked for its live allocations at floors. ``small_blocks``: how
    many of them are small is known, and all are. ``outside_blocks``: small ones are counted from outside, as before CPython 3.12.
    ``heap_share``: of what requests leave behind, so much is in the runtime's own heap, whose live bytes are known (PHP);
    ``roots_per_round``: garbage
    in cycles that each worker's collector has yet to look at. ``collected``: worker index -> blocks that a full collection after
    the last round freed; None: none was made. ``bytes_per_second`` grow in every worker, requests or not; ``idle_s``: seconds
    without traffic after the last round. ``most_requests``: a worker is replaced after so many; ``young``: bytes that a worker
    takes in its first 20 requests. ``live_noise_bytes``: standard deviation of what the allocators say is live. ``collector``: of
    Python is at work, and its counters are read; needs ``allocators``.
    ``flows``: requests come all the time, each to an endpoint by chance; rounds are slices of that, of ``slice_s`` seconds (None:
    as long as its requests take) in ``parts`` with a floor each, and have no blocks; ``last_requests``: so many of them come in
    the last one, and more or fewer in each.
    ``machine`` counts too; None: nobody reads what it counts. ``further``: metric -> (level, growth of each worker in a round),
    of all processes. ``files``: data file -> bytes by which it grows in each worker's mappings in a round. ``facts``: settings of
    the kernel. ``probe_unshares``: bytes that the collection after the last round unshares.
    """

    endpoints: tuple[Endpoint, ...] = SIX
    workers: int = 4
    rounds: int = 8
    warmup: int = 2
    blocks: int = 10
    requests: int = 600
    level_bytes: int = 40_000_000
    noise_bytes: float = 20_000.0
    phi: float = 0.5
    quantum: int = 4096
    extra: Callable[[int], float] = field(default=lambda _requests: 0.0)
    shared_extra: Callable[[int], float] = field(default=lambda _requests: 0.0)
    steps: Mapping[int, int] = field(default_factory=dict)
    restarts: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    records: str = "span"
    with_blocks: bool = True
    blocks_at_floors: bool = False
    heap_share: float | None = None
    small_blocks: bool = False
    outside_blocks: bool = False
    roots_per_round: int | None = None
    allocators: bool = False
    held: int = 1_000_000
    held_per_round: int = 0
    held_steps: Mapping[int, int] = field(default_factory=dict)  # round -> bytes that become free in it, once, and stay
    held_in: str = "malloc"  # or "heap": the language's own
    trimmed: int | None = None  # bytes that each worker gave back after the last round; None: nobody told it to
    gc_enabled: bool = True
    full_collections_per_round: int = 0
    gc_runs: int = 2
    collected: Mapping[int, int] | None = None
    collected_bytes: int | None = None  # of live memory, in each worker; needs ``allocators``
    again: tuple[int, int, int] | None = (
        None  # by a further round: bytes kept, bytes, blocks of garbage, in each worker
    )
    flows: bool = False
    routed: bool = False  # an endpoint is answered by one worker
    slice_s: float | None = None
    parts: int = 1
    last_requests: int | None = None
    metrics: tuple[str, ...] = ("rss", "pss", "pss_anon", "pss_file", "pss_shmem", "shared_dirty")
    threads_per_round: int = 0
    fds_per_round: int = 0
    file_per_round: int = 0
    unshared_per_round: int = 0
    runtime: str = "python"
    concurrency: int = 1
    expect: tuple[str, ...] = ()
    unfinished: bool = False  # the last round was interrupted
    bytes_per_second: float = 0.0
    in_first_only: bool = False  # these
    idle_s: float = 0.0
    most_requests: int | None = None
    young: int = 0
    live_noise_bytes: float = 0.0
    collector: bool = False
    machine: Machine | None = None
    further: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    files: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, str | int] = field(default_factory=dict)
    probe_unshares: int = 0
    seed: int = 1


@dataclass
class _Process:
    key: ProcessKey
    born_ns: int
    ended_ns: int | None = None
    private: float = 0.0
    blocks: int = 50_000
    requests: int = 0
    sequence: int = 0
    noise: float = 0.0
    native: float = 0.0
    mapped: float = 0.0
    added: Counter[str] = field(default_factory=Counter)
    copied: int = 0
    counters: list[int] = field(default_factory=lambda: [0, 0])  # of the two youngest generations
    collections: list[int] = field(default_factory=lambda: [0, 0])
    garbage: int = 0


class _Simulation:
    def __init__(self, app: App) -> None:
        self.app = app
        self.rng = np.random.default_rng(app.seed)
        self.now = 10 * SECOND
        self.next_pid = _MASTER_PID + 1
        self.master = _Process(ProcessKey("", _MASTER_PID, 100), self.now)
        self.everyone = [self.master]
        self.pool: list[_Process] = []
        self.samples: dict[tuple[str, ProcessKey | None], list[tuple[int, int]]] = defaultdict(list)
        self.spans: list[Span] = []
        self.records: list[RequestRecord] = []
        self.windows: list[Window] = []
        self.shared = 1_000_000.0
        self.served = 0
        self.rounds_done = 0
        self.hits: Counter[str] = Counter()
        self.added: Counter[str] = Counter()  # to what is no process's
        self.events: list[Event] = []
        self.machine = None if app.machine is None else Counters(app.machine, "app", app.seed)
        for _ in range(app.workers):
            self.pool.append(self._fork())

    def _fork(self) -> _Process:
        self.now += 20_000_000
        process = _Process(ProcessKey("", self.next_pid, self.now // 10_000_000), self.now)
        process.noise = self.rng.standard_normal() * self.app.noise_bytes
        self.next_pid += 1
        self.everyone.append(process)
        return process

    def run(self) -> RawRun:
        app = self.app
        self._sweep()
        for phase, count in ((PhaseName.WARMUP, app.warmup), (PhaseName.ROUNDS, app.rounds)):
            for number in range(count):
                last = phase is PhaseName.ROUNDS and number == count - 1
                self._round(phase, number, cut=last and app.unfinished)
        if app.idle_s:
            start = self.now
            self.now += int(app.idle_s * SECOND)
            end = self.now
            self.windows.append(Window(PhaseName.IDLE, 0, None, start, end, self._sweep()))
        if app.collected_bytes is not None:
            self._probes(app.collected_bytes)
        return self._raw()

    def _probes(self, freed: int) -> None:
        """Looked at, made to collect, looked at again."""
        start = self.now
        self._sweep()
        for index in self.app.collected or {}:
            self.pool[index].private -= freed
            self.pool[index].copied += self.app.probe_unshares
        floor = self._sweep()
        if self.app.again is not None:
            kept, garbage, _ = self.app.again
            for index in self.app.collected or {}:
                self.pool[index].private += kept + garbage
            self._sweep()
            for index in self.app.collected or {}:
                self.pool[index].private -= garbage
            floor = self._sweep()
        self.windows.append(Window(PhaseName.PROBES, None, None, start, self.now, floor))

    def _round(self, phase: PhaseName, number: int, *, cut: bool) -> None:
        app = self.app
        if phase is PhaseName.ROUNDS:
            for index, rounds in app.restarts.items():
                if number in rounds:
                    self.pool[index].ended_ns = self.now
                    self.pool[index] = self._fork()
            for process in self.pool:
                process.private += app.steps.get(number, 0)
        start = self.now
        seed = app.seed + (0 if phase is PhaseName.ROUNDS else 1000)
        weights = [e.weight for e in app.endpoints]
        schedule = round_blocks(weights, app.requests, app.blocks, seed, number)
        if app.flows:
            schedule = self._flow(number)
        for block, indexes in enumerate(schedule):
            block_start = self.now
            for index in indexes:
                self._request(app.endpoints[index], phase, number, block)
            if cut:
                self.windows.append(Window(phase, number, None, start, None, None))
                return
            if app.flows and app.slice_s is not None:
                self.now = max(self.now, block_start + int(app.slice_s / app.parts * SECOND))
            end = self.now
            self.rounds_done += phase is PhaseName.ROUNDS and block == len(schedule) - 1
            floor = self._sweep()
            if not app.flows or app.parts > 1:
                self.windows.append(Window(phase, number, block, block_start, end, floor))
        self._tell_files(floor)
        self.windows.append(Window(phase, number, None, start, end, floor))

    def _flow(self, number: int) -> tuple[tuple[int, ...], ...]:
        """What comes in the parts of a slice, nobody having arranged it."""
        app, part = self.app, number / max(1, self.app.rounds - 1)
        ends = [e.weight if e.last_weight is None else e.last_weight for e in app.endpoints]
        shares = np.array([(1 - part) * e.weight + part * end for e, end in zip(app.endpoints, ends, strict=True)])
        last = app.requests if app.last_requests is None else app.last_requests
        size = round((1 - part) * app.requests + part * last)
        chosen = self.rng.choice(len(shares), size=size, p=shares / shares.sum())
        return tuple(tuple(piece.tolist()) for piece in np.array_split(chosen, app.parts))

    def _request(self, endpoint: Endpoint, phase: PhaseName, number: int, block: int) -> None:
        index = int(self.rng.integers(len(self.pool)))
        if self.app.routed:
            index = self.app.endpoints.index(endpoint) % len(self.pool)
        if self.app.most_requests is not None and self.pool[index].requests >= self.app.most_requests:
            self.pool[index].ended_ns = self.now
            self.pool[index] = self._fork()
        worker = self.pool[index]
        start = self.now
        self.now += REQUEST_NS
        self.hits[endpoint.name] += 1
        if self.hits[endpoint.name] % endpoint.every == 0:
            worker.private += endpoint.leak_bytes
            worker.blocks += endpoint.leak_blocks
            worker.native += endpoint.native_bytes
            worker.mapped += endpoint.mapped_bytes
            self.shared += endpoint.shared_bytes
            for metric, value in endpoint.adds.items():
                (worker.added if metric.startswith(("process.", "runtime.", "agent.")) else self.added)[metric] += value
        collected = self.app.collector and self._make_containers(worker, endpoint)
        worker.requests += 1
        self.served += 1
        span_id = f"{len(self.spans) + 1:016x}"
        place = (None, None) if self.app.flows else (number, block)
        self.spans.append(Span(span_id, endpoint.name, phase, *place, 0, None, start, self.now, 200, None, 100, ()))
        self._record(endpoint, worker, span_id, start + 200_000, self.now - 200_000, collected=collected)
        worker.sequence += 1

    def _record(
        self, endpoint: Endpoint, worker: _Process, span_id: str, start: int, end: int, *, collected: bool
    ) -> None:
        app = self.app
        if app.records == "none":
            return
        values: dict[str, int | None] = {}
        if app.with_blocks:
            jitter = int(self.rng.integers(-20, 21))
            values = {
                "blocks": worker.blocks + endpoint.level_blocks + jitter,
                "in_flight_max": app.concurrency,
                "gc_runs": app.gc_runs,
            }
        if app.collector:
            values["gc_runs"] = int(collected)
        log = app.records == "log"
        wall = WALL + end // SECOND * SECOND
        self.records.append(
            RequestRecord(
                source="fpm-access-log" if log else f"{app.runtime}-agent",
                pid=worker.key.pid,
                span_id=None if app.records == "time" else span_id,
                sequence=None if log else worker.sequence,
                start_ns=None if log else start,
                end_ns=None if log else end,
                wall_end_ns=wall if log else None,
                name=f"GET /{endpoint.name}",
                status=200,
                first_in_process=worker.sequence == 0,
                values=values,
            )
        )

    def _sweep(self) -> int:
        """Sample everything now; returns the time of the sweep."""
        app = self.app
        self.now += 300_000_000
        t = self.now
        alive = [p for p in self.everyone if p.ended_ns is None]
        used: Counter[str] = Counter()
        for process in alive:
            values = self._reading(process, t, len(alive))
            used.update(values)
            for metric, value in values.items():
                name = metric.removeprefix("process.memory.")
                if name in app.metrics or not metric.startswith("process.memory.") or metric in app.further:
                    self.samples[metric, process.key].append((t, value))
        if self.machine is not None:
            for metric, value in self.machine.at(self.rounds_done, self.added, used).items():
                self.samples[metric, None].append((t, value))
        self.now += 10_000_000
        return t

    def _reading(self, process: _Process, t: int, alive: int) -> dict[str, int]:
        """What is read of one process."""
        app = self.app
        fresh = self.rng.standard_normal() * app.noise_bytes
        spread = math.sqrt(1 - app.phi**2) if app.phi < 1 else 1.0
        process.noise = app.phi * process.noise + spread * fresh
        private = app.level_bytes + process.private + process.native + process.mapped + process.noise
        held = app.held + app.held_per_round * self.rounds_done
        held += sum(size for number, size in app.held_steps.items() if number < self.rounds_done)
        private += held
        if process is not self.master:
            private += self._own(process, t)
        private = max(0, int(private // app.quantum * app.quantum))
        private += app.unshared_per_round * self.rounds_done
        shared = int((self.shared + app.shared_extra(self.served)) / alive)
        file = 5_000_000 + app.file_per_round * self.rounds_done
        values = {
            "process.memory.pss_anon": private,
            "process.memory.pss_file": file,
            "process.memory.pss_shmem": shared,
            "process.memory.pss": private + file + shared,
            "process.memory.uss": private,
            "process.memory.rss": private + file + shared * alive,
            "process.memory.shared_dirty": 200_000_000 - app.unshared_per_round * self.rounds_done - process.copied,
            "process.threads": 3 + app.threads_per_round * self.rounds_done,
            "process.fds": 10 + app.fds_per_round * self.rounds_done,
        }
        if app.allocators:
            values |= self._allocators(process, held)
        if app.collector:
            values |= self._collector(process)
        if app.blocks_at_floors and process is not self.master:
            values["agent.python.blocks"] = process.blocks
        if app.small_blocks and process is not self.master:
            values["agent.python.pymalloc.blocks"] = process.blocks
        if app.outside_blocks and process is not self.master:
            values["runtime.python.pymalloc.blocks"] = process.blocks
        if app.heap_share is not None and process is not self.master:
            values["runtime.php.heap.size"] = 2_000_000 + int(app.heap_share * process.private)
        if app.roots_per_round is not None and process is not self.master:
            values["runtime.php.gc.roots"] = 300 + app.roots_per_round * self.rounds_done
        for metric, (level, growth) in app.further.items():
            values[metric] = level + (0 if process is self.master else growth * self.rounds_done)
        for metric, more in process.added.items():
            values[metric] = values.get(metric, 0) + more
        return values

    def _tell_files(self, t_ns: int) -> None:
        """What the sampler says about the largest data files, in a floor's sweep."""
        for process in self.everyone:
            if process.ended_ns is None and process is not self.master and self.app.files:
                sizes = {name: 1_000_000 + growth * self.rounds_done for name, growth in self.app.files.items()}
                self.events.append(Event(t_ns, "process.files", process.key, "has mapped files", sizes))

    @staticmethod
    def _make_containers(worker: _Process, endpoint: Endpoint) -> bool:
        """Whether the collector ran."""
        worker.garbage += 100 * endpoint.cycles
        worker.counters[0] += endpoint.cycles + endpoint.leak_containers
        if worker.counters[0] > _COLLECTED_AFTER:
            worker.counters[0] = worker.garbage = 0
            older = worker.counters[1] >= 10
            worker.counters[1] = 0 if older else worker.counters[1] + 1
            worker.collections[older] += 1
            return True
        return False

    def _own(self, process: _Process, t_ns: int) -> float:
        """Bytes of a worker that are no endpoint's."""
        app = self.app
        young = app.young * min(process.requests, 20) / 20
        young += process.garbage
        rate = 0.0 if app.in_first_only and process is not self.pool[0] else app.bytes_per_second
        return app.extra(process.requests) + young + rate * (t_ns - process.born_ns) / SECOND

    def _allocators(self, process: _Process, held: int) -> dict[str, int]:
        """The language's heap and malloc, read from outside, and the mappings that they lie in."""
        app = self.app
        own, native = 20_000_000 + int(process.private), 5_000_000 + int(process.native)
        if process is not self.master:
            own += int(self._own(process, self.now) + self.rng.standard_normal() * app.live_noise_bytes)
        free_own, free_native = (held, 0) if app.held_in == "heap" else (0, held)
        committed = own + native + held
        name = "runtime.php.heap" if app.runtime == "php" else "runtime.python.pymalloc"
        live, taken = ("size", "real") if app.runtime == "php" else ("live", "held")
        return {
            f"{name}.{live}": own,
            f"{name}.{taken}": own + free_own,
            "runtime.glibc.used": native,
            "runtime.glibc.system": native + free_native,
            "runtime.glibc.mmapped": 0,
            "process.smaps.heap.rss": native + free_native,
            "process.smaps.heap.pss": native + free_native,
            "process.smaps.heap.swap": 0,
            "process.smaps.anonymous.rss": committed - native - free_native + int(process.mapped),
            "process.smaps.anonymous.pss": committed - native - free_native + int(process.mapped),
            "process.smaps.anonymous.swap": 0,
            "process.smaps.anonymous.count": 20 + int(process.mapped) // 1_000_000,
            f"runtime.{app.runtime}.gc.enabled": int(app.gc_enabled),
            "runtime.python.gc.collections2": app.full_collections_per_round * self.rounds_done,
        }

    @staticmethod
    def _collector(process: _Process) -> dict[str, int]:
        name = "runtime.python.gc"
        counters = {f"{name}.count{i}": count for i, count in enumerate(process.counters)}
        ran = {f"{name}.collections{i}": count for i, count in enumerate([*process.collections, 0])}
        return {**counters, **ran, f"{name}.threshold0": _COLLECTED_AFTER}

    def _raw(self) -> RawRun:
        app = self.app
        series = {}
        for (metric, key), points in self.samples.items():
            columns = np.array(sorted(set(points)), dtype=np.int64)
            series[metric, key] = Series(metric, key, columns[:, 0], columns[:, 1])
        return RawRun(
            manifest=replace(
                manifest(
                    app.runtime, self.now, app.expect, RunStatus.INTERRUPTED if app.unfinished else RunStatus.COMPLETE
                ),
                facts={**app.facts, **self._groups()},
            ),
            anchors=[Anchor("", 0, WALL), Anchor("", self.now, WALL + self.now)],
            windows=self.windows,
            processes=[self._info(p) for p in self.everyone],
            series=series,
            spans=self.spans,
            records=self.records,
            boots=[],
            tools=[],
            events=[
                *self.events,
                *(self._probe(self.pool[index], freed) for index, freed in (app.collected or {}).items()),
                *(
                    self._probe(self.pool[i], app.again[2], PROBE_COLLECT_AGAIN)
                    for i in app.collected or {}
                    if app.again
                ),
                *(self._trim(worker, app.trimmed) for worker in self.pool if app.trimmed is not None),
            ],
            artifacts=[],
            missing=[],
        )

    def _groups(self) -> dict[str, str | int]:
        """The group that was made for the application, as a run notes it."""
        machine = self.app.machine
        return {"cgroup.app": "/sys/fs/cgroup/run"} if machine is not None and machine.group and machine.own else {}

    def _probe(self, worker: _Process, blocks: int, kind: str = PROBE_COLLECT) -> Event:
        freed = {"objects": blocks // 2, "blocks": blocks, "rss_bytes": 0, "pause_ns": 30_000_000}
        return Event(self.now, kind, worker.key, "a garbage collection", freed)

    def _trim(self, worker: _Process, returned: int) -> Event:
        given = {"rss_bytes": returned, "pause_ns": 1_000_000}
        return Event(self.now, PROBE_TRIM, worker.key, "free memory was given back", given)

    def _info(self, process: _Process) -> ProcessInfo:
        parent = 1 if process is self.master else _MASTER_PID
        last = self.now if process.ended_ns is None else process.ended_ns
        return ProcessInfo(
            process.key,
            parent,
            "gunicorn",
            "gunicorn shop",
            1000,
            "app",
            process.born_ns,
            process.born_ns,
            last,
            process.ended_ns,
        )


def simulate(app: App) -> RawRun:
    """The run that ``app`` would have left behind; the same app always gives the same run."""
    return _Simulation(app).run()


def manifest(
    runtime: str = "python",
    ended_ns: int = SECOND,
    expect: tuple[str, ...] = (),
    status: RunStatus = RunStatus.COMPLETE,
) -> RunManifest:
    """A plausible manifest."""
    return RunManifest(
        format="harness-run/2",
        run_id="test",
        tool_version="0",
        scenario_name="test",
        scenario_path="test.yaml",
        scenario={"name": "test", "expect": list(expect)},
        host={"cpus": 2, "page_size_bytes": 4096},
        runtime=runtime,
        started_wall_ns=WALL,
        started_ns=0,
        ended_ns=ended_ns,
        status=status,
        status_text="",
        costs={"sampler_cpu_percent": 0.4},
    )


def process(
    pid: int,
    *,
    ppid: int = 1,
    born: int = 0,
    ended: int | None = None,
    pool: str = "app",
    comm: str = "gunicorn",
    host: str = "",
) -> ProcessInfo:
    """One process life; times in ns."""
    key = ProcessKey(host, pid, born // 10_000_000)
    return ProcessInfo(key, ppid, comm, comm, 1000, pool, born, born, ended if ended is not None else born, ended)


def span(number: int, start: int, end: int, *, endpoint: str = "home", status: int | None = 200) -> Span:
    """A request outside rounds, for tests of joining."""
    error = None if status is not None else "timeout"
    return Span(f"{number:016x}", endpoint, PhaseName.ROUNDS, 0, 0, 0, None, start, end, status, error, 0, ())


def record(
    pid: int, number: int | None, start: int | None, end: int | None, *, source: str = "python-agent"
) -> RequestRecord:
    """A record of request ``number`` (None: without a span id)."""
    span_id = None if number is None else f"{number:016x}"
    return RequestRecord(source, pid, span_id, None, start, end, None, "GET /", 200, False, {})


def empty_run(**parts: object) -> RawRun:
    """A run with nothing in it but ``parts``."""
    fields: dict[str, object] = {
        "manifest": manifest(),
        "anchors": [],
        "windows": [],
        "processes": [],
        "series": {},
        "spans": [],
        "records": [],
        "boots": [],
        "tools": [],
        "events": [],
        "artifacts": [],
        "missing": [],
    }
    fields.update(parts)
    return RawRun(**fields)


__all__ = ["SIX", "App", "Endpoint", "Event", "empty_run", "manifest", "process", "record", "simulate", "six", "span"]
