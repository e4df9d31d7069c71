"""Generic callgrind: valgrind's own files against callgrind_annotate, pyprof2calltree's, and what the format allows besides."""

from __future__ import annotations

import gzip
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.formats import callgrind_text
from adapters.formats.callgrind import FORMAT, parse_callgrind, read_callgrind
from adapters.formats.estimated_tree import NOTE_TREE
from adapters.python import callgrind as writer
from harness.model.profile import CallEdge, CallNode, Frame, FunctionCost, Profile, ValueType
from tests.support.sound_profiles import assert_sound

CAPTURES = Path(__file__).parents[3] / "fixtures" / "captures" / "callgrind"
FILES = ("plain.callgrind", "instr.callgrind", "uncompressed.callgrind", "parts.callgrind.gz", "cachegrind.gz")
captures = pytest.mark.parametrize("name", FILES)
thorough = settings(deadline=None, max_examples=150)
HEAD = b"# callgrind format\nversion: 1\ncreator: callgrind-3.19.0\npositions: line\nevents: Ir\n\n"


def parse(text: bytes) -> Profile:
    profile = parse_callgrind([text])
    assert_sound(profile)
    return profile


def function(profile: Profile, name: str) -> FunctionCost:
    [found] = [f for f in profile.functions if profile.frames[f.frame].function == name]
    return found


def edges(profile: Profile) -> set[tuple[str, str, int, int, int]]:
    return {
        (profile.frames[e.caller].function, profile.frames[e.callee].function, e.line, e.calls, e.inclusive_values[0])
        for e in profile.edges
    }


# --- valgrind's own -------------------------------------------------------------------------------------------------


@captures
def test_every_capture_is_read_whole(name: str) -> None:
    profile = read_callgrind(CAPTURES / name)
    assert_sound(profile)
    assert profile.complete
    assert not any("could not be read" in note or "adds up" in note for note in profile.notes)
    for position, kind in enumerate(profile.value_types):
        assert profile.totals[kind.name] == sum(f.self_values[position] for f in profile.functions)


def annotated(path: Path, *options: str) -> dict[str, int]:
    """callgrind_annotate's numbers of the first event by ``file:function``, inlined functions where they were inlined."""
    command = ["callgrind_annotate", "--threshold=100", "--show=Ir", *options, str(path)]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    rows = re.findall(r"^ *([\d,]+) \( *[\d.]+%\)  (\S.*?)(?: \[.*\])?$", out, re.MULTILINE)
    return {name: int(number.replace(",", "")) for number, name in rows}


def unpacked(name: str, tmp_path: Path) -> Path:
    if not name.endswith(".gz"):
        return CAPTURES / name
    path = tmp_path / "callgrind.out"
    path.write_bytes(gzip.decompress((CAPTURES / name).read_bytes()))
    return path


@pytest.mark.parametrize("name", FILES[:3])
def test_what_functions_cost_themselves_is_what_callgrind_annotate_says(name: str, tmp_path: Path) -> None:
    """It lists inlined code by the file it came from, so its rows of one function are added up; and levels of recursion."""
    told: dict[str, int] = {}
    for row, number in annotated(unpacked(name, tmp_path)).items():
        plain = re.sub(r"'\d+\Z", "", row.rpartition(":")[2])
        if plain != "PROGRAM TOTALS":
            told[plain] = told.get(plain, 0) + number
    ours: dict[str, int] = {}
    profile = read_callgrind(CAPTURES / name)
    for cost in profile.functions:
        plain = profile.frames[cost.frame].function
        ours[plain] = ours.get(plain, 0) + cost.self_values[0]
    assert {key: value for key, value in ours.items() if value} == told


@pytest.mark.parametrize("name", FILES[:3])
def test_what_they_cost_with_callees_too(name: str, tmp_path: Path) -> None:
    told = annotated(unpacked(name, tmp_path), "--inclusive=yes")
    profile = read_callgrind(CAPTURES / name)
    shown = {row.rpartition(":")[2]: number for row, number in told.items() if "calls.c:" in row}
    assert shown.keys() >= {"main", "even", "odd", "factorial", "sum"}
    for plain in ("main", "even", "odd", "factorial", "sum"):
        assert function(profile, plain).inclusive_values[0] == shown[plain]


