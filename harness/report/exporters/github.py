"""For GitHub Actions: the job summary in Markdown, and annotations at the lines of the scenario.

Names come from targets, so a line of them must not become a workflow command: data and properties are escaped as the runner
expects (actions/toolkit, packages/core/src/command.ts), and what else is printed is fenced in with ``stop-commands``.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.model.report import ExpectationResult, Report
from harness.report import words
from harness.report.exporters.markdown import escape
from harness.report.exporters.markdown import export as markdown

_MOST_BYTES = 900_000  # GitHub takes 1 MiB a step
_MOST_ANNOTATIONS = 10  # of a kind, a step: more are not shown
_OUTCOMES = {True: "✅ met", False: "❌ failed", None: "❔ cannot tell (counts as failed)"}


def export(report: Report) -> bytes:
    """The job summary: what was expected first, then the report as in `harness.report.exporters.markdown`."""
    text = "\n".join([*_expectations(report.expectations), ""]).encode() + markdown(report)
    if len(text) <= _MOST_BYTES:
        return text
    return text[:_MOST_BYTES].decode("utf-8", "ignore").encode() + b"\n\n(cut here; the report has the rest)\n"


def annotation_lines(report: Report) -> tuple[str, ...]:
    """Workflow commands, one a line that was not met, and one that says what the verdict is where nothing was expected."""
    bad = [result for result in report.expectations if result.passed is not True]
    found = [_command("error", result.file, result.line, *_words(result)) for result in bad[:_MOST_ANNOTATIONS]]
    if not report.expectations:
        manifest = report.timeline.manifest
        title = f"{words.clean(manifest.scenario_name)}: {report.verdict.cause.value}"
        found.append(_command("notice", None, None, title, words.clean(report.verdict.summary, 600)))
    return tuple(found)


def error_line(title: str, message: str) -> str:
    """The workflow command for something that went wrong before anything could be judged."""
    return _command("error", None, None, words.clean(title), words.clean(message, 2000))


def _expectations(results: Sequence[ExpectationResult]) -> list[str]:
    if not results:
        return []
    failed = sum(r.passed is not True for r in results)
    title = f"{failed} of {len(results)} expectations not met" if failed else f"All {len(results)} expectations met"
    rows = [
        f"| {_OUTCOMES[r.passed]} | {_cell(r.expr)} | {_cell(r.actual)} | {_cell(r.note)} |"
        for r in sorted(results, key=lambda r: r.passed is True)
    ]
    return [f"### {title}", "", "| | expected | measured | |", "|---|---|---|---|", *rows, ""]


def _cell(text: str) -> str:
    return escape(words.clean(text, 500)).replace("\n", " ")


def _words(result: ExpectationResult) -> tuple[str, str]:
    """(title, message)."""
    expr, actual = words.clean(result.expr, 300), words.clean(result.actual, 300)
    title = f"not met: {expr}" if result.passed is False else f"cannot tell: {expr}"
    return title, f"{actual}; {words.clean(result.note, 600)}".rstrip("; ")


def _command(kind: str, file: str | None, line: int | None, title: str, message: str) -> str:
    properties = {
        "title": title,
        "file": None if file is None else words.clean(file, 500),
        "line": None if line is None or file is None else str(line),
    }
    given = ",".join(f"{name}={_property(value)}" for name, value in properties.items() if value is not None)
    return f"::{kind} {given}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
