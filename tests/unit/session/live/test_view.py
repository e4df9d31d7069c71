"""Frames, line by line."""

from __future__ import annotations

import dataclasses
import re

from hypothesis import example, given
from hypothesis import strategies as st

from harness.report.terminal import width
from harness.session.guardrails import Rail
from harness.session.live.history import Bin
from harness.session.live.state import GaugeLine, PoolLine, ProcessLine, Snapshot
from harness.session.live.view import Style, render

SECOND = 1_000_000_000
MIB = 1 << 20
RISING = tuple(Bin(v * MIB, v * MIB, v * MIB) for v in range(100, 116))
FLAT = (Bin(4 << 30, 4 << 30, 4 << 30),) * 16

SNAPSHOT = Snapshot(
    title="shop",
    status="watching until Ctrl-C",
    elapsed_ns=754 * SECOND,
    span_ns=720 * SECOND,
    pools=(
        PoolLine("www", 4, 4, "PSS", 115 * MIB, 1.25 * MIB, RISING),
        PoolLine("api", 8, 6, "RSS", 900 * MIB, -0.5 * MIB, FLAT),
        PoolLine("old", 0, 0, "PSS", None, None, RISING[:3]),
    ),
    processes=(
        ProcessLine(4713, "php-fpm8.2", "www", "PSS", 30 * MIB, 1.0 * MIB),
        ProcessLine(4712, "php-fpm8.2", "www", "PSS", 40 * MIB, None),
    ),
    machine=(
        GaugeLine("available", "bytes", 4 << 30, FLAT, lowest=True),
        GaugeLine("slab", "bytes", 200 * MIB, ()),
        GaugeLine("pressure", "percent", 1.25, (Bin(0, 0, 0), Bin(1.25, 1.25, 1.25))),
        GaugeLine("swap in", "bytes/s", None, ()),
        GaugeLine("swap out", "bytes/s", 4096, (Bin(0, 4096, 4096),)),
    ),
    sampler_percent=0.42,
    ticks=754,
    late=2,
    missed=0,
    events=((1 * SECOND, "www: started: 4711"), (700 * SECOND, "the kernel killed 1 for lack of memory (OOM)")),
)


NUMBERS = """\
shop: 12.6 min, watching until Ctrl-C
pool        alive           size     per min
www             4  PSS 115.0 MiB    +1.2 MiB
api           6/8  RSS 900.0 MiB  -512.0 KiB
old             0          ended         ...
process       pid           size     per min
php-fpm8.2   4712   PSS 40.0 MiB         ...
php-fpm8.2   4713   PSS 30.0 MiB    +1.0 MiB
machine
available                4.0 GiB
slab                   200.0 MiB
pressure                   1.2 %
swap in                  unknown
swap out               4.0 KiB/s
sampler: 0.42 % of one CPU, 754 sweeps, 2 late, 0 missed
1.0 s: www: started: 4711
11.7 min: the kernel killed 1 for lack of memory (OOM)""".splitlines()


SPARKS = {
    1: "last 12.0 min",
    2: "▁▁▂▂▃▃▄▄▅▅▆▆▇▇█  100.0..115.0 MiB",
    3: "▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁  4.0..4.0 GiB",
    4: "▁▅█              100.0..102.0 MiB",
    9: "▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁  4.0..4.0 GiB",
    11: "▁█               0.0..1.2 %",
    13: "▁                0 B/s..4.0 KiB/s",
}


def with_sparklines(sparks: dict[int, str]) -> list[str]:
    """`NUMBERS` with more behind some of the lines."""
    return [line.ljust(46) + sparks[i] if i in sparks else line for i, line in enumerate(NUMBERS)]


def test_eighty_columns_show_sparklines_with_their_bounds() -> None:
    assert render(SNAPSHOT, 79, 40) == with_sparklines(SPARKS)


def test_a_wide_terminal_gives_the_room_to_the_sparklines() -> None:
    wide = {i: spark if i == 1 else spark[:15].ljust(33) + spark[15:] for i, spark in SPARKS.items()}
    wide |= {i: "▁" * 16 + " " * 17 + SPARKS[i][15:] for i in (3, 9)} | {
        2: "▁▁▂▂▃▃▄▄▅▅▆▆▇▇██".ljust(33) + SPARKS[2][15:]
    }
    assert render(SNAPSHOT, 97, 40) == with_sparklines(wide)


def test_without_room_for_bounds_the_sparklines_stay() -> None:
    short = {i: spark if i == 1 else spark[:15].rstrip() for i, spark in SPARKS.items()}
    assert render(SNAPSHOT, 61, 40) == with_sparklines(short)


def test_a_narrow_terminal_has_the_numbers() -> None:
    assert render(SNAPSHOT, 50, 40) == [line if width(line) <= 50 else line[:49] + "…" for line in NUMBERS]


def test_a_low_terminal_keeps_pools_machine_and_cost() -> None:
    at = [0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 14]
    lines = with_sparklines(SPARKS)
    shown = [line.split() for line in render(SNAPSHOT, 79, 11)]
    assert len(shown) == 11
    assert [words[0] for words in shown] == [lines[i].split()[0] for i in at if i != 4]
    assert [words[0] for words in map(str.split, render(SNAPSHOT, 79, 12))] == [lines[i].split()[0] for i in at]
    assert [line.split()[0] for line in render(SNAPSHOT, 79, 4)] == ["shop:", "pool", "www", "machine"]
    assert render(SNAPSHOT, 79, 0) == []


