"""A summary of about 15 lines for people and CI logs. No control characters but the colours asked for."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.model.report import Report
from harness.report.summary import EndpointSummary, FindingSummary, Summary, summarise

_LABEL_COLUMNS = 13
_MISSING_SHOWN = 4
_ANSWERS = 1


class Ink(StrEnum):
    """SGR sequences: the only escapes that ever leave this module."""

    BOLD = "\x1b[1m"
    FAINT = "\x1b[2m"
    RED = "\x1b[31m"
    GREEN = "\x1b[32m"
    YELLOW = "\x1b[33m"
    RESET = "\x1b[0m"


_LEVEL_INK = {"good": Ink.GREEN, "bad": Ink.RED, "warn": Ink.YELLOW, "unsure": Ink.YELLOW}
_OUTCOMES = {True: ("✓", Ink.GREEN), False: ("✗", Ink.RED), None: ("✗ cannot tell:", Ink.YELLOW)}
_SEVERITY_INK = {"critical": Ink.RED, "warning": Ink.YELLOW, "info": Ink.FAINT}


def render(report: Report, *, colour: bool = False, columns: int = 100, path: str | None = None) -> str:
    """The summary, no line wider than ``columns``, ending in a newline. ``path`` is where the full report lies."""
    page = _Page(columns, colour)
    summary = summarise(report)
    lines = [
        *page.verdict(summary),
        *page.findings(summary),
        *page.endpoints(summary),
        *page.highlights(summary),
        *page.facts(summary, path),
    ]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def render_brief(report: Report, *, colour: bool = False, columns: int = 100) -> str:
    """What a run ends with: the verdict, where, what to do, the expectations, how far to trust it. Fifteen lines, two more where
    there are other hosts or containers, and more only where expectations failed; none wider than ``columns``."""
    page, summary = _Page(columns, colour), summarise(report)
    lines = [*page.verdict(summary), *page.lead(summary), *page.judged(summary), *page.trust(summary)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def render_expectations(report: Report, *, colour: bool = False, columns: int = 100, failed_only: bool = False) -> str:
    """The verdict in two lines, then every expectation with what was measured, those that were not met first; none wider than
    ``columns``. ``failed_only``: only those that were not met, nothing where there are none."""
    page, summary = _Page(columns, colour), summarise(report)
    met = [result for result in summary.expectations if result[0]]
    failed = [result for result in summary.expectations if not result[0]]
    lines = [] if failed_only else [*page.verdict(summary)]
    for passed, text in failed if failed_only else [*failed, *met]:
        lines += [page.paint(line, _OUTCOMES[passed][1]) for line in page.outcome(passed, text)]
    if failed or not failed_only:
        count = f"{len(failed)} of {len(summary.expectations)} not met" if failed else f"all {len(met)} met"
        unknown = sum(passed is None for passed, _ in failed)
        doubt = f" ({unknown} cannot be told from this run, which counts as failed)" if unknown else ""
        outcome = f"{'gate: failed' if failed else 'gate: passed'}, {count}{doubt}"
        lines += [page.paint(line, Ink.BOLD) for line in page.wrap(outcome, "", "  ", 3)]
    return "".join(line.rstrip() + "\n" for line in lines)


def width(text: str) -> int:
    """Columns a terminal gives to a text: wide characters take two, combining marks none."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def fit(text: str, columns: int) -> str:
    """The text padded, or cut with an ellipsis, to exactly ``columns``."""
    if width(text) > columns:
        while text and width(text) > columns - 1:
            text = text[:-1]
        text += "…"
    return text + " " * (columns - width(text))


