"""The whole road from a run directory on disk to a report."""

from __future__ import annotations

from pathlib import Path

import pytest
from several import beside
from stored_runs import record
from timelines import App, simulate, six

from harness.analysis.pipeline import analyse, report_on
from harness.errors import RunError
from harness.model.finding import Cause
from harness.report.exporters.text import export

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


def test_a_verdict_on_several_pools_reaches_the_report(tmp_path: Path) -> None:
    calm = App(with_blocks=False, records="none")
    report = report_on(beside(calm, calm=calm), tmp_path)
    assert report.verdict.summary.startswith("app and calm do not grow. ")
    assert "  app and calm do not grow. A leak of more than" in export(report).decode()


def test_analysing_changes_nothing(tmp_path: Path) -> None:
    run_dir = record(simulate(App(requests=30, blocks=1, rounds=1, warmup=0)), tmp_path)
    before = {p: p.stat().st_mtime_ns for p in run_dir.rglob("*") if p.is_file() and not p.name.endswith("-shm")}
    analyse(run_dir)
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run"):
        analyse(tmp_path)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("locate", "location"),
        ("advise", "prescriptions"),
        ("ledger_rows", "ledger"),
        ("part_growth_rows", "growth by part"),
        ("sharing_rows", "sharing curves"),
        ("high_water", "high-water marks"),
        ("endpoint_rows", "endpoint table"),
        ("worker_rows", "worker table"),
        ("parse_profiles", "profiles"),
        ("overhead", "overhead"),
        ("measures", "measures"),
        ("unjudged", "what was not judged"),
        ("judge", "expectations"),
    ],
)
def test_what_fails_costs_its_own_part_only(
    name: str, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = simulate(APP)

    def broken(*_: object) -> None:
        raise ZeroDivisionError("by " + "0" * 1000)

    monkeypatch.setattr(f"harness.analysis.pipeline.{name}", broken)
    report = report_on(raw, tmp_path)
    assert report.verdict.cause is Cause.LEAK
    assert report.findings[0].cause is Cause.LEAK
    [gap] = [m for m in report.missing if m.signal.startswith("analysis of ")]
    assert gap.signal == f"analysis of {part}"
    assert "ZeroDivisionError: by 000" in gap.reason
    assert len(gap.reason) < 300
    assert [(e.expr, e.passed) for e in report.expectations] == [
        ("verdict is healthy", None if name == "judge" else False)
    ]
    text = export(report).decode()
    assert f"analysis of {part}" in text
