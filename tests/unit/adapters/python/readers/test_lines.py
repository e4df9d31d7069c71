"""Result files of `lines`, which are hostile as all are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.python.readers.fields import FORMAT, FREE_LISTS
from adapters.python.toolset import read
from harness.model.profile import Profile

VALUES = {"alone": 1, "wall_ns": 5, "rss_start_bytes": 100, "rss_end_bytes": 40, "runs_before": 1}
LINE = {"line": 2, "net_bytes": -57, "peak_bytes": 5_000_057, "hits": 3}
FUNCTION = {
    "name": "app:view", "file": "app.py", "line": 1, "calls": 1, "net_bytes": -57, "peak_bytes": 5_000_057, "lines": [LINE],
}  # fmt: skip
RESULT = {
    "format": FORMAT, "tool": "lines", "python": "3.11.7", "scope": "request", "cwd": "/srv", "name": "GET /",
    "values": VALUES, "problems": [], "net_bytes": -57, "peak_bytes": 6_000_000, "functions": [FUNCTION],
}  # fmt: skip


def parse(fields: Any) -> Profile:
    return read("lines", json.dumps(fields).encode())


def test_lines_and_totals() -> None:
    profile = parse(RESULT)
    [row] = profile.lines
    assert (row.file, row.line, row.function, row.hits, row.values) == (
        "/srv/app.py",
        2,
        "app:view",
        3,
        (-57, 5_000_057),
    )
    assert [v.unit for v in profile.value_types] == ["bytes", "bytes"]
    assert (profile.totals["watched_net_bytes"], profile.totals["peak_bytes"]) == (-57, 6_000_000)
    assert profile.totals["app:view calls"] == 1
    assert profile.totals["app:view net_bytes"] == -57
    assert profile.totals["time_ns"] == 5
    assert profile.complete
    assert not any("3.8" in note for note in profile.notes)
    assert any("'watched net' is of the watched functions only" in note for note in profile.notes)
    assert FREE_LISTS in profile.notes


def test_without_peaks_they_are_unknown_and_that_is_said() -> None:
    function = {**FUNCTION, "peak_bytes": None, "lines": [{**LINE, "peak_bytes": None}]}
    profile = parse({**RESULT, "peak_bytes": None, "functions": [function]})
    assert profile.lines[0].values == (-57, None)
    assert profile.totals["peak_bytes"] is None
    assert any("No peaks: Python 3.8" in note for note in profile.notes)


def test_problems_and_functions_that_did_not_run() -> None:
    profile = parse({**RESULT, "problems": ["cannot import x"], "functions": [{**FUNCTION, "lines": []}]})
    assert not profile.complete
    assert "Not measured: cannot import x" in profile.notes
    assert any("app:view did not run" in note for note in profile.notes)
    assert "app:view calls" not in profile.totals


def test_caps() -> None:
    profile = parse(
        {**RESULT, "functions": [{**FUNCTION, "name": f"{n}" * 300, "lines": [LINE] * 300} for n in range(300)]}
    )
    assert len(profile.lines) == 20_000
    assert len(profile.totals) < 200
    assert len(profile.lines[0].function) == 256


@pytest.mark.parametrize("key", ["net_bytes", "peak_bytes", "functions", "cwd", "values"])
def test_a_missing_field_is_an_error_or_unknown(key: str) -> None:
    fields = {k: v for k, v in RESULT.items() if k != key}
    if key == "peak_bytes":
        assert parse(fields).totals[key] is None
    else:
        with pytest.raises(ValueError, match=key):
            parse(fields)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(where=st.sampled_from(["top", "function", "line"]), pick=st.integers(0, 20), value=JSON)
@settings(deadline=None)
def test_any_other_value_gives_a_profile_or_a_value_error(where: str, pick: int, value: Any) -> None:
    changed: dict[str, Any] = {"top": dict(RESULT), "function": dict(FUNCTION), "line": dict(LINE)}
    keys = sorted(changed[where])
    changed[where][keys[pick % len(keys)]] = value
    if where == "function":
        changed["top"]["functions"] = [changed["function"]]
    if where == "line":
        changed["top"]["functions"] = [{**FUNCTION, "lines": [changed["line"]]}]
    try:
        profile = parse(changed["top"])
    except ValueError:
        return
    for row in profile.lines:
        row.file.encode()
        assert type(row.line) is type(row.hits) is int
        assert all(v is None or type(v) is int for v in row.values)
    assert all(v is None or type(v) is int for v in profile.totals.values())
