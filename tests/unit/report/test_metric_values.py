"""Units of stored metrics, and exact decimals."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report.metric_values import Scale, decimal, scale_of


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("process.memory.rss", Scale(1, "bytes", rises=False)),
        ("process.cpu", Scale(1, "ns", rises=True)),
        ("system.psi.memory.some_avg10", Scale(100, "%", rises=False)),
        ("system.loadavg.1m", Scale(100, "1", rises=False)),
        ("system.zoneinfo.0.Normal.free", Scale(1, "pages", rises=False)),
        ("of.a.newer.version", Scale(1, "?", rises=False)),
    ],
)
def test_units(metric: str, expected: Scale) -> None:
    assert scale_of(metric) == expected


@given(st.integers(-(2**63), 2**63), st.sampled_from([1, 100, 1000, 10_000, 1_000_000_000]))
def test_decimals_are_exact_and_short(value: int, divisor: int) -> None:
    text = decimal(value, divisor)
    assert Decimal(text) * divisor == value
    assert "." not in text or text[-1] in "123456789"
