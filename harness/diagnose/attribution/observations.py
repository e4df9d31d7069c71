"""What was observed: the growth of each worker from one floor to the next, and the requests that it answered in between.

A worker needs a floor before and after a block to be observed there, and nothing else, so workers that lived for a part of the
rounds are observed as long as they lived; nothing is ever spliced over a restart. What a worker does first fills caches, so the
first blocks and requests of one that did not live through all rounds are left out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.diagnose.attribution.garbage import Garbage, garbage_of
from harness.diagnose.attribution.history import History
from harness.diagnose.attribution.levels import Values, live_metrics, live_of, pages_metric, pages_of
from harness.diagnose.pool import PoolView
from harness.model.event import Window
from harness.model.process import ProcessKey, Role
from harness.model.span import PhaseName
from harness.model.timeline import JoinedSpan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

MAX_ENDPOINTS = 64
OTHERS = "(other endpoints)"
_YOUNG_BLOCKS, _YOUNG_REQUESTS = 2, 50
_SECOND_NS = 1e9
_IDLE = -1  # the round of a stretch without traffic

_ANYTHING = "process.memory.pss"  # the name under which another number than private memory is observed

Moment = tuple[int, int | None]  # round, block
Reader = Callable[[PoolView, ProcessKey, int], Values | None]  # what a worker had at an instant, None = not known


@dataclass(frozen=True, slots=True)
class Stretch:
    """Between two floors; ``moment`` names the block, ``idle`` says that nothing was sent in it on purpose."""

    moment: Moment
    before_ns: int
    after_ns: int
    idle: bool


@dataclass(frozen=True, slots=True)
class Observations:
    """One row for each worker and stretch, in order of ``life`` (the worker, as long as it was seen without a gap), then time.

    ``counts`` (rows, endpoints): requests answered. ``pages``, ``live`` (rows,): growth in bytes; ``live`` is None where it was
    not read. ``seconds`` (rows,): from floor to floor. ``moment``, ``life`` (rows,): numbers; ``answered`` (rows,): requests that
    the worker had answered in its life before. ``workers``: who was observed, none where they are taken together. ``garbage``:
    what waits for the collector, None where that is not known. ``places`` (rows,): worker and block. ``metric``: what
    ``pages`` is. ``flows``: requests came as they pleased, and nobody arranged what a stretch has of them.
    """

    endpoints: tuple[str, ...]
    counts: Floats
    pages: Floats
    live: Floats | None
    seconds: Floats
    moment: Ints
    life: Ints
    answered: Floats
    idle: NDArray[np.bool_]
    workers: tuple[ProcessKey, ...]
    garbage: Garbage | None
    places: tuple[tuple[ProcessKey | None, Moment], ...]
    metric: str
    flows: bool = False

    @property
    def lives(self) -> int:
        """Number of workers; 1 where they are taken together."""
        return max(1, len(self.workers))

    @property
    def idle_s(self) -> float:
        """Seconds without traffic in which workers were observed."""
        return float(max(self.seconds[self.idle], default=0.0))


@dataclass(frozen=True, slots=True)
class _Row:
    worker: ProcessKey | None
    number: int
    stretch: Stretch
    before: Values
    after: Values
    counts: Counter[str]
    answered: int
    waiting: tuple[Counter[str] | None, Counter[str] | None] = (None, None)  # before, after; see `History.waiting`


def stretches(pool: PoolView) -> list[Stretch]:
    """The blocks of the judged rounds (or the rounds, where there are no blocks), then what was left idle."""
    judged = {r.number for r in pool.slices}
    windows = [
        w
        for w in pool.timeline.windows
        if w.phase is PhaseName.ROUNDS and w.round in judged and w.end_ns is not None and w.floor_ns is not None
    ]
    has_blocks = any(w.block is not None for w in windows)
    times = np.array(sorted(pool.floors), dtype=np.int64)
    blocks = [w for w in windows if (w.block is not None) == has_blocks]
    ordered = sorted(blocks, key=lambda w: w.start_ns)
    if pool.flows:
        ordered = ordered[1:]  # no floor is taken between the warm-up and the first slice
    found = [_stretch(w, times, idle=False) for w in ordered]
    pauses = [w for w in pool.timeline.windows if w.phase is PhaseName.IDLE and w.floor_ns is not None]
    found += [_stretch(w, times, idle=True) for w in pauses]
    return [s for s in found if s is not None and s.after_ns in pool.floors]


def _stretch(window: Window, floors: Ints, *, idle: bool) -> Stretch | None:
    """From the last floor before the window to its own; None where there is none before."""
    earlier = int(np.searchsorted(floors, window.start_ns, side="right")) - 1
    if earlier < 0 or window.round is None or window.floor_ns is None:
        return None
    moment = (_IDLE if idle else window.round, window.block)
    return Stretch(moment, int(floors[earlier]), window.floor_ns, idle)


def observe_workers(pool: PoolView, read: Reader | None = None) -> Observations | None:
    """Each worker by itself, by what it answered; None where no worker has a floor before and after a block.

    ``read``: what is looked at, at each floor; None: private memory."""
    read = read or _values
    counts: dict[tuple[ProcessKey, Moment], Counter[str]] = defaultdict(Counter)
    for joined in pool.measured_spans:
        number, block = pool.moment_of(joined)
        if joined.worker is not None and number is not None:
            counts[joined.worker, (number, block)][joined.span.endpoint] += 1
    answers: dict[ProcessKey, list[JoinedSpan]] = defaultdict(list)
    for joined in pool.timeline.spans:
        if joined.worker is not None:
            answers[joined.worker].append(joined)
    rows = []
    all_stretches = stretches(pool)
    for worker in sorted(w.info.key for w in pool.members if w.role is Role.WORKER):
        seen: list[_Row] = []
        history = History(answers[worker])
        for number, stretch in enumerate(all_stretches):
            before, after = (read(pool, worker, t) for t in (stretch.before_ns, stretch.after_ns))
            did = counts.get((worker, stretch.moment), Counter())
            if before is not None and after is not None:
                waiting = (history.waiting(stretch.before_ns), history.waiting(stretch.after_ns))
                answered = history.answered(stretch.before_ns)
                seen.append(_Row(worker, number, stretch, before, after, did, answered, waiting))
        if worker not in pool.stable:
            seen = [r for r in seen[_young_blocks(pool, worker) :] if r.answered >= _YOUNG_REQUESTS]
        rows += seen
    return _observations(pool, rows)


def observe_sum(pool: PoolView) -> Observations | None:
    """All stable workers together against all requests, where nobody knows who answered what."""
    counts = _counts(pool, pool.all_spans)
    rows = []
    for number, stretch in enumerate(stretches(pool)):
        pairs = [(_values(pool, w, stretch.before_ns), _values(pool, w, stretch.after_ns)) for w in pool.stable]
        if pairs and all(a is not None and b is not None for a, b in pairs):
            before, after = (_total([p[side] or {} for p in pairs]) for side in (0, 1))
            rows.append(_Row(None, number, stretch, before, after, counts.get(stretch.moment, Counter()), 0))
    return _observations(pool, rows)


def observe_shared(pool: PoolView) -> Observations | None:
    """The pool's shared memory, which belongs to nobody: its sum over all processes against all requests."""
    counts = _counts(pool, pool.measured_spans)
    rows = []
    metric = "process.memory.pss_shmem"
    for number, stretch in enumerate(stretches(pool)):
        sides = [
            [f.values.get(metric) for f in pool.floors.get(t, {}).values()]
            for t in (stretch.before_ns, stretch.after_ns)
        ]
        if all(side and None not in side for side in sides):
            before, after = ({_ANYTHING: sum(v or 0 for v in side)} for side in sides)
            rows.append(_Row(None, number, stretch, before, after, counts.get(stretch.moment, Counter()), 0))
    return _observations(pool, rows)