def test_ascii() -> None:
    lines = render(dataclasses.replace(SNAPSHOT, title="kaf\u00e9"), 79, 40, Style(unicode=False))
    assert all(line.isascii() for line in lines)
    assert lines[0] == "kaf?: 12.6 min, watching until Ctrl-C"
    assert lines[2].endswith("  __..::--==++**#  100.0..115.0 MiB")
    assert render(SNAPSHOT, 20, 2, Style(unicode=False)) == ["shop: 12.6 min, wat~", "pool       alive   ~"]


def test_colour_only_where_asked_and_never_left_on() -> None:
    plain, coloured = render(SNAPSHOT, 100, 40), render(SNAPSHOT, 100, 40, Style(colour=True))
    assert not any("\x1b" in line for line in plain)
    assert [re.sub(r"\x1b\[[0-9]+m", "", line) for line in coloured] == plain
    assert all(line.count("\x1b[") in (0, 2) and (line.endswith("\x1b[0m") or "\x1b" not in line) for line in coloured)
    by_name = {line.split()[0].removeprefix("\x1b[33m").removeprefix("\x1b[31m"): line for line in coloured}
    assert by_name["www"].startswith("\x1b[33m"), "grows by more than a hundredth a minute"
    assert by_name["old"].startswith("\x1b[31m"), "ended"
    assert "\x1b" not in by_name["api"]


def test_one_process_is_not_said_twice() -> None:
    alone = dataclasses.replace(SNAPSHOT, processes=SNAPSHOT.processes[:1])
    assert not any(line.startswith("process") for line in render(alone, 100, 40))


names = st.text(max_size=60)


@example(name="", title="\u1a75", event="", columns=1, rows=1, style=Style(False, False), pools=0)
@given(
    name=names,
    title=names,
    event=names,
    columns=st.integers(1, 200),
    rows=st.integers(0, 60),
    style=st.builds(Style, st.booleans(), st.booleans()),
    pools=st.integers(0, 40),
)
def test_whatever_processes_are_called_every_line_fits(
    name: str, title: str, event: str, columns: int, rows: int, style: Style, pools: int
) -> None:
    """And carries no control character but our colours."""
    snapshot = dataclasses.replace(
        SNAPSHOT,
        title=title,
        status=event,
        pools=tuple(dataclasses.replace(SNAPSHOT.pools[0], name=name) for _ in range(pools)),
        processes=tuple(dataclasses.replace(p, name=name) for p in SNAPSHOT.processes),
        events=((0, event),) * 10,
    )
    lines = [re.sub(r"\x1b\[[0-9]+m", "", line) for line in render(snapshot, columns, rows, style)]
    assert len(lines) <= rows
    assert all(width(line) <= columns and line.isprintable() for line in lines)


def test_the_first_sweep_has_no_share_of_a_cpu_yet() -> None:
    first = dataclasses.replace(SNAPSHOT, sampler_percent=None, ticks=1, late=0)
    assert "sampler: 1 sweep, 0 late, 0 missed" in "\n".join(render(first, 100, 30))


RUN = dataclasses.replace(
    SNAPSHOT,
    status="rounds 3/8, block 2/5",
    traffic=(
        GaugeLine("requests", "per second", 323.4, FLAT[:1]),
        GaugeLine("latency p50", "ns", 3_600_000, ()),
        GaugeLine("latency p99", "ns", None, ()),
    ),
    sent=(3008, 2, 7),
    rails=(
        Rail("latency p99", "1.9 s", "at most 2.0 s", 0.95),
        Rail("available memory", "unknown", "at least 1.0 GiB", None),
    ),
    early=(("www", "grows, +2.0 MiB a round (4 rounds; a verdict needs 7)"), ("api", "stays level (4 rounds)")),
)


def test_a_run_shows_its_traffic_what_the_rounds_say_and_how_near_the_guard_rails_are() -> None:
    shown = [" ".join(line.split()) for line in render(RUN, 110, 40)]
    assert shown[0] == "shop: 12.6 min, rounds 3/8, block 2/5"
    at = shown.index("traffic")
    assert shown[at + 1].startswith("requests 323/s ▁")
    assert shown[at + 2 : at + 6] == ["latency p50 3.6 ms", "latency p99 unknown", "failed 2 of 3008", "dropped 7"]
    assert "so far: www grows, +2.0 MiB a round (4 rounds; a verdict needs 7)" in shown
    assert "guard: latency p99 1.9 s (at most 2.0 s); available memory unknown (at least 1.0 GiB)" in shown


def test_a_guard_rail_that_is_near_and_a_failed_request_are_red_and_growth_is_yellow() -> None:
    coloured = render(RUN, 110, 40, Style(colour=True))
    red = [line for line in coloured if line.startswith("\x1b[31m")]
    assert [line for line in red if "guard:" in line]
    assert [line for line in red if "failed" in line]
    assert [line for line in coloured if line.startswith("\x1b[33m") and "www grows" in line]
    calm = dataclasses.replace(RUN, rails=(Rail("latency p99", "0.1 s", "at most 2.0 s", 0.05),), sent=(10, 0, 0))
    assert not [line for line in render(calm, 110, 40, Style(colour=True)) if "guard:" in line and "[31m" in line]
    assert not [line for line in render(calm, 110, 40) if line.startswith("dropped")]


def test_a_low_terminal_keeps_the_pools_of_a_run() -> None:
    shown = [line.split()[0] for line in render(RUN, 79, 6)]
    assert shown[:3] == ["shop:", "pool", "www"]
    assert len(shown) == 6
