"""Result files are hostile: whatever is in them, a Profile or a ValueError comes out."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.python.readers.fields import FORMAT
from adapters.python.toolset import read
from harness.model.profile import Profile

VALUES = {
    "alone": True,
    "wall_ns": 5,
    "rss_start_bytes": 100,
    "rss_end_bytes": 40,
    "other_thread_cpu_percent": 0,
    "runs_before": 1,
}
COMMON = {"format": FORMAT, "python": "3.11.7", "scope": "request", "cwd": "/srv", "name": "GET /", "values": VALUES}
ROW = {"file": "app.py", "line": 3, "bytes": 10, "blocks": 1}
TRACEMALLOC = {
    **COMMON, "tool": "tracemalloc", "mode": "fresh", "frames_kept": 1, "kept_bytes": 10, "kept_blocks": 1, "peak_bytes": 20,
    "lines_total": 1, "lines": [ROW], "stacks_total": 0, "stacks": [], "frames": [],
}  # fmt: skip
LINE = {"line": 2, "increment_bytes": -4096, "rss_bytes": 8192, "hits": 3}
FIRST = {"line": 1, "increment_bytes": None, "rss_bytes": 8192, "hits": 1}
FUNCTION = {"name": "app:view", "file": "/srv/app.py", "line": 1, "lines": [FIRST, LINE]}
MEMORY_PROFILER = {**COMMON, "tool": "memory_profiler", "problems": [], "functions": [FUNCTION]}


def parse(tool: str, fields: Any) -> Profile:
    return read(tool, json.dumps(fields).encode())


def test_tracemalloc() -> None:
    profile = parse("tracemalloc", TRACEMALLOC)
    [row] = profile.lines
    assert (row.file, row.line, row.values) == ("/srv/app.py", 3, (10, 1))
    assert [v.unit for v in profile.value_types] == ["bytes", "count"]
    assert profile.totals["peak_bytes"] == 20
    assert profile.totals["rss_growth_bytes"] == -60
    assert profile.totals["blocks_growth"] is None
    assert profile.complete
    assert not any("upper bound" in note for note in profile.notes)


def test_tracemalloc_says_when_lines_were_left_out() -> None:
    profile = parse("tracemalloc", {**TRACEMALLOC, "lines_total": 300})
    assert profile.complete
    assert "The 1 largest of 300 lines; the totals cover all of them." in profile.notes


def test_memory_profiler() -> None:
    profile = parse("memory_profiler", MEMORY_PROFILER)
    assert [(r.line, r.function, r.hits, r.values) for r in profile.lines] == [
        (1, "app:view", 1, (None, 8192)),
        (2, "app:view", 3, (-4096, 8192)),
    ]
    assert profile.complete


def test_problems_make_a_profile_incomplete() -> None:
    profile = parse("memory_profiler", {**MEMORY_PROFILER, "problems": ["cannot import x"]})
    assert not profile.complete
    assert "Not measured: cannot import x" in profile.notes


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"alone": 0}, "upper bound"),
        ({"other_thread_cpu_percent": 12}, "12 %"),
        ({"runs_before": 0}, "first measured request"),
    ],
)
def test_what_disturbed_the_measurement_is_said(values: dict[str, int], words: str) -> None:
    for tool, fields in (("tracemalloc", TRACEMALLOC), ("memory_profiler", MEMORY_PROFILER)):
        profile = parse(tool, {**fields, "values": {**VALUES, **values}})
        assert any(words in note for note in profile.notes)


@pytest.mark.parametrize("name", ["<frozen importlib._bootstrap>", "<string>", "/a/b.py"])
def test_names_that_are_no_relative_paths_stay(name: str) -> None:
    [row] = parse("tracemalloc", {**TRACEMALLOC, "lines": [{**ROW, "file": name}]}).lines
    assert row.file == name


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"null", b"\xff", b"{}", b"[" * 100_000, json.dumps({**COMMON, "tool": "memory_profiler"}).encode(),
     json.dumps({**TRACEMALLOC, "format": "harness-python-tool/2"}).encode()],
)  # fmt: skip
def test_what_is_no_result_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read("tracemalloc", data)


def test_an_unknown_tool_has_no_reader() -> None:
    with pytest.raises(ValueError, match="no reader"):
        parse("xdebug", {**COMMON, "tool": "xdebug"})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(key=st.sampled_from(sorted({*TRACEMALLOC, *MEMORY_PROFILER})), value=JSON, where=st.sampled_from(["top", "row"]))
@settings(deadline=None)
def test_any_other_value_gives_a_profile_or_a_value_error(key: str, value: Any, where: str) -> None:
    row_key = {"kept_bytes": "bytes", "kept_blocks": "blocks", "name": "file", "peak_bytes": "line"}.get(key, "line")
    for tool, fields in (("tracemalloc", TRACEMALLOC), ("memory_profiler", MEMORY_PROFILER)):
        changed: dict[str, Any] = {**fields, key: value}
        if where == "row":
            changed = {
                **fields,
                "lines": [{**ROW, row_key: value}],
                "functions": [{**FUNCTION, "lines": [{**LINE, "hits": value}]}],
            }
        try:
            profile = parse(tool, changed)
        except ValueError:
            continue
        for cost in profile.lines:
            assert type(cost.line) is int
            cost.file.encode()
            assert all(v is None or type(v) is int for v in cost.values)


def test_caps() -> None:
    many = {**TRACEMALLOC, "lines_total": 30_000, "lines": [ROW] * 30_000}
    assert len(parse("tracemalloc", many).lines) == 20_000
    functions = {**MEMORY_PROFILER, "functions": [{**FUNCTION, "name": "n" * 9999, "lines": [LINE] * 15_000}] * 3}
    profile = parse("memory_profiler", functions)
    assert len(profile.lines) == 20_000
    assert len(profile.lines[0].function) == 256
