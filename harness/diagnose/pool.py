"""One pool of processes as the rules see it: who lived through the measured rounds, their floors, and what they answered."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from harness.diagnose.even import cuts, uneven
from harness.diagnose.gaps import complete, enough, without_gaps
from harness.diagnose.growth import MIN_ROUNDS, Growth, Yardstick, judge, judge_workers
from harness.diagnose.ledger.parts import Parts, parts_of
from harness.model.process import ProcessKey, Role
from harness.model.span import PhaseName
from harness.model.timeline import FloorPoint, JoinedSpan, Timeline, Worker

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

T = TypeVar("T")

FLOOR_BYTES = 48_000  # growth per worker and round below this is the noise of an idle process
PAGE_STEP_BYTES = 128 * 1024  # glibc takes memory in steps of this size
ARENA_BYTES = 1024 * 1024  # pymalloc's arena
HUGE_PAGE_BYTES = 2 * 1024 * 1024
NS_PER_HOUR = 3.6e12
BLOCKS = "blocks"  # live Python allocations at the end of a request: sys.getallocatedblocks()
_BLOCKS_AT_FLOOR = (("agent.python.blocks",), ("runtime.python.pymalloc.blocks", "runtime.python.raw_blocks"))
_POOL_BLOCKS = ("runtime.python.pymalloc.blocks",)
# Live bytes in Zend's heap, exact; outside first: it is always read.
_HEAP = ("runtime.php.heap.size", "agent.php.heap.size")
_ROOTS = ("runtime.php.gc.roots", "agent.php.gc.roots")
IN_FLIGHT = "in_flight_max"

_MEMORY = "process.memory."
# In order of trust: anonymous memory cannot move because another process maps the same library; RSS counts shared pages.
_ANON_CHAIN = ("pss_anon", "pss", "uss", "rss")


@dataclass(frozen=True, slots=True)
class RoundInfo:
    """One complete measured round, or a stretch of traffic that came all the time: number (of the slice it ends in), start, time
    of its floor, and how long traffic ran in it."""

    number: int
    start_ns: int
    floor_ns: int
    active_ns: int


class PoolView:
    """Everything the rules ask about one pool. Built by `pools_of`; derived numbers are computed once, on demand.

    ``rounds`` are what growth is judged on; ``slices``, the windows they were recorded in, are others where traffic was uneven.

    ``stable``: workers with a floor in every judged round. ``stable_all``: the same with master and helpers.
    """

    def __init__(
        self,
        name: str,
        timeline: Timeline,
        members: Sequence[Worker],
        rounds: Sequence[RoundInfo],
        floors: Mapping[int, Mapping[ProcessKey, FloorPoint]],
    ) -> None:
        self.name = name
        self.timeline = timeline
        self.members = tuple(members)
        self.rounds = tuple(rounds)
        self.slices = recorded_rounds(timeline)
        self.floors = floors  # by floor time, this pool's processes only
        present = [set(floors.get(r.floor_ns, {})) for r in rounds]
        lived = set.intersection(*present) if present else set()
        workers = {w.info.key for w in members if w.role is Role.WORKER}
        self.stable_all = tuple(sorted(lived))
        self.stable = tuple(sorted(lived & workers))
        self.replaced = len(workers & set().union(*present)) - len(self.stable) if present else 0
        self._answers: dict[str, Any] = {}
        self.gaps: dict[str, int] = {}  # metric -> rounds that it was not read in and is judged without

    def once(self, name: str, compute: Callable[[], T]) -> T:
        """The answer to an expensive question that several rules ask; ``name`` identifies the question."""
        if name not in self._answers:
            self._answers[name] = compute()
        answer: T = self._answers[name]
        return answer

    @property
    def runtime(self) -> str:
        return self.timeline.manifest.runtime

    @property
    def watched(self) -> bool:
        """Whether the rounds are slices of a watch."""
        return is_watch(self.timeline)

    @cached_property
    def flows(self) -> bool:
        """Whether requests come all the time and rounds are slices of it: at arrival rates, from a locustfile, from a program
        that runs on. A request belongs to the slice in which it ended, and none is sent to make slices alike."""
        return flows(self.timeline)

    @property
    def host(self) -> str:
        """Which machine it is on, as in `ProcessKey.host`."""
        return self.members[0].info.key.host if self.members else self.timeline.judged

    @property
    def stretch(self) -> str:
        """What a round of this run is called."""
        return "slice" if self.watched or self.flows else "round"

    @property
    def range_ns(self) -> tuple[int, int] | None:
        """The judged stretch of the run."""
        return (self.rounds[0].start_ns, self.rounds[-1].floor_ns) if self.rounds else None

    # -- requests ------------------------------------------------------------------------------------------------------

    @cached_property
    def all_spans(self) -> tuple[JoinedSpan, ...]:
        """Requests of the judged rounds, whoever answered them."""
        numbers = {r.number for r in self.slices}
        return tuple(
            j for j in self.timeline.spans if j.span.phase is PhaseName.ROUNDS and self.moment_of(j)[0] in numbers
        )

    def moment_of(self, joined: JoinedSpan) -> tuple[int | None, int | None]:
        """The round and the block that a request belongs to; None where it belongs to none.

        Where requests come all the time it is the slice in which it ended: what it keeps is in the level of the floor after
        that, and not in the one before."""
        if not self.flows:
            return joined.span.round, joined.span.block
        times, moments = self._cuts
        at = bisect_left(times, joined.span.end_ns)
        return (None, None) if at == len(times) else moments[at]

    @cached_property
    def _cuts(self) -> tuple[Sequence[int], Sequence[tuple[int | None, int | None]]]:
        """Where requests come all the time: floors in order, and what ends with each; with the first, nothing that is judged."""
        if not self.slices:
            return (), ()
        ends = _parts(self.timeline, self.slices)
        times = [self.slices[0].start_ns, *(floor_ns for floor_ns, _, _ in ends)]
        return times, [(None, None), *((number, block) for _, number, block in ends)]

    @cached_property
    def measured_spans(self) -> tuple[JoinedSpan, ...]:
        """Requests of the judged rounds: those this pool answered, or all when none could be joined to any process."""
        own = {w.info.key for w in self.members}
        if any(j.worker is not None for j in self.all_spans):
            return tuple(j for j in self.all_spans if j.worker in own)
        return self.all_spans

    @cached_property
    def coverage(self) -> float | None:
        """Share of the judged rounds' requests that are tied to a process; None when there were no requests."""
        total = len(self.all_spans)
        return sum(j.worker is not None for j in self.all_spans) / total if total else None

    @property
    def foreign_share(self) -> float:
        """Requests that the target recorded and this run did not send, over those it sent. They too make memory grow."""
        coverage = self.timeline.coverage
        return coverage.records_unmatched / coverage.spans if coverage.spans else 0.0

    @cached_property
    def alone(self) -> bool:
        """Whether no other pool has workers."""
        return all(w.role is not Role.WORKER or w.info.pool == self.name for w in self.timeline.workers)

    @cached_property
    def stable_share(self) -> float | None:
        """Share of this pool's joined requests that stable workers answered; None when nothing was joined."""
        joined = [j.worker for j in self.measured_spans if j.worker is not None]
        stable = set(self.stable)
        return sum(w in stable for w in joined) / len(joined) if joined else None

    @cached_property
    def requests_per_round(self) -> float | None:
        """Requests a round that made the stable workers grow (unjoined ones in proportion); None when unknown.

        The first judged round lies before the first floor, so it does not count.
        """
        later, rounds = {r.number for r in self.slices[1:]}, len(self.rounds) - 1
        if not later or self.coverage is None:
            return None
        counted = [j for j in self.measured_spans if self.moment_of(j)[0] in later]
        if self.coverage == 0:
            return len(counted) / rounds if self.replaced == 0 and counted else None
        stable = set(self.stable)
        answered = sum(j.worker in stable for j in counted)
        return answered / self.coverage / rounds if answered and self.coverage >= 0.5 else None

    @cached_property
    def rounds_per_hour(self) -> float | None:
        """How many rounds an hour of the measured traffic holds (pauses for floors left out)."""
        counted = self.rounds if self.rounds == self.slices else self.rounds[1:]
        active = sum(r.active_ns for r in counted)
        return NS_PER_HOUR * len(counted) / active if active > 0 else None

    @cached_property
    def requests_per_hour(self) -> float | None:
        """Requests of the judged rounds that this pool answered, in an hour of their traffic."""
        active, spans = sum(r.active_ns for r in self.slices), len(self.measured_spans)
        return NS_PER_HOUR * spans / active if active > 0 and spans else None

    def in_a_round(self, endpoint: str, observed: int) -> float:
        """Requests to the endpoint in one round, of ``observed`` that were counted in all of them."""
        total, whole = len(self.measured_spans), self.requests_per_round
        if not self.flows or not total or whole is None:
            return observed / len(self.rounds)
        return whole * sum(j.span.endpoint == endpoint for j in self.measured_spans) / total

    # -- levels --------------------------------------------------------------------------------------------------------

    @cached_property
    def anon_metric(self) -> str | None:
        """The best measure of private memory that every stable worker has at every floor."""
        return next((m for m in _ANON_CHAIN if self.worker_levels(m) is not None), None)

    def worker_levels(self, metric: str) -> Floats | None:
        """(stable workers, rounds) levels of ``process.memory.<metric>``; None where one is missing or nobody is stable.

        Swapped anonymous pages still belong to the process, so they are added to pss_anon where swap was used.
        """
        values = self._matrix(_MEMORY + metric, self.stable)
        if values is None or metric != "pss_anon":
            return values
        swapped = self._matrix(_MEMORY + "swap_pss", self.stable)
        return values if swapped is None else values + swapped

    @cached_property
    def parts(self) -> Mapping[ProcessKey, Sequence[Parts]]:
        """The ledger of every process that lived throughout, at the floor of each judged round."""
        return {
            key: [parts_of(self.floors[r.floor_ns][key].values, self.runtime) for r in self.rounds]
            for key in self.stable_all
        }

    def part_levels(self, name: str) -> Floats | None:
        """(rounds,) sum over the stable workers of a field of `Parts`; None where one does not know it.

        Only those called ``exact_...`` have trustworthy slopes where workers share pages with their master.
        """
        rows = [[getattr(parts, name) for parts in self.parts[key]] for key in self.stable]
        if not rows or any(value is None for row in rows for value in row):
            return None
        levels: Floats = np.array(rows, dtype=np.float64).sum(axis=0)
        return levels

    def _matrix(self, metric: str, processes: Sequence[ProcessKey]) -> Floats | None:
        if not processes or not self.rounds:
            return None
        rows = [[self.floors[r.floor_ns][p].values.get(metric) for r in self.rounds] for p in processes]
        if any(value is None for row in rows for value in row):
            return None
        return np.array(rows, dtype=np.float64)

    def _with_gaps(self, metric: str) -> Floats | None:
        """The same for the stable workers, NaN where a value is missing; None where too many are."""
        if not self.stable or not self.rounds:
            return None
        rows = [[self.floors[r.floor_ns][p].values.get(metric) for r in self.rounds] for p in self.stable]
        levels = np.array([[math.nan if v is None else v for v in row] for row in rows], dtype=np.float64)
        if not enough(levels):
            return None
        missing = levels.shape[1] - complete(levels).size
        if missing:
            self.gaps[metric] = missing
        return levels

    def counters(self, metrics: Sequence[str]) -> Floats | None:
        """Like `matrix`, but a few missing values are no reason to know nothing: they are NaN (see `harness.diagnose.gaps`)."""
        parts = [self._with_gaps(metric) for metric in metrics]
        known = [part for part in parts if part is not None]
        total = sum(known[1:], known[0]) if known and len(known) == len(parts) else None
        return total if total is not None and enough(total) else None

    def matrix(self, metrics: Sequence[str]) -> Floats | None:
        """(stable workers, rounds) sum of ``metrics``; None where one is missing anywhere."""
        parts = [self._matrix(metric, self.stable) for metric in metrics]
        known = [part for part in parts if part is not None]
        return sum(known[1:], known[0]) if known and len(known) == len(parts) else None

    @cached_property
    def levels(self) -> Floats | None:
        """(workers, rounds) of the metric growth is judged by."""
        return None if self.anon_metric is None else self.worker_levels(self.anon_metric)

    @property
    def yardstick(self) -> Yardstick:
        """Noise of n workers adds up as its root; the arena is the step in which resident memory may jump."""
        return Yardstick(FLOOR_BYTES * math.sqrt(max(1, len(self.stable))), self.quantum, doubt=self.quantum)

    @cached_property
    def quantum(self) -> float:
        """The largest step in which an allocator or the kernel is likely to make memory resident."""
        huge = self._matrix(_MEMORY + "anon_huge", self.stable)
        return HUGE_PAGE_BYTES if huge is not None and huge.any() else ARENA_BYTES

    @cached_property
    def memory(self) -> Growth | None:
        """Private memory of all stable workers together."""
        return None if self.levels is None else judge_workers(self.levels, self.yardstick)

    @cached_property
    def memory_by_worker(self) -> Mapping[ProcessKey, Growth]:
        """The same, worker by worker."""
        if self.levels is None:
            return {}
        single = Yardstick(FLOOR_BYTES, self.quantum, doubt=self.quantum)
        return {key: judge(row, single) for key, row in zip(self.stable, self.levels, strict=True)}

    @cached_property
    def shared(self) -> Growth | None:
        """Shared memory of the pool. Summed PSS counts each page once, whoever maps it, so restarts do not matter."""
        metric = _MEMORY + "pss_shmem"
        sums = []
        for r in self.rounds:
            values = [f.values.get(metric) for f in self.floors.get(r.floor_ns, {}).values()]
            known = [v for v in values if v is not None]
            if not known or len(known) < len(values):
                return None
            sums.append(float(sum(known)))
        return judge(sums, Yardstick(FLOOR_BYTES, PAGE_STEP_BYTES, doubt=ARENA_BYTES)) if sums else None

    @cached_property
    def files(self) -> Growth | None:
        """Mapped file pages of all processes that lived throughout."""
        return self._pool_growth(_MEMORY + "pss_file", Yardstick(FLOOR_BYTES * 2, ARENA_BYTES, doubt=ARENA_BYTES))

    @cached_property
    def threads(self) -> Growth | None:
        return self._pool_growth("process.threads", Yardstick(1, 1, doubt=1, relative=0))

    @cached_property
    def descriptors(self) -> Growth | None:
        return self._pool_growth("process.fds", Yardstick(1, 2, doubt=2, relative=0))

    @cached_property
    def unshared(self) -> float | None:
        """Bytes a round by which the stable workers' shared dirty pages shrink; None when not measured."""
        matrix = self._matrix(_MEMORY + "shared_dirty", self.stable)
        return (
            None if matrix is None else -float(np.median(np.diff(matrix.sum(axis=0)))) if matrix.shape[1] > 1 else None
        )

    def _pool_growth(self, metric: str, yardstick: Yardstick) -> Growth | None:
        matrix = self._matrix(metric, self.stable_all)
        return None if matrix is None else judge(matrix.sum(axis=0), yardstick)

    # -- live Python allocations ---------------------------------------------------------------------------------------

    @cached_property
    def blocks(self) -> Growth | None:
        """Live Python allocations of all stable workers at round ends: counted there where they were asked or read from outside,
        else from their last record before each floor, which on a large heap is up to a second old; else those of up to 512 bytes.

        A worker without requests in a round keeps its value. None when a worker has not told any by the first floor.
        """
        if not self.stable or not self.rounds:
            return None
        counted = next((m for m in (self.counters(names) for names in _BLOCKS_AT_FLOOR) if m is not None), None)
        if counted is not None:
            workers = math.sqrt(len(self.stable))
            return judge(
                without_gaps(counted).sum(axis=0), Yardstick(10 * workers, quantum=20, doubt=80, relative=0.0001)
            )
        return self._recorded_blocks() or self._told(_POOL_BLOCKS, self._blocks_yardstick)

    @cached_property
    def counts_large_blocks(self) -> bool:
        """Whether `blocks` has those of more than 512 bytes in it, which malloc holds."""
        return (
            any(self.counters(names) is not None for names in _BLOCKS_AT_FLOOR) or self._recorded_blocks() is not None
        )

    def _recorded_blocks(self) -> Growth | None:
        by_worker = self.block_records
        total = np.zeros(len(self.rounds))
        for key in self.stable:
            found = by_worker.get(key)
            if found is None:
                return None
            times, values = found
            at = np.array([self.timeline.swept_at(r.floor_ns, key.host) for r in self.rounds], dtype=np.int64)
            index = np.searchsorted(times, at, side="right") - 1
            if index[0] < 0:
                return None
            total += values[index]
        return judge(total, self._blocks_yardstick)

    @cached_property
    def heap(self) -> Growth | None:
        """Live bytes in the runtime's own heap, of all stable workers at round ends; None where nobody tells."""
        return self._told(_HEAP, Yardstick(floor=4096 * math.sqrt(len(self.stable) or 1), quantum=4096, doubt=16384))

    @cached_property
    def roots(self) -> Growth | None:
        """Entries in the lists that the cycle collectors of all stable workers go through next: garbage in cycles that is not
        collected yet hangs on one each, so it cannot pile up while this does not grow."""
        return self._told(_ROOTS, Yardstick(floor=5 * math.sqrt(len(self.stable) or 1), quantum=10, doubt=40))

    def _told(self, metrics: Sequence[str], yardstick: Yardstick) -> Growth | None:
        matrix = next((m for m in (self.counters((name,)) for name in metrics) if m is not None), None)
        return None if matrix is None else judge(without_gaps(matrix).sum(axis=0), yardstick)

    @property
    def _blocks_yardstick(self) -> Yardstick:
        return Yardstick(floor=40 * math.sqrt(len(self.stable)), quantum=50, doubt=200, relative=0.0005)

    @cached_property
    def block_records(self) -> Mapping[ProcessKey, tuple[NDArray[np.int64], Floats]]:
        """Per worker: end times (sorted) and live allocations of its records."""
        found: dict[ProcessKey, list[tuple[int, int]]] = defaultdict(list)
        own = {w.info.key for w in self.members}
        for joined in self.timeline.spans:
            record = joined.record
            if record is None or record.end_ns is None or joined.worker not in own or joined.worker is None:
                continue
            value = record.values.get(BLOCKS)
            if value is not None:
                found[joined.worker].append((record.end_ns, value))
        result = {}
        for key, pairs in found.items():
            pairs.sort()
            columns = np.array(pairs, dtype=np.int64)
            result[key] = (columns[:, 0], columns[:, 1].astype(np.float64))
        return result


