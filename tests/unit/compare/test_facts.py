"""What is taken out of a report."""

from __future__ import annotations

from pathlib import Path

import pytest
from timelines import App, simulate, six

from harness.analysis.pipeline import report_on
from harness.compare.facts import RunFacts, facts_of
from harness.compare.thresholds import metric_names
from harness.model.measure import Measure


def of(app: App) -> RunFacts:
    return facts_of(report_on(simulate(app), Path("made-up")))


def measure(facts: RunFacts, metric: str) -> Measure:
    return next(m for m in facts.measures if (m.metric, m.pool) == (metric, "app"))


@pytest.fixture(scope="module")
def plain() -> RunFacts:
    return of(App(requests=120, blocks=2))


def test_own_memory_is_without_pages_of_files(plain: RunFacts) -> None:
    """Another program that maps the same library makes PSS smaller, and nothing has changed."""
    files, pss, own = (measure(plain, name).value for name in ("floor_file", "floor_pss", "floor_own"))
    assert files
    assert pss
    assert own == pytest.approx(pss - files)
    peak, peak_own = measure(plain, "peak_pss").value, measure(plain, "peak_own").value
    assert peak
    assert peak_own
    assert peak_own == pytest.approx(peak - files, rel=0.01)


def test_growth_of_files_is_none_of_own_memory() -> None:
    grown = of(App(requests=120, blocks=2, file_per_round=2_000_000))
    plain = of(App(requests=120, blocks=2))
    assert (measure(grown, "floor_pss").value or 0) > (measure(plain, "floor_pss").value or 0) + 10_000_000
    assert measure(grown, "floor_own").value == pytest.approx(measure(plain, "floor_own").value)


def test_the_curve_counts_rounds(plain: RunFacts) -> None:
    (curve,) = plain.curves
    assert curve.at[0] >= -2
    assert curve.at[-1] == 8
    assert list(curve.at) == sorted(curve.at)
    assert len(curve.at) == len(curve.pss) <= 400


def test_a_pool_whose_workers_are_replaced_is_judged_by_its_endpoints() -> None:
    facts = of(App(endpoints=six(cart_add={"leak_bytes": 6000}), most_requests=300, requests=1200))
    pages = measure(facts, "retained_bytes_per_request")
    assert pages.value is None
    found = measure(facts, "kept_by_endpoints")
    assert found.value == pytest.approx(1000, rel=0.2)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= 1000 <= found.high


def test_live_bytes_are_counted_by_request() -> None:
    facts = of(App(endpoints=six(cart_add={"native_bytes": 6000}), allocators=True))
    assert measure(facts, "live_bytes_per_request").value == pytest.approx(1000, rel=0.1)


def test_findings_that_are_none_do_not_count(plain: RunFacts) -> None:
    assert plain.name.verdict == "healthy"
    assert plain.findings == ()


def test_a_run_without_rounds_has_no_curve() -> None:
    facts = of(App(rounds=0, warmup=1, requests=60, blocks=1))
    assert facts.curves == ()
    assert facts.rounds == 0


def test_every_metric_of_a_pool_that_decides_or_explains_has_a_name(plain: RunFacts) -> None:
    known = set(metric_names())
    assert {m.metric for m in plain.measures if m.pool is not None} <= known


def test_runs_without_rounds_have_slices(plain: RunFacts) -> None:
    assert plain.name.stretch == "round"
    assert of(App(requests=60, rounds=7, flows=True)).name.stretch == "slice"
