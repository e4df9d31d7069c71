"""xhprof's and tideways_xhprof's profiles. Captures are of tideways_xhprof 5.0.4 on PHP 8.2 (see the captures' README)."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.formats import blackfire_probe, xhprof
from adapters.formats.blackfire_profile import to_profile
from adapters.formats.xhprof import (
    FORMAT,
    NOTE_ALLOCATED,
    NOTE_FREES,
    NOTE_HELD,
    NOTE_LEVELS,
    NOTE_ROOT,
    NOTE_TWICE,
    Costs,
    parse,
    read_xhprof,
    to_probe_bytes,
    to_probe_file,
    to_xhprof_profile,
)
from harness.model.profile import FunctionCost, Profile
from tests.support.sound_profiles import assert_sound

CAPTURES = Path(__file__).parents[3] / "fixtures" / "captures" / "xhprof"
thorough = settings(deadline=None, max_examples=100)


def function(profile: Profile, name: str) -> FunctionCost:
    [found] = [f for f in profile.functions if profile.frames[f.frame].function == name]
    return found


def value(profile: Profile, name: str, kind: str) -> int:
    [column] = [n for n, v in enumerate(profile.value_types) if v.name == kind]
    return function(profile, name).inclusive_values[column]


def profile_of(costs: dict[str, dict[str, int]]) -> Profile:
    profile = to_xhprof_profile(parse(json.dumps(costs).encode()))
    assert_sound(profile)
    return profile


# --- genuine captures -----------------------------------------------------------------------------------------------


def test_json_and_serialized_are_the_same_profile(tmp_path: Path) -> None:
    one, other = (read_xhprof(CAPTURES / name) for name in ("tideways.json", "tideways.xhprof"))
    assert_sound(one)
    assert one == other
    packed = tmp_path / "x"
    packed.write_bytes(gzip.compress((CAPTURES / "tideways.xhprof").read_bytes()))
    assert read_xhprof(packed) == one


def test_what_functions_hold_and_allocate() -> None:
    profile = read_xhprof(CAPTURES / "tideways.json")
    assert [v.name for v in profile.value_types] == [
        "time", "cpu", "memory_held", "peak_raised", "allocations", "allocated",
    ]  # fmt: skip
    assert value(profile, "keep", "memory_held") > 200 * 1024  # 100 strings of 1000 bytes in each of two calls
    # A local variable that dies at the end of the call is still counted; the note says so.
    assert value(profile, "transient", "memory_held") > 4_000_000
    assert {NOTE_HELD, NOTE_FREES, NOTE_ROOT} <= {*profile.notes}


def test_internal_functions_are_counted_once() -> None:
    profile = read_xhprof(CAPTURES / "tideways.json")
    calls = {profile.frames[f.frame].function: f.calls for f in profile.functions}
    assert calls["str_repeat"] == 1 + 200 + 50
    assert calls["strlen"] == calls["range"] == calls["array_map"] == 1
    assert calls["count"] == 2
    assert calls["factorial"] == 5  # true recursion stays
    assert NOTE_TWICE in profile.notes
    assert not [e for e in profile.edges if e.caller == e.callee and profile.frames[e.caller].function != "factorial"]


def test_a_method_does_not_make_a_function_of_its_name_recursive() -> None:
    """Repository::keep calls keep, which tideways marks as keep@1."""
    raw = parse((CAPTURES / "tideways.json").read_bytes())
    assert raw["Repository::keep==>keep@1"]["ct"] == 1
    profile = to_xhprof_profile(raw)
    assert function(profile, "keep").calls == 2
    assert value(profile, "keep", "time") == 1000 * (raw["keep"]["wt"] + raw["Repository::keep==>keep@1"]["wt"])
    assert NOTE_LEVELS in profile.notes


def test_main_of_tideways_is_not_taken_for_the_whole() -> None:
    profile = read_xhprof(CAPTURES / "tideways.json")
    assert profile.totals == dict.fromkeys(("time_ns", "cpu_ns", "kept_bytes", "peak_bytes"))
    assert value(profile, "main()", "time") < value(profile, "transient", "time")


def test_memory_that_is_allocations_is_called_so() -> None:
    profile = read_xhprof(CAPTURES / "as-mu.json")
    assert NOTE_ALLOCATED in profile.notes
    assert NOTE_HELD not in profile.notes


def test_without_internal_functions_nothing_is_there_twice() -> None:
    profile = read_xhprof(CAPTURES / "no-builtins.json")
    assert NOTE_TWICE not in profile.notes
    assert [v.name for v in profile.value_types] == ["time"]
    assert function(profile, "str_repeat").calls == 251


# --- as xhprof writes it --------------------------------------------------------------------------------------------

CLASSIC = {
    "main()": {"ct": 1, "wt": 100, "cpu": 90, "mu": 5000, "pmu": 9000},
    "main()==>f": {"ct": 2, "wt": 90, "cpu": 80, "mu": 4000, "pmu": 9000},
    "f==>f@1": {"ct": 2, "wt": 40, "cpu": 30, "mu": 1000, "pmu": 0},
    "f@1==>g": {"ct": 2, "wt": 10, "cpu": 10, "mu": -500, "pmu": 0},
}


def test_a_profile_of_xhprof_has_totals() -> None:
    profile = profile_of(CLASSIC)
    assert profile.totals == {"time_ns": 100_000, "cpu_ns": 90_000, "kept_bytes": 5000, "peak_bytes": 9000}
    assert function(profile, "f").calls == 4
    assert function(profile, "f").inclusive_values == (90_000, 80_000, 4000, 9000)
    assert NOTE_ROOT not in profile.notes
    assert {profile.frames[node.frame].function for node in profile.tree} == {"main()", "f", "g"}


def test_a_function_that_calls_itself_once_in_each_call_stays_so() -> None:
    """Only a file in which the call that ended the profile is there twice has the defect."""
    assert function(profile_of(CLASSIC), "f").calls == 4
    assert NOTE_TWICE not in profile_of(CLASSIC).notes


def test_xhgui_wraps_the_profile() -> None:
    wrapped = {"meta": {"url": "/", "get": []}, "profile": CLASSIC}
    assert parse(json.dumps(wrapped).encode()) == CLASSIC


# --- as a file of Blackfire's probe ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tideways.json", "as-mu.json", "no-builtins.json"])
def test_a_capture_becomes_a_probes_file_and_reads_the_same(name: str) -> None:
    costs = parse((CAPTURES / name).read_bytes())
    written = to_probe_bytes(costs, (("probed-language", "php"), ("profile-title", "from tideways")))
    found = blackfire_probe.parse(written)
    assert found.complete
    assert found.header("profile-title") == "from tideways"
    for key, numbers in costs.items():
        assert found.costs[key] == (numbers["ct"], *(numbers.get(d, 0) for d in found.dimensions))
    assert found.costs.keys() == costs.keys()
    assert_sound(to_profile(found))


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
keys = st.builds(lambda a, b: f"{a}==>{b}", names, names) | st.just("main()")
number = st.integers(-(2**40), 2**40)
numbers = st.fixed_dictionaries({"ct": st.integers(1, 9), "wt": number}, optional={"mu": number, "pmu": number})
costs = st.dictionaries(keys, numbers, min_size=1, max_size=8)


@thorough
@given(costs)
def test_any_profile_goes_there_and_back(found: Costs) -> None:
    assert blackfire_probe.parse(to_probe_bytes(found)) == to_probe_file(found)


@thorough
@given(costs)
def test_any_profile_is_read(found: Costs) -> None:
    profile = to_xhprof_profile(parse(json.dumps(found).encode()))
    assert_sound(profile)
    assert sum(f.calls for f in profile.functions) == sum(each["ct"] for each in found.values())


def test_a_name_with_a_line_break_is_one_line_and_one_function() -> None:
    found = to_probe_file(parse(b'{"a\\nb": {"ct": 1, "wt": 2}, "a\\\\x0ab": {"ct": 3, "wt": 4}}'), ())
    assert found.costs == {"a\\x0ab": (4, 6)}


# --- damage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tideways.json", "tideways.xhprof"])
def test_a_cut_file_is_refused(name: str) -> None:
    data = (CAPTURES / name).read_bytes()
    for end in range(len(data) - 1):
        with pytest.raises(ValueError, match=r"byte|xhprof|Expecting|Unterminated|property name"):
            parse(data[:end])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "neither"),
        (b"{}", "no calls"),
        (b"a:0:{}", "no calls"),
        (b"i:1;", "no array"),
        (b'{"main()": 1}', "no numbers"),
        (b'{"main()": {"wt": 1}}', "no numbers"),
        (b'{"main()": {"ct": 1, "wt": 1.5}}', "no numbers"),
        (b'{"main()": {"ct": 1, "wt": true}}', "no numbers"),
        (b'{"main()": {"ct": 1, "wt": 9223372036854775808}}', "no numbers"),
        (b'{"main()": {"ct": 1}}', "without costs"),
        (b'{"": {"ct": 1, "wt": 1}}', "empty or longer"),
        (b'{"%s": {"ct": 1, "wt": 1}}' % (b"x" * 5000), "empty or longer"),
        (b'{"a":' * 100_000, "nested without end"),
        (b"a:1:{i:1;" * 100, "nested"),
    ],
)
def test_what_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        to_xhprof_profile(parse(data))


def test_limits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(xhprof, "_STRUCTURE_CAP", 10)
    with pytest.raises(ValueError, match="more than 10 values"):
        parse(json.dumps(CLASSIC).encode())
    bomb = tmp_path / "bomb"
    bomb.write_bytes(gzip.compress(b"{" + b" " * (20 << 20)))
    with pytest.raises(ValueError, match="more than 16 MiB"):
        read_xhprof(bomb)


def test_names_that_are_no_text_stay_printable() -> None:
    profile = to_xhprof_profile(parse(b'{"main()": {"ct": 1, "wt": 5}, "main()==>\\ud800": {"ct": 1, "wt": 1}}'))
    assert_sound(profile)
    assert "\\ud800" in {frame.function for frame in profile.frames}
    assert "\\xff" in {
        f.function for f in to_xhprof_profile(parse(b'a:1:{s:1:"\xff";a:2:{s:2:"ct";i:1;s:2:"wt";i:1;}}')).frames
    }


def test_it_is_recognised() -> None:
    assert FORMAT.recognises((CAPTURES / "tideways.json").read_bytes()[:16_384])
    assert FORMAT.recognises((CAPTURES / "tideways.xhprof").read_bytes()[:16_384])
    assert not FORMAT.recognises(b'{"name": "harness"}')
    assert not FORMAT.recognises(b"a:1:{i:0;i:1;}")
