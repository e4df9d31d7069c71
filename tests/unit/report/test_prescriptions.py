"""How recommendations, their reasons, changes and the restart policies look in each format."""

from __future__ import annotations

import dataclasses
import json
from importlib.resources import files

import jsonschema
from reports import HOSTILE, leak_report

from harness.model.finding import Advice, Prescription
from harness.model.report import RecyclingPolicy, RecyclingRow, Report
from harness.report import words
from harness.report.formats import export

CHANGE = 'target:\n  env:\n    MALLOC_ARENA_MAX: "2"\n'
DO = Prescription("malloc-arenas", "Use two arenas.", "MALLOC_ARENA_MAX=2", "less", "waits", "undo", "run again",
                  "one\n- two 350.0 MiB", CHANGE)  # fmt: skip
ANSWER = Prescription(
    "answer-x", "Do not drop caches.", None, "", "", "", "", "3.0 GiB are cached.", None, Advice.ANSWER
)
POLICIES = (
    RecyclingPolicy("none", "never", None, None, None, 9 << 30, 18 << 30, 0.0, 3.5),
    RecyclingPolicy(
        "max-requests", "after 5000 requests and up to 1000 more", 5000, 1000, None, 100 << 20, 140 << 20, 16.4, None
    ),
    RecyclingPolicy(
        "memory-limit", "above 40.0 MiB of private memory", None, None, 40 << 20, 101 << 20, 141 << 20, 16.2, None
    ),
)
ROW = RecyclingRow("app", 4, 90_000.0, 13 << 20, 17 << 20, 2048.0, 0.0825, 86400.0, POLICIES, 1, "the rarest one")


def advised(*prescriptions: Prescription, row: RecyclingRow = ROW) -> Report:
    report = leak_report()
    first = dataclasses.replace(report.findings[0], prescriptions=prescriptions)
    return dataclasses.replace(report, findings=(first, *report.findings[1:]), recycling=(row,))


def text(report: Report, format_name: str) -> str:
    return export(report, format_name).decode()


def test_the_terminal_shows_reason_change_and_answer() -> None:
    shown = text(advised(DO, dataclasses.replace(DO, id="pool-buffers"), ANSWER), "text")
    for line in (
        "   → Use two arenas: MALLOC_ARENA_MAX=2", "     one", "     - two 350.0 MiB", "     to verify, run it again with",
        '           MALLOC_ARENA_MAX: "2"', "   → also: pool-buffers", "   ✗ Do not drop caches. 3.0 GiB are cached.",
    ):  # fmt: skip
        assert line in shown.splitlines()


def test_markdown_shows_the_same() -> None:
    shown = text(advised(DO, ANSWER), "md")
    assert "   - Because: one - two 350.0 MiB" in shown
    assert "     ````yaml\n     target:\n       env:\n         MALLOC\\_ARENA" not in shown  # code is not escaped
    assert '     ````yaml\n     target:\n       env:\n         MALLOC_ARENA_MAX: "2"\n     ````' in shown
    assert "   - Not: Do not drop caches. 3.0 GiB are cached." in shown


def test_json_holds_all_of_it() -> None:
    data = json.loads(text(advised(DO, ANSWER), "json"))
    jsonschema.validate(data, json.loads(files("harness.report").joinpath("report.schema.json").read_text()))
    first, second = data["findings"][0]["prescriptions"]
    assert (first["because"], first["change"], first["kind"]) == ("one\n- two 350.0 MiB", CHANGE, "do")
    assert (second["kind"], second["change"]) == ("answer", None)
    (row,) = data["recycling"]
    assert row["policies"][row["chosen"]]["requests"] == 5000
    assert row["policies"][0]["hours_to_budget"] == 3.5
    assert row["cold_start_s"] == 0.0825


def test_the_page_shows_policies_and_marks_the_chosen_one() -> None:
    page = text(advised(DO, ANSWER), "html")
    assert '<section id="recycling"' in page
    assert "<b>✓ after 5000 requests and up to 1000 more</b>" in page
    assert "never, within 24.0 h" in page
    assert "after 3.5 h" in page
    assert "a cold start costs 82.5 ms" in page
    assert "<b>Not:</b> Do not drop caches." in page
    assert "MALLOC_ARENA_MAX: &quot;2&quot;" in page
    assert '<section id="recycling"' not in text(leak_report(), "html")


def test_hostile_text_stays_text() -> None:
    hostile = dataclasses.replace(
        DO, action=HOSTILE, command=HOSTILE, because=f"a\n{HOSTILE}", change=f"x: '{HOSTILE}'"
    )
    row = dataclasses.replace(
        ROW, pool=HOSTILE, reason=HOSTILE, policies=tuple(dataclasses.replace(p, text=HOSTILE) for p in POLICIES)
    )
    report = advised(hostile, dataclasses.replace(ANSWER, action=HOSTILE, because=HOSTILE), row=row)
    page = export(report, "html").decode("utf-8", "replace")
    assert "<img src=x" not in page
    assert "</script><img" not in page
    for format_name in ("text", "md"):
        shown = export(report, format_name).decode("utf-8", "replace")
        assert "\x1b" not in shown
        assert "\u202e" not in shown
    export(report, "json")


def test_a_fence_cannot_be_closed_from_within() -> None:
    shown = text(advised(dataclasses.replace(DO, change="a: |\n  ````\n  # out")), "md")
    assert shown.count("````") == 2


def test_lines_are_few_and_clean() -> None:
    assert words.lines("", 3) == ()
    assert words.lines("\n a\n  b\x1b\n", 3) == (" a", "  b\\x1b")
    assert words.lines("1\n2\n3\n4", 3) == ("1", "2", "…")
    assert words.lines("1\n2\n3", 3) == ("1", "2", "3")
