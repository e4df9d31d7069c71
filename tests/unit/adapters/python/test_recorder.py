"""The agent's records, checked with the harness's own parser."""

import gc
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.python.agent.recorder import Recorder, Request, span_of
from harness.model.span import CostRecord, RequestRecord, ToolRecord
from harness.plugins.records import LINE_CAP, parse_record

SPAN = "0123456789abcdef"


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    path = tmp_path / "python-x.ndjson"
    path.touch()
    recorder = Recorder(str(path))
    yield recorder
    gc.callbacks.remove(recorder.gc)
    os.close(recorder.statm)
    os.close(recorder.fd)


def lines(recorder: Recorder) -> list[bytes]:
    return Path(recorder.path).read_bytes().splitlines()


def one(recorder: Recorder) -> RequestRecord:
    [line] = lines(recorder)
    record = parse_record(line)
    assert isinstance(record, RequestRecord)
    return record


@pytest.mark.parametrize(
    ("header", "span"),
    [
        (f"00-{'a' * 32}-{SPAN}-01", SPAN),
        (None, None),
        ("", None),
        (f"00-{'a' * 32}-{SPAN.upper()}-01", None),
        (f"00-{'a' * 32}-{'0' * 16}-01", None),
        (f"00-{'a' * 32}-{SPAN[:-1]}g-01", None),
        (f"00-{'a' * 32}-+{SPAN[1:]}-01", None),
        (f"00-{'a' * 32}-{SPAN}-01-extra", None),
        (f"00-{'a' * 32}-{SPAN}-01,00-{'a' * 32}-{SPAN}-01", None),
    ],
)
def test_only_a_well_formed_traceparent_gives_a_span(header: str | None, span: str | None) -> None:
    assert span_of(header) == span


@given(name=st.text(max_size=2000), status=st.none() | st.integers(100, 599), error=st.text(max_size=2000))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_line_is_a_record_whatever_the_names_are(
    recorder: Recorder, name: str, status: int | None, error: str
) -> None:
    os.truncate(recorder.path, 0)
    recorder.reset()  # requests are counted anew, and the first of them is not timed
    request = Request(name, SPAN)
    recorder.begin(request)
    request.status = status
    recorder.end(request)
    recorder.tool("tracemalloc", SPAN, "name.json", error, {"alone": 1, "gate_wait_ns": None})
    first, second = lines(recorder)
    assert max(len(first), len(second)) < LINE_CAP
    record, tool = parse_record(first), parse_record(second)
    assert isinstance(record, RequestRecord)
    assert (record.name, record.status, record.span_id) == (name[:400], status, SPAN)
    assert isinstance(tool, ToolRecord)
    assert tool.error == (error[:480] or None)
    assert dict(tool.values) == {"alone": 1, "gate_wait_ns": None}


def test_values_of_a_request(recorder: Recorder) -> None:
    request = Request("GET /", None)
    recorder.begin(request)
    gc.collect()
    recorder.end(request)
    record = one(recorder)
    assert record.source == "python-agent"
    assert record.pid == os.getpid()
    assert record.first_in_process is True
    assert record.values["gc_runs"] == 1
    assert (record.values["gc_pause_ns"] or 0) > 0
    assert set(record.values) >= {
        "rss_start_bytes",
        "rss_end_bytes",
        "in_flight_max",
        "threads",
        "blocks",
        "gc_collected",
    }


def test_some_requests_say_what_the_agent_took_and_none_of_the_first(recorder: Recorder) -> None:
    for _ in range(41):
        request = Request("GET /", SPAN)
        recorder.begin(request, time.monotonic_ns())
        recorder.end(request)
    records = [parse_record(line) for line in lines(recorder)]
    timed = [at for at, record in enumerate(records) if isinstance(record, CostRecord)]
    assert len(records) == 41 + 2
    assert timed == [8, 8 + 32 + 1], "after the records of the eighth and the fortieth"
    assert all(record.cost_ns > 0 for record in records if isinstance(record, CostRecord))


