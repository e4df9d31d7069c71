"""A word for those who watch, no verdict."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from harness.session.live.early import EarlyFindings

MIB = 1 << 20
STEADY = [MIB * (100 + 2 * i) + noise for i, noise in enumerate((0, 9000, -5000, 4000, -8000, 2000, 6000, -3000, 1000))]
LEVEL = [MIB * 100 + noise for noise in (0, 9000, -5000, 4000, -8000, 2000, 6000, -3000, 1000)]


def fed(levels: Sequence[int], pool: str = "app") -> tuple[EarlyFindings, list[str]]:
    early = EarlyFindings()
    return early, [sentence for level in levels for sentence in early.round_ended({pool: level})]


def test_three_floors_say_nothing() -> None:
    early, said = fed(STEADY[:3])
    assert said == []
    assert early.words == {}


def test_growth_is_said_once_with_its_interval_and_what_a_verdict_needs() -> None:
    early, said = fed(STEADY[:6])
    assert len(said) == 1
    assert said[0].startswith("so far: app grows, +2.0 MiB a round, 95 % CI +")
    assert said[0].endswith("(4 rounds; a verdict needs 7)")
    assert early.words["app"].endswith("(6 rounds; a verdict needs 7)")
    assert fed(STEADY)[0].words["app"].endswith("(9 rounds)")


def test_a_level_pool_is_not_said_to_grow() -> None:
    early, said = fed(LEVEL)
    assert early.words["app"].startswith("stays level")
    assert not any("grows" in sentence for sentence in said)


def test_growth_that_dies_away_is_called_that() -> None:
    warming = [int(MIB * (100 + 60 * (1 - 0.7**i))) for i in range(9)]
    assert fed(warming)[0].words["app"].startswith("grows ever less")


def test_a_pool_that_was_gone_starts_anew() -> None:
    early, _ = fed(STEADY[:6])
    early.round_ended({"other": MIB})
    assert "app" not in early.words
    assert early.round_ended({"app": 5 * MIB}) == []


@pytest.mark.parametrize("levels", [[0] * 9, [MIB] * 9, [9 * MIB, MIB, 9 * MIB, MIB, 9 * MIB, MIB, 9 * MIB, MIB]])
def test_nothing_is_made_of_nothing(levels: list[int]) -> None:
    assert not fed(levels)[0].words["app"].startswith("grows")
