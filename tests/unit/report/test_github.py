"""What GitHub Actions gets: annotations that are one command each, whatever is in them, and a summary."""

from __future__ import annotations

import re
from dataclasses import replace

from reports import HOSTILE, hostile_report, leak_report

from harness.model.report import ExpectationResult
from harness.report.exporters.github import annotation_lines, error_line, export

ATTACK = "x\n::set-output name=a::b\r::stop-commands::x%0A::error::,file=y:: \u2028::warning::z"


def decoded(text: str) -> str:
    """As the runner does it."""
    for code, meant in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(code, meant)
    return text


def test_what_was_not_met_is_annotated_at_its_line() -> None:
    report = replace(
        leak_report(),
        expectations=(
            ExpectationResult("peak_pss < 5 MiB", "6.0 MiB", True, "", "s.yaml", 3),
            ExpectationResult("errors < 1%", "2 % (95 % CI 1.5 % to 3 %)", False, "", "dir,a:b/s.yaml", 4),
            ExpectationResult("no leak", "none found", None, "too short", None, None),
        ),
    )
    assert annotation_lines(report) == (
        "::error title=not met%3A errors < 1%25,file=dir%2Ca%3Ab/s.yaml,line=4::2 %25 (95 %25 CI 1.5 %25 to 3 %25)",
        "::error title=cannot tell%3A no leak::none found; too short",
    )


def test_where_nothing_is_expected_the_verdict_is_a_notice() -> None:
    (line,) = annotation_lines(replace(leak_report(), expectations=()))
    assert line.startswith("::notice title=shop%3A leak.objects::The workers keep 2.1 KiB")


def test_no_name_becomes_a_command_of_its_own() -> None:
    for text in (ATTACK, HOSTILE):
        results = (ExpectationResult(text, text, False, text, text, 1),)
        for report in (leak_report(), hostile_report()):
            for found in (replace(report, expectations=results), replace(report, expectations=())):
                (line,) = annotation_lines(found)
                assert line.splitlines() == [line]
                kind, properties, message = re.fullmatch(r"::(\w+) (.*?)::(.*)", line, re.DOTALL).groups()  # type: ignore[union-attr]  # it matches
                assert kind in ("error", "notice")
                names = [part.partition("=")[0] for part in properties.split(",")]
                assert set(names) <= {"title", "file", "line"}
                assert len(names) == len(set(names))
                assert "\n" not in decoded(message)


def test_an_error_is_one_command() -> None:
    line = error_line("harness run", f"error: {ATTACK}\n  hint")
    assert line.startswith("::error title=harness run::error: x")
    assert line.splitlines() == [line]


def test_only_as_many_as_are_shown() -> None:
    results = tuple(ExpectationResult(f"p{i} < 1s", "2 s", False) for i in range(50))
    assert len(annotation_lines(replace(leak_report(), expectations=results))) == 10


def test_the_summary_begins_with_what_was_not_met() -> None:
    text = export(leak_report()).decode()
    assert text.startswith("### 2 of 3 expectations not met\n")
    rows = [line for line in text.splitlines() if line.startswith(("| ✅", "| ❌", "| ❔"))]
    assert [row[2] for row in rows] == ["❌", "❔", "✅"]
    assert "## ✗ leak: objects" in text


def test_a_cell_stays_a_cell() -> None:
    report = replace(leak_report(), expectations=(ExpectationResult("a|b\n<img>", "[x](y)", False, "@all #1"),))
    row = next(line for line in export(report).decode().splitlines() if line.startswith("| ❌"))
    assert len(re.findall(r"(?<!\\)\|", row)) == 5
    assert "\\<img\\>" in row
    assert "\\@all" in row


def test_it_stays_below_what_github_takes() -> None:
    results = tuple(ExpectationResult("x" * 500, "y" * 500, False, "z" * 500) for _ in range(2000))
    data = export(replace(leak_report(), expectations=results))
    assert len(data) < 1024 * 1024
    assert data.decode().endswith("(cut here; the report has the rest)\n")
