"""Limits that end a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import EXIT_GUARD, GuardRailError
from harness.session.guardrails import Limits, Readings, disk_free_bytes, enforce, rails, tripped

LIMITS = Limits(2_000_000_000, 100, 0.1, 1000, 0.2)
CALM = Readings(1_000_000_000, 500, 1000, 5000, 1.0)
UNKNOWN = Readings(None, None, None, None, None)


def test_a_calm_host_trips_nothing() -> None:
    assert tripped(LIMITS, CALM) is None
    enforce(LIMITS, CALM)


def test_what_is_unknown_trips_nothing_and_no_limit_is_no_limit() -> None:
    assert tripped(LIMITS, UNKNOWN) is None
    assert tripped(Limits(None, None, None, None, None), Readings(10**12, 0, 1, 0, 100.0)) is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"latency_p99_ns": 2_500_000_000}, "latency p99 is 2.5 s, the limit is 2.0 s"),
        ({"mem_available_bytes": 99}, "available memory is 99 B, the limit is 100 B"),
        ({"mem_available_bytes": 150, "mem_total_bytes": 2000}, "available memory is 150 B, the limit is 200 B"),
        ({"disk_free_bytes": 1}, "free disk space"),
        ({"psi_some_percent": 20.5}, "memory pressure (PSI some avg10) is 20.5 %, the limit is 20.0 %"),
    ],
)
def test_each_limit_is_named_with_both_numbers(change: dict[str, int], says: str) -> None:
    assert says in (tripped(LIMITS, replace(CALM, **change)) or "")


def test_a_tripped_rail_is_exit_code_four() -> None:
    with pytest.raises(GuardRailError) as caught:
        enforce(LIMITS, replace(CALM, disk_free_bytes=0))
    assert caught.value.exit_code == EXIT_GUARD


def test_free_disk_space_is_unknown_for_a_path_that_is_gone(tmp_path: Path) -> None:
    assert disk_free_bytes(tmp_path / "gone") is None
    assert (disk_free_bytes(tmp_path) or 0) > 0


def test_every_limit_that_is_set_is_shown_with_how_near_it_is() -> None:
    shown = rails(LIMITS, CALM)
    assert [(rail.name, rail.used) for rail in shown] == [
        ("latency p99", 0.5),
        ("available memory", 0.2),
        ("available memory", 0.2),
        ("free disk space", 0.2),
        ("memory pressure", 0.05),
    ]
    assert (shown[0].seen, shown[0].limit) == ("1.0 s", "at most 2.0 s")
    assert rails(Limits(None, None, None, None, None), CALM) == ()


def test_what_is_unknown_is_shown_as_that() -> None:
    assert {rail.used for rail in rails(LIMITS, UNKNOWN)} == {None}
    assert {rail.seen for rail in rails(LIMITS, UNKNOWN)} == {"unknown"}


def test_a_limit_is_reached_where_its_share_is_one() -> None:
    """What is drawn as crossed is what trips, and the other way round."""
    for change in (
        {"latency_p99_ns": 2_500_000_000},
        {"mem_available_bytes": 99},
        {"disk_free_bytes": 1},
        {"psi_some_percent": 20.5},
    ):
        seen = replace(CALM, **change)
        assert tripped(LIMITS, seen) is not None
        assert max(rail.used or 0.0 for rail in rails(LIMITS, seen)) > 1
    assert max(rail.used or 0.0 for rail in rails(LIMITS, CALM)) < 1