def test_the_levels_of_a_recursion_are_one_function() -> None:
    profile = read_callgrind(CAPTURES / "plain.callgrind")
    found = function(profile, "factorial")
    assert (found.calls, found.self_values, found.inclusive_values) == (6, (79 - 65 + 46 + 19,), (79,))
    assert function(profile, "even").calls == 5
    assert not any("'2" in frame.function for frame in profile.frames)
    assert not any("may count calls twice" in note for note in profile.notes)


def test_functions_have_their_file_and_line_and_code_without_debug_information_its_object() -> None:
    profile = read_callgrind(CAPTURES / "plain.callgrind")
    frames = {frame.function: frame for frame in profile.frames}
    assert frames["sum"] == Frame("sum", "/app/calls.c", 13)
    assert frames["main"] == Frame("main", "/app/calls.c", 21)
    assert frames["even"] == Frame("even", "/app/calls.c", 7)
    assert [f for f in profile.frames if f.file == "/app/calls" and f.function == "(below main)"]


def test_the_same_program_gives_the_same_in_every_dialect() -> None:
    """Name and position compression, addresses and jumps, parts."""
    plain = read_callgrind(CAPTURES / "plain.callgrind")
    ours = ("sum", "even", "odd", "factorial", "main")
    for name in FILES[1:4]:
        other = read_callgrind(CAPTURES / name)
        for each in ours[:-1]:
            assert function(other, each).self_values[0] == function(plain, each).self_values[0]
        assert {e for e in edges(other) if e[0] in ours and e[1] in ours[:-1]} == {
            e for e in edges(plain) if e[0] in ours and e[1] in ours[:-1]
        }


def test_several_events_are_several_values() -> None:
    profile = read_callgrind(CAPTURES / "instr.callgrind")
    assert [v.name for v in profile.value_types][:5] == ["instructions", "data_reads", "data_writes", "I1mr", "D1mr"]
    root = profile.tree[0]
    assert root.inclusive_values[1] > root.self_values[1]


def test_parts_are_added_up() -> None:
    profile = read_callgrind(CAPTURES / "parts.callgrind.gz")
    assert "the file has 7 parts, added up" in profile.notes
    assert function(profile, "sum").calls == 6


def test_a_file_without_calls_says_that_it_has_none() -> None:
    profile = read_callgrind(CAPTURES / "cachegrind.gz")
    assert profile.tree == profile.edges == ()
    assert NOTE_TREE not in profile.notes
    assert all(f.calls == 0 and f.self_values == f.inclusive_values for f in profile.functions)


# --- other writers --------------------------------------------------------------------------------------------------


def test_what_the_python_adapter_writes_with_pyprof2calltree_is_read_back() -> None:
    frames = (Frame("main", "/app/a.py", 1), Frame("work", "/app/a.py", 9), Frame("<built-in len>", "", None))
    functions = (
        FunctionCost(0, 1, (10,), (110,)), FunctionCost(1, 3, (70,), (100,)), FunctionCost(2, 5, (30,), (30,)),
    )  # fmt: skip
    calls = (CallEdge(0, 1, 0, 1, (100,)), CallEdge(1, 1, 0, 2, (60,)), CallEdge(1, 2, 0, 5, (30,)))
    tree = (CallNode(0, -1, 1, (10,), (110,)),)
    written = writer.write(Profile("cprofile", (ValueType("time", "ns", "time"),), frames, functions, calls, tree))
    profile = parse(written)
    assert profile.value_types == (ValueType("time", "ns", "Nanoseconds"),)
    for name, cost in zip(("main", "work", "<built-in len>"), functions, strict=True):
        found = function(profile, name)
        assert (found.calls, found.self_values, found.inclusive_values) == (
            cost.calls, cost.self_values, cost.inclusive_values,
        )  # fmt: skip
    assert profile.totals == {"time_ns": 110}
    assert {frame.line for frame in profile.frames if frame.file == "/app/a.py"} == {1, 9}


def test_a_call_without_a_file_stays_in_the_file_of_the_line() -> None:
    profile = parse(HEAD + b"fl=a.c\nfn=f\n1 5\nfi=inline.h\n7 2\ncfn=g\ncalls=1 3\n7 4\nfe=a.c\n2 1\n\nfn=h\n9 3\n")
    assert {(f.function, f.file) for f in profile.frames} == {("f", "a.c"), ("g", "inline.h"), ("h", "a.c")}
    assert function(profile, "f").self_values == (8,)
    assert function(profile, "f").inclusive_values == (12,)
    assert [f.line for f in profile.frames] == [1, 3, 9]


