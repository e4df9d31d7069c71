from __future__ import annotations

from collections import Counter
from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.load.schedule import apportion, arrival_offsets_ns, endless_mix, planned_arrivals, round_blocks

WEIGHTS = st.lists(st.floats(0.01, 100), min_size=1, max_size=12)


@given(WEIGHTS, st.integers(0, 5000))
def test_apportion_is_exact_and_within_one_of_the_ideal(weights: list[float], total: int) -> None:
    counts = apportion(weights, total)
    assert sum(counts) == total
    for weight, count in zip(weights, counts, strict=True):
        assert abs(count - total * weight / sum(weights)) < 1 + 1e-6


def test_apportion_by_largest_remainder() -> None:
    assert apportion([5, 3, 1], 10) == (6, 3, 1)  # 5.6, 3.3, 1.1
    assert apportion([1, 1, 1], 10) == (4, 3, 3)
    assert apportion([0.1] * 10, 10) == (1,) * 10


@settings(max_examples=60, deadline=None)
@given(WEIGHTS, st.integers(0, 800), st.integers(1, 9), st.integers(), st.integers(0, 50))
def test_rounds_are_the_same_multiset_in_blocks_of_the_same_sizes(
    weights: list[float], requests: int, blocks: int, seed: int, number: int
) -> None:
    schedule = round_blocks(weights, requests, blocks, seed, number)
    assert len(schedule) == blocks
    sizes = [len(block) for block in schedule]
    assert sorted(sizes) == sorted(len(b) for b in round_blocks(weights, requests, blocks, seed + 1, number + 1))
    if requests >= 10 * blocks and blocks > 1:
        mean = requests / blocks
        assert abs(min(sizes) - mean / 2) <= 1
        assert abs(max(sizes) - mean * 1.5) <= 1
    else:
        assert max(sizes) - min(sizes) <= 1
    counted = Counter(index for block in schedule for index in block)
    assert tuple(counted[i] for i in range(len(weights))) == apportion(weights, requests)
    assert schedule == round_blocks(weights, requests, blocks, seed, number)


def compositions(weights: list[float], requests: int, blocks: int, rounds: int, seed: int) -> np.ndarray:
    rows = [
        [block.count(i) for i in range(len(weights))]
        for number in range(rounds)
        for block in round_blocks(weights, requests, blocks, seed, number)
    ]
    return np.array(rows)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(1, 5), min_size=2, max_size=12), st.integers(3, 6), st.integers())
def test_endpoints_are_separable(weights: list[float], blocks: int, seed: int) -> None:
    """The blocks of a round add up to the same vector each time, so R rounds of B blocks have at most R (B - 1) + 1
    independent rows; with that many no fewer than endpoints, all endpoints must come out."""
    rounds = -(-(len(weights) - 1) // (blocks - 1)) + 1
    table = compositions(weights, 400, blocks, rounds, seed)
    assert np.linalg.matrix_rank(table) == len(weights)


def test_contrast_is_strong_enough_to_solve_for_endpoints() -> None:
    table = compositions([5, 1, 1, 2, 1, 3], 2000, 5, 7, seed=1)
    share = table / table.sum(axis=0)
    assert (share.max(axis=0) / np.maximum(share.min(axis=0), 1e-9) > 5).all()
    assert np.linalg.cond(table / np.linalg.norm(table, axis=0)) < 10  # identical mixes: above 1e15


def test_rounds_and_seeds_differ() -> None:
    first = round_blocks([1, 2, 3], 60, 3, 0, 0)
    assert first != round_blocks([1, 2, 3], 60, 3, 0, 1)
    assert first != round_blocks([1, 2, 3], 60, 3, 1, 0)


def test_order_inside_a_block_is_mixed() -> None:
    (block,) = round_blocks([1, 1], 100, 1, 0, 0)
    assert sum(a != b for a, b in pairwise(block)) > 25


def test_endless_mix_keeps_exact_shares_and_differs_by_stage() -> None:
    taken = list(islice(endless_mix([3, 1], 5, 0), 3000))
    assert [Counter(taken[i : i + 1000]) for i in (0, 1000, 2000)] == [Counter({0: 750, 1: 250})] * 3
    assert taken[:1000] != taken[1000:2000]
    assert taken == list(islice(endless_mix([3, 1], 5, 0), 3000))
    assert taken != list(islice(endless_mix([3, 1], 5, 1), 3000))


def test_constant_rate() -> None:
    assert list(arrival_offsets_ns(4, 4, 2)) == [i * 250_000_000 for i in range(8)]


def test_nothing_arrives_at_rate_zero() -> None:
    assert list(arrival_offsets_ns(0, 0, 5)) == []


@given(st.floats(0, 200), st.floats(0, 200), st.floats(0.1, 30))
def test_arrivals_follow_the_integral_of_the_rate(rate_from: float, rate_to: float, seconds: float) -> None:
    offsets = list(arrival_offsets_ns(rate_from, rate_to, seconds))
    assert len(offsets) == planned_arrivals(rate_from, rate_to, seconds)
    assert all(a <= b for a, b in pairwise(offsets))
    assert not offsets or 0 <= offsets[0] <= offsets[-1] <= seconds * 1e9 * (1 + 1e-6) + 1
    slope = (rate_to - rate_from) / seconds
    for k, offset in enumerate(offsets):
        t = offset / 1e9
        assert rate_from * t + slope * t * t / 2 == pytest.approx(k, abs=1e-3)


def test_ramps_mirror() -> None:
    up = list(arrival_offsets_ns(0, 10, 10))
    assert [round(t / 1e6) for t in up[:3]] == [0, 1414, 2000]
    assert len(up) == len(list(arrival_offsets_ns(10, 0, 10))) == 50
