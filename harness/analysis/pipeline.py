"""From a run directory to a report. Needs no live target; the same directory always gives the same report."""

from __future__ import annotations

from pathlib import Path

from harness.analysis.expectations import evaluate
from harness.analysis.profiles import parse_profiles
from harness.analysis.tables import endpoint_rows, ledger_rows, overhead, worker_rows
from harness.correlate.build import correlate
from harness.diagnose.engine import diagnose
from harness.model.report import Report
from harness.model.run import RawRun
from harness.store.reader import read_run


def analyse(run_dir: Path) -> Report:
    """Read, correlate, diagnose. Raises RunError when the directory is not a readable run."""
    return report_on(read_run(run_dir), run_dir)


def report_on(raw: RawRun, run_dir: Path) -> Report:
    """The report of a run already read; ``run_dir`` is where its artifacts lie."""
    timeline = correlate(raw)
    diagnosis = diagnose(timeline)
    endpoints = endpoint_rows(timeline, diagnosis.endpoints)
    workers = worker_rows(timeline)
    return Report(
        timeline=timeline,
        verdict=diagnosis.verdict,
        findings=diagnosis.findings,
        endpoints=endpoints,
        workers=workers,
        ledger=ledger_rows(timeline),
        expectations=evaluate(timeline, diagnosis, endpoints),
        profiles=parse_profiles(raw.artifacts, run_dir),
        overhead=overhead(timeline),
        missing=(*timeline.missing, *diagnosis.missing),
    )
