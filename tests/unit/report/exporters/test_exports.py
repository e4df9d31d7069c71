"""Exports of a run by themselves; that genuine programs read them is tests/integration/test_exports.py."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import sys
from collections import defaultdict
from itertools import pairwise

import numpy as np
import pyarrow.parquet
import pytest
from reports import HOSTILE, SECOND, START, empty_report, hostile_report, leak_report, single_sample_report

from harness.errors import UsageError
from harness.model.process import ProcessKey
from harness.model.report import Report
from harness.model.run import Series
from harness.plugins.exports import RunExport
from harness.plugins.registry import load_run_exports
from harness.report.exporters import chrome_trace, firefox, openmetrics, otlp, parquet

EXPORTS = load_run_exports()


def with_series(report: Report, *series: Series) -> Report:
    found = {(each.metric, each.process): each for each in series}
    return dataclasses.replace(report, timeline=dataclasses.replace(report.timeline, series=found))


def series(metric: str, values: list[int], process: ProcessKey | None = None, step_ns: int = SECOND) -> Series:
    times = START + np.arange(len(values), dtype=np.int64) * step_ns
    return Series(metric, process, times, np.array(values, dtype=np.int64))


def text(export: RunExport, report: Report) -> str:
    return b"".join(piece for part in export.parts(report) for piece in part.pieces).decode("utf-8")


@pytest.mark.parametrize("export", [e for e in EXPORTS if e.name != "parquet"], ids=lambda export: export.name)
@pytest.mark.parametrize("make", [leak_report, hostile_report, single_sample_report, empty_report])
def test_no_name_reaches_a_file_as_it_is(export: RunExport, make) -> None:  # type: ignore[no-untyped-def]
    found = text(export, make())
    assert found or (export.name, make) == ("otlp", empty_report)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", found)
    assert "NaN" not in found
    assert "Infinity" not in found


def test_names_of_parts_are_ours() -> None:
    for export in EXPORTS:
        names = [part.name for part in export.parts(hostile_report())]
        assert len(set(names)) == len(names)
        assert names == [""] if not export.several else all(re.fullmatch(r"[a-z_]+\.[a-z]+", name) for name in names)


# --- Chrome Trace -------------------------------------------------------------------------------------------------


def events(report: Report) -> list[dict]:
    found: list[dict] = json.loads(b"".join(chrome_trace.pieces(report)))["traceEvents"]
    return found


def test_slices_of_one_thread_do_not_overlap() -> None:
    report = leak_report()
    # Forty that overlap and that no process is known for.
    spans = tuple(
        dataclasses.replace(
            joined,
            worker=None,
            record=None,
            span=dataclasses.replace(joined.span, start_ns=START + n * 100, end_ns=START + 10_000 * n),
        )
        for n, joined in enumerate(report.timeline.spans[:40])
    )
    report = dataclasses.replace(
        report, timeline=dataclasses.replace(report.timeline, spans=(*report.timeline.spans, *spans))
    )
    threads: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for event in events(report):
        if event["ph"] == "X":
            threads[event["pid"], event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    assert threads
    for stretches in threads.values():
        stretches.sort()
        assert all(end <= start for (_, end), (start, _) in pairwise(stretches))


def test_a_pid_that_was_used_twice_is_two_processes() -> None:
    report = leak_report()
    first = report.timeline.workers[1]
    key = ProcessKey("", first.info.key.pid, first.info.key.start_ticks + 1)
    again = dataclasses.replace(first, info=dataclasses.replace(first.info, key=key))
    report = dataclasses.replace(
        report, timeline=dataclasses.replace(report.timeline, workers=(*report.timeline.workers, again))
    )
    named = [event["pid"] for event in events(report) if event["name"] == "process_name"]
    assert len(named) == len(set(named)) == len(report.timeline.workers) + 3


def test_findings_are_instants_and_stretches() -> None:
    report = leak_report()
    found = [event for event in events(report) if event.get("cat") == "finding"]
    assert [event["name"] for event in found if event["ph"] == "i"] == [
        f"finding: {f.cause.value}" for f in report.findings
    ]
    assert sum(event["ph"] == "X" for event in found) == sum(
        finding.range_ns is not None for finding in report.findings
    )


def test_hundredths_are_exact_decimals() -> None:
    report = with_series(leak_report(), series("system.psi.memory.some_avg10", [0, 7, 10_000, 1234]))
    assert '{"percent":0.07}' in b"".join(chrome_trace.pieces(report)).decode()
    values = [event["args"]["percent"] for event in events(report) if event["ph"] == "C"]
    assert values == [0, 0.07, 100, 12.34]


def test_more_counters_than_a_viewer_can_hold_are_thinned_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chrome_trace, "COUNTER_CAP", 100)
    values = [5] * 10_000
    values[4321] = 99
    document = json.loads(b"".join(chrome_trace.pieces(with_series(leak_report(), series("process.fds", values)))))
    counters = [event for event in document["traceEvents"] if event["ph"] == "C"]
    assert len(counters) == document["otherData"]["samples_here"] < 110
    assert document["otherData"]["samples"] == 10_000
    assert 99 in [event["args"]["count"] for event in counters]


# --- Firefox Profiler ---------------------------------------------------------------------------------------------


def test_counters_are_differences_that_begin_with_the_whole() -> None:
    report = with_series(leak_report(), series("load.in_flight", [5, 7, 7, 2]))
    document = json.loads(b"".join(firefox.pieces(report)))
    [counter] = document["counters"]
    assert counter["samples"]["count"] == [5, 2, 0, -5]
    assert counter["samples"]["time"] == [0, 1000, 2000, 3000]


def test_nothing_is_outside_of_the_recording() -> None:
    for make in (leak_report, hostile_report, single_sample_report, empty_report):
        document = json.loads(b"".join(firefox.pieces(make())))
        end = document["meta"]["profilingEndTime"]
        assert document["meta"]["profilingStartTime"] == 0
        times = [t for counter in document["counters"] for t in counter["samples"]["time"]]
        times += [t for thread in document["threads"] for t in thread["markers"]["startTime"]]
        assert all(0 <= t < end for t in times)


def test_markers_of_a_thread_are_in_order_and_parallel() -> None:
    for thread in json.loads(b"".join(firefox.pieces(leak_report())))["threads"]:
        markers = thread["markers"]
        assert markers["startTime"] == sorted(markers["startTime"])
        assert {len(column) for name, column in markers.items() if name != "length"} == {markers["length"]}


# --- OpenMetrics --------------------------------------------------------------------------------------------------


def metrics(report: Report) -> list[str]:
    return b"".join(openmetrics.pieces(report)).decode().splitlines()


def test_a_metric_called_like_a_family_of_ours_is_another_family() -> None:
    """A bundle from anybody may hold one."""
    names = ("requests", "request.latency.seconds", "finding", "requests_total")
    report = leak_report()
    ours = report.timeline.series.values()
    lines = metrics(with_series(report, *ours, *(series(name, [1]) for name in names)))
    families = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(families) == len(set(families))


def test_families_stand_together_with_type_and_unit() -> None:
    lines = metrics(leak_report())
    assert lines[-1] == "# EOF"
    families = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(families) == len(set(families))
    assert "# TYPE harness_process_memory_rss_bytes gauge" in lines
    assert "# UNIT harness_process_memory_rss_bytes bytes" in lines
    assert all(re.match(r"# |harness_[a-z_]+\{", line) for line in lines)


@pytest.mark.parametrize(
    ("metric", "line"),
    [
        ("process.cpu", r'harness_process_cpu_seconds_total\{run="[^"]+"\} 0.000000007 '),
        ("system.psi.memory.some_avg10", r'harness_system_psi_memory_ratio\{run="[^"]+",name="some_avg10"\} 0.0007 '),
        ("system.loadavg.total", r'harness_system_loadavg_total_value\{run="[^"]+"\} 7 '),
        ('system.slab.my "cache"\\', r'harness_system_slab_bytes\{run="[^"]+",name="my \\"cache\\"\\\\"\} 7 '),
        (
            "cgroup.a.memory.b.memory.current",
            r'harness_cgroup_memory_current_bytes\{run="[^"]+",pool="a.memory.b"\} 7 ',
        ),
        ("of.a.newer.version", r'harness_of_a_newer_version\{run="[^"]+",metric="of.a.newer.version"\} 7 '),
    ],
)
def test_names_and_units_are_those_of_prometheus(metric: str, line: str) -> None:
    lines = metrics(with_series(empty_report(), series(metric, [7])))
    assert re.match(line, lines[-2])
    assert float(lines[-2].rpartition(" ")[2]) == 1_795_421_700.0


def test_two_metrics_that_end_up_with_one_name_are_told_apart() -> None:
    """A counter and a level; and two names that differ in what Prometheus' names cannot hold."""
    lines = metrics(with_series(empty_report(), series("x.y", [1]), series("x-y", [2]), series("x_y", [3])))
    samples = [line for line in lines if not line.startswith("#")]
    assert len({line.rpartition("} ")[0] for line in samples}) == 3


