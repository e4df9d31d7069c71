"""The reader of traces against a real capture, generated calls with known memory, every way of cutting a file, and garbage."""

from __future__ import annotations

import gzip
import random
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.formats import xdebug_trace, xdebug_trace_text
from adapters.formats.moments import POINTS_CAP
from adapters.formats.xdebug_trace import NOTE_MEMORY, NOTE_PEAK, parse_trace, read_trace
from harness.model.profile import CallNode, FunctionCost, Profile

thorough = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])  # CI may be busy
EDGE = Path(__file__).parents[3] / "fixtures" / "captures" / "xdebug" / "edge.xt"
HEADER = b"Version: 3.2.0\nFile format: 4\nTRACE START [2026-11-23 02:50:14.773136]\n"
FOOTER = b"\t\t\t9.000000\t77\nTRACE END   [2026-11-23 02:50:23.773136]\n\n"
MAIN = b"1\t0\t0\t0.000001\t100\t{main}\t1\t\t/app/x.php\t0\t0\n"
MAIN_OVER = b"1\t0\t1\t0.000900\t120\n"


def parse(*lines: bytes) -> Profile:
    return parse_trace([b"".join(lines)])


def whole(*lines: bytes) -> Profile:
    return parse(HEADER, *lines, FOOTER)


def enter(level: int, call: int, us: int, memory: int, name: str = "f", *, kind: int = 1, line: int = 3) -> bytes:
    moment = f"{us // 1_000_000}.{us % 1_000_000:06}"
    return f"{level}\t{call}\t0\t{moment}\t{memory}\t{name}\t{kind}\t\t/app/x.php\t{line}\t0\n".encode()


def leave(level: int, call: int, us: int, memory: int) -> bytes:
    return f"{level}\t{call}\t1\t{us // 1_000_000}.{us % 1_000_000:06}\t{memory}\n".encode()


def function(profile: Profile, name: str) -> FunctionCost:
    [found] = [f for f in profile.functions if profile.frames[f.frame].function == name]
    return found


def named(profile: Profile, stack: tuple[int, ...]) -> list[str]:
    return [profile.frames[frame].function for frame in stack]


def roots(profile: Profile) -> list[CallNode]:
    return [node for node in profile.tree if node.parent < 0]


# --- a real file ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def edge() -> Profile:
    return read_trace(EDGE)


def test_a_real_trace_is_read_completely(edge: Profile) -> None:
    assert edge.complete
    assert edge.tool == "xdebug_trace"
    assert [(t.name, t.unit) for t in edge.value_types] == [("time", "ns"), ("memory_growth", "bytes")]
    assert edge.notes[:2] == (NOTE_MEMORY, NOTE_PEAK)
    assert edge.totals == {
        "peak_bytes": 8_417_016,
        "start_bytes": 413_264,
        "end_bytes": 398_376,
        "time_ns": 5_783_000,
        "started_unix_ns": None,
    }
    assert sum(f.calls for f in edge.functions) == 65
    assert sum(e.calls for e in edge.edges) == 65 - 4


def test_what_was_given_back_is_negative_and_the_curve_shows_the_spike(edge: Profile) -> None:
    assert function(edge, r"App\Sem\Foo->free").self_values == (252_000, 413_320 - 3_415_712)
    assert function(edge, r"App\Sem\temp").inclusive_values == (2_803_000, 0)
    assert edge.peak is not None
    assert (edge.peak.offset_ns, edge.peak.bytes) == (4_389_000, 8_417_016)
    assert named(edge, edge.peak.stack) == ["{main}", r"App\Sem\temp", "php::str_repeat"]
    assert (len(edge.curve), edge.curve[0].label, edge.curve[-1].label) == (131, "entering {main}", "end of the trace")
    spike = [p for p in edge.curve if p.bytes == 8_417_016]
    assert [p.label for p in spike] == ["leaving php::str_repeat"]


def test_roots_are_main_the_fiber_the_shutdown_function_and_the_late_destructor(edge: Profile) -> None:
    assert sorted(named(edge, tuple(node.frame for node in roots(edge)))) == [
        r"App\Sem\Foo->__destruct",
        r"App\Sem\{closure:/app/edge.php:34-34}",
        r"App\Sem\{closure:/app/edge.php:35-35}",
        "{main}",
    ]
    assert any(note.startswith("1 fibers ran") for note in edge.notes)
    fiber = function(edge, r"App\Sem\{closure:/app/edge.php:34-34}")
    assert fiber.inclusive_values == (42_000, 432_824 - 432_856)
    assert function(edge, "php::Fiber::suspend").inclusive_values == (11_000, 834_264 - 834_264)


