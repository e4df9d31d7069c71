"""The report as one HTML file: works offline, loads nothing, executes nothing but its own bundle.

The content security policy names the hashes of the two inlined files, so neither a name from the target nor anything else
can add script or style. Data lies in blocks the browser does not interpret (`harness.report.page.blocks`).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files

from harness.model.report import ProfileView, Report
from harness.report.page.body import body, unit_of
from harness.report.page.marks import ROWS, Mark, marks
from harness.report.page.profiles import profile_block
from harness.report.page.requests import PHASES, ordered, requests_block
from harness.report.page.series import POINTS, Drawn, drawn, encode, thinned
from harness.report.page.tables import esc
from harness.report.pools import is_measured, memory_metric, pools
from harness.report.words import clean, started

PROFILE_BUDGET_BYTES = 10_000_000  # of base64
PAGE_BYTES = 16_000_000  # the page is kept below: profiles go first, then every series is drawn with fewer points
_LEAST_POINTS = 100_000
_ROOM_BYTES = 1_500_000  # script, style, tables


def export(report: Report) -> bytes:
    """The page, UTF-8. The same report and version give the same bytes."""
    start = report.timeline.manifest.started_ns
    profiled = frozenset(v.artifact.span_id for v in report.profiles if v.artifact.span_id is not None)
    requests = requests_block(report.timeline, profiled)
    every = drawn(report)
    limit = POINTS
    while True:
        series, stretch = thinned(every, limit)
        block = encode(series, start)
        left = PAGE_BYTES - _ROOM_BYTES - len(requests) - len(block)
        if left >= 0 or limit <= _LEAST_POINTS:
            break
        limit //= 2
    profiles = _profile_blocks(report, max(0, min(left, PROFILE_BUDGET_BYTES)))
    blocks = {
        "series": block,
        "requests": requests,
        **{f"profile-{i}": text for i, text in enumerate(profiles) if text is not None},
    }
    happened, cut = marks(report)
    script, style = _asset("report.js"), _asset("report.css")
    meta = script_json(_meta(report, series, profiles, happened, cut))
    data = "\n".join(f'<script type="text/plain" id="{name}">{text}</script>' for name, text in blocks.items())
    page = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy(script, style)}">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{esc(report.timeline.manifest.scenario_name)} – memory report</title>
<style>{style}</style>
</head>
<body>
{body(report, series, stretch, happened)}
<script type="application/json" id="meta">{meta}</script>
{data}
<script>{script}</script>
</body>
</html>
"""
    return page.encode("utf-8", "replace")


def policy(script: str, style: str) -> str:
    """Nothing but these two inlined texts: no network, no frames, no forms, no other script or style."""
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def script_json(data: object) -> str:
    """JSON that cannot end the element it stands in, ASCII only."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c").replace(">", "\\u003e")


def _asset(name: str) -> str:
    text = files("harness.report").joinpath("static", name).read_text(encoding="utf-8")
    if "</script" in text.lower() or "</style" in text.lower() or "<!--" in text:
        raise AssertionError(f"{name} would end the element it is inlined in")
    return text


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _profile_blocks(report: Report, left: int) -> list[str | None]:
    """One block per profile while ``left`` bytes last; None for what could not be read or does not fit."""
    blocks: list[str | None] = []
    for view in report.profiles:
        block = None if view.profile is None else profile_block(view.profile)
        if block is not None and len(block) > left:
            block = None
        left -= 0 if block is None else len(block)
        blocks.append(block)
    return blocks


def _meta(
    report: Report,
    series: Sequence[Drawn],
    profiles: Sequence[str | None],
    happened: Sequence[Mark],
    cut: Sequence[str],
) -> dict[str, object]:
    timeline, manifest = report.timeline, report.timeline.manifest
    start = manifest.started_ns

    def us(t_ns: int | None) -> int | None:
        return None if t_ns is None else (t_ns - start) // 1000

    rows = {j.span.span_id: i for i, j in enumerate(ordered(timeline))}
    offset = started(manifest).utcoffset()
    grouped = pools(timeline)
    numbers = {name: i for i, name in enumerate(grouped)}
    return {
        "format": 1,
        "scenario": clean(manifest.scenario_name),
        "startedMs": manifest.started_wall_ns // 1_000_000,
        "utcOffsetS": int(offset.total_seconds()) if offset is not None else 0,
        "endedUs": us(manifest.ended_ns),
        "memoryMetric": memory_metric(timeline),
        "units": {m: unit_of(m) for m in dict.fromkeys(s.metric for s in series)},
        "phases": [p.value for p in PHASES],
        "windows": [
            [w.phase.value, w.round, w.block, us(w.start_ns), us(w.end_ns), us(w.floor_ns)] for w in timeline.windows
        ],
        "pools": [{"name": clean(name), "measured": is_measured(members)} for name, members in grouped.items()],
        "processes": [
            {
                "name": str(w.info.key),
                "pool": numbers[w.info.pool],
                "role": w.role.value,
                "comm": clean(w.info.comm, 60),
                "born": us(w.info.born_ns),
                "ended": us(w.info.ended_ns),
                "requests": w.requests,
            }
            for w in timeline.workers
        ],
        "rows": ROWS,
        "marks": [[ROWS.index(m.row), us(m.t_ns), us(m.end_ns), m.text] for m in happened],
        "cut": cut,
        "findings": [
            {
                "cause": f.cause.value,
                "severity": f.severity.value,
                "range": None if f.range_ns is None else [us(t) for t in f.range_ns],
            }
            for f in report.findings
        ],
        "profiles": [
            {
                "tool": clean(v.artifact.tool, 60),
                "endpoint": None if v.artifact.endpoint is None else clean(v.artifact.endpoint),
                "pid": v.artifact.pid,
                "at": us(v.artifact.t_ns),
                "request": _row_of(v, rows),
                "here": block is not None,
            }
            for v, block in zip(report.profiles, profiles, strict=True)
        ],
    }


def _row_of(view: ProfileView, rows: Mapping[str, int]) -> int | None:
    """The request whose diamond opens this profile; None for a file that other programs open."""
    span_id = view.artifact.span_id
    return None if span_id is None or view.artifact.opens_with is not None else rows.get(span_id)
