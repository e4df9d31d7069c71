"""Touched pages shared out among those who took them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.diagnose.ledger.regions import Region, Share, share_out
from harness.diagnose.ledger.taken import Claim

A, B = Claim("a", 60, 100), Claim("b", 20, 40)
COUNTED = Claim("counted", 30, 50, counted=True)


@pytest.mark.parametrize(
    ("touched", "claims", "of", "rest"),
    [
        (140, [A, B], [("a", 60, 40), ("b", 20, 20)], 0),
        (200, [A, B], [("a", 60, 40), ("b", 20, 20)], 60),  # nobody took so much
        (110, [A, B], [("a", 60, 20), ("b", 20, 10)], 0),  # half of the free memory is not in memory
        (80, [A, B], [("a", 60, 0), ("b", 20, 0)], 0),
        (40, [A, B], [("a", 30, 0), ("b", 10, 0)], 0),  # nor half of the live
        (130, [A, COUNTED], [("a", 60, 20), ("counted", 30, 20)], 0),  # what is counted is there
        (80, [A, COUNTED], [("a", 30, 0), ("counted", 30, 20)], 0),
        (40, [A, COUNTED], [("a", 0, 0), ("counted", 30, 10)], 0),
        (15, [A, COUNTED], [("a", 0, 0), ("counted", 15, 0)], 0),
        (0, [A], [("a", 0, 0)], 0),
        (50, [], [], 50),
    ],
)
def test_free_memory_is_missing_first(
    touched: int, claims: list[Claim], of: list[tuple[str, int, int]], rest: int
) -> None:
    found = share_out(Region(touched, touched), claims)
    assert list(found.of) == [Share(*share) for share in of]
    assert found.rest == rest


def test_shared_pages_count_for_their_part() -> None:
    found = share_out(Region(200, 50), [A, B])
    assert list(found.of) == [Share("a", 15, 10), Share("b", 5, 5)]
    assert found.rest == 15


@given(
    st.lists(st.tuples(st.integers(0, 1 << 40), st.integers(0, 1 << 40), st.booleans()), max_size=4),
    st.integers(0, 1 << 41),
    st.integers(0, 1 << 41),
)
def test_nothing_is_made_and_at_most_some_bytes_are_lost(
    sizes: list[tuple[int, int, bool]], touched: int, pss: int
) -> None:
    claims = [Claim(str(n), live, live + held, counted) for n, (live, held, counted) in enumerate(sizes)]
    pss = min(pss, touched)
    found = share_out(Region(touched, pss), claims)
    total = found.rest + sum(share.live + share.held for share in found.of)
    assert all(share.live >= 0 and share.held >= 0 for share in found.of)
    assert found.rest >= 0
    assert pss - 4 * len(claims) - 1 <= total <= pss