def test_a_process_that_was_stopped_meanwhile_says_nothing_of_the_agent(recorder: Recorder) -> None:
    for number in range(8):
        request = Request("GET /", SPAN)
        recorder.begin(request, time.monotonic_ns() - (number == 7) * 1_000_000_000)
        recorder.end(request)
    assert len(lines(recorder)) == 8


def test_a_request_ends_once(recorder: Recorder) -> None:
    request = Request("GET /", None)
    recorder.begin(request)
    recorder.end(request)
    recorder.end(request)
    assert len(lines(recorder)) == 1


def test_in_flight_max_counts_whoever_came_and_went_meanwhile(recorder: Recorder) -> None:
    long, short, last = Request("long", None), Request("short", None), Request("last", None)
    recorder.begin(long)
    recorder.begin(short)
    recorder.end(short)
    recorder.end(long)
    recorder.begin(last)
    recorder.end(last)
    found = {r["name"]: r["v"]["in_flight_max"] for r in map(json.loads, lines(recorder))}
    assert found == {"long": 2, "short": 2, "last": 1}


def test_unknown_is_absent_where_the_application_took_our_gc_callback_away(recorder: Recorder) -> None:
    request = Request("GET /", None)
    recorder.begin(request)
    gc.callbacks.remove(recorder.gc)
    recorder.end(request)
    gc.callbacks.append(recorder.gc)
    assert "gc_runs" not in one(recorder).values


def test_blocks_are_counted_at_most_once_a_second_where_counting_is_slow(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr("adapters.python.agent.recorder._blocks", lambda: calls.append(1) or 7)
    ticks = iter(
        [100_000, 1_000_005, 2_100_000, 3_100_000, 2_000_000_000]
    )  # the ends of calls: slow, fast, slow, slow, slow
    monkeypatch.setattr("adapters.python.agent.recorder.monotonic_ns", lambda: next(ticks))
    assert [recorder.blocks(n) for n in (0, 1_000_000, 2_000_000, 3_000_000)] == [7] * 4
    assert recorder.blocks(1_002_999_999) is None
    assert recorder.blocks(1_003_000_000) == 7
    assert recorder.blocks(2_002_999_999) is None
    assert len(calls) == 5


def test_a_closed_and_reused_descriptor_is_never_written_to(recorder: Recorder, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    for fd in (recorder.fd, recorder.statm):
        os.close(fd)
    taken = [os.open(victim, os.O_RDWR | os.O_CREAT) for _ in range(2)]
    request = Request("GET /", None)
    recorder.begin(request)
    recorder.end(request)
    assert victim.read_bytes() == b""
    assert (one(recorder).values["rss_end_bytes"] or 0) > 1_000_000
    for fd in taken:
        os.fstat(fd)  # still the application's
        os.close(fd)


def test_a_torn_line_spoils_no_other(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr("adapters.python.agent.recorder._write", lambda fd, data: real(fd, data[:10]))
    recorder.tool("tracemalloc", None, None, "first", {})
    monkeypatch.undo()
    recorder.tool("tracemalloc", None, None, "second", {})
    parsed = [parse_record(line) for line in lines(recorder)]
    assert [r.error for r in parsed if isinstance(r, ToolRecord)] == ["second"]


def test_a_forked_child_writes_under_its_own_pid_and_reads_its_own_memory(recorder: Recorder) -> None:
    before = Request("GET /parent", None)
    recorder.begin(before)
    pid = os.fork()
    if pid == 0:
        try:
            recorder.end(before)  # not the child's to end
            request = Request("GET /child", None)
            recorder.begin(request)
            recorder.end(request)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    boot, line = lines(recorder)  # a process that finds itself forked announces itself
    assert b'"k":"boot","rt":"python","pid":%d,' % pid in boot
    record = parse_record(line)
    assert isinstance(record, RequestRecord)
    assert (record.name, record.pid, record.first_in_process) == ("GET /child", pid, True)
    assert record.values["in_flight_max"] == 1
