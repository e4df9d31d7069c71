"""What goes with requests that come as they please, and is not kept by them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from harness.diagnose.attribution.lasting import Doubt
from harness.diagnose.attribution.split import Rows, Split, bends, split_growth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Growth = Callable[[NDArray[np.float64]], NDArray[np.float64]]

WORKERS, MOMENTS, ENDPOINTS, SECONDS = 4, 44, 6, 3.75
KEPT, RARE = 3, 5


def traffic(
    seed: int, *, sticky: bool = False, routed: bool = False, rare: bool = False, rising: bool = False
) -> Floats:
    """(workers, moments, endpoints) requests. ``sticky``: each user stays with a worker, and prefers some endpoints; ``routed``:
    an endpoint is answered by one worker; ``rare``: few go to the last endpoint; ``rising``: ever more come."""
    rng = np.random.default_rng(seed)
    mean = np.full((WORKERS, 1, ENDPOINTS), 40.0 / ENDPOINTS)
    if sticky:
        users = rng.dirichlet(np.full(ENDPOINTS, 0.5), size=20)
        mean = np.array([[users[rng.integers(20, size=2)].sum(axis=0) * 20.0] for _ in range(WORKERS)])
    if routed:
        mean = 4 * mean * (np.arange(ENDPOINTS) % WORKERS == np.arange(WORKERS)[:, None])[:, None]
    if rising:
        mean = mean * np.linspace(0.2, 1.8, MOMENTS)[None, :, None]
    if rare:
        mean[:, :, RARE] = 0.04
    return rng.poisson(np.broadcast_to(mean, (WORKERS, MOMENTS, ENDPOINTS))).astype(np.float64)


def split(counts: Floats, growth: Floats, seed: int) -> Split:
    """Of (workers, moments) ``growth``, with 3 kB of noise in each level."""
    level = np.random.default_rng(seed + 1000).normal(0, 3000, size=(growth.shape[0], growth.shape[1] + 1))
    rows = counts.reshape(-1, ENDPOINTS)
    life, moment = (at.ravel() for at in np.indices(growth.shape))
    seconds = np.full(moment.size, SECONDS)
    totals = counts.sum(axis=2)
    trend = bends(rows, seconds, moment, (totals.cumsum(axis=1) - totals).ravel())
    seen = (growth + np.diff(level, axis=1)).ravel()
    return split_growth(Rows(rows, seconds, seen, life, moment, None, trend), 16384.0 * len(growth))


def proven(found: Split) -> list[int]:
    return [i for i, e in enumerate(found.endpoints) if e.proven]


def test_growth_with_time_of_one_worker_is_not_that_of_the_users_who_stick_to_it() -> None:
    only_there = np.zeros((WORKERS, MOMENTS))
    only_there[0] = 30_000 * SECONDS
    for seed in range(8):
        for counts in (traffic(seed, sticky=True), traffic(seed, routed=True)):
            assert not proven(split(counts, only_there, seed))


def test_what_an_endpoint_keeps_is_told_although_users_stick_to_workers() -> None:
    for seed in range(4):
        counts = traffic(seed, sticky=True)
        found = split(counts, counts[:, :, KEPT] * 2048, seed)
        assert proven(found) == [KEPT]
        assert found.endpoints[KEPT].low <= 2048 <= found.endpoints[KEPT].high


def test_a_worker_that_keeps_more_of_every_request_makes_no_endpoint_guilty() -> None:
    """But where nearly all requests to an endpoint went there, both say the same."""
    guilty = []
    for seed in range(8):
        counts = traffic(seed, sticky=True, rising=True)
        growth = np.zeros((WORKERS, MOMENTS))
        growth[0] = counts[0].sum(axis=1) * 1000
        for column in proven(split(counts, growth, seed)):
            own = counts[:, :, column].sum(axis=1)
            guilty.append(own[0] / own.sum())
    assert min(guilty, default=1.0) > 0.9


def test_what_all_workers_grow_by_at_a_time_is_not_what_they_were_asked_for_most_then() -> None:
    """With about as many floors as endpoints, chance makes some of both go together, and many workers say the same."""
    workers, moments = 8, 11
    for seed in range(12):
        rng = np.random.default_rng(seed)
        bursts = np.exp(rng.normal(0, 0.5, size=(1, moments, ENDPOINTS)))
        counts = rng.poisson(np.broadcast_to(bursts * 7, (workers, moments, ENDPOINTS))).astype(np.float64)
        together = np.broadcast_to(rng.normal(30_000, 100_000, size=moments), (workers, moments))
        assert not proven(split(counts, together, seed))


def test_a_jump_when_a_batch_ran_once_is_no_growth_with_its_requests() -> None:
    counts = traffic(1)
    counts[:, :, RARE] = 0
    counts[0, 30, RARE] = 300
    growth = np.zeros((WORKERS, MOMENTS))
    growth[0, 30] = 20e6
    found = split(counts, growth, 1)
    assert not proven(found)
    assert found.endpoints[RARE].doubt is Doubt.ONCE


def test_what_the_first_request_in_each_process_imports_is_not_kept_by_every_request() -> None:
    doubts = []
    for seed in range(6):
        counts = traffic(seed, rare=True)
        growth = np.zeros((WORKERS, MOMENTS))
        for worker in range(WORKERS):
            growth[worker, np.flatnonzero(counts[worker, :, RARE])[:1]] = 15e6
        found = split(counts, growth, seed)
        assert not proven(found)
        doubts.append(found.endpoints[RARE].doubt)
    assert Doubt.ONCE in doubts


def test_rare_requests_that_all_keep_something_are_named() -> None:
    counts = traffic(2, rare=True)
    assert proven(split(counts, counts[:, :, RARE] * 1e6, 2)) == [RARE]


def test_what_requests_leave_for_a_while_only_is_not_kept() -> None:
    """Sessions that live for some stretches make a worker larger after many logins, and smaller when these end."""
    for stretches in (1, 3, 8):
        for seed in range(3):
            counts = traffic(seed)
            logins = counts[:, :, KEPT]
            earlier = np.concatenate([np.full((WORKERS, stretches), logins.mean()), logins], axis=1)[:, :MOMENTS]
            found = split(counts, (logins - earlier) * 10_000 + counts.sum(axis=2) * 50, seed)
            assert not proven(found)
            assert found.endpoints[KEPT].doubt is Doubt.PASSING