def is_watch(timeline: Timeline) -> bool:
    """Whether the run only looked on: nothing was sent, and nothing says what happened in its slices."""
    load = timeline.manifest.scenario.get("load")
    return isinstance(load, Mapping) and "observe" in load


def pools_of(timeline: Timeline) -> tuple[PoolView, ...]:
    """The pools that growth can be judged in: those with a worker that was swept at a round's floor."""
    rounds = judged_rounds(timeline)
    members: dict[str, list[Worker]] = defaultdict(list)
    pool_of: dict[ProcessKey, str] = {}
    for worker in timeline.workers:
        members[worker.info.pool].append(worker)
        pool_of[worker.info.key] = worker.info.pool
    floors: dict[str, dict[int, dict[ProcessKey, FloorPoint]]] = defaultdict(lambda: defaultdict(dict))
    swept: set[str] = set()
    workers = {w.info.key for w in timeline.workers if w.role is Role.WORKER}
    for floor in timeline.floors:
        pool = pool_of.get(floor.process)
        if pool is None:
            continue
        floors[pool][floor.t_ns][floor.process] = floor
        if floor.phase == PhaseName.ROUNDS and floor.process in workers:
            swept.add(pool)
    return tuple(PoolView(name, timeline, members[name], rounds, floors[name]) for name in sorted(swept))


