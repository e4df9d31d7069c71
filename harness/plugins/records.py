"""The line format our in-target agents write, one JSON object a line, and its parser.

Everything here is hostile input: a target can write anything into these files. Lines over `LINE_CAP` are ignored.

    {"k":"boot","rt":"python","pid":1,"ppid":1,"t":NS,"version":"3.11.7","argv":"..."}
    {"k":"req","rt":"python","pid":1,"n":SEQ,"t0":NS,"t1":NS,"span":"16 hex"|null,"name":"GET /x","st":200,
     "first":0|1|null,"v":{"rss_start_bytes":1}}
    {"k":"tool","rt":"python","pid":1,"t":NS,"span":...,"tool":"tracemalloc","file":"bare-name"|null,
     "error":null|"text","v":{...}}
    {"k":"floor","rt":"python","pid":1,"t":NS,"n":NUMBER,"v":{...},"missing":{"pymalloc":"why"}}
    {"k":"cost","rt":"python","pid":1,"t":NS,"ns":TAKEN}

``cost``: what the agent took in one request, less than a second; from a sample of them. ``t`` values are CLOCK_MONOTONIC ns.
``rt`` becomes ``source`` = "<rt>-agent".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from harness.model.span import BootRecord, CostRecord, FloorRecord, RequestRecord, ToolRecord

LINE_CAP = 8192
_NAME_CAP = 512
_SPAN = re.compile(r"[0-9a-f]{16}\Z")
_BARE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")
_WORD = re.compile(r"[a-z0-9_.]{1,32}\Z")
_INT_LIMIT = 2**63
_MOST_COST_NS = 1_000_000_000
_LATEST_NS = 2**62  # two times can be added in 64 bits; as in harness/store/copying.py
_REASON_CAP, _MOST_REASONS = 160, 8


def parse_record(line: bytes) -> RequestRecord | BootRecord | ToolRecord | FloorRecord | CostRecord | None:
    """One line of an agent's file; None for anything that is not exactly a record."""
    if not line or len(line) > LINE_CAP:
        return None
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict):
        return None
    kind = data.get("k")
    try:
        if kind == "req":
            return _request(data)
        if kind == "boot":
            return _boot(data)
        if kind == "floor":
            return _floor(data)
        if kind == "cost":
            return _cost(data)
        return _tool(data) if kind == "tool" else None
    except (KeyError, TypeError, ValueError):
        return None


def moment_of(record: RequestRecord | BootRecord | ToolRecord | FloorRecord | CostRecord) -> int | None:
    """A time (CLOCK_MONOTONIC, ns) at which its process certainly lived; None where the record tells none."""
    if isinstance(record, RequestRecord):
        return record.end_ns if record.start_ns is None else record.start_ns
    return record.t_ns


def _request(data: Mapping[str, object]) -> RequestRecord:
    return RequestRecord(
        source=_source(data),
        pid=_int(data, "pid"),
        span_id=_span(data),
        sequence=_maybe(data, "n"),
        start_ns=_maybe(data, "t0"),
        end_ns=_maybe(data, "t1"),
        wall_end_ns=None,
        name=_text(data, "name", _NAME_CAP),
        status=_maybe(data, "st"),
        first_in_process=None if data.get("first") is None else bool(data["first"]),
        values=_values(data),
    )


def _boot(data: Mapping[str, object]) -> BootRecord:
    return BootRecord(
        source=_source(data),
        pid=_int(data, "pid"),
        ppid=_maybe(data, "ppid"),
        t_ns=_int(data, "t"),
        runtime_version=_text(data, "version", 64),
        argv=_text(data, "argv", _NAME_CAP),
    )


def _tool(data: Mapping[str, object]) -> ToolRecord:
    file = data.get("file")
    if file is not None and not (isinstance(file, str) and _BARE_NAME.match(file)):
        raise ValueError("not a bare file name")
    return ToolRecord(
        source=_source(data),
        pid=_int(data, "pid"),
        span_id=_span(data),
        t_ns=_int(data, "t"),
        tool=_text(data, "tool", 64),
        file=file,
        error=_text(data, "error", _NAME_CAP) or None,
        values=_values(data),
    )


def _floor(data: Mapping[str, object]) -> FloorRecord:
    return FloorRecord(
        source=_source(data),
        pid=_int(data, "pid"),
        number=_int(data, "n"),
        t_ns=_int(data, "t"),
        values=_values(data),
        missing=_reasons(data),
    )


def _cost(data: Mapping[str, object]) -> CostRecord:
    cost_ns = _int(data, "ns")
    if cost_ns >= _MOST_COST_NS:
        raise ValueError("ns")
    return CostRecord(source=_source(data), pid=_int(data, "pid"), t_ns=_int(data, "t"), cost_ns=cost_ns)


def _source(data: Mapping[str, object]) -> str:
    return f"{_text(data, 'rt', 16)}-agent"


def _text(data: Mapping[str, object], key: str, cap: int) -> str:
    value = data.get(key)
    return _storable(value[:cap]) if isinstance(value, str) else ""


def _storable(text: str) -> str:
    """JSON may spell lone surrogates, which neither SQLite nor a UTF-8 file takes."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _int(data: Mapping[str, object], key: str) -> int:
    value = data[key]
    if type(value) is not int or not 0 <= value <= _LATEST_NS:
        raise ValueError(key)
    return value


def _maybe(data: Mapping[str, object], key: str) -> int | None:
    value = data.get(key)
    return value if type(value) is int and 0 <= value <= _LATEST_NS else None


def _span(data: Mapping[str, object]) -> str | None:
    value = data.get("span")
    return value if isinstance(value, str) and _SPAN.match(value) else None


def _reasons(data: Mapping[str, object]) -> dict[str, str]:
    raw = data.get("missing")
    if not isinstance(raw, dict):
        return {}
    return {
        str(k): _storable(v[:_REASON_CAP])
        for k, v in list(raw.items())[:_MOST_REASONS]
        if isinstance(v, str) and _WORD.match(str(k))
    }


def _values(data: Mapping[str, object]) -> dict[str, int | None]:
    raw = data.get("v")
    if not isinstance(raw, dict):
        return {}
    return {
        _storable(str(k)[:64]): v if type(v) is int and -_INT_LIMIT < v < _INT_LIMIT else None
        for k, v in list(raw.items())[:64]
    }