def test_of_samples_within_a_millisecond_the_last_is_written() -> None:
    report = with_series(empty_report(), series("runtime.php.heap.size", [1, 2, 3, 4], step_ns=400_000))
    values = [line.split()[-2] for line in metrics(report) if not line.startswith("#")]
    assert values == ["3", "4"]


def test_requests_are_counted_by_second() -> None:
    lines = [line for line in metrics(leak_report()) if line.startswith("harness_requests_total{")]
    by_labels: dict[str, list[int]] = defaultdict(list)
    for line in lines:
        labels, _, rest = line.rpartition("} ")
        by_labels[labels].append(int(rest.split()[0]))
    assert all(counts == sorted(counts) for counts in by_labels.values())
    assert sum(counts[-1] for counts in by_labels.values()) == len(leak_report().timeline.spans)


# --- OTLP ---------------------------------------------------------------------------------------------------------


def test_long_series_are_several_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "_POINTS", 10)
    report = with_series(empty_report(), series("process.fds", list(range(25))))
    part = next(part for part in otlp.parts(report) if part.name == "metrics.jsonl")
    found = [json.loads(line) for line in part.pieces]
    points = [line["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["gauge"]["dataPoints"] for line in found]
    assert [len(each) for each in points] == [10, 10, 5]
    assert [point["asInt"] for each in points for point in each] == [str(n) for n in range(25)]


def test_a_metric_named_like_the_place_of_points_gets_them_in_the_right_place() -> None:
    name = 'system.slab."dataPoints":[]'
    report = with_series(empty_report(), series(name, [4]))
    part = next(part for part in otlp.parts(report) if part.name == "metrics.jsonl")
    [line] = [json.loads(line) for line in part.pieces]
    metric = line["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]
    assert metric["name"] == name
    assert [point["asInt"] for point in metric["gauge"]["dataPoints"]] == ["4"]


def test_ids_are_valid_and_unique_even_where_span_ids_are_not() -> None:
    for make in (leak_report, hostile_report):
        part = next(part for part in otlp.parts(make()) if part.name == "traces.jsonl")
        spans = [s for line in part.pieces for s in json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]]
        ids = [span["spanId"] for span in spans]
        assert len(ids) == len(set(ids))
        assert all(re.fullmatch(r"(?!0{16})[0-9a-f]{16}", each) for each in ids)
        assert all(re.fullmatch(r"(?!0{32})[0-9a-f]{32}", span["traceId"]) for span in spans)
    assert HOSTILE not in ids


# --- Parquet ------------------------------------------------------------------------------------------------------


def test_without_pyarrow_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match="needs pyarrow") as caught:
        list(parquet.parts(empty_report()))
    assert "profiling-harness[parquet]" in str(caught.value)


def test_large_tables_are_written_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "BATCH_ROWS", 1_000)
    report = leak_report()
    part = next(part for part in parquet.parts(report) if part.name == "samples.parquet")
    pieces = list(part.pieces)
    assert len(pieces) > 5
    file = pyarrow.parquet.ParquetFile(io.BytesIO(b"".join(pieces)))
    assert file.metadata.num_row_groups > 5
    assert file.metadata.num_rows == sum(each.t_ns.size for each in report.timeline.series.values())
    column = file.metadata.row_group(0).column(0)
    assert column.compression == "ZSTD"
    assert "DELTA_BINARY_PACKED" in column.encodings
