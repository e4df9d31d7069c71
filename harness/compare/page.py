"""A comparison as one HTML file: works offline, loads nothing and has no script; its policy allows the one inlined style."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from importlib.resources import files

from harness.compare.chart import chart
from harness.compare.digest import Cells, Digest, cells, digest
from harness.compare.model import Answer, Comparison, Drift, Outcome
from harness.compare.words import OUTCOME_SIGNS, SIGNS
from harness.report.page.tables import esc

_CLASSES = {Outcome.PASS: "good", Outcome.FAIL: "bad", Outcome.UNKNOWN: "unsure"}
_FIRST_NUMBER = 2  # of the columns: what is left of it is names
_MOST = 2000  # characters of a sentence: names in it are cut already
_ROW_CLASSES = {Answer.BETTER: "good", Answer.WORSE: "bad", Answer.SAME: "same", Answer.UNKNOWN: "unsure"}


def export(found: Comparison | Drift) -> bytes:
    """The page, UTF-8. The same comparison gives the same bytes."""
    told = digest(found)
    style = files("harness.compare").joinpath("page.css").read_text(encoding="utf-8")
    page = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy(style)}">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{esc(told.outcome.value)} – {esc(told.head)}</title>
<style>{style}</style>
</head>
<body>
<main>
{"".join(_body(told, found))}
</main>
</body>
</html>
"""
    return page.encode("utf-8", "replace")


def policy(style: str) -> str:
    """Nothing but this style: no script at all, no network, no frames, no forms."""
    digested = base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")
    return f"default-src 'none'; style-src 'sha256-{digested}'; base-uri 'none'; form-action 'none'"


def _body(told: Digest, found: Comparison | Drift) -> Iterator[str]:
    kind = _CLASSES[told.outcome]
    yield f'<header><h1><span class="chip {kind}">{OUTCOME_SIGNS[told.outcome]} {esc(told.outcome.value)}</span> '
    yield f'{esc(told.head)}</h1>\n<p class="lead">{esc(told.summary, _MOST)}</p>\n<dl>'
    yield from (f"<dt>{esc(label)}</dt><dd>{esc(text)}</dd>" for label, text in told.runs)
    yield "</dl></header>\n"
    if told.notes:
        yield f"<section><h2>Not alike in these runs</h2>{_list(told.notes)}</section>\n"
    yield f"<section><h2>What decides</h2>{_table('What decides', told.columns, told.rows)}{_list(told.rest)}</section>\n"
    for title, note, texts in (
        ("Findings", "", told.findings),
        ("Which part moved", "", told.parts),
        ("What profiled requests keep", "Of one profiled request a side: where to look, no proof.", told.lines),
    ):
        if texts:
            yield f"<section><h2>{title}</h2>{f'<p>{note}</p>' if note else ''}{_list(texts)}</section>\n"
    if found.curves:
        yield "<section><h2>Memory, round by round</h2>\n"
        yield "<p>PSS of a pool; all runs on one axis of rounds, whatever time they took. 0: the measured rounds begin.</p>\n"
        yield from (chart(pool, [c for c in found.curves if c.pool == pool]) for pool in _pools(found))
        yield "</section>\n"
    if isinstance(found, Comparison):
        every = _table("All quantities", told.columns, [cells(row) for row in found.rows])
        yield f"<section><h2>All quantities</h2><details><summary>{len(found.rows)} rows</summary>{every}</details></section>\n"
    yield f"<footer><p>{esc(told.method[0].upper() + told.method[1:])}.</p></footer>"


def _pools(found: Comparison | Drift) -> Sequence[str]:
    return list(dict.fromkeys(curve.pool for curve in found.curves))


def _list(texts: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{esc(text, _MOST)}</li>' for text in texts)}</ul>" if texts else ""


def _table(caption: str, columns: Sequence[str], rows: Sequence[Cells]) -> str:
    if not rows:
        return '<p class="empty">Nothing could be compared.</p>'
    numbers = columns[_FIRST_NUMBER:]
    head = "".join(
        f'<th scope="col"{" class=number" if name in numbers else ""}>{esc(name)}</th>'
        for name in ("answer", *columns, "note")
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{esc(caption)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(_row(row) for row in rows)}</tbody></table></div>"
    )


def _row(row: Cells) -> str:
    numbers = "".join(
        f'<td class="number">{esc(text)}</td>' for text in (row.base, row.head, row.difference, row.interval)
    )
    return (
        f'<tr class="{_ROW_CLASSES[row.answer]}"><td>{SIGNS[row.answer]} {esc(row.answer.value)}</td>'
        f'<th scope="row">{esc(row.what)}</th><td>{esc(row.whose)}</td>{numbers}<td>{esc(row.note, _MOST)}</td></tr>\n'
    )
