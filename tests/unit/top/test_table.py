"""The table fits every terminal, hides nothing it does not know, and lets nothing hostile through."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from looks import MIB, look, process, walk

from harness.report.terminal import width
from harness.sampling.redact import command_line, process_name
from harness.top.grouping import snapshot
from harness.top.model import By, Process, Snapshot, Sort
from harness.top.table import Paper, clip, render

WIDE = Paper(None, None, colour=False)


def shot(processes: list[Process], by: By = By.PROCESS, meminfo: dict[str, int] | None = None) -> Snapshot:
    return snapshot(look(processes, meminfo=meminfo), None, by, Sort.PSS, lambda uid: f"user{uid}")


def table(text: str) -> list[list[str]]:
    """Words of the heading, the rows and the totals."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.split()[:1] == ["PSS"])
    return [line.split() for line in lines[start:]]


def test_a_row_and_the_totals() -> None:
    known = process(7, 3 * MIB, walk=walk(3 * MIB, 2 * MIB), rss=5 * MIB, swap=MIB, threads=4, uid=33, command="php x")
    heading, row, totals = table(render(shot([known]), WIDE))
    assert heading == ["PSS", "USS", "RSS", "SWAP", "GROWTH/MIN", "THR", "AGE", "USER", "PID", "COMMAND"]
    assert row == ["3.0M", "2.0M", "5.0M", "1.0M", "-", "4", "60s", "user33", "7", "php", "x"]
    assert totals[:7] == ["3.0M", "2.0M", "5.0M", "1.0M", "-", "4", "total:"]


def test_unknown_is_a_question_mark_and_the_totals_say_what_is_missing() -> None:
    text = render(shot([process(1, MIB), process(2, None, rss=7 * MIB)]), WIDE, hint="run it with sudo")
    _, first, second, totals, note = table(text)
    assert (first[:3], first[-2]) == (["?", "?", "7.0M"], "2")
    assert second[:3] == ["1.0M", "1.0M", "2.0M"]
    assert totals[:3] == ["1.0M+?", "1.0M+?", "9.0M"]
    assert " ".join(note) == (
        "? PSS and USS of 1 process may not be read (RSS 7.0M, not in the totals marked +?): run it with sudo"
    )


def test_a_walk_older_than_the_last_change_is_marked() -> None:
    text = render(shot([process(1, MIB, stale=True)]), WIDE)
    assert table(text)[1][0] == "1.0M~"
    assert "~ PSS older than the last change" in text


