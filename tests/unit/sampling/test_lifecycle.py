"""Which forks concern the followed processes."""

from __future__ import annotations

from harness.sampling.lifecycle import children_of
from harness.sampling.sources.proc_events import Fork


def test_children_and_their_children_in_the_pool_of_their_parent() -> None:
    parents = {10: "web", 20: "db"}
    forks = [Fork(1, 10, 11), Fork(2, 11, 12), Fork(3, 99, 98), Fork(4, 20, 21)]
    assert children_of(forks, parents) == {11: forks[0], 12: forks[1], 21: forks[3]}
    assert parents == {10: "web", 20: "db", 11: "web", 12: "web", 21: "db"}


def test_a_pid_used_twice_stands_for_its_later_owner() -> None:
    forks = [Fork(1, 10, 11), Fork(9, 10, 11)]
    assert children_of(forks, {10: "web"}) == {11: forks[1]}


def test_a_child_told_of_before_its_parent_was_known_is_nobodys() -> None:
    assert children_of([Fork(1, 11, 12), Fork(2, 10, 11)], {10: "web"}).keys() == {11}
