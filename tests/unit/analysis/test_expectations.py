from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from timelines import App, Endpoint, simulate, six

from harness.analysis.baseline import baseline_of
from harness.analysis.expectations import judge
from harness.analysis.pipeline import report_on
from harness.model.finding import Cause, Confidence
from harness.model.report import ExpectationResult, Report

_APPS = {
    "leak": App(endpoints=six(cart_add={"leak_bytes": 10_240})),
    "healthy": App(),
    "short": App(rounds=2, blocks=2),
    "unsampled": App(records="none", metrics=()),
    "unfinished": App(unfinished=True),
    "files": App(file_per_round=2_000_000),
    "large": App(level_bytes=46_000_000),
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
        ("healthy", "p90 < 50ms", True),
        ("healthy", "p95 > 50ms", False),
        ("healthy", "errors == 0%", True),  # none is none, however few requests there were
        ("healthy", "errors < 0.0001%", None),
        ("healthy", "pss_p50 < 1 GiB", True),
        ("healthy", "pss_p99 < 10 MiB of pool app", False),
        ("healthy", "end_pss < 1 GiB of pool app", True),
        ("healthy", "peak_worker_pss < 1 GiB", True),
        ("healthy", "request_peak < 1 GiB", None),  # Python does not tell
        ("healthy", "growth_per_round < 10 MiB of pool app", True),
        ("leak", "growth_per_round < 100 KiB", False),
        ("leak", "retained_bytes_per_request < 256 B of pool app", False),
        ("healthy", "no leak", True),
        ("healthy", "no leak, threads, descriptors of pool app", True),
        ("healthy", "no leak of pool nobody", None),
        ("healthy", "no kernel.slab", None),  # slabs were not measured
        ("leak", "no leak", False),
        ("leak", "no threads", True),
        ("leak", "no fragmentation, leak.mmap", True),
        ("short", "no leak", None),
        ("short", "no threads", None),
        ("short", "growth_per_round < 1 GiB", None),  # not on two rounds
        ("healthy", "diff(peak_pss) < 5 %", None),  # no baseline
        ("unfinished", "errors == 0", None),  # so far
        ("unfinished", "p50 < 1us", False),
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


@pytest.mark.parametrize(
    ("expr", "note"),
    [
        ("verdict is healthy", "blind spot: growth below"),
        ("no leak", "blind spot: growth below"),
        ("retained_bytes_per_request < 1 KiB", "blind spot: growth below"),
        ("growth_per_hour < 500 MiB of pool app", "an hour may go unseen"),
        ("retained_bytes_per_request < 20 KiB of endpoint home", "per request of home may go unseen"),
        ("no descriptors", ""),
        ("peak_pss < 1 GiB", ""),
    ],
)
def test_what_passed_says_what_it_is_blind_to(expr: str, note: str) -> None:
    result = _results("healthy", expr)
    assert result.passed is True
    assert note in result.note
    assert bool(result.note) == bool(note)


def test_a_limit_below_the_blind_spot_is_not_met_where_objects_grow() -> None:
    """Live objects grow, and pages do not yet: a worker that keeps 0.1 MiB a round in arenas of 1 MiB."""
    endpoints = tuple(Endpoint(name, leak_bytes=174, leak_blocks=1) for name in ("home", "search"))
    app = App(endpoints=endpoints, workers=1, quantum=1 << 20, noise_bytes=2000)
    report = report_on(simulate(app), Path("/nonexistent"))
    below, above = judge(report, ("retained_bytes_per_request < 87 B", "retained_bytes_per_request < 2 KiB"))
    assert report.verdict.cause is Cause.INCONCLUSIVE
    assert (below.passed, above.passed) == (None, True)


def test_jobs_are_not_called_requests() -> None:
    report = _report("healthy")
    scenario = {**report.timeline.manifest.scenario, "load": {"each_round": "php job.php"}}
    about = replace(report.timeline.manifest, scenario=scenario)
    (result,) = judge(replace(report, timeline=replace(report.timeline, manifest=about)), ("no leak",))
    assert "a round may go unseen" in result.note


def test_a_limit_below_the_blind_spot_is_said_to_be() -> None:
    report = _report("healthy")
    found = next(m for m in report.measures if m.metric == "growth_per_round" and m.pool is None)
    assert found.blind is not None
    assert found.high is not None
    assert found.high < found.blind
    (result,) = judge(report, (f"growth_per_round < {round(found.high) + 1} B",))
    assert result.passed is True
    assert "the limit is below that" in result.note


def test_what_was_missing_is_named() -> None:
    assert _results("unsampled", "peak_pss < 1 GiB").note == "PSS was not measured"
    assert "did you mean 'cart_add'" in _results("leak", "p99 < 1s of endpoint cart_ad").note
    assert "measured: app" in _results("leak", "peak_pss < 1 GiB of pool qqq").note
    assert "7 are needed" in _results("short", "growth_per_hour < 1 GiB").note
    assert "did not finish" in _results("unfinished", "errors == 0").note
    assert (
        "more rounds or requests" in _results("leak", "retained_bytes_per_request < 10 KiB of endpoint cart_add").note
    )


def test_low_confidence_is_a_doubt() -> None:
    report = _report("leak")
    unsure = [replace(f, confidence=Confidence.LOW) for f in report.findings]
    (result,) = judge(replace(report, findings=unsure), ("no leak",))
    assert result.passed is None
    assert "low confidence" in result.actual


def test_growth_of_an_unknown_kind_may_be_of_every_kind() -> None:
    report = _report("leak")
    generic = replace(report, findings=[replace(f, cause=Cause.LEAK) for f in report.findings])
    results = judge(generic, ("no leak", "no leak.mmap", "no fragmentation", "no threads"))
    assert [r.passed for r in results] == [False, None, None, True]


def test_nothing_is_judged_of_a_pool_without_workers() -> None:
    report = _report("healthy")
    proxy = [replace(m, pool="proxy") for m in report.measures if m.metric == "peak_pss" and m.pool == "app"]
    seen = replace(report, measures=[*report.measures, *proxy])
    results = judge(seen, ("no leak of pool proxy", "peak_pss < 1 GiB of pool proxy"))
    assert [r.passed for r in results] == [None, True]


def test_without_any_finding_nothing_was_concluded() -> None:
    (result,) = judge(replace(_report("healthy"), findings=()), ("no leak",))
    assert result.passed is None


def test_a_failed_rule_leaves_its_cause_open() -> None:
    report = replace(_report("healthy"), unjudged={Cause.LEAK_NATIVE: "it failed on app"})
    results = judge(report, ("no leak", "no leak.native", "no threads"))
    assert [r.passed for r in results] == [None, None, True]
    assert "leak.native could not be judged: it failed on app" in results[0].note


def _against(head: str, base: str, expr: str, **changes: str) -> ExpectationResult:
    baseline = baseline_of(_report(base), "main")
    baseline = replace(baseline, run="another", conditions={**baseline.conditions, **changes})
    (result,) = judge(_report(head), (expr,), [baseline])
    return result


@pytest.mark.parametrize(
    ("head", "base", "expr", "passed"),
    [
        ("healthy", "healthy", "diff(peak_pss) < 10 %", True),
        ("healthy", "healthy", "diff(peak_pss) < 0.1 %", None),
        ("leak", "healthy", "diff(growth_per_round) < 100 KiB", False),
        ("healthy", "leak", "diff(growth_per_round) < 100 KiB", True),
        ("leak", "leak", "diff(retained_bytes_per_request) < 2 KiB of endpoint home", True),
        ("leak", "healthy", "diff(retained_bytes_per_request) < 1 KiB of endpoint cart_add", False),
        ("leak", "leak", "diff(growth_per_round) < 50 %", True),
        ("healthy", "healthy", "diff(growth_per_round) < 5 %", None),  # a share of what may be nothing
        ("healthy", "healthy", "diff(errors) < 1%", True),
        ("healthy", "healthy", "diff(errors) <= 0", True),
        ("leak", "healthy", "diff(p99) < 5ms of endpoint nowhere", None),
        ("healthy", "short", "diff(growth_per_round) < 1 MiB", None),
        ("files", "healthy", "diff(peak_pss) < 5 %", None),  # another program may have stopped mapping the files
        ("files", "healthy", "diff(peak_pss) < 1 MiB", None),
        ("files", "healthy", "diff(pss_p50) < 5 %", None),
        ("files", "healthy", "diff(peak_own) < 5 %", True),
        ("healthy", "files", "diff(peak_pss) < 5 %", True),
        ("large", "files", "diff(end_pss) < 0.1 %", None),  # less PSS, more of its own
        ("large", "healthy", "diff(peak_pss) < 5 %", False),
        ("large", "healthy", "diff(peak_own) < 5 %", False),
        ("large", "healthy", "diff(peak_worker_own) < 20 %", True),
    ],
)
def test_against_a_baseline(head: str, base: str, expr: str, passed: bool | None) -> None:
    result = _against(head, base, expr)
    assert result.passed is passed, result
    assert passed is not None or result.note


def test_runs_that_are_not_alike_are_not_compared() -> None:
    result = _against("healthy", "healthy", "diff(peak_pss) < 10 %", runtime="php")
    assert result.passed is None
    assert result.actual == "not comparable"
    assert "runtime: php in the baseline, python here" in result.note


def test_what_was_sent_is_not_shown() -> None:
    note = _against("healthy", "healthy", "diff(peak_pss) < 10 %", **{"what is sent to home": "hunter2"}).note
    assert "what is sent to home: not the same" in note
    assert "hunter2" not in note


def test_one_run_does_not_count_twice() -> None:
    baseline = baseline_of(_report("healthy"), "main")
    (result,) = judge(_report("healthy"), ("diff(peak_pss) < 10 %",), [baseline, baseline])
    assert result.passed is None
    assert "twice" in result.note


def test_a_run_is_no_baseline_of_itself() -> None:
    (result,) = judge(_report("healthy"), ("diff(peak_pss) < 10 %",), [baseline_of(_report("healthy"), "main")])
    assert result.passed is None
    assert "this run itself" in result.note


def test_pages_of_files_are_said_to_be_the_doubt() -> None:
    note = _against("files", "healthy", "diff(peak_pss) < 5 %").note
    assert note.startswith("without pages of files")
    assert note.endswith("diff(peak_own) judges that alone")
