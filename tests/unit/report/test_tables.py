"""A run as tables."""

from __future__ import annotations

import csv
import dataclasses
import io
import json

import pytest
from reports import HOSTILE, MIB, SECOND, START, empty_report, hostile_report, leak_report, single_sample_report

from harness.model.report import Report
from harness.report.exporters.csv_ import parts
from harness.report.tables import BOOL, FLOAT, INT, TEXT, Table, tables

REPORTS = (leak_report, hostile_report, single_sample_report, empty_report)
PYTHON = {INT: int, FLOAT: float, BOOL: bool, TEXT: str}


def table(report: Report, name: str) -> Table:
    return next(each for each in tables(report) if each.name == name)


@pytest.mark.parametrize("make", REPORTS)
def test_every_cell_is_of_its_column(make) -> None:  # type: ignore[no-untyped-def]
    for each in tables(make()):
        assert len({name for name, _ in each.columns}) == len(each.columns)
        for row in each.rows():
            for (name, kind), cell in zip(each.columns, row, strict=True):
                assert cell is None or type(cell) is PYTHON[kind], (each.name, name, cell)
                assert cell != ""
                assert not isinstance(cell, str) or (cell.isprintable() or "\u200d" in cell)


def test_samples_say_when_what_of_whom() -> None:
    rows = list(table(single_sample_report(), "samples").rows())
    wall = single_sample_report().timeline.manifest.started_wall_ns
    assert rows == [(SECOND, wall + SECOND, "process.memory.pss", "bytes", 0, 77, "app", 3 * MIB, None)]


def test_requests_have_what_their_process_recorded() -> None:
    report = leak_report()
    requests = table(report, "requests")
    names = [name for name, _ in requests.columns]
    rows = [dict(zip(names, row, strict=True)) for row in requests.rows()]
    assert len(rows) == len(report.timeline.spans)
    assert [row["t_ns"] for row in rows] == sorted(row["t_ns"] for row in rows)  # type: ignore[type-var]
    joined = {j.span.span_id: j for j in report.timeline.spans}
    for row in rows:
        of = joined[str(row["span_id"])]
        assert row["latency_ns"] == of.span.latency_ns
        record = of.record
        assert row["recorded_rss_end_bytes"] == (None if record is None else record.values.get("rss_end_bytes"))
        assert row["recorded_start_ns"] == (
            None if record is None or record.start_ns is None else record.start_ns - START
        )


def test_names_of_recorded_values_become_columns_that_differ() -> None:
    """A target chooses them; databases do not tell upper from lower case, and two may be cut to one."""
    report = leak_report()
    joined = next(j for j in report.timeline.spans if j.record is not None)
    assert joined.record is not None
    values = {
        "start_ns": 1,
        "Peak": 2,
        "peak": 3,
        HOSTILE: 4,
        "x" * 300: 5,
        "x" * 301: 6,
        **{f"n{i}": i for i in range(200)},
    }
    changed = dataclasses.replace(joined, record=dataclasses.replace(joined.record, values=values))
    report = dataclasses.replace(report, timeline=dataclasses.replace(report.timeline, spans=(changed,)))
    requests = table(report, "requests")
    names = [name.casefold() for name, _ in requests.columns]
    assert len(names) == len(set(names))
    assert len(names) < 130
    assert len(next(requests.rows())) == len(names)


def test_csv_is_what_a_reader_reads_back() -> None:
    report = hostile_report()
    for part in parts(report):
        text = b"".join(part.pieces).decode("utf-8")
        rows = list(csv.reader(io.StringIO(text, newline="")))
        each = table(report, part.name.removesuffix(".csv"))
        assert rows[0] == [name for name, _ in each.columns]
        assert len(rows) == len(list(each.rows())) + 1
        assert "\x1b" not in text


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0", "\uff1d1+1"])
def test_csv_holds_no_formulas(name: str) -> None:
    report = single_sample_report()
    joined = report.timeline.spans[0]
    joined = dataclasses.replace(joined, span=dataclasses.replace(joined.span, endpoint=name))
    report = dataclasses.replace(report, timeline=dataclasses.replace(report.timeline, spans=(joined,)))
    part = next(part for part in parts(report) if part.name == "requests.csv")
    [row] = csv.DictReader(io.StringIO(b"".join(part.pieces).decode()))
    assert row["endpoint"] == f"'{name}"
    worker = report.timeline.workers[0]
    worker = dataclasses.replace(worker, info=dataclasses.replace(worker.info, pool=f"{name}%d%"))
    report = dataclasses.replace(report, timeline=dataclasses.replace(report.timeline, workers=(worker,)))
    part = next(part for part in parts(report) if part.name == "samples.csv")
    [row] = csv.DictReader(io.StringIO(b"".join(part.pieces).decode()))
    assert row["pool"] == f"'{name}%d%"


def test_a_file_goes_out_piece_by_piece() -> None:
    part = next(part for part in parts(leak_report()) if part.name == "samples.csv")
    assert len(list(part.pieces)) > 50


def test_what_holds_memory_and_attributes_are_json() -> None:
    report = leak_report()
    for name in ("ledger", "events"):
        each = table(report, name)
        place = [column for column, _ in each.columns].index("held_by" if name == "ledger" else "attributes")
        for row in each.rows():
            json.loads(str(row[place]))
