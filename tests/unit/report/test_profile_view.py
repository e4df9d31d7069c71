"""A profile as text and as JSON; hostile names stay harmless."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from harness.model.profile import CollectorRun, Frame, FunctionCost, Peak, Profile, ValueType
from harness.report.profile_view import SCHEMA, Choice, Source, document, text

SOURCE = Source("cachegrind.out.1", "cachegrind", "Xdebug profile")
PROFILE = Profile(
    "xdebug",
    (ValueType("time", "ns", "time"), ValueType("memory_growth", "bytes", "memory growth")),
    (Frame("main", "/app/index.php", None), Frame("small", "/app/a.php", 7), Frame("php::strlen", "", None)),
    (
        FunctionCost(0, 1, (5_000_000, 0), (9_000_000, 4096)),
        FunctionCost(1, 3, (3_000_000, 4096), (4_000_000, 4096)),
        FunctionCost(2, 0, (1_000_000, -2048), (1_000_000, -2048)),
    ),
    peak=Peak(2_000_000, 5 << 20, (0, 1)),
    collections=(
        CollectorRun(10_000, None, 250_000, 2 << 20, 1 << 20, "small"),
        CollectorRun(1, 5, None, None, None, "main", 7_000_000),
    ),
    totals={"time_ns": 9_000_000, "peak_bytes": None, "requests": 3, "started_unix_ns": 1_700_000_000_000_000_000},
    notes=("memory is no leak",),
)


def test_the_text_says_what_it_is_and_what_the_numbers_mean() -> None:
    assert text(SOURCE, PROFILE, Choice(limit=2)) == (
        "cachegrind.out.1: Xdebug profile\n"
        "  note: memory is no leak\n"
        "totals: time 9.0 ms, peak unknown, requests 3, started 2023-11-14T22:13:20Z\n"
        "peak: 5.0 MiB, 2.0 ms after the begin, in\n"
        "  main  /app/index.php\n"
        "  small  /app/a.php:7\n"
        "\n"
        "time: the 2 largest of 3 functions, themselves\n"
        "    self  with callees  calls  function\n"
        "  5.0 ms        9.0 ms      1  main      /app/index.php\n"
        "  3.0 ms        4.0 ms      3  small     /app/a.php:7\n"
        "other values (--value): memory_growth\n"
        "\n"
        "garbage collector: 2 runs\n"
        "  10000 collected, in 250.0 us, 2.0 MiB before, 1.0 MiB after, in small\n"
        "  1 collected, of 5 roots, 7.0 ms after the begin, in main\n"
    )


def test_another_value_and_order() -> None:
    shown = text(SOURCE, PROFILE, Choice(column=1, inclusive=True))
    assert "memory growth: the 3 largest of 3 functions, with what they called" in shown
    table = shown.partition("calls  function\n")[2].splitlines()
    assert [line.split()[5] for line in table[:3]] == ["main", "small", "php::strlen"]
    assert "  -2.0 KiB      -2.0 KiB      ?  php::strlen\n" in shown
    assert "other values (--value): time" in shown


def test_the_document_is_the_same_for_scripts() -> None:
    found = json.loads(document(SOURCE, PROFILE, Choice(inclusive=True, limit=1)))
    assert found["schema"] == SCHEMA
    assert found["format"] == "cachegrind"
    assert found["totals"]["peak_bytes"] is None
    assert found["functions"] == [
        {
            "function": "main", "file": "/app/index.php", "line": None, "calls": 1,
            "self": [5_000_000, 0], "inclusive": [9_000_000, 4096],
        }
    ]  # fmt: skip
    assert (found["function_count"], found["collection_count"]) == (3, 2)
    assert found["peak"]["stack"][1] == {"function": "small", "file": "/app/a.php", "line": 7}
    assert found["sorted_by"] == {"value": "time", "kind": "inclusive"}


def test_a_deep_stack_shows_its_inner_end() -> None:
    deep = Profile("x", (), (Frame("outer", "", None), Frame("inner", "", None)), peak=Peak(1, 1, (*[0] * 30, 1)))
    shown = text(SOURCE, deep, Choice())
    assert "  ... 11 outer calls\n" in shown
    assert shown.endswith("  inner\n")


def test_a_profile_without_functions_has_no_table() -> None:
    empty = Profile("gc", (), collections=PROFILE.collections, complete=False)
    assert text(SOURCE, empty, Choice(limit=1)).splitlines()[0] == "cachegrind.out.1: Xdebug profile, incomplete"
    assert "2 runs, the first 1 of them" in text(SOURCE, empty, Choice(limit=1))
    assert json.loads(document(SOURCE, empty, Choice()))["sorted_by"] is None


hostile = st.text(st.sampled_from("a\x1b[2J\x07\r\n\t\x00\u202e\u200b\ud800\x9b"), max_size=20)


@given(hostile, hostile, hostile)
def test_no_control_character_reaches_the_terminal(name: str, file: str, note: str) -> None:
    kind = ValueType(name, "count", note)
    profile = Profile(
        "x", (kind, kind), (Frame(name, file, 1),), (FunctionCost(0, 1, (1, 1), (1, 1)),), peak=Peak(1, 1, (0,)),
        collections=(CollectorRun(1, None, None, None, None, name),), totals={name: 1}, notes=(note,),
    )  # fmt: skip
    shown = text(Source(file, "x", note), profile, Choice())
    assert all(c.isprintable() or c == "\n" for c in shown)
    assert shown.count("\n") == 13
    document(Source(file, "x", note), profile, Choice()).encode("ascii")
