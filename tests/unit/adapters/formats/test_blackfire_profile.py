"""From the probes' file to a profile: what functions cost, what is left out, what the notes say."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.formats.blackfire_probe import ProbeFile
from adapters.formats.blackfire_profile import NOTE_HELD, NOTE_PEAK, read, to_profile
from harness.model.profile import FunctionCost, Profile

CAPTURES = Path(__file__).parents[3] / "fixtures" / "captures" / "blackfire"


def function(profile: Profile, name: str) -> FunctionCost:
    [found] = [f for f in profile.functions if profile.frames[f.frame].function == name]
    return found


def value(profile: Profile, name: str, kind: str) -> int:
    [column] = [n for n, v in enumerate(profile.value_types) if v.name == kind]
    return function(profile, name).inclusive_values[column]


@pytest.mark.parametrize("path", sorted(CAPTURES.glob("py-*.bf")), ids=lambda path: path.stem)
def test_captures_of_the_genuine_python_probe(path: Path) -> None:
    profile = read(path.read_bytes())
    assert profile.complete
    assert profile.totals["time_ns"] == value(profile, "main()", "time")
    assert profile.totals["kept_bytes"] == value(profile, "main()", "memory_held")
    assert NOTE_HELD in profile.notes
    assert NOTE_PEAK in profile.notes
    known = {f.frame for f in profile.functions}
    assert all(edge.caller in known and edge.callee in known for edge in profile.edges)
    assert all(len(f.inclusive_values) == len(profile.value_types) for f in profile.functions)


def test_memory_of_a_leak_and_of_a_spike() -> None:
    profile = read((CAPTURES / "py-flask.bf").read_bytes())
    assert value(profile, "flask_app.leak", "memory_held") == 1_090_152
    assert value(profile, "flask_app.transient", "memory_held") < 64 * 1024
    assert value(profile, "flask_app.transient", "peak_raised") > 4_000_000
    assert value(profile, "flask_app.report", "time") == function(profile, "flask_app.report").inclusive_values[0]
    assert profile.totals["peak_bytes"] == 4_458_759


def test_the_curve_falls_after_the_spike_and_peaks_where_the_root_says() -> None:
    curve = read((CAPTURES / "py-flask.bf").read_bytes()).curve
    offsets = [point.offset_ns for point in curve]
    assert offsets == sorted(offsets)
    assert len(curve) == 18
    top = max(curve, key=lambda point: point.bytes)
    assert top.label == "leaving flask_app.<listcomp>"
    assert 4_458_000 < top.bytes <= 4_458_759
    after = next(point for point in curve if point.label == "leaving flask_app.transient")
    assert after.bytes < 110_000
    assert curve[0].label.startswith("entering blackfire.hooks")


def test_recursion_is_one_function() -> None:
    profile = to_profile(
        ProbeFile(
            ("wt", "mu"),
            costs={"main()": (1, 100, 9), "main()==>f": (1, 90, 8), "f==>f@1": (1, 60, 6), "f@1==>f@2": (1, 20, 5),
                   "f@2==>g": (2, 5, 1)},
        )
    )  # fmt: skip
    found = function(profile, "f")
    assert found.calls == 3
    assert found.inclusive_values == (90_000, 8)
    assert found.self_values == (85_000, 7)
    assert {(profile.frames[e.caller].function, profile.frames[e.callee].function, e.calls) for e in profile.edges} == {
        ("main()", "f", 1), ("f", "f", 2), ("f", "g", 2),
    }  # fmt: skip
    assert sum(f.self_values[0] for f in profile.functions) == 100_000


def test_functions_of_one_name_within_each_other_count_once() -> None:
    """As FastAPI's routing: three functions `app`, one within the other, the second by way of a wrapper."""
    profile = to_profile(
        ProbeFile(
            ("wt", "mu"),
            costs={"main()": (1, 100, 90), "main()==>handle": (1, 98, 80), "handle==>app": (1, 96, 70),
                   "app==>wrapped@1": (1, 90, 60), "wrapped@1==>app": (1, 80, 55), "app==>app": (1, 40, 30),
                   "main()==>other": (1, 1, 1), "other==>leaf": (1, 1, 1), "app==>leaf": (2, 3, 3)},
        )
    )  # fmt: skip
    assert function(profile, "app").inclusive_values == (96_000, 70)
    assert function(profile, "app").calls == 3
    assert function(profile, "wrapped").inclusive_values == (90_000, 60)
    assert function(profile, "leaf").inclusive_values == (4000, 4)
    assert sum(f.self_values[0] for f in profile.functions) == 100_000
    assert not any("cannot be told" in note for note in profile.notes)


