"""The whole road from a run directory on disk to a report."""

from __future__ import annotations

from pathlib import Path

import pytest
from stored_runs import record
from timelines import App, simulate, six

from harness.analysis.pipeline import analyse, report_on
from harness.errors import RunError
from harness.model.finding import Cause

APP = App(
    endpoints=six(cart_add={"leak_bytes": 20_480}),
    requests=300,
    blocks=6,
    with_blocks=False,
    expect=("verdict is healthy",),
)


def test_a_stored_run_gives_the_same_report_as_the_facts_in_memory(tmp_path: Path) -> None:
    raw = simulate(APP)
    run_dir = record(raw, tmp_path)
    stored, direct = analyse(run_dir), report_on(raw, run_dir)
    assert stored.verdict == direct.verdict
    assert stored.findings == direct.findings
    assert stored.endpoints == direct.endpoints
    assert list(stored.workers) == list(direct.workers)
    assert list(stored.ledger) == list(direct.ledger)
    assert stored.verdict.cause is Cause.LEAK
    assert stored.findings[0].subject.endpoint == "cart_add"
    assert [(e.actual, e.passed) for e in stored.expectations] == [("leak", False)]
    assert "system.slab" in {m.signal for m in stored.missing}
    assert [m for m in stored.missing if m.signal != "system.slab"] == list(direct.missing)
    assert stored.profiles[0].profile is None
    assert stored.overhead == {"sampler_cpu_percent": 0.4}


def test_analysing_changes_nothing(tmp_path: Path) -> None:
    run_dir = record(simulate(App(requests=30, blocks=1, rounds=1, warmup=0)), tmp_path)
    before = {p: p.stat().st_mtime_ns for p in run_dir.rglob("*") if p.is_file() and not p.name.endswith("-shm")}
    analyse(run_dir)
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run"):
        analyse(tmp_path)