def test_names_are_those_of_profiles(edge: Profile) -> None:
    files = {frame.function: frame.file for frame in edge.frames}
    assert files["php::str_repeat"] == "php:internal"
    assert files["require::/app/edge inc.php"] == "/app/edge inc.php"
    assert files["eval"] == "/app/edge.php(30) : eval()'d code"
    assert files[r"App\Sem\Foo->alloc"] == "/app/edge.php"  # it calls something from there
    assert files[r"App\Sem\Ünï_код"] == ""  # nothing in the trace says where it is
    assert files[r"App\Sem\Foo->magic"] == ""  # it does not exist: its call of __call is its caller's


def test_edges_have_the_line_of_the_call(edge: Profile) -> None:
    calls = {
        (edge.frames[e.caller].function, edge.frames[e.callee].function, e.line): (e.calls, e.inclusive_values[1])
        for e in edge.edges
    }
    assert calls["{main}", r"App\Sem\Foo->alloc", 15] == (1, 3_415_712 - 413_320)
    assert calls["{main}", r"App\Sem\Foo->alloc", 27] == (1, 414_064 - 413_904)
    assert calls[r"App\Sem\rec", r"App\Sem\rec", 11][0] == 3


# --- any tree of calls ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Called:
    """One call: what memory was when it began and ended, how long each of its stretches takes."""

    name: str
    line: int
    before: int
    after: int
    us: int
    children: tuple[Called, ...] = ()

    @property
    def total_us(self) -> int:
        return self.us * (len(self.children) + 1) + sum(child.total_us for child in self.children)

    @property
    def growth(self) -> int:
        return self.after - self.before

    @property
    def own(self) -> tuple[int, int]:
        return (self.us * (len(self.children) + 1) * 1000, self.growth - sum(child.growth for child in self.children))


def _called(children: st.SearchStrategy[tuple[Called, ...]]) -> st.SearchStrategy[Called]:
    size = st.integers(0, 10_000_000)
    return st.builds(Called, st.sampled_from("abcde"), st.integers(1, 4), size, size, st.integers(0, 50), children)


CALLS = st.recursive(_called(st.just(())), lambda c: _called(st.lists(c, max_size=4).map(tuple)), max_leaves=25)
PROGRAMS = st.lists(CALLS, min_size=1, max_size=3)
Moments = list[tuple[int, int, str]]


def write(program: list[Called]) -> tuple[bytes, Moments]:
    """What Xdebug would write for it, and what was held when."""
    out, moments, now, number = [HEADER], [], 0, 0

    def call(called: Called, level: int) -> None:
        nonlocal now, number
        mine, number = number, number + 1
        out.append(enter(level, mine, now, called.before, called.name, line=called.line))
        moments.append((now * 1000, called.before, f"entering {called.name}"))
        for child in called.children:
            now += called.us
            call(child, level + 1)
        now += called.us
        out.append(leave(level, mine, now, called.after))
        moments.append((now * 1000, called.after, f"leaving {called.name}"))

    for called in program:
        call(called, 1)
    out.append(f"\t\t\t{now / 1e6:.6f}\t55\nTRACE END   [2026-11-23 02:50:14.778942]\n\n".encode())
    moments.append((now * 1000, 55, "end of the trace"))
    return b"".join(out), moments


Folded = dict[str, list[object]]


def fold(calls: list[Called]) -> Folded:
    """The expected tree, written the obvious way."""
    folded: dict[str, list[Called]] = {}
    for call in calls:
        folded.setdefault(call.name, []).append(call)
    return {
        name: [
            len(same),
            (sum(c.own[0] for c in same), sum(c.own[1] for c in same)),
            (sum(c.total_us for c in same) * 1000, sum(c.growth for c in same)),
            fold([child for c in same for child in c.children]),
        ]
        for name, same in folded.items()
    }


def tree_of(profile: Profile) -> Folded:
    levels: list[Folded] = []
    top: Folded = {}
    for node in profile.tree:
        below: Folded = {}
        level = top if node.parent < 0 else levels[node.parent]
        level[profile.frames[node.frame].function] = [node.calls, node.self_values, node.inclusive_values, below]
        levels.append(below)
    return top


