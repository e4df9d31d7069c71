"""A comparison as GitHub-flavoured Markdown, for pull requests and job summaries."""

from __future__ import annotations

from collections.abc import Iterator

from harness.compare.digest import Digest, digest
from harness.compare.model import Comparison, Drift
from harness.compare.words import OUTCOME_SIGNS, SIGNS
from harness.report.exporters.markdown import escape


def export(found: Comparison | Drift) -> bytes:
    """UTF-8. Names from targets cannot become markup."""
    return ("\n".join(_lines(digest(found))) + "\n").encode("utf-8", "replace")


def _lines(told: Digest) -> Iterator[str]:
    yield f"## {OUTCOME_SIGNS[told.outcome]} {told.outcome.value} – {escape(told.head)}"
    yield ""
    yield f"**{escape(told.summary)}**"
    yield ""
    yield from (f"- {label}: {escape(text)}" for label, text in told.runs)
    if told.notes:
        yield ""
        yield from (f"> **Not alike:** {escape(note)}  " for note in told.notes)
    if told.rows:
        yield ""
        yield "| | " + " | ".join(told.columns) + " | |"
        yield "|---|---|---|--:|--:|--:|---|---|"
        for row in told.rows:
            cells = (row.what, row.whose, row.base, row.head, row.difference, row.interval, row.note)
            yield f"| {SIGNS[row.answer]} | " + " | ".join(escape(cell) for cell in cells) + " |"
    if told.rest:
        yield ""
        yield from (f"- {escape(text)}" for text in told.rest)
    for title, texts in (
        ("Which part moved", told.parts),
        ("Findings", told.findings),
        ("What profiled requests keep", told.lines),
    ):
        if texts:
            yield ""
            yield f"### {title}"
            yield ""
            yield from (f"- {escape(text)}" for text in texts)
    yield ""
    yield escape(told.method[0].upper() + told.method[1:]) + "."