def test_positions_may_be_relative_hexadecimal_and_doubled() -> None:
    text = b"events: Ir\npositions: instr line\nfn=f\n0x10 10 1\n+0x4 +2 1\n* * 1\n-4 -3 1\ncfn=g\ncalls=2 0x99 40\n+1 * 7\n"
    profile = parse(text)
    assert edges(profile) == {("f", "g", 9, 2, 7)}
    assert function(profile, "f").self_values == (4,)
    assert {f.function: f.line for f in profile.frames} == {"f": 9, "g": 40}


def test_missing_costs_are_zero_and_names_may_begin_with_a_brace() -> None:
    profile = parse(b"events: Ir Dr Dw\nfn=(below main)\n1 5\n2 1 1\n3\n\nfn=(7) real\n1 1 1 1\n\nfn=(7)\n1 1\n")
    assert function(profile, "(below main)").self_values == (6, 1, 0)
    assert function(profile, "real").self_values == (2, 1, 1)


def test_units_in_the_names_of_events_are_understood() -> None:
    profile = parse(b"events: Time_(10ns) Memory_(bytes) Requests us\nfn=f\n1 3 4 5 6\n")
    assert [(v.name, v.unit) for v in profile.value_types] == [
        ("time", "ns"), ("memory", "bytes"), ("Requests", "count"), ("time", "ns"),
    ]  # fmt: skip
    assert function(profile, "f").self_values == (30, 4, 5, 6000)


def test_events_can_have_titles() -> None:
    profile = parse(b"event: XX : Page Faults\nevents: XX\nfn=f\n1 3\n")
    assert profile.value_types == (ValueType("XX", "count", "Page Faults"),)


def test_circles_count_once_where_that_can_be_told() -> None:
    """main -> f -> g -> f -> g: that the second f is within the first follows from the file, of g it does not."""
    text = b"fn=main\n1 10\ncfn=f\ncalls=1 1\n2 90\n\nfn=f\n1 40\ncfn=g\ncalls=2 1\n3 70\n\nfn=g\n1 50\ncfn=f\ncalls=1 1\n4 60\n"
    profile = parse(HEAD + text)
    assert function(profile, "main").inclusive_values == (100,)
    assert function(profile, "f").inclusive_values == (90,)
    assert function(profile, "g").inclusive_values == (70,)
    assert any("of 1 function may count calls twice" in note for note in profile.notes)


def test_totals_that_do_not_add_up_are_said() -> None:
    profile = parse(HEAD + b"fn=f\n1 5\n\ntotals: 7\n")
    assert profile.totals == {"instructions": 7}
    assert "own instructions of all functions adds up to 5, the file's total says 7" in profile.notes


def test_without_totals_they_are_unknown() -> None:
    assert parse(HEAD + b"fn=f\n1 5\n").totals == {"instructions": None}


# --- damage ---------------------------------------------------------------------------------------------------------


def test_a_file_cut_anywhere_gives_what_is_there() -> None:
    data = (CAPTURES / "uncompressed.callgrind").read_bytes()
    program = data.rindex(b"\nob=", 0, data.index(b"fn=odd\n"))
    data = data[: data.index(b"ob=")] + data[program + 1 :]  # of the program alone
    whole = parse_callgrind([data])
    most = whole.functions and sum(f.self_values[0] for f in whole.functions)
    for end in range(len(data)):
        try:
            part = parse_callgrind([data[:end]])
        except ValueError:
            assert end < 700
            continue
        assert_sound(part)
        assert sum(f.self_values[0] for f in part.functions) <= most
        if end < data.index(b"\ntotals:"):  # which only say the same again
            assert part != whole


@thorough
@given(st.lists(st.integers(1, 60), max_size=300))
def test_chunks_of_any_size_read_the_same(sizes: list[int]) -> None:
    data = (CAPTURES / "plain.callgrind").read_bytes()
    chunks, at = [], 0
    for size in sizes:
        chunks.append(data[at : at + size])
        at += size
    assert parse_callgrind([*chunks, data[at:]]) == parse_callgrind([data])


names = st.sampled_from([b"f", b"g", b"(1)", b"(1) h", b"(2) a b", b"", b"(x)"])
positions = st.sampled_from([b"+1", b"-3", b"*", b"7", b"0x1f"])
record = st.one_of(
    st.builds(lambda key, name: key + b"=" + name, st.sampled_from([b"fn", b"cfn", b"fl", b"fi", b"cob", b"ob"]), names),
    st.builds(lambda n, line: b"calls=%d %d" % (n, line), st.integers(-2, 9), st.integers(0, 9)),
    st.builds(lambda where, cost: where + b" %d" % cost, positions, st.integers(-9, 2**64)),
    st.binary(max_size=12),
)  # fmt: skip


