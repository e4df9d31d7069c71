"""Made-up facts of runs, for tests of comparisons: quick, and with every number known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from timelines import App, simulate, six

from harness.analysis.pipeline import report_on
from harness.compare.facts import LineFact, RunFacts, facts_of
from harness.compare.model import Curve, RunName
from harness.model.finding import Cause, Confidence, Finding, Growth, Severity, Subject
from harness.model.measure import Measure, Unit

ALIKE: Mapping[str, str] = {"how it ended": "complete", "endpoints": "home, search"}


def facts(
    *measures: Measure,
    name: str = "run",
    conditions: Mapping[str, str] = ALIKE,
    findings: Sequence[Finding] = (),
    lines: Sequence[LineFact] = (),
    curves: Sequence[Curve] = (),
    rounds: int = 8,
) -> RunFacts:
    """One run with a pool called app."""
    about = RunName(name, "shop", 1_700_000_000_000_000_000, "healthy", rounds)
    return RunFacts(about, conditions, ("app",), rounds, measures, findings, lines, curves)


def kept(value: float, half: float = 20.0, endpoint: str | None = None) -> Measure:
    """Bytes that a request keeps: of the pool, or of an endpoint."""
    pool = "app" if endpoint is None else None
    return Measure("retained_bytes_per_request", Unit.BYTES, value, value - half, value + half, endpoint, pool)


def level(value: float, metric: str = "floor_pss") -> Measure:
    """A size of the pool, exact."""
    return Measure(metric, Unit.BYTES, value, value, value, pool="app")


def latency(ns: float, metric: str = "p50", endpoint: str | None = None) -> Measure:
    return Measure(metric, Unit.NS, ns, ns * 0.98, ns * 1.02, endpoint)


def finding(cause: Cause, endpoint: str | None = None, severity: Severity = Severity.CRITICAL) -> Finding:
    return Finding(
        cause, severity, Confidence.HIGH, Subject(pool="app", endpoint=endpoint), f"It is {cause.value}.",
        Growth(None, None, None, None), (), (), None,
    )  # fmt: skip


@lru_cache(maxsize=32)
def simulated(seed: int, leak_bytes: int = 0, **changes: Any) -> RunFacts:
    """The facts of a whole made-up run, one endpoint of which may keep memory."""
    endpoints = six(cart_add={"leak_bytes": leak_bytes})
    return facts_of(report_on(simulate(App(seed=seed, endpoints=endpoints, **changes)), Path("made-up")))
