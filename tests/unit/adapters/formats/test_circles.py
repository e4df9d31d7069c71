"""Circles of calls, against their definition."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from adapters.formats.circles import circles


def reach(calls: set[tuple[int, int]], start: int) -> set[int]:
    found: set[int] = set()
    todo = [start]
    while todo:
        at = todo.pop()
        new = {callee for caller, callee in calls if caller == at} - found
        found |= new
        todo += new
    return found


@given(st.sets(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=25))
def test_functions_are_in_one_circle_when_each_leads_to_the_other(calls: set[tuple[int, int]]) -> None:
    found = circles(sorted(calls))
    leads = {number: reach(calls, number) for number in range(9)}
    for one in range(9):
        for other in range(9):
            if one != other:
                together = other in leads[one] and one in leads[other]
                assert (one in found and found[one] == found.get(other)) is together
    assert all(any(n != m and found[m] == found[n] for m in found) for n in found)


def test_a_deep_graph_needs_no_stack_of_ours() -> None:
    assert len(circles([(n, n + 1) for n in range(50_000)] + [(50_000, 0)])) == 50_001
