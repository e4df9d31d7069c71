"""The terminal summary and Markdown: the verdict first, short, and safe to print."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import replace

import pytest
from reports import HOSTILE, empty_report, hostile_report, leak_report, single_sample_report

from harness.model.report import ExpectationResult, Report
from harness.report.exporters import markdown, text
from harness.report.terminal import fit, render, render_brief, render_expectations, width
from harness.report.words import overhead_line

ALL = [leak_report, empty_report, single_sample_report, hostile_report]


def test_the_verdict_comes_first_in_plain_words() -> None:
    lines = render(leak_report()).splitlines()
    assert lines[0] == "✗ leak: objects – high confidence – scenario shop"
    assert lines[1] == "  The workers keep 2.1 KiB of every POST /cart request and never give it back."


def test_a_finding_has_endpoint_numbers_interval_confidence_and_what_to_do() -> None:
    shown = render(leak_report())
    assert "1. critical leak.objects  endpoint POST /cart · location add (shop/cart.py:42) · pool app" in shown
    assert "+2.1 KiB per request (95 % CI 1.9 KiB to 2.3 KiB)" in shown
    assert "→ Bound or empty the list that shop/cart.py:42 appends to" in shown


def test_endpoints_that_keep_most_come_first_and_columns_are_aligned() -> None:
    lines = render(leak_report()).partition("what the profiles say")[0].splitlines()
    table = [line for line in lines if re.match(r"(endpoint|POST|GET) ", line)]
    assert [line.split("  ")[0] for line in table] == ["endpoint", "POST /cart", "GET /", "GET /product/{id}"]
    assert (
        len(
            {
                line.index(cell) + len(cell)
                for line, cell in zip(table, ("p50", "6.4 ms", "3.1 ms", "4.0 ms"), strict=True)
            }
        )
        == 1
    )


def test_expectations_say_passed_failed_or_cannot_be_judged() -> None:
    shown = render(leak_report())
    assert "✗ verdict is healthy – leak.objects" in shown
    assert "✓ peak_pss < 400 MiB – 231.0 MiB" in shown
    assert "✗ cannot tell: p99 of 'GET /' < 50ms – not measured" in shown


def test_what_is_missing_and_what_measuring_cost() -> None:
    shown = render(leak_report(), path="runs/1/report.html")
    assert "system.slab: /proc/slabinfo is readable by root only" in shown
    assert "sampler 0.42 % of one CPU" in shown
    assert "99.8 % of 1443 requests tied to their worker" in shown
    assert shown.endswith("runs/1/report.html\n")


@pytest.mark.parametrize("make", ALL)
def test_fits_the_terminal_and_holds_no_control_character(make: Callable[[], Report]) -> None:
    shown = render(make())
    assert max(width(line) for line in shown.splitlines()) <= 100
    assert {unicodedata.category(c) for c in shown if c != "\n"}.isdisjoint({"Cc", "Cf", "Cs"})
    assert shown.count("\n") <= 34


def test_colour_only_when_asked() -> None:
    plain, coloured = render(leak_report()), render(leak_report(), colour=True)
    assert "\x1b" not in plain
    assert "\x1b[31m" in coloured
    assert re.sub(r"\x1b\[\d+m", "", coloured) == plain
    assert re.sub(r"\x1b\[\d+m", "", render(hostile_report(), colour=True)) == render(hostile_report())


def test_wide_characters_take_two_columns() -> None:
    assert width("a日b") == 4
    assert fit("日本語", 5) == "日本…"
    assert width(fit("日本語", 4)) == 4


def test_text_export_is_the_summary() -> None:
    assert text.export(leak_report()).decode() == render(leak_report())


def test_what_measuring_cost_is_one_line_without_what_was_not_there() -> None:
    costs = {
        "sampler_cpu_percent": 0.42,
        "sampler_ticks": 26.0,
        "sampler_ticks_planned": 15.0,
        "sampler_ticks_taken": 14.0,
        "sampler_ticks_late": 2.0,
        "sampler_missed_ticks": 1.0,
        "sampler_floors": 12.0,
        "sampler_floors_cpu_s": 0.274,
        "sampler_longest_stall_ms": 0.918,
        "load_cpu_percent": None,
        "load_max_lag_ms": None,
        "session_cpu_percent": 2.5,
    }
    assert overhead_line(costs) == (
        "sampler 0.42 % of one CPU, longest stall of a process 0.918 ms, 14 of 15 sweeps taken, 2 of them late, "
        "12 floors that took 0.27 s of CPU, session 2.5 % of one CPU"
    )
    assert overhead_line({"sampler_cpu_percent": None}) == "sampler unknown"
    agent = {"agent_us_per_request": 9.1, "agent_us_per_request_p95": 14.2, "agent_requests_timed": 31.0}
    assert overhead_line(agent) == "agent 9.1 µs per request, median of 31 requests that timed it"
    assert overhead_line({**dict.fromkeys(agent), "agent_requests_timed": 0.0, "sampler_cpu_percent.web-1": 0.4}) == (
        "sampler on web-1 0.4 % of one CPU"
    )
    assert overhead_line({}) == "not measured"


def test_a_run_without_requests_counts_none_and_one_process_is_one() -> None:
    report = empty_report()
    shown = render(replace(report, timeline=replace(report.timeline, workers=leak_report().timeline.workers[:1])))
    assert re.search(r", 1 process$", shown, re.MULTILINE)
    assert " 0 requests" not in shown


def test_files_for_other_programs_are_no_profiles_that_could_not_be_read() -> None:
    assert "3 of 4 profiles could be read (growth, memory_profiler, tracemalloc, xdebug)" in render(leak_report())


def test_markdown_says_the_same() -> None:
    shown = markdown.export(leak_report()).decode()
    assert shown.startswith("## ✗ leak: objects – shop\n\n**The workers keep 2.1 KiB")
    assert "| POST /cart | 320 | 2 | 6.4 ms | 21.0 ms | +2.1 KiB \\[1.9 KiB, 2.3 KiB\\] |" in shown
    assert "- ✗ failed: verdict is healthy – leak.objects" in shown


@pytest.mark.parametrize("make", ALL)
def test_markdown_keeps_names_out_of_the_markup(make: Callable[[], Report]) -> None:
    shown = markdown.export(make()).decode()
    assert not re.search(r"(?<!\\)<", shown)
    assert all(line.count("|") - line.count("\\|") in (0, 7) for line in shown.splitlines())
    assert {unicodedata.category(c) for c in shown if c != "\n"}.isdisjoint({"Cc", "Cf", "Cs"})


@pytest.mark.parametrize("make", ALL)
def test_a_run_ends_with_fifteen_lines(make: Callable[[], Report]) -> None:
    shown = render_brief(make())
    failed = sum(e.passed is not True for e in make().expectations)
    elsewhere = 2 * bool(make().timeline.hosts)  # how siblings do, and where it ran
    assert shown.count("\n") <= 13 + elsewhere + 2 * failed  # the paths of the report and the run come after it
    assert max(width(line) for line in shown.splitlines()) <= 100
    assert {unicodedata.category(c) for c in shown if c != "\n"}.isdisjoint({"Cc", "Cf", "Cs"})
    assert re.sub(r"\x1b\[\d+m", "", render_brief(make(), colour=True)) == shown


def test_the_brief_has_verdict_place_action_expectations_and_trust() -> None:
    shown = render_brief(leak_report())
    lines = shown.splitlines()
    assert lines[:2] == render(leak_report()).splitlines()[:2]
    assert "critical leak.objects  endpoint POST /cart · location add (shop/cart.py:42)" in shown
    assert "→ Bound or empty the list that shop/cart.py:42 appends to" in shown
    assert "✗ verdict is healthy – leak.objects" in shown
    assert "  expected   ✓ 1 met" in lines
    assert "  joined     99.8 % of 1443 requests tied to their worker" in shown
    assert "signals; the report says which, why, and what that costs" in shown or "1 signal;" in shown


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize("columns", [60, 100])
def test_the_gate_is_as_narrow_and_as_safe(make: Callable[[], Report], columns: int) -> None:
    report = replace(make(), expectations=(ExpectationResult(HOSTILE, HOSTILE, None, HOSTILE),))
    shown = render_expectations(report, columns=columns)
    assert all(width(line) <= columns for line in shown.splitlines())
    assert not [c for c in shown if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs")]


def test_the_gate_says_what_was_not_met_first() -> None:
    lines = [line for line in render_expectations(leak_report()).splitlines() if line.startswith(("expected", "gate"))]
    assert [line.split()[1] for line in lines] == ["✗", "✗", "✓", "failed,"]
    assert lines[-1] == "gate: failed, 2 of 3 not met (1 cannot be told from this run, which counts as failed)"
    quiet = render_expectations(leak_report(), failed_only=True)
    assert "peak_pss" not in quiet
    met = replace(leak_report(), expectations=(ExpectationResult("errors == 0", "0", True),))
    assert render_expectations(met, failed_only=True) == ""
    assert render_expectations(met).endswith("gate: passed, all 1 met\n")
