"""Units as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.units import (
    compact_bytes,
    compact_duration,
    format_bytes,
    format_duration,
    parse_bytes,
    parse_duration_ns,
    parse_rate,
    parse_share,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [("256 MiB", 2**28), ("256m", 2**28), ("1.5kB", 1500), ("0", 0), ("12 b", 12), ("2 GiB", 2**31), ("1 GB", 10**9)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    ("text", "ns"), [("500ms", 5 * 10**8), ("1.5 s", 1_500_000_000), ("10m", 6 * 10**11), ("2h", 72 * 10**11)]
)
def test_durations(text: str, ns: int) -> None:
    assert parse_duration_ns(text) == ns


@pytest.mark.parametrize(("text", "rate"), [("20/s", 20.0), ("90/m", 1.5), ("3600/h", 1.0)])
def test_rates(text: str, rate: float) -> None:
    assert parse_rate(text) == rate


def test_shares() -> None:
    assert parse_share("10%") == 0.1
    assert parse_share(" 0.5 % ") == 0.005


@pytest.mark.parametrize("parse", [parse_bytes, parse_duration_ns, parse_rate, parse_share])
@pytest.mark.parametrize("text", ["", "abc", "-1", "1 parsec", "١ MiB", "1e3", "nan", "5//s", "101%"])
def test_what_is_not_a_quantity_is_refused_by_name(parse: object, text: str) -> None:
    assert callable(parse)
    with pytest.raises(ValueError, match=r"is not a"):
        parse(text)


def test_a_bare_number_is_no_duration() -> None:
    with pytest.raises(ValueError, match="500ms"):
        parse_duration_ns("5")


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "unknown"), (0, "0 B"), (1536, "1.5 KiB"), (-(2**21), "-2.0 MiB"), (2**50, "1048576.0 GiB")],
)
def test_sizes_for_people(value: int | None, text: str) -> None:
    assert format_bytes(value) == text


def test_signs_and_durations_for_people() -> None:
    assert format_bytes(1024, sign=True) == "+1.0 KiB"
    assert format_duration(None) == "unknown"
    assert format_duration(1_500_000_000) == "1.5 s"
    assert format_duration(12) == "12 ns"


@given(st.integers(0, 2**62))
def test_every_size_can_be_written_and_read(size: int) -> None:
    assert parse_bytes(f"{size} B") == pytest.approx(size, rel=1e-15)
    assert format_bytes(size)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "?"), (0, "0"), (999, "999"), (1000, "1.0K"), (1536, "1.5K"), (-(2**21), "-2.0M"), (2**63, "8192.0P")],
)
def test_sizes_for_columns(value: int | None, text: str) -> None:
    assert compact_bytes(value) == text


@given(st.integers(-(2**59), 2**59))
def test_sizes_for_columns_are_narrow(size: int) -> None:
    text = compact_bytes(size, sign=True)
    assert len(text) <= 7
    assert text.startswith("+" if size > 0 else "-" if size < 0 else "0")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (119.9, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h"), (86400 * 400, "400d")]
)
def test_durations_for_columns(seconds: float, text: str) -> None:
    assert compact_duration(seconds * 1e9) == text