def observe_metric(pool: PoolView, metric: str) -> Observations | None:
    """Each worker by itself, of any metric of processes: file pages, threads, descriptors."""

    def read(pool: PoolView, worker: ProcessKey, t_ns: int) -> Values | None:
        values = _values(pool, worker, t_ns)
        value = None if values is None else values.get(metric)
        return None if value is None else {_ANYTHING: value}

    return observe_workers(pool, read)


def observe_levels(pool: PoolView, levels: Mapping[int, int]) -> Observations | None:
    """What belongs to no worker, against all requests to the pool. ``levels``: by the time of a floor."""
    counts = _counts(pool, pool.measured_spans)
    rows = []
    for number, stretch in enumerate(stretches(pool)):
        before, after = levels.get(stretch.before_ns), levels.get(stretch.after_ns)
        if before is not None and after is not None:
            did = counts.get(stretch.moment, Counter())
            rows.append(_Row(None, number, stretch, {_ANYTHING: before}, {_ANYTHING: after}, did, 0))
    return _observations(pool, rows)


def _values(pool: PoolView, worker: ProcessKey, t_ns: int) -> Values | None:
    floor = pool.floors.get(t_ns, {}).get(worker)
    return None if floor is None else floor.values


def _young_blocks(pool: PoolView, worker: ProcessKey) -> int:
    """Blocks at the start of what is seen of a worker that are its warm-up; one that is older has had it."""
    born = next(w.info.born_ns for w in pool.members if w.info.key == worker)
    return _YOUNG_BLOCKS if pool.rounds and born >= pool.rounds[0].start_ns else 0