def flows(timeline: Timeline) -> bool:
    """See `PoolView.flows`."""
    measured = [j.span.round for j in timeline.spans if j.span.phase is PhaseName.ROUNDS]
    return bool(measured) and all(number is None for number in measured)


def judged_rounds(timeline: Timeline) -> tuple[RoundInfo, ...]:
    """What growth is judged on: the rounds; where requests come all the time and unevenly, stretches with about as many requests
    each (`harness.diagnose.even`), if the floors of the slices and of their parts allow for enough of them."""
    slices = recorded_rounds(timeline)
    if len(slices) < MIN_ROUNDS or not flows(timeline) or not uneven(work_of(timeline, slices)):
        return slices
    parts = [(floor_ns, number) for floor_ns, number, _ in _parts(timeline, slices)]
    later = [part for part in parts if part[0] > slices[0].floor_ns]
    times = [slices[0].floor_ns, *(floor_ns for floor_ns, _ in later)]
    ends = cuts(_ended_between(timeline, times), len(slices) - 1, MIN_ROUNDS - 1)
    if ends is None:
        return slices
    found, begin = [slices[0]], slices[0].floor_ns
    for floor_ns, number in (later[end] for end in ends):
        found.append(RoundInfo(number, begin, floor_ns, floor_ns - begin))
        begin = floor_ns
    return tuple(found)


