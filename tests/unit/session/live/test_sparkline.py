"""One line of characters for a series."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.session.live.history import Bin
from harness.session.live.sparkline import ASCII_BLOCKS, BLOCKS, bounds, sparkline


def bins(*values: float | None) -> list[Bin | None]:
    return [None if v is None else Bin(v, v, v) for v in values]


@pytest.mark.parametrize(
    ("values", "columns", "expected"),
    [
        ((), 10, ""),
        ((5,), 10, "▁"),
        ((0, 0, 0), 10, "▁▁▁"),
        ((0, 1, 2, 3, 4, 5, 6, 7), 8, "▁▂▃▄▅▆▇█"),
        ((0, 1, 2, 3, 4, 5, 6, 7), 4, "▁▃▆█"),
        ((0, 100, 0, 0), 2, "█▁"),  # a spike shares its column and wins
        ((1, None, 2), 10, "▁ █"),
        ((None, None), 10, "  "),
        ((1000, 1001, 1000), 10, "▁▁▁"),  # a thousandth is no cliff
        ((-5, 0, 5), 10, "▁▅█"),
        ((1, 2), 0, ""),
    ],
)
def test_golden(values: tuple[float | None, ...], columns: int, expected: str) -> None:
    assert sparkline(bins(*values), columns) == expected


def test_where_small_values_matter_the_dip_wins() -> None:
    assert sparkline(bins(100, 1, 100, 100), 2, lowest=True) == "▁█"


def test_ascii() -> None:
    assert sparkline(bins(*range(8)), 8, blocks=ASCII_BLOCKS) == "_.:-=+*#"


levels = st.lists(st.none() | st.floats(-1e18, 1e18), max_size=400)


@given(values=levels, columns=st.integers(0, 120))
def test_never_wider_than_asked_and_only_blocks(values: list[float | None], columns: int) -> None:
    line = sparkline(bins(*values), columns)
    assert len(line) == min(columns, len(values))
    assert set(line) <= set(BLOCKS) | {" "}


@given(values=levels.filter(lambda v: any(x is not None for x in v)), columns=st.integers(1, 120))
def test_the_highest_value_is_drawn_highest(values: list[float | None], columns: int) -> None:
    line = sparkline(bins(*values), columns)
    top = max(v for v in values if v is not None)
    at = values.index(top)
    count = min(columns, len(values))
    column = next(i for i in range(count) if i * len(values) // count <= at < (i + 1) * len(values) // count)
    assert line[column] == max(line.replace(" ", ""), key=BLOCKS.index)
    assert bounds(bins(*values)) == (min(v for v in values if v is not None), top)
