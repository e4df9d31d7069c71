"""The reader of the collector's reports against a real one, generated ones, every way of cutting them, and garbage."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.formats import xdebug_gcstats
from adapters.formats.xdebug_gcstats import NEVER_RAN, NOTE, parse_gcstats, read_gcstats
from harness.model.profile import CollectorRun

REPORT = Path(__file__).parents[3] / "fixtures" / "captures" / "xdebug" / "collector.gcstats"
HEADER = (
    b"Garbage Collection Report\nversion: 1\ncreator: xdebug 3.2.0 (PHP 8.2.1)\n\n"
    b"Collected | Efficiency% | Duration | Memory Before | Memory After | Reduction% | Function\n"
    b"----------+-------------+----------+---------------+--------------+------------+---------\n"
)
PATCHES = [b"|", b"\n", b"\xff", b"\x00", b" % |", b" ms |", b"9" * 25]
LINE = b"    15000 |    150.00 % |  0.25 ms |       2598120 |       518120 |    80.06 % | cyc\n"


def test_a_real_report() -> None:
    profile = read_gcstats(REPORT)
    assert (profile.tool, profile.value_types, profile.complete) == ("xdebug_gcstats", (), True)
    assert profile.totals == {"runs": 10, "collected": 75_360, "duration_ns": 19_080_000, "freed_bytes": 8_038_400}
    assert profile.collections[1] == CollectorRun(15_000, None, 9_080_000, 2_118_992, 518_992, "make")
    assert [run.function for run in profile.collections] == ["make"] * 5 + ["gc_collect_cycles"] * 5
    assert profile.notes == (NOTE,)


def test_a_request_without_runs_is_a_report_too() -> None:
    profile = parse_gcstats([HEADER])
    assert (profile.collections, profile.complete, profile.totals["runs"]) == ((), True, 0)
    assert profile.notes == (NOTE, NEVER_RAN)
    assert NEVER_RAN not in parse_gcstats([HEADER, LINE]).notes
    assert NEVER_RAN not in parse_gcstats([HEADER, LINE[:20]]).notes, "a run that was cut was one"


numbers = st.integers(0, 10**12)
names = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\n\r"), min_size=1, max_size=20)
runs = st.lists(
    st.tuples(numbers, st.integers(0, 10**7), numbers, numbers, names.filter(lambda n: n not in {"-", " "})), max_size=8
)


@settings(deadline=None)
@given(runs, st.integers(1, 60))
def test_any_runs_are_read_exactly(runs: list[tuple[int, int, int, int, str]], size: int) -> None:
    text = HEADER + b"".join(
        f"{collected:9} | {collected / 100:9.2f} % | {hundredths // 100:2}.{hundredths % 100:02} ms | {before:13} | {after:12} "
        f"| {(1 - after / before) * 100 if before else 0:8.2f} % | {name}\n".encode()
        for collected, hundredths, before, after, name in runs
    )
    profile = parse_gcstats(text[i : i + size] for i in range(0, len(text), size))
    assert profile.complete
    assert [(r.collected, r.duration_ns, r.before_bytes, r.after_bytes, r.function) for r in profile.collections] == [
        (collected, hundredths * 10_000, before, after, name) for collected, hundredths, before, after, name in runs
    ]
    assert profile.totals["freed_bytes"] == sum(before - after for _, _, before, after, _ in runs)


def test_no_function_and_a_function_with_bars() -> None:
    profile = parse_gcstats([HEADER, LINE.replace(b"cyc", b"-"), LINE.replace(b"cyc", b"{closure} | x | y")])
    assert [run.function for run in profile.collections] == ["", "{closure} | x | y"]


def test_a_report_cut_at_any_byte() -> None:
    data = REPORT.read_bytes()
    heading, runs = data.index(b"----------+"), data.index(b"    15000")
    for length in range(len(data)):
        if length < heading:
            with pytest.raises(ValueError, match="no report"):
                parse_gcstats([data[:length]])
            continue
        profile = parse_gcstats([data[:length]])
        assert len(profile.collections) == data[runs:length].count(b"\n")
        assert profile.complete == data[:length].endswith(b"\n")
        assert profile.complete or "the report ends within a line; that run is missing" in profile.notes


def test_packed_and_cut_archives(tmp_path: Path) -> None:
    path = tmp_path / "report"
    packed = gzip.compress(REPORT.read_bytes())
    path.write_bytes(packed)
    assert read_gcstats(path) == read_gcstats(REPORT)
    for length in range(0, len(packed) - 12, 7):
        path.write_bytes(packed[:length])
        try:
            assert len(read_gcstats(path).collections) <= 10
        except ValueError:
            continue


@pytest.mark.parametrize(
    "line",
    [
        b"    15000 |    150.00 % |  0.25 ms |       2598120 |       518120 |    80.06 %\n",
        LINE.replace(b"0.25", b"nan"),
        LINE.replace(b"0.25", b"1e9"),
        LINE.replace(b"0.25", b"0.2"),
        LINE.replace(b"0.25", b"9" * 40 + b".25"),
        LINE.replace(b"2598120", b"9" * 30),
        LINE.replace(b"2598120", b"-5"),
        LINE.replace(b"15000", b"\x00"),
        LINE.replace(b"15000", "１５".encode()),
        LINE.replace(b"cyc", b""),
        b"x" * 40_000 + b"\n",
        b"words\n",
    ],
)
def test_one_broken_line_costs_that_line(line: bytes) -> None:
    for size in (7, 10**6):
        text = HEADER + LINE + line + LINE
        profile = parse_gcstats(text[i : i + size] for i in range(0, len(text), size))
        assert len(profile.collections) == 2
        assert not profile.complete
        assert profile.notes[-1] == "1 lines of the report could not be read"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "heading is missing"),
        (b"\n" + HEADER, "heading is missing"),
        (b"version: 1\ncreator: xdebug 3.2.0 (PHP 8.2.36)\ncmd: /app/x.php\n", "heading is missing"),
        (b"Garbage Collection Report\n" + b"\n" * 100, "columns are missing"),
        (b"x" * (1 << 20), "heading is missing"),
    ],
)
def test_what_is_no_report_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_gcstats([text])


def test_damage_never_raises_anything_but_value_error() -> None:
    for seed in range(400):
        chance = random.Random(seed)
        text = bytearray(REPORT.read_bytes())
        for _ in range(chance.randint(1, 10)):
            start = chance.randrange(len(text))
            text[start : start + chance.randint(0, 30)] = chance.choice(
                [b"|", b"\n", b"\xff", b"\x00", b" % |", b" ms |", b"9" * 25]
            )
        try:
            profile = parse_gcstats([bytes(text)])
        except ValueError:
            continue
        for run in profile.collections:
            run.function.encode()
            assert 0 <= run.collected < 2**63


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xdebug_gcstats, "RUNS_CAP", 3)
    profile = parse_gcstats([HEADER, LINE * 5])
    assert (len(profile.collections), profile.totals["runs"], profile.totals["collected"]) == (3, 5, 75_000)
    assert profile.notes[-1] == "the first 3 of 5 runs are listed; the totals are of all"
    path = tmp_path / "report"
    path.write_bytes(gzip.compress(HEADER + LINE * 40_000))
    profile = read_gcstats(path, cap_bytes=2 << 20)
    assert not profile.complete
    assert profile.notes[0] == "only the first 2 MiB of the report were read"
    assert len(parse_gcstats([HEADER, LINE.replace(b"cyc", b"c" * 9000)]).collections[0].function) == 1024
