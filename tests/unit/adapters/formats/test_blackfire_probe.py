"""Reading and writing the probes' format: captures of genuine probes, shapes from sources, generated files, cuts, garbage."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.formats import blackfire_probe
from adapters.formats.blackfire_probe import Moment, ProbeFile, features, parse, redacted, split_key, write

CAPTURES = Path(__file__).parents[3] / "fixtures" / "captures" / "blackfire"
captures = pytest.mark.parametrize("path", sorted(CAPTURES.glob("*.bf")), ids=lambda path: path.stem)
thorough = settings(deadline=None, max_examples=60)
HEAD = b"file-format: BlackfireProbe\n"
SMALL = HEAD + b"cost-dimensions: wt cpu mu pmu\nprobed-language: python\n\nmain()//1 10 9 8 7\n"


@captures
def test_every_capture_is_read_and_written_back_the_same(path: Path) -> None:
    found = parse(path.read_bytes())
    assert found.complete
    assert found.costs
    written = write(found)
    assert parse(written) == found
    assert write(parse(written)) == written


def test_a_python_profile() -> None:
    found = parse((CAPTURES / "py-flask.bf").read_bytes())
    assert found.dimensions == ("wt", "cpu", "mu", "pmu", "nw_in", "nw_out")
    assert found.header("response-code") == "200"
    assert found.header("controller-name") == "report"
    assert features(found)["flag_memory"] == "1"
    assert found.costs["main()"] == (1, 14629, 13368, 1318277, 4458759, 0, 0)
    assert found.costs["flask_app.report==>flask_app.leak"] == (1, 763, 762, 1090152, 0, 0, 0)
    assert found.timeline[0] == Moment("Threshold", 0, False, "", (2132, 1950, 98447, 98540, 0, 0))
    assert found.timeline[1].key == "flask_app.alloc_big==>flask_app.<listcomp>"


def test_a_php_profile_comes_in_parts_that_are_added_up() -> None:
    found = parse((CAPTURES / "php-fallback-v1.bf").read_bytes())
    assert found.dimensions == ("wt", "cpu", "mu", "pmu")
    assert found.costs["main()"] == (1, 5, 2, 256, 0)  # +1 +1 -1 +1 -1 calls
    assert found.costs["Repo::leak==>str_repeat"] == (1000, 1648, 1658, 1280128, 0)
    assert [v for k, v in found.headers if k == "request-mu"] == ["2097152", "6291456", "6291456"]
    assert found.header("request-end") == "1795401812.4583"
    assert found.header("_cookie") == "redacted"


def test_a_go_profile_has_its_timeline_among_the_headers_and_another_root() -> None:
    found = parse(
        HEAD + b"Cost-Dimensions: cpu pmu\ngraph-root-id: go\nprofiler-type: statistical\n"
        b"Threshold-0-start: golang==>main.main//0 5\nThreshold-0-end: golang==>main.main//20 7\n\n"
        b"go==>main.main//3 20 7\n==>go//1 20 7\n"
    )
    assert found.dimensions == ("cpu", "pmu")
    assert found.costs == {"go==>main.main": (3, 20, 7), "==>go": (1, 20, 7)}
    assert [m.values for m in found.timeline] == [(0, 5), (20, 7)]
    assert split_key("==>go") == ("", "go")


def test_arguments_recursion_and_names_with_slashes() -> None:
    found = parse((CAPTURES / "py-flask-instrumented.bf").read_bytes())
    assert found.costs["flask_app.report==>flask_app.leak?1=1000"][0] == 1
    assert "flask_app.recurse==>flask_app.recurse@1" in found.costs
    assert found.header("constants") == "python_version=3.11.7&flask_version=3.1.3"
    odd = parse(HEAD + b"\na==>get?url=http://x//y//1 2 3 4 5\n<lambda 'q'>==>b::c {x}//-2 0 -1 0 0\n")
    assert odd.costs["a==>get?url=http://x//y"] == (1, 2, 3, 4, 5)
    assert odd.costs["<lambda 'q'>==>b::c {x}"] == (-2, 0, -1, 0, 0)


def test_spans_extended_timelines_and_late_headers() -> None:
    found = parse(
        HEAD + b"\nmain()//1 1 1 1 1\n\nTimespan-3-start: //1 1 1 1\nTimespan-3-end: a==>b//2 2 2 2\n\n"
        b"span-9f: start_time_unix_nano=1&end_time_unix_nano=2&name=x\n\nrequest-uri: http://host//8080\nType-X: A;B\n"
    )
    assert [(m.kind, m.index, m.at_end) for m in found.timeline] == [("Timespan", 3, False), ("Timespan", 3, True)]
    assert found.spans == (("9f", "start_time_unix_nano=1&end_time_unix_nano=2&name=x"),)
    assert found.header("request-uri") == "http://host//8080"
    assert found.header("type-x") == "A;B"


@captures
def test_a_file_that_was_cut_gives_what_is_there_or_says_why_not(path: Path) -> None:
    data = path.read_bytes()
    whole = parse(data)
    for end in range(0, len(data), max(1, len(data) // 200)):
        try:
            part = parse(data[:end])
        except ValueError:
            assert b"\n\n" not in data[: end - 1] or data[:end].rpartition(b"\n\n")[2].count(b"\n") == 0
            continue
        assert part.complete == data[:end].endswith(b"\n")
        assert len(part.costs) <= len(whole.costs)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "does not begin"),
        (b"GET / HTTP/1.1\r\n\r\n", "does not begin"),
        (HEAD, "no costs"),
        (HEAD + b"what is this\n\nmain()//1 1 1 1 1\n", "line 2: neither"),
        (HEAD + b"\nmain()//1 1 1 1 1 1\n", "line 3: 6 numbers where wt cpu mu pmu needs 5"),
        (HEAD + b"\nmain()//1 1 1 1\n", "4 numbers"),
        (HEAD + b"\nmain()//1 1 1 1 99999999999999999999\n", "impossible number"),
        (HEAD + b"\nThreshold-0-end: x\n", "without numbers"),
        (HEAD + b"cost-dimensions: wt wt\n\nmain()//1 1 1\n", "named twice"),
        (HEAD + b"cost-dimensions:\n\nmain()//1 1 1\n", "none"),
        (HEAD + b"cost-dimensions: <b>\n\nmain()//1 1\n", "impossible name"),
        (HEAD + b"\n" + b"x" * 9000 + b"//1 1 1 1 1\n", "longer than"),
    ],
)
def test_what_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse(data)


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blackfire_probe, "_LINES_CAP", 3)
    with pytest.raises(ValueError, match="more than 3 lines"):
        parse(SMALL)
    monkeypatch.setattr(blackfire_probe, "BODY_CAP_BYTES", 10)
    with pytest.raises(ValueError, match="larger"):
        parse(SMALL)


def test_secrets_can_be_taken_out() -> None:
    data = HEAD + b"context: a=1&token=x\n_Cookie: s=1\nprofile-title: t\n\nmain()//1 1 1 1 1\ncontext==>x//1 1 1 1 1\n"
    kept = redacted(data, frozenset({b"context", b"_cookie"}))
    assert b"token" not in kept
    assert b"s=1" not in kept
    assert b"_Cookie: redacted\n" in kept
    assert parse(kept).costs == parse(data).costs


text = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=12)
number = st.integers(-(2**62), 2**62)
names = st.builds(lambda a, b: f"{a}f==>{b}g", text, text) | st.just("main()")


@st.composite
def files(draw: st.DrawFn) -> ProbeFile:
    dimensions = tuple(
        draw(st.lists(st.sampled_from(["wt", "cpu", "mu", "pmu", "nw_in", "io"]), min_size=1, unique=True))
    )
    numbers = st.tuples(*[number] * len(dimensions))
    header_names = st.from_regex(r"[a-z_][a-z0-9-]{0,8}", fullmatch=True).filter(
        lambda n: n not in ("cost-dimensions", "file-format")
    )
    moments = st.builds(
        Moment,
        st.sampled_from(["Threshold", "Timespan"]),
        st.integers(0, 99),
        st.booleans(),
        st.just("") | names,
        numbers,
    )
    return ProbeFile(
        dimensions,
        tuple(draw(st.lists(st.tuples(header_names, text), max_size=4))),
        draw(st.dictionaries(names, st.tuples(number, *[number] * len(dimensions)), min_size=1, max_size=6)),
        tuple(draw(st.lists(moments, max_size=4))),
        tuple(draw(st.lists(st.tuples(st.from_regex(r"[0-9a-f]{1,8}", fullmatch=True), text), max_size=2))),
    )


@thorough
@given(files())
def test_what_is_written_reads_the_same(file: ProbeFile) -> None:
    written = write(file)
    assert parse(written) == file
    assert write(parse(written)) == written


def test_what_the_format_cannot_express_is_not_written() -> None:
    with pytest.raises(ValueError, match="cannot express"):
        write(ProbeFile(("wt",), (("a", "b\nc: d"),), {"main()": (1, 1)}))
    with pytest.raises(ValueError, match="numbers"):
        write(ProbeFile(("wt",), (), {"main()": (1, 1, 1)}))


@thorough
@given(st.binary(max_size=200), st.integers(0, len(SMALL)))
def test_garbage_is_a_reason_and_never_another_error(junk: bytes, at: int) -> None:
    try:
        found = parse(SMALL[:at] + junk + SMALL[at:])
    except ValueError:
        return
    assert found.costs
    assert all(len(values) == 1 + len(found.dimensions) for values in found.costs.values())
