"""From a run directory to a report. Needs no live target; the same directory always gives the same report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.analysis.baseline import hidden
from harness.analysis.expectations import judge, lines_of, not_judged
from harness.analysis.guard import Guard
from harness.analysis.ledger import Ledger, ledger_rows, part_growth_rows, sharing_rows
from harness.analysis.masking import Masking
from harness.analysis.measures import measures
from harness.analysis.prescriptions import missing_rules, rules_for
from harness.analysis.profiles import parse_profiles
from harness.analysis.tables import endpoint_rows, overhead, worker_rows
from harness.analysis.unjudged import unjudged
from harness.compare.conditions import conditions_of
from harness.compare.facts import further_measures
from harness.correlate.build import correlate
from harness.diagnose.bounds import with_bounds
from harness.diagnose.engine import Diagnosis, diagnose
from harness.diagnose.highwater import high_water
from harness.diagnose.location import locate
from harness.diagnose.prescribe.apply import Advised, advise
from harness.diagnose.siblings import compare, with_siblings
from harness.model.finding import Cause, Finding, Verdict
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
    masking = Masking(raw.manifest.scenario)
    raw = masking.run(raw)
    timeline = correlate(raw)
    diagnosis = diagnose(timeline)
    guard = Guard()
    shares = {name: growth.share for name, growth in diagnosis.endpoints.items()}
    endpoints = guard.rows("endpoint table", lambda: endpoint_rows(timeline, diagnosis.endpoints))
    profiles = guard.rows("profiles", lambda: masking.views(parse_profiles(raw.artifacts, run_dir)))
    findings = guard.run(
        "location", lambda: tuple(locate(diagnosis.findings, profiles, timeline.events, shares)), diagnosis.findings
    )
    located = findings
    findings = guard.run("bounds of caches", lambda: with_bounds(located, diagnosis.pools), located)
    siblings = guard.rows(
        "comparison of hosts",
        lambda: compare(timeline.manifest.hosts, diagnosis.pools, timeline.events, located),
    )
    findings = with_siblings(findings, siblings)
    advised = guard.run(
        "prescriptions", lambda: advise(timeline, findings, diagnosis.pools, rules), Advised(tuple(findings), ())
    )
    no_ledger: Ledger = ((), ())
    ledger, pool_ledger = guard.run("ledger", lambda: ledger_rows(timeline), no_ledger)
    report = Report(
        timeline=timeline,
        verdict=_verdict(diagnosis, findings),
        findings=advised.findings,
        endpoints=endpoints,
        workers=guard.rows("worker table", lambda: worker_rows(timeline)),
        ledger=ledger,
        expectations=not_judged(timeline),
        profiles=profiles,
        overhead=guard.run("overhead", lambda: overhead(timeline), {}),
        recycling=advised.recycling,
        pool_ledger=pool_ledger,
        part_growth=guard.rows("growth by part", lambda: part_growth_rows(diagnosis.pools)),
        siblings=siblings,
        sharing=guard.rows("sharing curves", lambda: sharing_rows(timeline)),
        high_water=guard.rows("high-water marks", lambda: high_water(timeline)),
        missing=(*timeline.missing, *diagnosis.missing, *missing_rules(raw.manifest, run_dir)),
        measures=guard.rows("measures", lambda: measures(timeline, diagnosis, endpoints)),
        conditions=guard.run("conditions", lambda: hidden(conditions_of(timeline)), {}),
        unjudged=guard.run(
            "what was not judged", lambda: unjudged(timeline, diagnosis), dict.fromkeys(Cause, "unknown")
        ),
    )
    more = guard.rows("further measures", lambda: tuple(further_measures(report, diagnosis.pools)))
    report = replace(report, measures=(*report.measures, *more))
    expectations = guard.run("expectations", lambda: judge(report, lines_of(timeline) or ()), report.expectations)
    if lines_of(timeline) is not None:
        report = replace(report, expectations=expectations)
    # told first: what failed above is a defect that the reader should see
    return replace(report, missing=(*guard.missing, *report.missing))


def _verdict(diagnosis: Diagnosis, findings: Sequence[Finding]) -> Verdict:
    """With the place in it, where it says what its finding does and that has one now."""
    its_own = diagnosis.verdict.summary == diagnosis.findings[0].summary
    return replace(diagnosis.verdict, summary=findings[0].summary) if its_own else diagnosis.verdict
