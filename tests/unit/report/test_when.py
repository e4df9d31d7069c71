"""Two hosts whose clocks are known within 2 ms: no report shows an order of what lies closer together."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from collections.abc import Sequence

import numpy as np
from block_reader import read
from pyarrow.parquet import read_table
from reports import SECOND, START, empty_report, leak_report

from harness.model.event import CONTAINER_OOM, SINCE_NS, Event, Window
from harness.model.host import HOST, HOST_DOWN, ORDER_UNKNOWN, WITHIN_NS, HostClock, RunHost
from harness.model.process import ProcessInfo, ProcessKey, Role, host_key
from harness.model.report import Report
from harness.model.run import Series
from harness.model.span import PhaseName, RequestRecord, Span
from harness.model.timeline import JoinedSpan, JoinMethod, Timeline, Worker
from harness.plugins.exports import RunExport
from harness.report.exporters import chrome_trace, csv_, firefox, html, openmetrics, otlp, parquet
from harness.report.lanes import lifecycle
from harness.report.page.marks import marks
from harness.report.page.series import drawn, encode
from harness.report.when import told

MS = 1_000_000
WITHIN = 2 * MS
DOUBT = "within ± 2.0 ms, order against other hosts unknown"
AT = START + 10 * SECOND


def clock(name: str, *, first: bool, within_ns: int | None = WITHIN) -> HostClock:
    host = RunHost(name, f"ssh://{name}", "web", True, first, 0)
    return (
        HostClock(host, 1, within_ns, None, (AT,), (within_ns,))
        if within_ns is not None
        else HostClock(host, 0, None, None)
    )


def info(host: str, born_ns: int, ended_ns: int | None) -> ProcessInfo:
    return ProcessInfo(
        ProcessKey(host, 7, 7), 1, "app", "app", None, host, born_ns, born_ns, ended_ns or born_ns, ended_ns
    )


def exit_of(host: str, t_ns: int, within_ns: int | None = WITHIN) -> Event:
    return Event(t_ns, "process.exit", ProcessKey(host, 7, 7), f"{host} ended", {HOST: host, WITHIN_NS: within_ns})


def report(timeline: Timeline) -> Report:
    return dataclasses.replace(empty_report(), timeline=timeline)


def two_hosts(apart_ns: int, **changes: object) -> Report:
    """A process of web-2 is born so long after one of web-1 ended; pids and start times are the same on both."""
    lives = [info("web-1", START - SECOND, AT), info("web-2", AT + apart_ns, None)]
    base = empty_report().timeline
    made = dataclasses.replace(
        base,
        manifest=dataclasses.replace(base.manifest, ended_ns=START + 60 * SECOND),
        hosts=(clock("web-1", first=True), clock("web-2", first=False)),
        workers=tuple(Worker(life, Role.WORKER, 0) for life in lives),
        events=(exit_of("web-1", AT),),
        **changes,  # type: ignore[arg-type]  # as named
    )
    return report(made)


CLOSE, FAR = two_hosts(3 * MS), two_hosts(5 * MS)


def written(export: RunExport, of: Report) -> dict[str, bytes]:
    return {part.name: b"".join(part.pieces) for part in export.parts(of)}


def events_of_trace(of: Report) -> dict[str, str]:
    trace = json.loads(written(chrome_trace.EXPORT, of)[""])
    return {e["name"]: e["args"]["text"] for e in trace["traceEvents"] if e.get("cat") == "event"}


def test_the_life_of_a_process_has_no_order_against_the_end_of_another_that_is_close() -> None:
    ended, born = lifecycle(CLOSE.timeline)
    assert [told(ended), told(born)] == [f"web-1 ended ({DOUBT})", f"app ({DOUBT})"]
    ended, born = lifecycle(FAR.timeline)
    assert [told(ended), told(born)] == ["web-1 ended (within ± 2.0 ms)", "app (within ± 2.0 ms)"]
    assert ORDER_UNKNOWN not in ended.attributes


def test_the_pages_marks_and_its_list_of_events_say_so() -> None:
    assert [m.text for m in marks(CLOSE)[0]] == [f"web-1 ended ({DOUBT})", f"7@web-2 (web-2) was born ({DOUBT})"]
    assert [m.text for m in marks(FAR)[0]] == ["web-1 ended", "7@web-2 (web-2) was born"]
    page = html.export(CLOSE).decode()
    assert page.count("10.0000 s ± 2.0 ms") == 1
    assert page.count(DOUBT) == 2
    assert DOUBT not in html.export(FAR).decode()


def test_a_floor_and_a_kill_of_two_hosts_have_no_order() -> None:
    kills = Series(
        "cgroup.web-2.memory.events.oom_kill", host_key("web-2"), np.array([AT, AT + SECOND]), np.array([0, 1])
    )
    window = Window(PhaseName.ROUNDS, 1, None, AT, AT + SECOND, AT + SECOND + MS)
    of = two_hosts(5 * MS, series={(kills.metric, kills.process): kills}, windows=(window,))
    rows = {m.row: m for m in marks(of)[0]}
    assert rows["OOM kills"].text == f"the kernel killed 1 in the cgroup of web-2, within the 1.0 s before ({DOUBT})"
    assert rows["floors"].text == f"floor of rounds round 1 ({DOUBT})"


def test_what_the_recording_machine_saw_has_no_order_against_a_host_either() -> None:
    broke = Event(AT + MS, HOST_DOWN, None, "the line broke", {HOST: "web-2"})
    of = two_hosts(SECOND)
    of = report(dataclasses.replace(of.timeline, events=(*of.timeline.events, broke)))
    assert [told(e) for e in lifecycle(of.timeline)][:2] == [
        f"web-1 ended ({DOUBT})",
        "the line broke (order against other hosts unknown)",
    ]


def test_a_clock_that_was_never_read_gives_no_order_at_all() -> None:
    of = two_hosts(20 * SECOND)
    hosts = (clock("web-1", first=True), clock("web-2", first=False, within_ns=None))
    events = lifecycle(dataclasses.replace(of.timeline, hosts=hosts))
    assert [told(e).partition(" (")[2] for e in events] == [
        f"{DOUBT})",
        "on a clock that was never read, order against other hosts unknown)",
    ]
    assert "30.0000 s ± ?" in html.export(report(dataclasses.replace(of.timeline, hosts=hosts))).decode()


def test_on_one_machine_nothing_is_said_of_it() -> None:
    for of in (leak_report(requests_per_round=8), empty_report()):
        assert not any("±" in text for text in events_of_trace(of).values())
        assert b"\xc2\xb1" not in html.export(of)


def test_what_a_counter_told_happened_at_some_time_before() -> None:
    kill = Event(AT, CONTAINER_OOM, None, "the kernel killed a process", {"pool": "web", SINCE_NS: AT - 250 * MS})
    of = report(dataclasses.replace(empty_report().timeline, events=(kill,)))
    assert [told(e) for e in lifecycle(of.timeline)] == ["the kernel killed a process, within the 250.0 ms before"]
    assert [m.text for m in marks(of)[0]] == ["the kernel killed a process, within the 250.0 ms before"]
    for since in (None, "x", AT + 1, -(1 << 60)):
        late = dataclasses.replace(kill, attributes={SINCE_NS: since})
        assert told(late) == kill.text


def test_chrome_traces_and_firefox_profiles_say_so() -> None:
    assert events_of_trace(CLOSE) == {"process.exit": f"web-1 ended ({DOUBT})", "process.start": f"app ({DOUBT})"}
    assert DOUBT not in str(events_of_trace(FAR))
    trace = json.loads(written(chrome_trace.EXPORT, FAR)[""])
    assert trace["otherData"]["clocks"]["web-2"].startswith("times within ± ")
    assert "no order that is known" in trace["otherData"]["clocks"]["note"]
    profile = json.loads(written(firefox.EXPORT, CLOSE)[""])
    texts = [m["text"] for thread in profile["threads"] for m in thread["markers"]["data"] if m["type"] == "event"]
    assert sorted(texts) == [f"app ({DOUBT})", f"web-1 ended ({DOUBT})"]
    assert len({thread["pid"] for thread in profile["threads"]}) == 3, "one pid on two hosts is two processes"


def test_opentelemetrys_logs_and_spans_say_so() -> None:
    logs = [json.loads(line) for line in written(otlp.EXPORT, CLOSE)["logs.jsonl"].splitlines()]
    records = [log["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0] for log in logs]
    assert [r["body"]["stringValue"] for r in records] == [f"web-1 ended ({DOUBT})", f"app ({DOUBT})"]
    for record in records:
        values = {a["key"]: a["value"] for a in record["attributes"]}
        assert values[WITHIN_NS] == {"intValue": str(WITHIN)}
        assert values[ORDER_UNKNOWN] == {"boolValue": True}
    traces = [json.loads(line) for line in written(otlp.EXPORT, requested())["traces.jsonl"].splitlines()]
    answered = traces[1]["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    assert {"key": "harness.within_ns", "value": {"intValue": str(WITHIN)}} in answered["attributes"]


def requested() -> Report:
    """A request that a process of web-2 answered."""
    span = Span("a" * 16, "home", PhaseName.ROUNDS, 1, 0, 0, None, AT, AT + SECOND, 200, None, 1, ())
    record = RequestRecord("python-agent", 7, "a" * 16, 1, AT + MS, AT + 2 * MS, None, "GET /", 200, None, {}, "web-2")
    joined = JoinedSpan(span, ProcessKey("web-2", 7, 7), JoinMethod.SPAN_ID, record)
    return two_hosts(SECOND, spans=(joined,))


def test_a_request_that_is_placed_by_another_hosts_clock_says_so() -> None:
    trace = json.loads(written(chrome_trace.EXPORT, requested())[""])
    (slice_,) = [e for e in trace["traceEvents"] if e.get("cat") == "request"]
    assert slice_["args"]["times"] == "of the process, within ± 2.0 ms"


def rows(files: dict[str, bytes], name: str) -> Sequence[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(files[f"{name}.csv"].decode())))


def test_the_tables_have_errors_and_orders_in_columns() -> None:
    files = written(csv_.EXPORT, CLOSE)
    assert [(r["host"], r["within_ns"], r["order_unknown"]) for r in rows(files, "events")] == [
        ("web-1", str(WITHIN), "true"),
        ("web-2", str(WITHIN), "true"),
    ]
    assert {r["order_unknown"] for r in rows(written(csv_.EXPORT, FAR), "events")} == {"false"}
    assert [(r["host"], r["first"], r["within_ns"]) for r in rows(files, "hosts")] == [
        ("web-1", "true", str(WITHIN)),
        ("web-2", "false", str(WITHIN)),
    ]
    table = read_table(io.BytesIO(written(parquet.EXPORT, CLOSE)["events.parquet"]))
    assert table.column("order_unknown").to_pylist() == [True, True]


def with_machines() -> Report:
    """Free memory of both machines; the first one's is that of "the machine"."""
    name, times = "system.meminfo.MemFree", np.array([AT, AT + SECOND])
    series = {
        (name, process): Series(name, process, times + (0 if process is None else 400 * MS), np.array([n, n]))
        for n, process in ((1, None), (2, host_key("web-2")))
    }
    return two_hosts(SECOND, series=series)


