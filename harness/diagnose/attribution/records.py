"""What the records of single requests say, where an agent counts live allocations: a witness that knows no pages and no blocks.

Only requests that ran alone in their process count, between two records that follow each other: with several requests in flight
a change belongs to all of them. So nothing here is known of servers with threads or an event loop under load; the regression over
blocks is, because it looks at drained workers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from harness.diagnose.attribution.observations import MAX_ENDPOINTS, Moment, Observations
from harness.diagnose.pool import BLOCKS, IN_FLIGHT, PoolView
from harness.diagnose.stats import standard_errors
from harness.model.process import ProcessKey

_MIN_PAIRS = 50
_NEARLY_ALL = 0.8  # of what an endpoint keeps
_FEW = 0.5  # of its requests; if fewer than that keep nearly all, it keeps something only sometimes
_REPEATED = 3  # times, or it was an import or a cache
_NEARLY_EVERY = 0.95  # of its requests
_OUTSTANDING = 8.0  # times the usual change: what a request that keeps something stands out by


Place = tuple[ProcessKey, Moment]  # a worker in a block
_Change = tuple[int, Place]


@dataclass(frozen=True, slots=True)
class Kept:
    """Live allocations that a request to one endpoint adds for good: mean and 95 % half-width.

    ``keeping_share``: see `EndpointGrowth`. ``keeping``: where that is not None, how many of those requests each worker answered
    in each block; ``looked_at``: requests of which it is known.
    """

    mean: float
    half_width: float
    keeping_share: float | None
    keeping: Mapping[Place, int]
    looked_at: int

    @property
    def certain(self) -> bool:
        """Whether it keeps at least one allocation in two requests, or certainly some in few of them."""
        least = self.mean - 2 * self.half_width  # one of many endpoints exceeds 95 % by chance
        return least > (0.0 if self.keeping_share is not None else 0.5)


def weighed(seen: Observations, kept: Mapping[str, Kept], names: Iterable[str]) -> Observations | None:
    """Where an endpoint keeps something in few of its requests only, its growth is that of those requests: they stand for all of
    them, in the rows in which they were, so that a coefficient is still bytes per request.

    Of ``names`` only those are looked at of which nearly every request has a record that says whether it keeps something, for one
    that is not known to would count as one that does not. None where there is no such endpoint.
    """
    counts = seen.counts.copy()
    for name in names:
        column, found = seen.endpoints.index(name), kept.get(name)
        if found is None or found.looked_at < _NEARLY_EVERY * counts[:, column].sum():
            continue
        keeping = np.array([0 if who is None else found.keeping.get((who, moment), 0) for who, moment in seen.places])
        if keeping.any():
            counts[:, column] = keeping * (counts[:, column].sum() / keeping.sum())
    return None if np.array_equal(counts, seen.counts) else replace(seen, counts=counts)


def kept_by_endpoint(pool: PoolView) -> Mapping[str, Kept]:
    """By endpoint; empty without such records.

    Uses pairs of consecutive records of one process whose later request ran alone, so that nothing else came between. What an
    endpoint still holds while its record is written (its response) would look like growth after another endpoint's request,
    so the level of each endpoint is fitted along: change = kept[this] + level[this] - level[previous].
    """
    by_worker: dict[ProcessKey, list[tuple[int, int, str, bool, Place]]] = defaultdict(list)
    for joined in pool.measured_spans:
        record, worker = joined.record, joined.worker
        if worker is None or record is None or record.sequence is None:
            continue
        value = record.values.get(BLOCKS)
        if value is not None:
            alone = record.values.get(IN_FLIGHT) == 1
            number, block = pool.moment_of(joined)
            place = (worker, (number or 0, block))
            by_worker[worker].append((record.sequence, value, joined.span.endpoint, alone, place))
    pairs: dict[tuple[str, str], list[_Change]] = defaultdict(list)
    for rows in by_worker.values():
        rows.sort(key=lambda row: row[:3])
        for (before, was, previous, _, _), (after, now, endpoint, alone, place) in pairwise(rows):
            if alone and after == before + 1:
                pairs[previous, endpoint].append((now - was, place))
    return _kept_and_level(pairs)


def _kept_and_level(pairs: Mapping[tuple[str, str], Sequence[_Change]]) -> Mapping[str, Kept]:
    names = sorted({name for pair in pairs for name in pair})
    count, width = sum(len(v) for v in pairs.values()), 2 * len(names) - 1
    if len(names) > MAX_ENDPOINTS or count < max(_MIN_PAIRS, 2 * width):
        return {}
    column = {name: index for index, name in enumerate(names)}
    gram, moment, power = np.zeros((width, width)), np.zeros(width), 0.0
    for (previous, endpoint), changes in pairs.items():
        row = np.zeros(2 * len(names))
        row[column[endpoint]] = 1
        row[len(names) + column[endpoint]] += 1
        row[len(names) + column[previous]] -= 1
        row = row[:width]  # levels are relative to the last endpoint's
        values = np.array([change for change, _ in changes], dtype=np.float64)
        gram += len(changes) * np.outer(row, row)
        moment += values.sum() * row
        power += float((values * values).sum())
    solution = np.linalg.lstsq(gram, moment, rcond=None)[0]
    noise = max(0.0, power - float(solution @ moment)) / (count - width)
    errors = standard_errors(gram, noise)
    level = np.append(solution[len(names) :], 0.0)
    found = {}
    for index, name in enumerate(names):
        if np.isfinite(errors[index]):
            own = [
                (change - (level[index] - level[column[previous]]), place)
                for (previous, endpoint), changes in pairs.items()
                if endpoint == name
                for change, place in changes
            ]
            mean, half_width = float(solution[index]), float(1.96 * errors[index])
            share, keeping = _keeping(own, mean - half_width)
            found[name] = Kept(mean, half_width, share, keeping, len(own))
    return found


def _keeping(own: Sequence[tuple[float, Place]], least: float) -> tuple[float | None, Mapping[Place, int]]:
    """Part of the requests whose change, without the levels, stands out and makes up nearly all of what is kept, and where they
    were; None where that is not few of them. ``least``: allocations that a request certainly keeps on average."""
    if len(own) < _MIN_PAIRS:
        return None, {}
    changes = np.array([change for change, _ in own])
    usual = float(np.median(changes))
    scale = max(1.0, 1.4826 * float(np.median(np.abs(changes - usual))))
    outstanding = np.flatnonzero(changes - usual > _OUTSTANDING * scale)
    theirs = float((changes[outstanding] - usual).sum())
    few = _REPEATED <= outstanding.size < _FEW * changes.size
    if not few or theirs < _NEARLY_ALL * least * changes.size or changes.sum() <= 0:
        return None, {}
    return outstanding.size / changes.size, Counter(own[at][1] for at in outstanding.tolist())
