"""What the records of single requests say, where an agent counts live allocations: a witness that knows no pages and no blocks.

Only requests that ran alone in their process count, between two records that follow each other: with several requests in flight
a change belongs to all of them. So nothing here is known of servers with threads or an event loop under load; the regression over
blocks is, because it looks at drained workers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from harness.diagnose.attribution.observations import MAX_ENDPOINTS
from harness.diagnose.pool import BLOCKS, IN_FLIGHT, PoolView
from harness.diagnose.stats import standard_errors
from harness.model.process import ProcessKey

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MIN_PAIRS = 50
_NEARLY_ALL = 0.8  # of what an endpoint keeps
_FEW = 0.5  # of its requests; if fewer than that keep nearly all, it keeps something only sometimes
_REPEATED = 3  # times, or it was an import or a cache
_OUTSTANDING = 8.0  # times the usual change: what a request that keeps something stands out by


@dataclass(frozen=True, slots=True)
class Kept:
    """Live allocations that a request to one endpoint adds for good: mean and 95 % half-width.

    ``keeping_share``: see `EndpointGrowth`.
    """

    mean: float
    half_width: float
    keeping_share: float | None

    @property
    def certain(self) -> bool:
        """Whether it keeps at least one allocation in two requests, or certainly some in few of them."""
        least = self.mean - 2 * self.half_width  # one of many endpoints exceeds 95 % by chance
        return least > (0.0 if self.keeping_share is not None else 0.5)


def kept_by_endpoint(pool: PoolView) -> Mapping[str, Kept]:
    """By endpoint; empty without such records.

    Uses pairs of consecutive records of one process whose later request ran alone, so that nothing else came between. What an
    endpoint still holds while its record is written (its response) would look like growth after another endpoint's request,
    so the level of each endpoint is fitted along: change = kept[this] + level[this] - level[previous].
    """
    by_worker: dict[ProcessKey, list[tuple[int, int, str, bool]]] = defaultdict(list)
    for joined in pool.measured_spans:
        record, worker = joined.record, joined.worker
        if worker is None or record is None or record.sequence is None:
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


def _kept_and_level(pairs: Mapping[tuple[str, str], Sequence[int]]) -> Mapping[str, Kept]:
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
        values = np.array(changes, dtype=np.float64)
        gram += len(changes) * np.outer(row, row)
        moment += values.sum() * row
        power += float((values * values).sum())
    solution = np.linalg.lstsq(gram, moment, rcond=None)[0]
    noise = max(0.0, power - float(solution @ moment)) / (count - width)
    errors = standard_errors(gram, noise)
    level = np.append(solution[len(names) :], 0.0)
    sometimes = {
        name: _keeping_share(
            np.concatenate(
                [
                    np.array(changes) - (level[column[endpoint]] - level[column[previous]])
                    for (previous, endpoint), changes in pairs.items()
                    if endpoint == name
                ]
                or [np.zeros(0)]
            )
        )
        for name in names
    }
    return {
        name: Kept(float(solution[i]), float(1.96 * errors[i]), sometimes[name])
        for i, name in enumerate(names)
        if np.isfinite(errors[i])
    }


def _keeping_share(changes: NDArray[np.float64]) -> float | None:
    """Part of the requests whose change, without the levels, stands out and makes up nearly all of the sum; None where that
    is not few of them."""
    if changes.size < _MIN_PAIRS:
        return None
    usual = float(np.median(changes))
    scale = max(1.0, 1.4826 * float(np.median(np.abs(changes - usual))))
    outstanding = changes[changes - usual > _OUTSTANDING * scale] - usual
    total = float(changes.sum())
    few = _REPEATED <= outstanding.size < _FEW * changes.size
    return outstanding.size / changes.size if few and outstanding.sum() >= _NEARLY_ALL * total > 0 else None