def test_memory_of_two_machines_is_never_told_as_that_of_one() -> None:
    of = with_machines()
    assert [(r["host"], r["value"], r["pid"]) for r in rows(written(csv_.EXPORT, of), "samples")] == [
        ("web-1", "1", ""),
        ("web-1", "1", ""),
        ("web-2", "2", ""),
        ("web-2", "2", ""),
    ]
    trace = json.loads(written(chrome_trace.EXPORT, of)[""])["traceEvents"]
    names = {e["pid"]: e["args"]["name"] for e in trace if e["name"] == "process_name"}
    counted = {(names[e["pid"]], next(iter(e["args"].values()))) for e in trace if e["ph"] == "C"}
    assert counted == {("machine web-1, sampler and load generator", 1), ("machine web-2 and its sampler", 2)}
    text = written(openmetrics.EXPORT, of)[""].decode()
    found = re.findall(r'meminfo_bytes{run="[^"]+",host="([^"]+)",name="MemFree"} (\d)', text)
    assert found == [("web-1", "1")] * 2 + [("web-2", "2")] * 2
    assert re.findall(r'harness_clock_error_seconds{run="[^"]+",host="web-2"} (\S+)', text) == ["0.002"]
    metrics = written(otlp.EXPORT, of)["metrics.jsonl"].decode()
    assert '"process.pid"' not in metrics