def work_of(timeline: Timeline, slices: Sequence[RoundInfo]) -> list[int]:
    """Requests that ended in each slice but the first, whose floor is the first level."""
    return _ended_between(timeline, [s.floor_ns for s in slices])


def _ended_between(timeline: Timeline, times: Sequence[int]) -> list[int]:
    ends = np.sort([j.span.end_ns for j in timeline.spans if j.span.phase is PhaseName.ROUNDS])
    return [int(n) for n in np.diff(np.searchsorted(ends, times, side="right"))]


def _parts(timeline: Timeline, slices: Sequence[RoundInfo]) -> list[tuple[int, int, int | None]]:
    """Floor, slice and part of all parts of the slices, in order; of the slices, where they have no parts."""
    numbers = {r.number for r in slices}
    windows = [w for w in timeline.windows if w.phase is PhaseName.ROUNDS and w.round in numbers]
    parts = [w for w in windows if w.block is not None] or windows
    return sorted((w.floor_ns, w.round, w.block) for w in parts if w.floor_ns is not None and w.round is not None)


def recorded_rounds(timeline: Timeline) -> tuple[RoundInfo, ...]:
    """The longest run of consecutive complete measured rounds with a floor."""
    floor_of = {f.round: f.t_ns for f in timeline.floors if f.phase == PhaseName.ROUNDS and f.block is None}
    in_blocks: dict[int | None, int] = defaultdict(int)
    for w in timeline.windows:
        if w.phase is PhaseName.ROUNDS and w.block is not None and w.end_ns is not None:
            in_blocks[w.round] += w.end_ns - w.start_ns
    complete = sorted(
        (
            RoundInfo(w.round, w.start_ns, floor_of[w.round], in_blocks[w.round] or w.end_ns - w.start_ns)
            for w in timeline.windows
            if w.phase is PhaseName.ROUNDS
            and w.block is None
            and w.round is not None
            and w.end_ns is not None
            and w.round in floor_of
        ),
        key=lambda r: r.number,
    )
    best: list[RoundInfo] = []
    current: list[RoundInfo] = []
    for info in complete:
        current = [*current, info] if current and info.number == current[-1].number + 1 else [info]
        if len(current) > len(best):
            best = current
    return tuple(best)
