"""Who may walk how often."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.sampling.budget import Account, Budget, fair_share

costs = st.lists(st.integers(0, 10**9), max_size=50)


def test_everything_fits() -> None:
    assert fair_share([1, 2, 3], 6) == math.inf
    assert fair_share([], 0) == math.inf


def test_the_dear_one_pays_alone() -> None:
    assert fair_share([100, 100, 10_000], 1000) == 800


@given(costs, st.floats(1, 1e9))
def test_parts_use_up_the_total_and_no_more(costs_ns: list[int], total_ns: float) -> None:
    part = fair_share(costs_ns, total_ns)
    used = sum(min(cost, part) for cost in costs_ns)
    assert used <= total_ns * (1 + 1e-9)
    if part != math.inf:
        assert used == pytest.approx(total_ns)


@given(st.lists(st.integers(1_000, 50_000_000), min_size=1, max_size=20), st.integers(100_000, 20_000_000))
def test_over_many_sweeps_the_allowance_is_kept(costs_ns: list[int], allowance_ns: int) -> None:
    accounts = [Account(pid, cost) for pid, cost in enumerate(costs_ns, 4000)]
    sweeps = 200
    spent = 0
    for _ in range(sweeps):
        part = fair_share([a.cost_ns for a in accounts], allowance_ns)
        spent += sum(a.cost_ns for a in accounts if a.may_walk(part))
    assert spent <= sweeps * allowance_ns + sum(costs_ns)


def test_cheap_processes_are_walked_every_time_and_dear_ones_in_turn() -> None:
    cheap, dear = Account(1, 1_000_000), Account(2, 50_000_000)
    walks = {cheap: 0, dear: 0}
    for _ in range(100):
        part = fair_share([cheap.cost_ns, dear.cost_ns], 10_000_000)
        for account in walks:
            walks[account] += account.may_walk(part)
    assert walks[cheap] == 100
    assert 16 <= walks[dear] <= 18  # 9 ms saved a sweep


def test_equal_siblings_do_not_fall_due_together() -> None:
    accounts = [Account(pid, 10_000_000) for pid in range(5000, 5017)]
    per_sweep = []
    for _ in range(100):
        part = fair_share([a.cost_ns for a in accounts], 34_000_000)
        per_sweep.append(sum(a.may_walk(part) for a in accounts))
    assert max(per_sweep[20:]) <= 6  # 3.4 on average


def test_the_price_follows_what_walks_cost() -> None:
    account = Account(1, 1_000_000)
    for _ in range(10):
        account.paid(5_000_000)
    assert account.cost_ns == pytest.approx(5_000_000, rel=0.01)


def test_walks_get_what_the_rest_leaves_but_never_nothing() -> None:
    budget = Budget(0.01 * 1_000_000_000)
    assert budget.walks_ns == 10_000_000
    for _ in range(50):
        budget.spent_otherwise(4_000_000)
    assert budget.walks_ns == pytest.approx(6_000_000, rel=0.01)
    for _ in range(50):
        budget.spent_otherwise(40_000_000)
    assert budget.walks_ns == 2_500_000