@dataclass(frozen=True, slots=True)
class _Page:
    columns: int
    colour: bool

    def paint(self, text: str, ink: Ink) -> str:
        return f"{ink}{text}{Ink.RESET}" if self.colour else text

    def wrap(self, text: str, first: str, rest: str, most: int) -> list[str]:
        """Lines of at most `columns`; what does not fit into ``most`` of them is cut."""
        pieces = textwrap.wrap(text, self.columns - max(width(first), width(rest)), max_lines=most, placeholder=" …")
        return [(rest if i else first) + fit(p, self.columns - width(first)).rstrip() for i, p in enumerate(pieces)]

    def verdict(self, summary: Summary) -> Iterator[str]:
        tone = summary.tone
        head = f"{tone.sign} {tone.word} – {summary.confidence} – scenario {summary.scenario}"
        head += f" – version {summary.version}" if summary.version else ""
        yield self.paint(fit(head, self.columns).rstrip(), _LEVEL_INK[tone.level])
        yield from self.wrap(summary.verdict, "  ", "  ", 3)
        yield self.paint(fit(f"  {summary.run}", self.columns).rstrip(), Ink.FAINT)
        if summary.trouble is not None:
            yield from (self.paint(line, Ink.YELLOW) for line in self.wrap(summary.trouble, "  ! ", "    ", 2))

    def findings(self, summary: Summary) -> Iterator[str]:
        for number, finding in enumerate(summary.findings, 1):
            yield from self._finding(number, finding, repeats=finding.sentence == summary.verdict)
        if summary.more_findings:
            yield f"   and {summary.more_findings} more findings in the full report"

    def _finding(self, number: int, finding: FindingSummary, *, repeats: bool) -> Iterator[str]:
        head = f"{number}. {finding.severity} {finding.cause}"
        subject = f"  {finding.subject}" if finding.subject else ""
        ink = _SEVERITY_INK.get(finding.severity, Ink.BOLD)
        yield self.paint(head, ink) + fit(subject, self.columns - width(head)).rstrip()
        if not repeats:
            yield from self.wrap(finding.sentence, "   ", "   ", 2)
        yield from self.wrap(finding.numbers, "   ", "   ", 2)
        if finding.siblings:
            yield from self.wrap(finding.siblings, "   ", "   ", 3)
        if finding.action:
            yield from self.wrap(finding.action, "   → ", "     ", 3)
        for line in finding.because:
            yield from self.wrap(line, "     ", "       ", 2)
        if finding.change:
            yield "     to verify, run it again with"
        for line in finding.change:
            yield fit(f"       {line}", self.columns).rstrip()
        if finding.also:
            yield from self.wrap(f"also: {finding.also}", "   → ", "     ", 2)
        for text in finding.answers[:_ANSWERS]:
            yield from self.wrap(text, "   ✗ ", "     ", 3)

    def lead(self, summary: Summary) -> Iterator[str]:
        """The first finding in at most five lines, the others by their causes."""
        for finding in summary.findings[:1]:
            where = f"  {finding.subject}" if finding.subject else ""
            head = f"  {finding.severity} {finding.cause}"
            ink = _SEVERITY_INK.get(finding.severity, Ink.BOLD)
            yield self.paint(head, ink) + fit(where, self.columns - width(head)).rstrip()
            if finding.sentence != summary.verdict:
                yield from self.wrap(finding.sentence, "  ", "  ", 1)
            yield from self.wrap(finding.numbers, "  ", "  ", 1)
            if finding.siblings:
                yield from self.wrap(finding.siblings, "  ", "  ", 1)
            if finding.action:
                yield from self.wrap(finding.action, "  → ", "    ", 2)
        others = [f"{finding.cause} ({finding.severity})" for finding in summary.findings[1:]]
        if others:
            more = f" and {summary.more_findings} more" if summary.more_findings else ""
            yield from self._fact("  also", ", ".join(others) + more, 1)

    def judged(self, summary: Summary) -> Iterator[str]:
        """The expectations: those that were not met each, the others as a number."""
        met = [passed for passed, _ in summary.expectations if passed]
        failed = [(passed, text) for passed, text in summary.expectations if not passed]
        for passed, text in failed:
            yield from (self.paint(line, _OUTCOMES[passed][1]) for line in self.outcome(passed, text, "  expected"))
        if met:
            count = f"all {len(met)}" if not failed and len(met) > 1 else str(len(met))
            blind = f"; {summary.blind_spot}" if summary.blind_spot else ""
            yield from (self.paint(line, Ink.GREEN) for line in self._fact("  expected", f"✓ {count} met{blind}", 1))

    def trust(self, summary: Summary) -> Iterator[str]:
        """One line each: what memory consists of, where it ran, how requests were joined, what measuring cost, what was not to be
        had."""
        if summary.memory is not None:
            yield from self._fact("  memory", summary.memory, 1)
        if summary.places is not None:
            yield from self._fact("  where", summary.places, 1)
        yield from self._fact("  joined", summary.joined, 1)
        yield from self._fact("  overhead", summary.overhead, 1)
        if summary.missing:
            count = len(summary.missing)
            text = f"{count} {'signal' if count == 1 else 'signals'}; the report says which, why, and what that costs"
            yield from self._fact("  missing", text, 1)

    def endpoints(self, summary: Summary) -> Iterator[str]:
        if not summary.endpoints:
            return
        head = EndpointSummary("endpoint", "requests", "errors", "p50", "p99", "retained per request [95 % CI]")
        cells = [(e.requests, e.errors, e.p50, e.p99, e.retained) for e in (head, *summary.endpoints)]
        widths = [max(width(row[i]) for row in cells) for i in range(5)]
        space = self.columns - sum(widths) - 2 * len(widths)
        longest = max(width(e.name) for e in (head, *summary.endpoints))
        for index, (row, values) in enumerate(zip((head, *summary.endpoints), cells, strict=True)):
            name = fit(row.name, max(8, min(space, longest)))
            line = fit("  ".join([name, *_right(values[:4], widths), values[4]]), self.columns).rstrip()
            yield self.paint(line, Ink.BOLD) if index == 0 else line
        if summary.more_endpoints:
            yield f"and {summary.more_endpoints} more endpoints"

    def highlights(self, summary: Summary) -> Iterator[str]:
        if summary.highlights:
            yield self.paint("what the profiles say, of one request each", Ink.BOLD)
        for each in summary.highlights:
            for label, text in zip((each.endpoint, ""), each.lines, strict=False):
                yield fit(f"{fit(label, _LABEL_COLUMNS - 1)} {text}", self.columns).rstrip()

    def facts(self, summary: Summary, path: str | None) -> Iterator[str]:
        for passed, text in summary.expectations:
            yield from (self.paint(line, _OUTCOMES[passed][1]) for line in self.outcome(passed, text))
        if summary.memory is not None:
            yield from self._fact("memory", summary.memory, 4)
        if summary.peak is not None:
            yield from self._fact("peak", summary.peak, 3)
        for text in summary.hosts:
            yield from self._fact("hosts", text, 4)
        for text in summary.containers:
            yield from self._fact("containers", text, 3)
        yield from self._fact("joined", summary.joined)
        if summary.profiles is not None:
            yield from self._fact("profiles", summary.profiles)
        yield from self._fact("overhead", summary.overhead)
        for text in summary.missing[:_MISSING_SHOWN]:
            yield from self._fact("missing", text)
        left = len(summary.missing) - _MISSING_SHOWN
        if left > 0:
            yield from self._fact("missing", f"{left} more signals, listed with their reasons in the report")
        if path is not None:
            yield f"{fit('report', _LABEL_COLUMNS)}{path}"  # never cut: people copy it

    def outcome(self, passed: bool | None, text: str, label: str = "expected") -> list[str]:
        return self._fact(label, f"{_OUTCOMES[passed][0]} {text}", 4)

    def _fact(self, label: str, text: str, most: int = 2) -> list[str]:
        return self.wrap(text, fit(label, _LABEL_COLUMNS), " " * _LABEL_COLUMNS, most)


def _right(values: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [" " * (w - width(v)) + v for v, w in zip(values, widths, strict=False)]
