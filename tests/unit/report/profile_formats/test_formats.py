"""Each format by itself; that genuine programs read them is tests/integration/test_exports.py."""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reports import (
    HOSTILE,
    allocation_profile,
    call_profile,
    curve_profile,
    hostile_report,
    line_profile,
    object_profile,
)

from adapters.formats import pprof as reader
from adapters.formats.callgrind import FORMAT as CALLGRIND
from harness.model.profile import CallEdge, CallNode, Frame, FunctionCost, Profile, ValueType
from harness.plugins.exports import ProfileExport
from harness.plugins.registry import load_profile_exports
from harness.report.profile_formats import callgrind, chrome_trace, collapsed, pprof, speedscope
from harness.report.profile_formats.stacks import stacks_of

EXPORTS = load_profile_exports()
PROFILES = (call_profile, curve_profile, line_profile, allocation_profile, object_profile)


def made_up(rows: list[tuple[str, str, int, int, int]]) -> Profile:
    """A tree of (function, file, parent, time, bytes), parents by their number modulo what is there."""
    parents = [-1 if n == 0 else row[2] % n for n, row in enumerate(rows)]
    whole = [[row[3], row[4]] for row in rows]
    for node in range(len(rows) - 1, 0, -1):
        whole[parents[node]][0] += whole[node][0]
        whole[parents[node]][1] += whole[node][1]
    tree = tuple(CallNode(n, parents[n], 1, (row[3], row[4]), (whole[n][0], whole[n][1])) for n, row in enumerate(rows))
    frames = tuple(Frame(function, file, None) for function, file, *_ in rows)
    kinds = (ValueType("time", "ns", "time"), ValueType("inuse_space", "bytes", "held"))
    return Profile(tool="t", value_types=kinds, frames=frames, tree=tree)


ROWS = st.lists(
    st.tuples(st.text(max_size=12), st.text(max_size=8), st.integers(0, 50), st.integers(0, 2**40), st.integers(-(2**40), 2**40)),
    min_size=1, max_size=25,
)  # fmt: skip


@pytest.mark.parametrize("export", EXPORTS, ids=lambda export: export.name)
@pytest.mark.parametrize(
    "make", [*PROFILES, lambda: hostile_report().profiles[0].profile], ids=lambda make: make.__name__
)
def test_the_same_profile_gives_the_same_bytes(export: ProfileExport, make: Callable[[], Profile]) -> None:
    if export.name == "chrome-trace" and make in (line_profile, allocation_profile, object_profile):
        with pytest.raises(ValueError, match="no times"):
            export.write(make(), None)
        return
    names = [None] if export.values is None else export.values(make())
    for name in names:
        data = export.write(make(), name)
        assert data == export.write(make(), name)
        if export.name != "pprof":  # which is binary
            assert b"\x1b" not in data
            assert b"\x07" not in data


@pytest.mark.parametrize("export", EXPORTS, ids=lambda export: export.name)
def test_a_wrong_value_is_one_error_with_the_right_ones(export: ProfileExport) -> None:
    with pytest.raises(ValueError, match=r"it has .*time"):
        export.write(call_profile(), "tiem")


@pytest.mark.parametrize("export", EXPORTS, ids=lambda export: export.name)
def test_one_value_can_be_chosen(export: ProfileExport) -> None:
    data = export.write(call_profile(), "time")
    text = gzip.decompress(data) if export.name == "pprof" else data
    assert text
    assert b"memory_growth" not in text


@given(ROWS)
@settings(max_examples=60)
def test_collapsed_lines_are_stacks_and_one_number(rows: list[tuple[str, str, int, int, int]]) -> None:
    profile = made_up(rows)
    total = 0
    text = collapsed.write(profile, "time").decode()
    assert text.count("\n") == len(text.splitlines())
    for line in text.splitlines():
        path, _, number = line.rpartition(" ")
        assert all(path.split(";"))
        total += int(number)
    assert total == sum(row[3] for row in rows)


def test_collapsed_says_where_a_function_is() -> None:
    lines = collapsed.write(call_profile(), "time").decode().splitlines()
    assert lines[0] == "{main} (/srv/shop/index.php:1) 120000"
    assert lines == sorted(lines)
    assert collapsed.values(call_profile()) == ("time", "self_memory_growth")


@given(ROWS)
@settings(max_examples=60)
def test_speedscope_opens_and_closes_calls_in_order(rows: list[tuple[str, str, int, int, int]]) -> None:
    document = json.loads(speedscope.write(made_up(rows)))
    for each in document["profiles"]:
        open_, at = [], 0
        for event in each["events"]:
            assert event["at"] >= at
            at = event["at"]
            if event["type"] == "O":
                open_.append(event["frame"])
            else:
                assert open_.pop() == event["frame"]
        assert open_ == []
        assert at == each["endValue"]
    assert document["profiles"][0]["endValue"] == sum(row[3] for row in rows)
    assert document["profiles"][0]["unit"] == "nanoseconds"


@given(ROWS)
@settings(max_examples=60)
def test_pprof_is_what_our_own_reader_reads_back(rows: list[tuple[str, str, int, int, int]]) -> None:
    """Which was written for files of others."""
    profile = made_up(rows)
    found = reader.parse(reader.unpack(pprof.write(profile)))
    assert found.value_types == (("time", "nanoseconds"), ("inuse_space", "bytes"))
    stacks = stacks_of(profile, signed=True)
    for column in range(2):
        assert sum(sample.values[column] for sample in found.samples) == sum(stacks.values[column])
    names = {frame.function for frame in stacks.frames}
    assert {found.frames[number].function for sample in found.samples for number in sample.stack} <= names