@thorough
@given(st.lists(record, max_size=40))
def test_whatever_lines_follow_the_header(lines: list[bytes]) -> None:
    try:
        profile = parse_callgrind([HEAD + b"\n".join(lines) + b"\n"])
    except ValueError:
        return
    assert_sound(profile)


@thorough
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(1, 9), st.integers(0, 999)), min_size=1, max_size=15
    )
)
def test_own_costs_add_up_and_calls_are_counted(calls: list[tuple[int, int, int, int]]) -> None:
    text = b"".join(b"fn=f%d\n1 %d\ncfn=f%d\ncalls=%d 1\n2 %d\n" % (a, cost, b, n, cost) for a, b, n, cost in calls)
    profile = parse(HEAD + text)
    assert sum(f.self_values[0] for f in profile.functions) == sum(cost for *_, cost in calls)
    for number in range(6):
        into = sum(n for _, callee, n, _ in calls if callee == number)
        outside = any(callee == number != caller for caller, callee, _, _ in calls)
        for cost in profile.functions:
            if profile.frames[cost.frame].function == f"f{number}":
                assert cost.calls == into + (not outside)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "names no events"),
        (b"version: 1\nfn=f\n1 1\n", "names no events"),
        (b"events: Ir\n", "no costs"),
        (b"events:\nfn=f\n1 1\n", "events are none"),
        (b"events: a a\n", "named twice"),
        (b"events: a\nevents: b\n", "different events"),
        (b"events: a\npositions: bit\n", "unknown kind"),
        (b"events: a\nfn=f\n1 9223372036854775808\n", "impossible numbers"),
        (b"events: ms\nfn=f\n1 9223372036854775807\n", "impossible numbers"),
    ],
)
def test_what_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_callgrind([text])


def test_limits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(callgrind_text, "_NAMES_CAP", 2)
    with pytest.raises(ValueError, match="more than 2 functions"):
        parse_callgrind([HEAD + b"fn=a\n1 1\nfn=b\n1 1\nfn=c\n1 1\n"])
    with pytest.raises(ValueError, match="more than 2 names"):
        parse_callgrind([HEAD + b"ob=(1) a\nob=(2) b\nob=(3) c\n"])
    monkeypatch.setattr(callgrind_text, "_JUNK_CAP", 3)
    with pytest.raises(ValueError, match="more than 3 lines"):
        parse_callgrind([HEAD + b"?\n" * 9])
    with pytest.raises(ValueError, match="line is longer"):
        parse_callgrind([HEAD, b"x" * (2 << 20)])
    bomb = tmp_path / "bomb"
    bomb.write_bytes(gzip.compress(HEAD + b"# nothing\n" * (1 << 20)))
    with pytest.raises(ValueError, match="more than 4 MiB"):
        read_callgrind(bomb, cap_bytes=4 << 20)


def test_lines_that_cannot_be_read_are_counted() -> None:
    profile = parse(HEAD + b"fn=f\n1 5\nwhat is this\n1 2 3 4\n1 x\n2 1\n")
    assert not profile.complete
    assert "3 lines of the file could not be read" in profile.notes
    assert function(profile, "f").self_values == (6,)


def test_it_is_told_from_its_relatives() -> None:
    assert FORMAT.recognises(HEAD)
    assert FORMAT.recognises(b"event: ns : Nanoseconds\nevents: ns\nsummary: 1\n")
    assert not FORMAT.recognises(
        b"version: 1\ncreator: xdebug 3.2.0 (PHP 8.2.36)\ncmd: a\npart: 1\n\nevents: Time Memory\n"
    )
    assert not FORMAT.recognises(b"version: 1\ncmd: unknown\npositions: line\nevents: MemorySize BlocksCount\n\n")
    assert not FORMAT.recognises(b"events of the day: none\n")


def test_a_step_of_more_than_64_bits_is_none() -> None:
    """Every line after it would add up numbers of a million bits."""
    profile = parse(HEAD + b"fn=f\n5 1\n+0x" + b"f" * 1000 + b" 1\n-0x" + b"f" * 17 + b" 1\n+0x1 1\n")
    assert "2 lines of the file could not be read" in profile.notes
    assert function(profile, "f").self_values == (2,)