def _counts(pool: PoolView, spans: Sequence[JoinedSpan]) -> Mapping[Moment, Counter[str]]:
    counts: dict[Moment, Counter[str]] = defaultdict(Counter)
    for joined in spans:
        number, block = pool.moment_of(joined)
        if number is not None:
            counts[number, block][joined.span.endpoint] += 1
    return counts


def _total(readings: Sequence[Values]) -> Values:
    """Sum of what all of them have."""
    common = set.intersection(*(set(r) for r in readings))
    return {
        name: sum(r[name] or 0 for r in readings)
        for name in sorted(common)
        if all(r[name] is not None for r in readings)
    }


def _observations(pool: PoolView, rows: Sequence[_Row]) -> Observations | None:
    readings = [side for row in rows for side in (row.before, row.after)]
    metric = pages_metric(readings)
    if metric is None:
        return None
    names = live_metrics(pool, readings)
    kept: list[_Row] = []
    pages: list[int] = []
    live: list[int] = []
    for row in rows:
        page_levels = [pages_of(side, metric) for side in (row.before, row.after)]
        live_levels = [0, 0] if names is None else [live_of(side, names) for side in (row.before, row.after)]
        growths = [_growth(levels) for levels in (page_levels, live_levels)]
        if growths[0] is not None and growths[1] is not None:
            kept.append(row)
            pages.append(growths[0])
            live.append(growths[1])
    endpoints, counts = _table([row.counts for row in kept])
    life = _lives(kept)
    return Observations(
        endpoints=endpoints,
        counts=counts,
        pages=np.array(pages, dtype=np.float64),
        live=None if names is None else np.array(live, dtype=np.float64),
        seconds=np.array([(r.stretch.after_ns - r.stretch.before_ns) / _SECOND_NS for r in kept], dtype=np.float64),
        moment=np.array([r.number for r in kept], dtype=np.int64),
        life=life,
        answered=np.array([r.answered for r in kept], dtype=np.float64),
        idle=np.array([r.stretch.idle for r in kept], dtype=bool),
        workers=tuple(sorted({r.worker for r in kept if r.worker is not None})),
        garbage=None
        if any(row.worker is None for row in kept)
        else garbage_of([(row.before, row.after) for row in kept], life.tolist(), counts, _recorded(kept, endpoints)),
        places=tuple((row.worker, row.stretch.moment) for row in kept),
        metric=metric,
        flows=pool.flows,
    )


def _recorded(rows: Sequence[_Row], endpoints: Sequence[str]) -> list[tuple[Floats, Floats] | None]:
    """Requests since the last collection by endpoint, before and after each row. What a worker answered of endpoints that are no
    column (in the warm-up, say) is left out, unless there is one for all others."""
    columns = {name: index for index, name in enumerate(endpoints)}
    others = columns.get(OTHERS)

    def by_column(counts: Counter[str]) -> Floats:
        waiting = np.zeros(len(endpoints))
        for name, number in counts.items():
            column = columns.get(name, others)
            if column is not None:
                waiting[column] += number
        return waiting

    pairs = [row.waiting for row in rows]
    return [None if a is None or b is None else (by_column(a), by_column(b)) for a, b in pairs]


def _growth(levels: Sequence[int | None]) -> int | None:
    before, after = levels
    return None if before is None or after is None else after - before


def _lives(rows: Sequence[_Row]) -> Ints:
    """Numbers of stretches without a gap: the floor after one row is the floor before the next."""
    numbers, current = [], -1
    for position, row in enumerate(rows):
        last = rows[position - 1] if position else None
        if last is None or last.worker != row.worker or last.stretch.after_ns != row.stretch.before_ns:
            current += 1
        numbers.append(current)
    return np.array(numbers, dtype=np.int64)


def _table(rows: Sequence[Counter[str]]) -> tuple[tuple[str, ...], Floats]:
    total: Counter[str] = Counter()
    for counts in rows:
        total.update(counts)
    names = sorted(total, key=lambda name: (-total[name], name))[:MAX_ENDPOINTS]
    column = {name: index for index, name in enumerate(names)}
    if len(total) > len(names):
        names.append(OTHERS)
    matrix = np.zeros((len(rows), len(names)))
    for row, counts in enumerate(rows):
        for name, count in counts.items():
            matrix[row, column.get(name, len(names) - 1)] += count
    return tuple(names), matrix