def test_pprof_is_packed_without_a_time() -> None:
    data = pprof.write(curve_profile())
    assert data[3:8] == bytes(5)  # no name, no time
    assert reader.parse(reader.unpack(data)).duration_ns == 9_800_000


@given(ROWS)
@settings(max_examples=40, deadline=None)
def test_callgrind_is_what_our_own_reader_reads_back(rows: list[tuple[str, str, int, int, int]]) -> None:
    profile = made_up([(*row[:4], abs(row[4])) for row in rows])
    with_file = Path("callgrind.out")
    found = _read(CALLGRIND.read, callgrind.write(profile), with_file)
    for column in range(2):
        assert sum(cost.self_values[column] for cost in found.functions) == sum(
            n.self_values[column] for n in profile.tree
        )
    assert CALLGRIND.recognises(callgrind.write(profile))


def _read(read: Callable[[Path], Profile], data: bytes, name: Path) -> Profile:
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / name
        path.write_bytes(data)
        return read(path)


def test_callgrind_takes_calls_and_their_lines_from_the_profile() -> None:
    text = callgrind.write(call_profile()).decode()
    assert "events: time self_memory_growth" in text
    # Kernel->handle calls Cart->add from line 33; growth has no "with callees".
    assert "calls=3 41\n33 6000000 0\n" in text


def test_callgrind_without_a_tree_names_functions_by_the_frames_of_the_profile() -> None:
    """Functions come in the order of their cost, calls go by the numbers of frames."""
    profile = Profile(
        tool="t",
        value_types=(ValueType("time", "ns", "time"),),
        frames=(Frame("main", "a.php", 1), Frame("middle", "a.php", 5), Frame("leaf", "b.php", 7)),
        functions=(FunctionCost(2, 1, (30,), (30,)), FunctionCost(0, 1, (10,), (40,))),
        edges=(CallEdge(0, 2, 3, 1, (30,)),),
    )
    text = callgrind.write(profile).decode()
    assert "fn=(2) main\n1 10\n" in text
    assert "cfn=(4) leaf\ncalls=1 7\n3 30\n" in text
    assert "(4)\n7 30\n" in text
    assert "middle" not in text


def test_callgrind_counts_recursion_once() -> None:
    tree = tuple(CallNode(0, n - 1, 1, (10,), (10 * (5 - n),)) for n in range(5))
    profile = Profile("t", (ValueType("time", "ns", "time"),), frames=(Frame("f", "a.py", 3),), tree=tree)
    text = callgrind.write(profile).decode()
    assert "summary: 50" in text
    assert "calls=4 3\n3 40\n" in text  # of the outermost of four calls within one another


def test_callgrind_reads_no_name_as_a_reference() -> None:
    frames = (Frame("(1)", "(2) x", 1), Frame("(1)", "", None))
    tree = (CallNode(0, -1, 1, (1,), (3,)), CallNode(1, 0, 1, (2,), (2,)))
    profile = Profile("t", (ValueType("D refs:x", "count", "a: b"),), frames=frames, tree=tree)
    text = callgrind.write(profile).decode()
    assert "fl=(1) (2) x\nfn=(2) (1)\n" in text
    assert "events: D_refs_x\n" in text
    found = _read(CALLGRIND.read, text.encode(), Path("c"))
    assert sorted(frame.function for frame in found.frames) == ["(1)", "(1)"]


def test_callgrind_with_negative_numbers_goes_by_the_tree() -> None:
    """The format has none, so the table of functions, where they cancelled out, is of no use."""
    text = callgrind.write(curve_profile()).decode()
    assert "events: time memory_growth_gained memory_growth_given_back" in text
    assert "summary: 9800000 1010000 1000000" in text
    assert "-" not in text[text.index("summary:") :].replace("->", "")


def test_chrome_trace_lays_calls_within_their_callers() -> None:
    document = json.loads(chrome_trace.write(curve_profile()))
    open_: list[float] = []
    at = 0.0
    for event in document["traceEvents"]:
        if event["ph"] in "BE":
            assert event["ts"] >= at
            at = event["ts"]
            open_.append(at) if event["ph"] == "B" else open_.pop()
    assert open_ == []
    assert at == 9800.0
    counters = [event["args"]["bytes"] for event in document["traceEvents"] if event["ph"] == "C"]
    assert counters == [400_000, 410_000, 1_410_000, 410_000]
    [collected] = [event for event in document["traceEvents"] if event["ph"] == "i"]
    assert (collected["ts"], collected["args"]["collected"]) == (6500.0, 10_000)


def test_chrome_trace_has_letters_as_they_are() -> None:
    """Perfetto refuses a file with an escaped pair of surrogates."""
    frames = (Frame(HOSTILE, "", None),)
    profile = dataclasses.replace(curve_profile(), frames=frames * 5)
    text = chrome_trace.write(profile).decode()
    assert "\U0001f4a3" in text
    assert "\\ud83d" not in text.replace("\\\\ud800", "")


def test_functions_without_calls_between_them_are_written_too() -> None:
    kind = ValueType("cpu", "ns", "CPU")
    functions = (FunctionCost(0, 2, (7,), (9,)), FunctionCost(1, 1, (2,), (2,)))
    profile = Profile("t", (kind,), frames=(Frame("a", "", None), Frame("b", "", None)), functions=functions)
    assert b"a 7\n" in collapsed.write(profile)
    assert "summary: 9" in callgrind.write(profile).decode()
    edges = (CallEdge(0, 1, 4, 1, (2,)),)
    assert "calls=1 0\n4 2\n" in callgrind.write(dataclasses.replace(profile, edges=edges)).decode()