def everywhere(calls: list[Called]) -> Iterator[Called]:
    for call in calls:
        yield call
        yield from everywhere(list(call.children))


def outermost(calls: list[Called], name: str) -> tuple[int, int]:
    time = growth = 0
    for call in calls:
        below = (call.total_us * 1000, call.growth) if call.name == name else outermost(list(call.children), name)
        time, growth = time + below[0], growth + below[1]
    return time, growth


@thorough
@given(PROGRAMS)
def test_any_calls_are_read_exactly(program: list[Called]) -> None:
    text, moments = write(program)
    profile = parse(text)
    assert profile.complete
    assert profile.notes == (NOTE_MEMORY, NOTE_PEAK)
    assert tree_of(profile) == fold(program)
    assert [(p.offset_ns, p.bytes, p.label) for p in profile.curve] == moments
    highest = max(moments, key=lambda moment: moment[1])
    assert profile.peak is not None
    assert (profile.peak.offset_ns, profile.peak.bytes) == highest[:2]
    assert profile.totals["peak_bytes"] == highest[1]
    assert profile.totals["time_ns"] == moments[-1][0]
    for cost in profile.functions:
        name = profile.frames[cost.frame].function
        calls = [call for call in everywhere(program) if call.name == name]
        assert cost.calls == len(calls)
        assert cost.self_values == (sum(c.own[0] for c in calls), sum(c.own[1] for c in calls))
        assert cost.inclusive_values == outermost(program, name)


@thorough
@given(PROGRAMS)
def test_edges_are_calls_by_line(program: list[Called]) -> None:
    profile = parse(write(program)[0])
    expected: dict[tuple[str, str, int], list[int]] = {}
    for caller in everywhere(program):
        for callee in caller.children:
            edge = expected.setdefault((caller.name, callee.name, callee.line), [0, 0, 0])
            edge[0] += 1
            edge[1] += callee.total_us * 1000
            edge[2] += callee.growth
    found = {
        (profile.frames[e.caller].function, profile.frames[e.callee].function, e.line): [e.calls, *e.inclusive_values]
        for e in profile.edges
    }
    assert found == expected


@thorough
@given(PROGRAMS, st.integers(1, 50))
def test_the_size_of_the_chunks_does_not_matter(program: list[Called], size: int) -> None:
    text, _ = write(program)
    assert parse_trace(text[i : i + size] for i in range(0, len(text), size)) == parse(text)


