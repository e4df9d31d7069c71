"""Whether what seems to stay after requests to an endpoint stays for good, and whether more than one event says so.

Rounds answer both: each of their blocks has requests to every endpoint, and floors are taken when these have been answered. Where
requests come as they please, an endpoint may be asked for once a run, at the moment at which memory makes a jump; its first
request in a process may import something; and what a request leaves for a while (a session, work in the background, the next
request of the same user that is still being answered) is in the level of one floor and gone at a later one. Each of these makes
the growth of a stretch go with the requests in it, and none is growth that goes on.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from harness.diagnose.attribution.regression import Sample, fit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MIN_STRETCHES = 6  # of one worker: with fewer, what it has of its own cannot be told
_STAYS = 0.5  # of the estimate
_ABOVE = 2.0  # standard errors
_BELOW = 1.5  # the same, of what may go again
_MORE_THAN_ALL = 1.5  # times the growth of all rows
_EARLIER = ((1, 1), (2, 3), (4, 7), (8, 15))  # stretches before: what they left may go in this one
_OF_A_LIFE = 0.5  # how far back: from there on whether something stays cannot be told


class Doubt(StrEnum):
    """Why what requests to an endpoint seem to keep proves nothing: a single event says so, it goes again, the workers that
    answered them keep as much of other requests, or all workers grew by as much at that time, whoever answered them."""

    ONCE = "once"
    PASSING = "passing"
    WORKER = "worker"
    MOMENT = "moment"


def doubt(sample: Sample, requests: Floats, column: int, phi: float, rest: int | None) -> Doubt | None:
    """About the endpoint whose requests are a column of the design; None where there is none. ``requests`` (rows,): to all
    endpoints; ``phi``: see `regression.fit`; ``rest``: the column of requests to all endpoints that have none of their own."""
    whole = float(fit(sample, phi).value[column])
    first, strongest = _first_in_each_life(sample, column), _strongest(sample, column)
    if not all(_stays(sample.where(~rows), column, phi, whole) for rows in (first, strongest)):
        return Doubt.ONCE
    if _goes(_with_earlier(sample, column), sample.design.shape[1], column, phi, whole):
        return Doubt.PASSING
    if _is_the_workers(sample, requests, column, phi, rest):
        return Doubt.WORKER
    return Doubt.MOMENT if _is_everywhere(sample, column, phi, whole) else None


def more_than_all(kept: float, growth: Floats, grain: float) -> bool:
    """Whether an endpoint would have kept certainly more, ``kept`` bytes at least, than all of the growth: what its requests left
    has gone again, then. ``grain``: bytes that steps of memory may hide."""
    return kept > _MORE_THAN_ALL * max(0.0, float(growth.sum())) + grain


def _stays(sample: Sample, column: int, phi: float, whole: float) -> bool:
    again = fit(sample, phi)
    value, error = float(again.value[column]), float(again.error[column])
    return value >= _STAYS * whole and value > _ABOVE * error


def _goes(sample: Sample, own: int, column: int, phi: float, whole: float) -> bool:
    """Whether what came with earlier requests certainly goes, so that less than half of it is left. ``own``: columns of the
    design before those of earlier requests."""
    again = fit(sample, phi)
    going = again.value[own:] < -_BELOW * again.error[own:]
    return bool(going.any()) and float(again.value[column]) < _STAYS * whole


def _is_the_workers(sample: Sample, requests: Floats, column: int, phi: float, rest: int | None) -> bool:
    """Whether requests to the endpoint most likely keep less than half as much beyond what the worker keeps of any request. Where
    a worker answers nothing else the two cannot be told apart, and then nothing says so."""
    whole = float(fit(sample, phi).value[column])
    lives, rows = np.unique(sample.life, return_counts=True)
    mine = [requests * (sample.life == life) for life in lives[rows >= MIN_STRETCHES]]
    if len(mine) < 2:
        return False
    others = sample.design if rest is None else np.delete(sample.design, rest, axis=1)
    again = fit(sample.columns(np.column_stack([others, *mine])), phi)
    return float(again.value[column]) + float(again.error[column]) < _STAYS * whole


def _is_everywhere(sample: Sample, column: int, phi: float, whole: float) -> bool:
    """Whether it is most likely less than half as much by what differs between the workers at a time. What all of them grow by
    together, now and then, goes by chance with what they were asked for then: such times are few, however many workers there
    are."""
    moments, place = np.unique(sample.moment, return_inverse=True)
    if np.unique(sample.life).size < 2 or moments.size >= sample.growth.size:
        return False
    each = np.eye(moments.size)[place]
    again = fit(sample.columns(np.column_stack([sample.design, each])), phi)
    return float(again.value[column]) + float(again.error[column]) < _STAYS * whole


def _first_in_each_life(sample: Sample, column: int) -> NDArray[np.bool_]:
    """The rows in which a process was asked for the endpoint for the first time; where that is the first row of all, it has most
    likely been asked before."""
    asked = np.flatnonzero(sample.design[:, column] > 0)
    _, first = np.unique(sample.life[asked], return_index=True)
    rows = np.zeros(sample.growth.size, dtype=bool)
    rows[asked[first]] = True
    rows[np.flatnonzero(np.diff(sample.life, prepend=sample.life[:1] - 1))] = False
    return rows


def _strongest(sample: Sample, column: int) -> NDArray[np.bool_]:
    """The rows of the moment that says most for the endpoint."""
    others = np.delete(sample.design, column, axis=1)
    own = sample.design[:, column]
    own = own - others @ np.linalg.lstsq(others, own, rcond=None)[0]
    _, group = np.unique(sample.moment, return_inverse=True)
    says = np.zeros(int(group.max()) + 1)
    np.add.at(says, group, own * sample.growth)
    rows: NDArray[np.bool_] = group == int(np.argmax(says))
    return rows


def _with_earlier(sample: Sample, column: int) -> Sample:
    """What requests leave for a while beside it, so that the column is what stays after that: growth = a x (requests now) + b x
    (requests before) is (a + b) x (requests now) + b x (requests before - requests now)."""
    own = sample.design[:, column]
    starts = np.flatnonzero(np.diff(sample.life, prepend=sample.life[:1] - 1))
    beside = []
    longest = int(np.diff([*starts, own.size]).max())
    for nearest, farthest in _EARLIER:
        if farthest > _OF_A_LIFE * longest:
            break
        before = np.zeros_like(own)
        for start, stop in zip(starts, [*starts[1:], own.size], strict=True):
            here = own[start:stop]
            known = np.concatenate([np.full(farthest, here.mean()), here])  # as many as usual before the first
            lags = [known[farthest - lag : farthest - lag + here.size] for lag in range(nearest, farthest + 1)]
            before[start:stop] = np.mean(lags, axis=0)
        beside.append(before - own)
    return sample.columns(np.column_stack([sample.design, *beside]))
