"""A comparison for terminals and logs. No control characters but the colours asked for."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from harness.compare.digest import Digest, digest
from harness.compare.model import Answer, Comparison, Drift, Outcome
from harness.compare.words import OUTCOME_SIGNS, SIGNS
from harness.report.terminal import Ink, fit, width

_COLUMNS = 100
_LABEL = 10
_INK = {Outcome.PASS: Ink.GREEN, Outcome.FAIL: Ink.RED, Outcome.UNKNOWN: Ink.YELLOW}
_ROW_INK = {Answer.WORSE: Ink.RED, Answer.BETTER: Ink.GREEN, Answer.UNKNOWN: Ink.YELLOW}


def render(found: Comparison | Drift, *, colour: bool = False, columns: int = _COLUMNS) -> str:
    """No line wider than ``columns``; ends in a newline."""
    return "\n".join(line.rstrip() for line in _lines(digest(found), columns, colour=colour)) + "\n"


def _lines(told: Digest, columns: int, *, colour: bool) -> Iterator[str]:
    def paint(text: str, ink: Ink | None) -> str:
        return f"{ink}{text}{Ink.RESET}" if colour and ink is not None else text

    head = fit(f"{OUTCOME_SIGNS[told.outcome]} {told.outcome.value} – {told.head}", columns).rstrip()
    yield paint(head, _INK[told.outcome])
    yield from _wrapped(told.summary, "  ", "  ", columns)
    for label, text in told.runs:
        yield fit(f"  {fit(label, _LABEL)}{text}", columns)
    for note in told.notes:
        yield from (paint(line, Ink.YELLOW) for line in _wrapped(note, "  ! ", "    ", columns))
    yield from (paint(line, ink) for line, ink in _table(told, columns))
    for text in told.rest:
        yield from _wrapped(text, "", "  ", columns)
    for title, texts in (
        ("which part moved", told.parts),
        ("findings", told.findings),
        ("what profiled requests keep (one a side: where to look, no proof)", told.lines),
    ):
        if texts:
            yield paint(fit(title, columns).rstrip(), Ink.BOLD)
        for text in texts:
            yield from _wrapped(text, "  ", "    ", columns)
    yield from (paint(line, Ink.FAINT) for line in _wrapped(told.method, "", "  ", columns))


def _table(told: Digest, columns: int) -> Iterator[tuple[str, Ink | None]]:
    if not told.rows:
        return
    rows = [(*told.columns,), *((r.what, r.whose, r.base, r.head, r.difference, r.interval) for r in told.rows)]
    widths = [max(width(row[i]) for row in rows) for i in range(len(told.columns))]
    over = sum(widths) + 2 * len(widths) - columns
    widths[1] = max(8, min(widths[1], widths[1] - over))  # whose it is may be long, numbers are never cut
    signs = [" ", *(SIGNS[r.answer] for r in told.rows)]
    inks = [Ink.BOLD, *(_ROW_INK.get(r.answer) for r in told.rows)]
    notes = ["", *(r.note for r in told.rows)]
    for sign, row, ink, note in zip(signs, rows, inks, notes, strict=True):
        left = [fit(text, size) for text, size in zip(row[:2], widths[:2], strict=True)]
        right = [" " * (size - width(text)) + text for text, size in zip(row[2:5], widths[2:5], strict=True)]
        yield fit("  ".join([f"{sign} {left[0]}", left[1], *right, row[5]]), columns).rstrip(), ink
        for line in _wrapped(note, "    ", "    ", columns):
            yield line, ink


def _wrapped(text: str, first: str, rest: str, columns: int) -> Sequence[str]:
    return textwrap.wrap(text, columns, initial_indent=first, subsequent_indent=rest) if text else ()