def test_where_it_cannot_be_told_what_ran_within_what_that_is_said() -> None:
    """Both `f` and `g` are entered from outside and call each other: no edge says which calls were nested."""
    profile = to_profile(
        ProbeFile(
            ("wt",),
            costs={
                "main()": (1, 100),
                "main()==>f": (1, 50),
                "main()==>g": (1, 50),
                "f==>g": (1, 90),
                "g==>f": (1, 90),
            },
        )
    )
    assert function(profile, "f").inclusive_values == (140_000,)
    assert any("cannot be told" in note for note in profile.notes)


def test_what_was_not_measured_is_left_out_instead_of_zero() -> None:
    headers = (("probed-language", "python"), ("probed-features", "flag_cpu=0&flag_memory=1&aggreg_samples=1"))
    profile = to_profile(ProbeFile(("wt", "cpu", "mu", "nw_in"), headers, {"main()": (1, 2, 0, 3, 0)}))
    assert [v.name for v in profile.value_types] == ["time", "memory_held"]
    assert profile.totals == {"time_ns": 2000, "cpu_ns": None, "kept_bytes": 3, "peak_bytes": None}
    assert profile.functions[0].inclusive_values == (2000, 3)
    other = to_profile(ProbeFile(("wt", "queries"), (), {"main()": (1, 2, 7)}))
    assert [(v.name, v.unit) for v in other.value_types] == [("time", "ns"), ("queries", "count")]


def test_a_php_profile_in_parts_has_no_totals() -> None:
    profile = read((CAPTURES / "php-fallback-v1.bf").read_bytes())
    assert value(profile, "Repo::leak", "memory_held") == 1_300_792
    assert function(profile, "str_repeat").calls == 10_000
    assert profile.totals["time_ns"] is None
    assert profile.totals["request_pmu_bytes"] == 6_291_456
    assert not profile.complete
    assert profile.notes[-1] == "The profile is incomplete: it has no line for the whole request."


def test_a_go_profile_is_statistical_and_has_no_curve() -> None:
    data = (
        b"file-format: BlackfireProbe\nCost-Dimensions: cpu pmu\nprofiler-type: statistical\nprobed-language: go\n"
        b"Threshold-0-start: a==>b//0 5\n\ngo==>b//3 20 7\n==>go//1 20 7\n"
    )
    profile = read(data)
    assert profile.totals["cpu_ns"] == 20_000
    assert profile.curve == ()
    assert "statistical" in profile.notes[0]
    assert profile.complete


def test_functions_whose_caller_was_left_out_have_no_share_of_their_own() -> None:
    profile = to_profile(ProbeFile(("wt",), (), {"main()": (1, 9), "hidden==>f": (1, 5)}))
    assert function(profile, "hidden").self_values == (0,)
    assert function(profile, "hidden").inclusive_values == (5000,)


def test_sums_beyond_64_bits_are_refused() -> None:
    with pytest.raises(ValueError, match="impossible"):
        to_profile(ProbeFile(("wt",), (), {"main()": (1, 2**62)}))


def test_a_cut_file_says_so() -> None:
    profile = read((CAPTURES / "py-wsgi.bf").read_bytes()[:-3])
    assert not profile.complete
    assert profile.notes[-1] == "The profile is incomplete: it was cut."