@thorough
@given(PROGRAMS)
def test_too_many_paths_cost_the_tree_and_not_the_totals(program: list[Called]) -> None:
    text, _ = write(program)
    full = parse(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(xdebug_trace_text, "PATHS_CAP", 4)
        patch.setattr(xdebug_trace, "PATHS_CAP", 4)
        few = parse(text)
    assert len(few.tree) <= 3
    assert [(f.calls, f.self_values) for f in few.functions] == [(f.calls, f.self_values) for f in full.functions]
    assert sorted(few.edges, key=repr) == sorted(full.edges, key=repr)
    assert few.curve == full.curve
    assert few.peak == full.peak
    kept = tree_of(few)
    assert kept.keys() <= tree_of(full).keys()
    if few.tree and len(few.notes) > 2:
        assert "more than 4 different call paths" in few.notes[2]


# --- what Xdebug writes besides calls and returns -------------------------------------------------------------------


def test_returned_values_assignments_and_arguments_are_passed_over() -> None:
    profile = whole(
        MAIN,
        b"2\t1\t0\t0.000002\t100\tf\t1\t\t/app/x.php\t4\t3\t'a\tb'\t???\t[0 => 1]\n",
        b"2\t\tA\t\t\t\t\t\t/app/x.php\t5\t$x = 'y\t1\t0'\n",
        b"2\t1\t1\t0.000005\t130\n",
        b"2\t1\tR\t\t\t'value\twith\ttabs'\n",
        MAIN_OVER,
    )
    assert profile.complete
    assert function(profile, "f").self_values == (3_000, 30)


def test_traces_of_xdebug_2_have_no_number_of_arguments_and_whole_seconds() -> None:
    text = (
        b"Version: 2.4.0\nFile format: 2\nTRACE START [2015-05-06 14:37:16]\n"
        b"1\t0\t0\t0.000001\t100\t{main}\t1\t\t/app/x.php\t0\n2\t1\t0\t0.000002\t100\tinclude\t1\t/app/y.php\t/app/x.php\t4\n"
        b"2\t1\t1\t0.000005\t130\n1\t0\t1\t0.000900\t120\n\t\t\t0.000901\t90\nTRACE END   [2015-05-06 14:37:17]\n\n"
    )
    profile = parse_trace([text], zone=UTC)
    assert profile.complete
    assert profile.totals["started_unix_ns"] == int(datetime(2015, 5, 6, 14, 37, 16, tzinfo=UTC).timestamp()) * 10**9
    assert function(profile, "include::/app/y.php").self_values == (3_000, 30)


@pytest.mark.parametrize(
    ("written", "ns"),
    [
        ("2026-11-23 02:50:14.773136", None),
        ("2026-11-23 02:50:14.773136+01:00", 1_795_398_614_773_136_000),
        ("2026-11-23 01:50:14.773136 UTC", 1_795_398_614_773_136_000),
        ("2026-11-23T01:50:14Z", 1_795_398_614_000_000_000),
        ("yesterday", None),
        ("9999-99-99 00:00:00+00:00", None),
        ("", None),
    ],
)
def test_the_start_is_known_where_the_zone_is(written: str, ns: int | None) -> None:
    text = HEADER.replace(b"2026-11-23 02:50:14.773136", written.encode()) + MAIN + MAIN_OVER + FOOTER
    assert parse(text).totals["started_unix_ns"] == ns


def test_local_time_becomes_a_start_with_the_zone_of_the_process() -> None:
    profile = parse_trace([HEADER, MAIN, MAIN_OVER, FOOTER], zone=timezone(timedelta(hours=1)))
    assert profile.totals["started_unix_ns"] == 1_795_398_614_773_136_000


def test_calls_that_never_return_end_with_their_caller_or_at_the_last_moment() -> None:
    profile = whole(MAIN, enter(2, 1, 10, 200, "f"), enter(3, 2, 20, 300, "g"), leave(2, 1, 50, 250), MAIN_OVER,
                    enter(1, 3, 1_000, 120, "late"), enter(2, 4, 1_500, 500, "boom"))  # fmt: skip
    assert profile.complete  # the file is whole
    assert any(note.startswith("3 calls have no end") for note in profile.notes)
    assert function(profile, "g").inclusive_values == (30_000, -50)
    assert function(profile, "f").inclusive_values == (40_000, 50)
    assert function(profile, "late").inclusive_values == (500_000, 380)
    assert function(profile, "boom").inclusive_values == (0, 0)


def test_a_new_call_at_the_same_level_ends_what_never_returned() -> None:
    profile = whole(MAIN, enter(2, 1, 10, 200, "f"), enter(2, 2, 20, 300, "g"), leave(2, 2, 30, 310), MAIN_OVER)
    assert function(profile, "f").inclusive_values == (10_000, 100)
    assert {named(profile, (n.frame,))[0]: n.parent for n in profile.tree} == {"{main}": -1, "g": 0, "f": 0}


def test_a_trace_begun_in_the_middle_of_a_request() -> None:
    profile = whole(leave(3, 9, 5, 90), enter(3, 10, 10, 200, "f"), leave(3, 10, 20, 260), leave(2, 8, 30, 200),
                    enter(2, 11, 40, 200, "g"), leave(2, 11, 50, 190))  # fmt: skip
    assert "2 calls began before the trace did and are not in it" in profile.notes
    assert [node.parent for node in profile.tree] == [-1, -1]
    assert function(profile, "f").self_values == (10_000, 60)


def test_fibers_go_on_where_they_stopped() -> None:
    def start(level: int, call: int, us: int) -> bytes:
        return enter(level, call, us, 100, "Fiber->start", kind=0)

    def suspend(level: int, call: int, us: int, memory: int) -> bytes:
        return enter(level, call, us, memory, "Fiber::suspend", kind=0)

    profile = whole(
        MAIN,
        enter(2, 1, 10, 100, "deep"),
        start(3, 2, 20), enter(2, 3, 30, 100, "body"), suspend(3, 4, 40, 700), leave(3, 2, 50, 700),
        start(3, 5, 60), enter(2, 6, 70, 700, "other"), suspend(3, 7, 80, 900), leave(3, 5, 90, 900),
        enter(3, 8, 100, 900, "Fiber->resume", kind=0), leave(3, 4, 110, 900),
        leave(2, 3, 120, 500), leave(3, 8, 130, 500),
        leave(2, 1, 140, 500), MAIN_OVER, leave(3, 7, 2_000, 400), leave(2, 6, 2_010, 300),
    )  # fmt: skip
    assert profile.complete
    assert profile.notes[2].startswith("2 fibers ran")
    assert len(profile.notes) == 3  # nothing is unknown or unfinished
    assert function(profile, "body").inclusive_values == (90_000, 400)
    assert function(profile, "other").inclusive_values == (1_940_000, -400)
    assert function(profile, "deep").inclusive_values == (130_000, 400)
    assert sorted(named(profile, tuple(node.frame for node in roots(profile)))) == ["body", "other", "{main}"]


def test_several_traces_in_one_file_come_one_after_the_other() -> None:
    text = HEADER + MAIN + MAIN_OVER + FOOTER
    profile = parse(text, text)
    assert profile.complete
    assert function(profile, "{main}").inclusive_values == (2 * 899_000, 40)
    assert [p.offset_ns for p in profile.curve] == [
        1_000,
        900_000,
        9_000_000_000,
        9_000_001_000,
        9_000_900_000,
        18 * 10**9,
    ]
    assert any(note.startswith("the file holds 2 traces") for note in profile.notes)


def test_a_clock_that_goes_back_is_told() -> None:
    profile = whole(MAIN, enter(2, 1, 500, 100), leave(2, 1, 400, 100), MAIN_OVER)
    assert "the clock went back 1 times; those moments count as the ones before them" in profile.notes
    assert function(profile, "f").inclusive_values == (0, 0)


def test_php_without_its_own_allocator_counts_nothing() -> None:
    profile = parse(HEADER, enter(1, 0, 1, 0, "{main}"), leave(1, 0, 2, 0), FOOTER.replace(b"\t77\n", b"\t0\n"))
    assert any("USE_ZEND_ALLOC=0" in note for note in profile.notes)


# --- long traces ----------------------------------------------------------------------------------------------------


def wave(lines: int, seed: int = 1) -> tuple[bytes, list[tuple[int, int]]]:
    """A long trace of equal calls whose memory jumps about, and its moments."""
    chance, now = random.Random(seed), 0
    out, moments = [HEADER, enter(1, 0, 0, 1000, "{main}")], [(0, 1000)]
    for call in range(1, lines // 2):
        before, after = chance.randrange(10**7), chance.randrange(10**7)
        out += [enter(2, call, now + 1, before), leave(2, call, now + 2, after)]
        moments += [((now + 1) * 1000, before), ((now + 2) * 1000, after)]
        now += chance.choice((2, 2, 2, 3, 1000))
    out += [leave(1, 0, now, 1200), f"\t\t\t{now / 1e6:.6f}\t1100\nTRACE END   [x]\n\n".encode()]
    return b"".join(out), [*moments, (now * 1000, 1200), (now * 1000, 1100)]


@pytest.mark.parametrize("lines", [5_000, 5_010, 40_000])
def test_a_long_curve_keeps_the_ends_and_the_extremes_of_every_stretch(lines: int) -> None:
    text, moments = wave(lines)
    profile = parse(text)
    curve = [(p.offset_ns, p.bytes) for p in profile.curve]
    assert POINTS_CAP // 6 < len(curve) <= POINTS_CAP  # the calls come in bursts, and a short one becomes two points
    assert curve[0] == moments[0]
    assert curve[-1] == moments[-1]
    assert [at for at, _ in curve] == sorted(at for at, _ in curve)
    assert set(curve) <= set(moments)
    assert profile.peak is not None
    assert (profile.peak.offset_ns, profile.peak.bytes) == max(moments, key=lambda m: m[1])
    # however finely the whole is looked at, no spike up or down is missing
    width = moments[-1][0] // 600 + 1
    for pick in (min, max):
        extremes: dict[int, int] = {}
        shown: dict[int, int] = {}
        for at, size in moments:
            extremes[at // width] = pick(extremes.get(at // width, size), size)
        for at, size in curve:
            shown[at // width] = pick(shown.get(at // width, size), size)
        missing = [at for at, size in extremes.items() if shown.get(at) != size]
        # a stretch that lies across the border of two of these shows its extreme in one of them
        assert len(missing) <= len(extremes) // 4


def synthetic(lines: int) -> Iterator[bytes]:
    yield HEADER + MAIN
    for start in range(1, lines // 2, 1_000):
        calls = range(start, start + 1_000)
        yield b"".join(enter(2, c, c * 3, c % 977, f"f{c % 50}") + leave(2, c, c * 3 + 1, c % 983) for c in calls)
    yield MAIN_OVER.replace(b"0.000900", b"999.000000")


def test_memory_does_not_grow_with_the_length() -> None:
    peaks = []
    for lines in (10_000, 60_000):
        tracemalloc.start()
        try:
            profile = parse_trace(synthetic(lines))
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert sum(f.calls for f in profile.functions) == lines // 2 + 1
    assert peaks[1] < peaks[0] + 200_000
    assert peaks[1] < 6_000_000


def test_an_endless_line_costs_no_memory_and_only_its_own_arguments() -> None:
    call = enter(2, 1, 10, 200, "f").rstrip(b"\n")
    chunks = [HEADER, MAIN, call + b"\t'", *([b"x" * (1 << 20)] * 64), b"'\n" + leave(2, 1, 20, 260), MAIN_OVER, FOOTER]
    tracemalloc.start()
    try:
        profile = parse_trace(chunks)
        assert tracemalloc.get_traced_memory()[1] < 12 << 20
    finally:
        tracemalloc.stop()
    assert profile.complete
    assert function(profile, "f").self_values == (10_000, 60)


# --- cut and damaged files ------------------------------------------------------------------------------------------


def test_a_real_file_cut_at_any_byte_is_read_as_far_as_it_goes() -> None:
    data = EDGE.read_bytes()
    end = data.index(b"TRACE END") + len(b"TRACE END   [2026-11-23 02:50:14.778942]")
    for length in range(len(data)):
        lines = data[:length].split(b"\n")[:-1]
        entered = sum(line.split(b"\t")[2:3] == [b"0"] for line in lines)
        if not entered:
            with pytest.raises(ValueError, match="not one call"):
                parse(data[:length])
            continue
        profile = parse(data[:length])
        assert sum(f.calls for f in profile.functions) == entered
        assert profile.complete == (length >= end), data[:length][-40:]
        assert profile.complete or "the trace is incomplete: its end is missing" in profile.notes
        sizes = [int(line.split(b"\t")[4]) for line in lines if line.count(b"\t") >= 4]
        assert profile.totals["peak_bytes"] == max(sizes)


@thorough
@given(st.integers(0, 3_000))
def test_a_cut_archive_gives_the_prefix(tmp_path_factory: pytest.TempPathFactory, length: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "trace"
    packed = gzip.compress(EDGE.read_bytes())
    path.write_bytes(packed[:length])
    try:
        profile = read_trace(path)
    except ValueError:
        return
    assert profile.complete == (length >= len(packed) - 12)  # less the end of the stream and its checksum


def test_plain_and_packed_are_the_same(tmp_path: Path, edge: Profile) -> None:
    path = tmp_path / "trace.xt"  # the name says nothing
    path.write_bytes(gzip.compress(EDGE.read_bytes()))
    assert read_trace(path) == edge


def mutated(seed: int) -> bytes:
    chance = random.Random(seed)
    text = bytearray(EDGE.read_bytes())
    patches = [
        b"\n",
        b"\t",
        b"\n\n",
        b"\t\t\t",
        b"2\t1\t1\t",
        b"1\t0\t0\t0.1",
        b"TRACE START",
        b"\x00",
        b"\xff\xfe",
        b"-",
        b"9" * 30,
    ]
    for _ in range(chance.randint(1, 12)):
        start = chance.randrange(len(text))
        patch = chance.choice(patches) if chance.random() < 0.7 else chance.randbytes(chance.randint(0, 40))
        text[start : start + chance.randint(0, 40)] = patch
    return bytes(text)


@pytest.mark.parametrize("first", range(0, 400, 100))
def test_damage_never_raises_anything_but_value_error(first: int) -> None:
    for seed in range(first, first + 100):
        try:
            profile = parse(mutated(seed))
        except ValueError:
            continue
        for frame in profile.frames:  # whatever came out can be written to any report
            frame.function.encode()
            frame.file.encode()
        for values in (v for f in profile.functions for v in (*f.self_values, *f.inclusive_values)):
            assert -(2**63) <= values < 2**63
        assert all(node.parent < position for position, node in enumerate(profile.tree))
        assert len(profile.curve) <= POINTS_CAP


@given(st.binary(max_size=300))
def test_garbage_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="no Xdebug trace"):
        parse(text)


@thorough
@given(
    st.lists(st.tuples(st.integers(-2, 6), st.integers(0, 6), st.sampled_from("01"), st.integers(0, 9)), max_size=60)
)
def test_calls_in_any_disorder_keep_the_books(lines: list[tuple[int, int, str, int]]) -> None:
    text = [
        (
            enter(lvl, call, n, size, "Fiber->start" if call == 3 else "f", kind=0)
            if kind == "0"
            else leave(lvl, call, n, size)
        )
        for n, (lvl, call, kind, size) in enumerate(lines)
    ]
    profile = whole(MAIN, *text, MAIN_OVER)
    assert sum(f.calls for f in profile.functions) == 1 + sum(kind == "0" for _, _, kind, _ in lines)
    growth = sum(node.inclusive_values[1] for node in roots(profile))
    assert sum(f.self_values[1] for f in profile.functions) == growth


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "no Xdebug trace of format 1"),
        (
            b"TRACE START [2026-11-26 03:42:39.386109]\n    0.0002     392232   -> {main}() /app/x.php:0\n",
            "another format than 1",
        ),
        (b"<table class='xdebug-trace'>\n", "no Xdebug trace of format 1"),
        (b"version: 1\ncreator: xdebug 3.2.0 (PHP 8.2.36)\ncmd: /app/x.php\n", "no Xdebug trace of format 1"),
        (HEADER, "not one call"),
        (HEADER + b"1\t0\t0\t0.1\t100\t{main}\t1\t\t/app/x.php\t0\t0\n", "not one call"),
        (HEADER + b"1\t0\t0\t0.000001\t100\t{main}\t1\t\t/app/x.php\n", "not one call"),
    ],
)
def test_what_is_no_trace_is_refused_with_a_reason(text: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse(text)


@pytest.mark.parametrize(
    "line",
    [
        b"2\t1\t0\t0.000002\t" + b"9" * 30 + b"\tf\t1\t\t/app/x.php\t4\t0\n",
        b"2\t1\t0\t0.000002\t" + b"9" * 5000 + b"\tf\t1\t\t/app/x.php\t4\t0\n",
        b"2\t1\t0\t" + b"9" * 30 + b".000002\t100\tf\t1\t\t/app/x.php\t4\t0\n",
        b"2\t1\t0\t0.000002\t-100\tf\t1\t\t/app/x.php\t4\t0\n",
        b"2\t1\t0\t0.000002\t100\tf\t7\t\t/app/x.php\t4\t0\n",
        b"2\t1\t0\t0.000002\t100\t\t1\t\t/app/x.php\t4\t0\n",
        b"2\t1\t0\t0.000002\t100\tf\n",
        b"x\t1\t0\t0.000002\t100\tf\t1\t\t/app/x.php\t4\t0\n",
        b"\t\t\tnever\t1\n",
        b"\t\t\t0.5\t1\n",
        b"\x00\x00\x00\n",
        b"words\n",
    ],
)
def test_one_broken_line_costs_that_line(line: bytes) -> None:
    profile = whole(MAIN, line, MAIN_OVER)
    assert not profile.complete
    assert profile.notes[-1] == "1 lines of the trace could not be read"
    assert function(profile, "{main}").inclusive_values == (899_000, 20)
    assert profile.totals["peak_bytes"] == 120


def test_sums_beyond_64_bits_are_refused() -> None:
    huge = 2**62 - 1
    text = b"".join(enter(2, n, n, 0) + leave(2, n, n, huge) for n in range(1, 4))
    with pytest.raises(ValueError, match="impossible numbers"):
        whole(MAIN, text, MAIN_OVER)


def test_hostile_names_are_cut_and_can_be_encoded() -> None:
    call = b"2\t1\t0\t0.000002\t100\t" + b"\xff\x00<script>" + b"n" * 9000 + b"\t1\t\t/app/\xfe\t-4\t0\n"
    profile = whole(MAIN, call, b"2\t1\t1\t0.000003\t100\n", MAIN_OVER)
    [name] = [f.function for f in profile.frames if "script" in f.function]
    assert name.startswith("\\xff\x00<script>nnn")
    assert len(name) < 1100
    assert [e.line for e in profile.edges] == [0]


# --- limits ---------------------------------------------------------------------------------------------------------


def test_beyond_the_cap_the_beginning_is_read(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_bytes(gzip.compress(b"".join(synthetic(100_000))))
    profile = read_trace(path, cap_bytes=3 << 20)
    assert not profile.complete
    assert profile.notes[0] == "only the first 3 MiB of the trace were read"
    assert 20_000 < sum(f.calls for f in profile.functions) < 50_000


def test_too_many_places_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xdebug_trace_text, "SITES_CAP", 10)
    with pytest.raises(ValueError, match="more than 10 different places"):
        whole(*(enter(1, n, n, 1, f"f{n}") for n in range(11)))
    monkeypatch.setattr(xdebug_trace_text, "SITES_CAP_BYTES", 1000)
    with pytest.raises(ValueError, match="different places"):
        whole(enter(1, 1, 1, 1, "f" * 2000))


def test_code_given_to_eval_is_no_place_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xdebug_trace_text, "SITES_CAP", 3)
    evals = [
        b"2\t%d\t0\t0.000002\t100\teval\t1\t'return %d;'\t/app/x.php\t4\t0\n2\t%d\t1\t0.000003\t100\n" % (n, n, n)
        for n in range(1, 30)
    ]
    assert function(whole(MAIN, *evals, MAIN_OVER), "eval").calls == 29


def test_endless_depth_is_refused_and_deep_recursion_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = [enter(n + 2, n, n, n) for n in range(30_000)]
    back = [leave(n + 2, n, 60_000 - n, n) for n in reversed(range(30_000))]
    profile = whole(MAIN, *deep, *back, leave(1, 0, 99_000, 120))
    assert profile.complete
    assert function(profile, "f").calls == 30_000
    assert profile.peak is not None
    assert len(profile.peak.stack) == 30_001
    monkeypatch.setattr(xdebug_trace_text, "PATHS_CAP", 100)
    monkeypatch.setattr(xdebug_trace_text, "DEPTH_CAP", 1_000)
    with pytest.raises(ValueError, match="more than 1000 calls within each other"):
        whole(MAIN, *deep)


def test_the_tree_keeps_its_largest_nodes_by_either_column() -> None:
    calls = b"".join(
        enter(2, n, n * 10, 1000, f"f{n}") + leave(2, n, n * 10 + 1, 1000 - (500 if n == 40 else 0))
        for n in range(1, 60)
    )
    profile = parse_trace([HEADER + MAIN + calls + leave(1, 0, 100_000, 100) + FOOTER], tree_nodes=2)
    assert [profile.frames[node.frame].function for node in profile.tree] == ["{main}", "f40"]
    assert any(note.startswith("the tree shows the 2 largest of 60 ") for note in profile.notes)


@pytest.mark.parametrize(
    "line", [b"\n", b"x\n", b"\t\t\t0.000001\t1\n", b"TRACE START [x]\n", b"TRACE END\n", b"Version: 1\n"]
)
def test_lines_that_are_no_calls_end_the_reading_at_a_limit(line: bytes) -> None:
    with pytest.raises(ValueError, match="mostly something else than calls"):
        whole(MAIN, line * 100_001)


@pytest.mark.parametrize("steps", [0, 10_000])
def test_long_stacks_at_ever_higher_peaks_are_copied_up_to_a_limit(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copying 300 000 calls at every line took an hour for 16 MB."""
    monkeypatch.setattr(xdebug_trace, "PATHS_CAP", 50)
    monkeypatch.setattr(xdebug_trace_text, "PATHS_CAP", 50)
    monkeypatch.setattr(xdebug_trace_text, "PEAK_STEPS_CAP", steps)
    depth = 120
    profile = whole(*(enter(level, level, level, level * 10, f"f{level}") for level in range(1, depth + 1)))
    assert profile.peak is not None
    names = named(profile, profile.peak.stack)
    note = "of the stack at the peak there are the innermost 100 calls only" in profile.notes
    if steps:
        assert (names, note) == ([f"f{level}" for level in range(1, depth + 1)], False)
    else:
        assert (names, note) == ([f"f{level}" for level in range(depth - 99, depth + 1)], True)
