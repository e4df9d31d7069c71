"""Partitions are paths made of names from targets: nothing of them leaves the dataset, and each is read back as it was."""

from __future__ import annotations

from datetime import date
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.fleet.partitions import (
    UNKNOWN,
    Choice,
    Partition,
    complete,
    decoded,
    encoded,
    key_of,
    path_of,
    stored_at,
)

DAY = date(2026, 11, 26)
NAMES = st.text(min_size=1, max_size=16)  # encoded at most 192 letters: not cut


@given(NAMES)
def test_a_name_is_one_plain_part_of_a_path(name: str) -> None:
    part = encoded(name)
    assert part.isascii()
    assert not set(part) & set("/\\*?[]{}'\"\0\n=; ")
    assert not part.startswith(".")
    assert len(part) < 240


@given(NAMES.filter(lambda name: name.encode("utf-8", "replace").decode() == name))
def test_a_name_is_read_back(name: str) -> None:
    assert decoded(encoded(name)) == name


@given(st.text(min_size=200, max_size=400), st.text(min_size=1, max_size=5))
def test_long_names_stay_apart(name: str, more: str) -> None:
    assert encoded(name) != encoded(name + more)


@pytest.mark.parametrize("name", ["..", ".", "../../etc/passwd", "a/b", "host=x", UNKNOWN, "\0", "~", "%2e%2e"])
def test_attacks_stay_inside(name: str) -> None:
    path = PurePosixPath("/data") / path_of("runs", Partition(name, name, name, DAY), key_of(name, name, 1))
    assert ".." not in path.parts
    assert len(path.parts) == 2 + 1 + 4 + 1
    found = stored_at(str(path.relative_to("/data")))
    assert found is not None
    assert found.partition.host is not None
    assert found.partition.day == DAY


def test_unknown_is_not_a_name() -> None:
    assert encoded(None) == encoded("") == UNKNOWN
    assert decoded(UNKNOWN) is None
    assert decoded(encoded(UNKNOWN)) is not None


@pytest.mark.parametrize(
    "path",
    [
        "runs/x.parquet",
        "runs/host=a/scenario=b/version=c/day=2026-11-26/x.parquet",
        "runs/host=a/scenario=b/version=c/day=yesterday/x-0123456789abcdef.parquet",
        "runs/scenario=b/host=a/version=c/day=2026-11-26/x-0123456789abcdef.parquet",
        "runs/host=a/scenario=b/version=c/day=2026-11-26/x-0123456789abcdef.csv",
    ],
)
def test_files_of_others_are_not_ours(path: str) -> None:
    assert stored_at(path) is None


def test_runs_of_one_name_on_two_hosts_have_two_keys() -> None:
    assert key_of("r", "a", 1) != key_of("r", "b", 1)
    assert key_of("r", "a", 1) != key_of("r", "a", 2)
    assert key_of("r", "a", 1) == key_of("r", "a", 1)


def test_a_run_without_its_row_is_not_there() -> None:
    there, moved = Partition("h", "s", "1", DAY), Partition("h", "s", "2", DAY)
    key, other = key_of("r", "h", 1), key_of("r", "h", 2)
    paths = [path_of("runs", there, key), path_of("costs", there, key), path_of("costs", moved, key),
             path_of("costs", there, other)]  # fmt: skip
    files = [found for path in paths if (found := stored_at(path)) is not None]
    assert [file.path for file in complete(files)] == paths[:2]


def test_a_choice_takes_days_at_both_ends() -> None:
    partition = Partition("h", "s", None, DAY)
    assert Choice(since=DAY, until=DAY).takes(partition)
    assert not Choice(since=date(2026, 11, 27)).takes(partition)
    assert not Choice(until=date(2026, 11, 25)).takes(partition)
    assert not Choice(version="1").takes(partition)
    assert Choice(host="h", scenario="s").takes(partition)
