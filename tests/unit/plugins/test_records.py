"""The agents' line format: exact for what is right, silent about everything else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.span import BootRecord, CostRecord, FloorRecord, RequestRecord, ToolRecord
from harness.plugins.records import LINE_CAP, parse_record

REQUEST = {
    "k": "req",
    "rt": "php",
    "pid": 7,
    "t0": 1,
    "t1": 2,
    "span": "0123456789abcdef",
    "name": "GET /",
    "st": 200,
    "v": {"peak_bytes": 5},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
KEYS = st.sampled_from(
    [
        "k",
        "rt",
        "pid",
        "ppid",
        "n",
        "ns",
        "t",
        "t0",
        "t1",
        "span",
        "name",
        "st",
        "first",
        "v",
        "tool",
        "file",
        "error",
        "version",
        "missing",
    ]
)


def line(**changes: object) -> bytes:
    return json.dumps({**REQUEST, **changes}).encode()


def test_a_request() -> None:
    expected = RequestRecord(
        "php-agent", 7, "0123456789abcdef", None, 1, 2, None, "GET /", 200, None, {"peak_bytes": 5}
    )
    assert parse_record(line()) == expected


@pytest.mark.parametrize(("said", "meant"), [("null", None), ("0", False), ("1", True)])
def test_the_first_of_its_process_where_that_is_known(said: str, meant: bool | None) -> None:
    parsed = parse_record(line(first="?").replace(b'"?"', said.encode()))
    assert isinstance(parsed, RequestRecord)
    assert parsed.first_in_process is meant


def test_a_boot_and_a_tool() -> None:
    boot = parse_record(b'{"k":"boot","rt":"python","pid":1,"ppid":0,"t":5,"version":"3.8","argv":"x"}')
    assert boot == BootRecord("python-agent", 1, 0, 5, "3.8", "x")
    tool = parse_record(
        b'{"k":"tool","rt":"python","pid":1,"t":5,"tool":"tracemalloc","file":"a-1.json","error":null,"v":{"alone":1}}'
    )
    assert tool == ToolRecord("python-agent", 1, None, 5, "tracemalloc", "a-1.json", None, {"alone": 1})


def test_a_floor() -> None:
    floor = parse_record(
        b'{"k":"floor","rt":"python","pid":1,"t":5,"n":9,"v":{"blocks":3,"x":null},"missing":{"pymalloc":"not used"}}'
    )
    assert floor == FloorRecord("python-agent", 1, 9, 5, {"blocks": 3, "x": None}, {"pymalloc": "not used"})


def test_what_the_agent_took_in_a_request() -> None:
    cost = parse_record(b'{"k":"cost","rt":"python","pid":1,"t":5,"ns":9000}')
    assert cost == CostRecord("python-agent", 1, 5, 9000)


@pytest.mark.parametrize("taken", [None, -1, 1_000_000_000, 2**63, 1e3, float("nan"), True, "9000", [9000]])
def test_a_cost_that_no_agent_can_have_is_no_record(taken: object) -> None:
    assert parse_record(json.dumps({"k": "cost", "rt": "p", "pid": 1, "t": 5, "ns": taken}).encode()) is None


def test_reasons_of_a_floor_are_text_of_a_few_words_with_plain_names() -> None:
    reasons = {"a": 5, "B": "x", "../x": "x", "": "x", "ok": "y" * 1000, "lone": "\ud800"} | {
        f"r{n}": "z" for n in range(20)
    }
    line = json.dumps({"k": "floor", "rt": "p", "pid": 1, "t": 5, "n": 9, "missing": reasons}).encode()
    floor = parse_record(line)
    assert isinstance(floor, FloorRecord)
    assert floor.missing == {"ok": "y" * 160, "lone": "?", "r0": "z", "r1": "z"}


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/b", ".hidden", "", "a\n", "x" * 200, 5])
def test_a_file_that_is_not_a_bare_name_is_no_record(name: object) -> None:
    assert (
        parse_record(json.dumps({"k": "tool", "rt": "p", "pid": 1, "t": 5, "tool": "x", "file": name}).encode()) is None
    )


@pytest.mark.parametrize(
    "changes",
    [{"pid": -1}, {"pid": True}, {"pid": 2**70}, {"pid": "7"}, {"pid": None}, {"k": "other"}, {"name": "x" * LINE_CAP}],
)
def test_what_cannot_be_trusted_is_ignored(changes: dict[str, object]) -> None:
    assert parse_record(line(**changes)) is None


def test_times_that_cannot_be_added_to_another_are_unknown() -> None:
    request = parse_record(line(t0=2**62, t1=2**62 + 1))
    assert isinstance(request, RequestRecord)
    assert (request.start_ns, request.end_ns) == (2**62, None)


def test_parts_that_are_wrong_are_unknown_not_zero() -> None:
    record = parse_record(line(span="ZZ", st="200", t0=None, v={"a": "b", "c": 1.5, "d": True, "e": 3}))
    assert isinstance(record, RequestRecord)
    assert (record.span_id, record.status, record.start_ns) == (None, None, None)
    assert record.values == {"a": None, "c": None, "d": None, "e": 3}


@given(st.one_of(st.binary(max_size=200), JSON.map(lambda value: json.dumps(value).encode())))
def test_noise_never_raises(data: bytes) -> None:
    parse_record(data)


@given(st.dictionaries(KEYS, JSON, max_size=10), st.sampled_from(["req", "boot", "tool", "floor", "cost"]))
def test_records_of_any_content_never_raise_and_hold_the_promised_types(data: dict[str, object], kind: str) -> None:
    record = parse_record(json.dumps({**data, "k": kind}).encode())
    if record is not None:
        assert type(record.pid) is int
        assert record.pid >= 0


def test_deep_nesting_is_survived() -> None:
    assert parse_record(b"[" * 4000 + b"]" * 4000) is None
