from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files

import jsonschema
from reports import leak_report

from harness.model.highwater import Clue, HighWater
from harness.model.report import Report
from harness.report.formats import export
from harness.report.peak_words import peak_line
from harness.report.terminal import render

MIB = 1 << 20


def rise(**changes: object) -> HighWater:
    report = leak_report()
    start = report.timeline.manifest.started_ns
    found = HighWater(
        process=report.workers[1].key, pool="app", phase="rounds", since_ns=start + 20_000_000_000,
        t_ns=start + 21_000_000_000, mark=98 * MIB, rise=77 * MIB, kept=62 * MIB, candidates=30, endpoint="export",
        span_id="00f067aa0ba902b7", started_ns=start + 20_500_000_000, clue=Clue.RECORD,
    )  # fmt: skip
    return replace(found, **changes)


def with_rises(*rises: HighWater) -> Report:
    return replace(leak_report(), high_water=rises)


def test_one_line_names_the_process_and_the_request() -> None:
    text = peak_line(with_rises(rise(rise=5 * MIB, endpoint="home"), rise()))
    pid = rise().process.pid
    assert text == (
        f"process {pid} rose by 77.0 MiB to 98.0 MiB: a request to export, by what its record in the target says; "
        "62.0 MiB of that stayed resident; 1 more in the full report"
    )
    assert f"peak         process {pid} rose by" in render(with_rises(rise()))


def test_nothing_is_said_where_nobody_is_named() -> None:
    assert peak_line(with_rises()) is None
    assert peak_line(with_rises(rise(endpoint=None, span_id=None, clue=None))) is None
    assert "\npeak " not in render(leak_report())


def test_every_clue_has_words() -> None:
    lines = [peak_line(with_rises(rise(clue=clue, kept=kept))) for clue, kept in zip(Clue, (None, 0, 1), strict=True)]
    assert len(set(lines)) == len(Clue)
    assert "the only one at that time" in str(lines[1])
    assert "none of that stayed" in str(lines[1])
    assert "in flight each time" in str(lines[2])


def test_json_and_page_hold_all_of_them() -> None:
    report = with_rises(rise(), rise(endpoint=None, span_id=None, started_ns=None, clue=None, kept=None, candidates=0))
    data = json.loads(export(report, "json"))
    jsonschema.validate(data, json.loads(files("harness.report").joinpath("report.schema.json").read_text()))
    first, second = data["high_water"]
    assert (first["endpoint"], first["clue"], first["started_s"], first["rise"]) == ("export", "record", 20.5, 77 * MIB)
    assert (second["endpoint"], second["clue"], second["started_s"], second["kept"]) == (None, None, None, None)
    page = export(report, "html").decode()
    assert 'id="t-peaks"' in page
    assert "a request to export" in page
    assert "no request was in flight" in page
    assert 'id="t-peaks"' not in export(leak_report(), "html").decode()