def test_growth_says_what_it_was_measured_on() -> None:
    then = look([process(1, MIB), process(2, None, rss=MIB)])
    now = look([process(1, 3 * MIB, at_s=60), process(2, None, rss=MIB // 2)], at_s=60)
    text = render(snapshot(now, then, By.PROCESS, Sort.PID, str), Paper(None, None, colour=True))
    assert [row[4] for row in table(re.sub("\x1b\\[[0-9]*m", "", text))[1:4]] == ["+2.0M", "-512.0Kr", "+1.5M*"]
    assert "\x1b[33m" in next(line for line in text.splitlines() if "+2.0M" in line)


def test_groups_count_processes_and_cut_container_ids() -> None:
    text = render(
        shot([process(1, cgroup="/docker/" + "0123456789abcdef" * 4), process(2, cgroup="/cafe")], By.CGROUP), WIDE
    )
    heading, *rows = table(text)
    assert heading[-2:] == ["CONTROL", "GROUP"]
    assert {row[-1] for row in rows[:2]} == {"/docker/0123456789ab…", "/cafe"}
    assert {row[5] for row in rows[:2]} == {"1"}


def test_the_memory_of_the_machine() -> None:
    info = {
        "MemTotal": 64 * MIB,
        "MemFree": 32 * MIB,
        "Cached": 4 * MIB,
        "AnonPages": MIB,
        "SwapTotal": 0,
        "SwapFree": 0,
    }
    lines = render(shot([process(1, MIB)], meminfo=info), WIDE).splitlines()
    assert lines[1] == "memory  total 64.0M  available ?  free 32.0M  cached 4.0M  slab ?  shmem ?  no swap"
    assert lines[2] == "used 32.0M = 1.0M processes (sum of PSS) + 4.0M page cache not mapped + 27.0M unexplained"
    assert "meminfo cannot be read" in render(shot([process(1)]), WIDE)


def test_nothing_selected() -> None:
    empty = snapshot(look([], complete=False), None, By.PROCESS, Sort.PSS, str, "matching 'x'")
    assert "no process matching 'x'" in render(empty, WIDE)


@pytest.mark.parametrize("by", By)
@given(columns=st.integers(1, 200), lines=st.integers(1, 60), count=st.integers(0, 40), colour=st.booleans())
def test_it_fits_any_terminal(by: By, columns: int, lines: int, count: int, colour: bool) -> None:
    info = dict.fromkeys(
        ("MemTotal", "MemFree", "Cached", "AnonPages", "Slab", "Shmem", "SwapTotal", "SwapFree"), 5 * MIB
    )
    processes = [
        process(i + 1, None if i % 3 else i * MIB, command="命令 x" * 9, uid=i, cgroup=f"/{i}") for i in range(count)
    ]
    text = render(shot(processes, by, info), Paper(columns, lines, colour), hint="do this", keys="q quit")
    plain = re.sub("\x1b\\[[0-9]*m", "", text)
    assert len(plain.splitlines()) <= lines
    assert max(width(line) for line in plain.splitlines()) <= columns
    assert ("\x1b" in text) <= colour


def test_a_narrow_terminal_keeps_pss_pid_and_the_name() -> None:
    lines = render(shot([process(1234, command="gunicorn: worker")]), Paper(32, 10, colour=False)).splitlines()
    assert any(line.split() == ["1.0M", "1234", "gunicorn:", "worker"] for line in lines)


def test_a_small_terminal_shows_rows_rather_than_the_rest() -> None:
    assert "p1" in render(shot([process(1)], meminfo={"MemTotal": 1}), Paper(80, 3, colour=False), keys="q quit")


def test_few_lines_are_filled_with_rows() -> None:
    """60 columns by 12 lines: the parts of the memory in use would take four of them."""
    info = dict.fromkeys(("MemTotal", "MemFree", "Cached", "AnonPages", "Slab", "Shmem"), 5 * MIB)
    shown = shot([process(n, MIB, command=f"row {n}") for n in range(1, 31)], meminfo=info)
    for lines, rows, second in ((30, 22, "memory"), (12, 8, "PSS"), (6, 4, "1.0M")):
        text = render(shown, Paper(60, lines, colour=False), keys="q quit").splitlines()
        assert len(text) == lines
        assert sum(" row " in line for line in text) == rows
        assert text[1].split()[0] == second


@given(st.lists(st.text(min_size=1), max_size=3), st.binary(max_size=15), st.sampled_from(By))
def test_hostile_names_do_no_harm(arguments: list[str], name: bytes, by: By) -> None:
    """Text goes through `harness.sampling.redact` when it is read; nothing here undoes that."""
    hostile = process(1, command=command_line([*arguments, "\x1b]0;x\x07\n\u202e"]), name=process_name(name), uid=5)
    text = snapshot(look([hostile]), None, by, Sort.PSS, lambda uid: "".join(arguments) + "\x1b\u202e\r")
    for line in render(text, Paper(120, 40, colour=False)).split("\n"):
        assert line.isprintable()


def test_clipping_is_exact_and_quick() -> None:
    assert clip("abc  ", 5) == "abc"
    assert clip("abcdef", 4) == "abc…"
    assert clip("漢字漢字", 5) == "漢字…"
    assert width(clip("漢" * 100_000, 7)) == 7
    assert clip("abc", None) == "abc"
