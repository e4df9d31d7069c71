"""From a run directory to a report. Needs no live target; the same directory always gives the same report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.analysis.expectations import evaluate
from harness.analysis.ledger import ledger_rows, part_growth_rows, sharing_rows
from harness.analysis.prescriptions import missing_rules, rules_for
from harness.analysis.profiles import parse_profiles
from harness.analysis.tables import endpoint_rows, overhead, worker_rows
from harness.correlate.build import correlate
from harness.diagnose.engine import diagnose
from harness.diagnose.highwater import high_water
from harness.diagnose.location import locate
from harness.diagnose.prescribe.apply import advise
from harness.model.report import Report
from harness.model.run import RawRun
from harness.store.reader import read_run


def analyse(run_dir: Path, prescriptions: Sequence[Path] = ()) -> Report:
    """Read, correlate, diagnose, advise. ``prescriptions``: directories of further rules, the last of which wins.

    Raises RunError when the directory is not a readable run, UsageError for mistakes in rules.
    """
    return report_on(read_run(run_dir), run_dir, prescriptions)


def report_on(raw: RawRun, run_dir: Path, prescriptions: Sequence[Path] = ()) -> Report:
    """The report of a run already read; ``run_dir`` is where its artifacts and the users' rules it was made with lie."""
    rules = rules_for(run_dir, prescriptions)
    timeline = correlate(raw)
    diagnosis = diagnose(timeline)
    endpoints = endpoint_rows(timeline, diagnosis.endpoints)
    workers = worker_rows(timeline)
    profiles = parse_profiles(raw.artifacts, run_dir)
    shares = {name: growth.share for name, growth in diagnosis.endpoints.items()}
    findings = locate(diagnosis.findings, profiles, timeline.events, shares)
    ledger, pool_ledger = ledger_rows(timeline)
    advised = advise(timeline, findings, diagnosis.pools, rules)
    return Report(
        timeline=timeline,
        verdict=replace(diagnosis.verdict, summary=findings[0].summary),
        findings=advised.findings,
        endpoints=endpoints,
        workers=workers,
        ledger=ledger,
        expectations=evaluate(timeline, diagnosis, endpoints),
        profiles=profiles,
        overhead=overhead(timeline),
        missing=(*timeline.missing, *diagnosis.missing, *missing_rules(raw.manifest, run_dir)),
        recycling=advised.recycling,
        pool_ledger=pool_ledger,
        part_growth=part_growth_rows(diagnosis.pools),
        sharing=sharing_rows(timeline),
        high_water=high_water(timeline),
    )
