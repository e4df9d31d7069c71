"""The summary as Markdown, for pull requests and job summaries. Names from the target cannot become markup."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.model.report import Report
from harness.report.summary import FindingSummary, Summary, summarise

_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~@&])")  # "@" would notify people, "#" link issues


def export(report: Report) -> bytes:
    """GitHub-flavoured Markdown, UTF-8."""
    return ("\n".join(_lines(summarise(report))) + "\n").encode("utf-8", "replace")


def escape(text: str) -> str:
    """Text that renders as itself."""
    return _SPECIAL.sub(r"\\\1", text)


def _lines(summary: Summary) -> Iterator[str]:
    tone = summary.tone
    version = f" – version {escape(summary.version)}" if summary.version else ""
    yield f"## {tone.sign} {escape(tone.word)} – {escape(summary.scenario)}{version}"
    yield ""
    yield f"**{escape(summary.verdict)}** ({summary.confidence})"
    yield ""
    yield escape(summary.run)
    if summary.trouble is not None:
        yield ""
        yield f"> **Note:** {escape(summary.trouble)}"
    yield from _findings(summary)
    yield from _endpoints(summary)
    yield from _highlights(summary)
    yield from _expectations(summary)
    yield ""
    yield "### How far to trust it"
    yield ""
    if summary.memory is not None:
        yield f"- Memory: {escape(summary.memory)}"
    yield from (f"- Hosts: {escape(text)}" for text in summary.hosts)
    yield from (f"- Containers: {escape(text)}" for text in summary.containers)
    yield f"- Joined: {escape(summary.joined)}"
    if summary.profiles is not None:
        yield f"- Profiles: {escape(summary.profiles)}"
    yield f"- Overhead: {escape(summary.overhead)}"
    yield from (f"- Missing: {escape(text)}" for text in summary.missing)


def _findings(summary: Summary) -> Iterator[str]:
    if not summary.findings:
        return
    yield ""
    yield "### Findings"
    yield ""
    for number, finding in enumerate(summary.findings, 1):
        yield from _finding(number, finding)
    if summary.more_findings:
        yield f"and {summary.more_findings} more findings in the full report"


def _finding(number: int, finding: FindingSummary) -> Iterator[str]:
    yield f"{number}. **{finding.severity}: {escape(finding.cause)}** – {escape(finding.sentence)}"
    for label, text in (
        ("About", finding.subject),
        ("Numbers", finding.numbers),
        ("Siblings", finding.siblings),
        ("Do", finding.action),
    ):
        if text:
            yield f"   - {label}: {escape(text)}"
    if finding.because:
        yield f"   - Because: {escape(' '.join(finding.because))}"
    if finding.change:
        yield "   - To verify, run it again with"
        yield ""
        yield "     ````yaml"
        yield from (f"     {line.replace('````', '')}" for line in finding.change)
        yield "     ````"
    if finding.also:
        yield f"   - Also: {escape(finding.also)}"
    yield from (f"   - Not: {escape(text)}" for text in finding.answers)


def _endpoints(summary: Summary) -> Iterator[str]:
    if not summary.endpoints:
        return
    yield ""
    yield "### Endpoints"
    yield ""
    yield "| endpoint | requests | errors | p50 | p99 | retained per request, 95 % CI |"
    yield "|---|--:|--:|--:|--:|---|"
    for row in summary.endpoints:
        cells = (row.name, row.requests, row.errors, row.p50, row.p99, row.retained)
        yield "| " + " | ".join(escape(cell) for cell in cells) + " |"
    if summary.more_endpoints:
        yield f"\nand {summary.more_endpoints} more endpoints"


def _highlights(summary: Summary) -> Iterator[str]:
    if not summary.highlights:
        return
    yield ""
    yield "### What the profiles say, of one request each"
    yield ""
    for each in summary.highlights:
        yield f"- {escape(each.endpoint)}: {escape('; '.join(each.lines))}"


def _expectations(summary: Summary) -> Iterator[str]:
    if not summary.expectations:
        return
    yield ""
    yield "### Expectations"
    yield ""
    for passed, text in summary.expectations:
        sign = {True: "✓ met", False: "✗ failed", None: "✗ cannot tell"}[passed]
        yield f"- {sign}: {escape(text)}"