def test_hosts_that_sweep_at_instants_of_their_own_leave_no_holes() -> None:
    """Twelve hosts within 0.1 s of each other, every second: most steps of all of them together are short."""
    name = "process.memory.pss"
    lives = [info(f"web-{n}", START, None) for n in range(12)]
    series = {
        (name, life.key): Series(name, life.key, AT + n * 8 * MS + np.arange(30) * SECOND, np.arange(30) + 1)
        for n, life in enumerate(lives)
    }
    timeline = dataclasses.replace(
        empty_report().timeline, workers=tuple(Worker(life, Role.WORKER, 0) for life in lives), series=series
    )
    header, _ = read(encode(drawn(report(timeline)), START))
    assert [base["holes"] for base in header["bases"]] == [[]]


def test_pools_of_two_hosts_are_drawn_on_top_of_each_other() -> None:
    """Each has a value at the instants of both: its latest, but none across sweeps that are missing."""
    name, lives = "process.memory.pss", [info("web-1", START, None), info("web-2", START, None)]
    first = AT + np.arange(20) * SECOND
    second = np.delete(first + 400 * MS, np.s_[5:12])
    series = {
        (name, life.key): Series(name, life.key, times, np.arange(times.size) + 1)
        for life, times in zip(lives, (first, second), strict=True)
    }
    timeline = dataclasses.replace(
        empty_report().timeline, workers=tuple(Worker(life, Role.WORKER, 0) for life in lives), series=series
    )
    one, other = [each for each in drawn(report(timeline)) if each.metric == "pool.total"]
    both = np.union1d(first, second)
    assert one.t_ns.tolist() == both[both <= first[-1]].tolist()
    assert dict(zip(one.t_ns.tolist(), one.values.tolist(), strict=True))[int(second[3])] == 4
    held = other.t_ns[(other.t_ns > second[4]) & (other.t_ns < second[5])]
    assert held.tolist() == [t for t in first.tolist() if second[4] < t <= second[4] + 3 * SECOND]
    assert set(second.tolist()) <= set(other.t_ns.tolist())


def test_many_pools_are_drawn_as_wholes() -> None:
    names = ("process.memory.pss", "process.memory.pss_anon")
    for count, parts in ((4, {"pool.total", "pool.pss_anon"}), (5, {"pool.total"})):
        lives = [info(f"web-{n}", START, None) for n in range(count)]
        series = {
            (name, life.key): Series(name, life.key, AT + np.arange(3), np.arange(3))
            for life in lives
            for name in names
        }
        workers = tuple(Worker(life, Role.WORKER, 0) for life in lives)
        of = report(dataclasses.replace(empty_report().timeline, workers=workers, series=series))
        assert {each.metric for each in drawn(of) if each.metric.startswith("pool.")} == parts
