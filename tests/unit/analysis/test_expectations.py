from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from timelines import App, simulate, six

from harness.analysis.expectations import judge
from harness.analysis.pipeline import report_on
from harness.model.report import ExpectationResult, Report

_APPS = {
    "leak": App(endpoints=six(cart_add={"leak_bytes": 10_240})),
    "healthy": App(),
    "short": App(rounds=2, blocks=2),
    "unsampled": App(records="none", metrics=()),
    "unfinished": App(unfinished=True),
}


@cache
def _report(kind: str) -> Report:
    return report_on(simulate(_APPS[kind]), Path("/nonexistent"))


def _results(kind: str, expr: str) -> ExpectationResult:
    (result,) = judge(_report(kind), (expr,))
    return result


@pytest.mark.parametrize(
    ("kind", "expr", "passed"),
    [
        ("healthy", "verdict is healthy", True),
        ("leak", "verdict is healthy", False),
        ("leak", "verdict is leak", True),
        ("leak", "verdict is not leak", False),
        ("healthy", "verdict is not leak", True),
        ("short", "verdict is not leak", None),  # could not tell is not good enough
        ("short", "verdict is inconclusive", True),
        ("leak", "retained_bytes_per_request < 256 B", False),
        ("leak", "retained_bytes_per_request < 20 KiB of endpoint cart_add", True),
        ("leak", "retained_bytes_per_request < 1 KiB of endpoint cart_add", False),
        ("leak", "retained_bytes_per_request < 10 KiB of endpoint cart_add", None),  # inside the interval
        ("leak", "retained_bytes_per_request < 1 KiB of endpoint nowhere", None),
        ("healthy", "retained_bytes_per_request < 1 KiB", True),
        ("healthy", "growth_per_hour < 500 MiB", True),
        ("leak", "growth_per_hour < 500 MiB", False),
        ("leak", "growth_per_hour < 500 MiB of pool nobody", None),
        ("healthy", "peak_pss < 1 GiB", True),
        ("healthy", "peak_pss < 10 MiB of pool app", False),
        ("healthy", "peak_pss < 10 MiB of pool nobody", None),
        ("unsampled", "peak_pss < 1 GiB", None),
        ("unsampled", "growth_per_hour < 1 MiB", None),
        ("unsampled", "retained_bytes_per_request < 1 MiB", None),
        ("healthy", "errors < 1%", True),
        ("healthy", "errors == 0", True),
        ("healthy", "p99 < 50ms", True),
        ("healthy", "p50 < 1ms of endpoint home", False),
        ("healthy", "p99 < 50ms of endpoint nowhere", None),
    ],
)
def test_lines(kind: str, expr: str, passed: bool | None) -> None:
    result = _results(kind, expr)
    assert result.passed is passed
    assert result.actual


def test_a_line_that_cannot_be_read_fails_closed() -> None:
    result = _results("healthy", "speed > 9000")
    assert result.passed is None
    assert "not a metric" in result.note


def test_a_limit_inside_the_interval_shows_the_interval() -> None:
    assert "95 % CI" in _results("leak", "retained_bytes_per_request < 10 KiB of endpoint cart_add").actual
