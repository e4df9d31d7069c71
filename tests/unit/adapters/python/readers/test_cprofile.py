"""cProfile's result file: hostile, and a Profile or a ValueError comes out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.python.readers import cprofile
from adapters.python.readers.fields import FORMAT
from adapters.python.toolset import read
from harness.model.profile import Profile

VALUES = {"alone": True, "wall_ns": 120, "runs_before": 1, "other_thread_cpu_percent": 0}


def row(name: str, calls: int, own_ns: int, total_ns: int, callers: list[list[int]], **changes: Any) -> dict[str, Any]:
    file, line = (None, None) if name.startswith("<") else ("app.py", 3)
    return {
        "file": file, "line": line, "name": name, "own": 0, "calls": calls, "primitive_calls": calls, "own_ns": own_ns,
        "total_ns": total_ns, "callers": callers, **changes,
    }  # fmt: skip


RESULT = {
    "format": FORMAT, "tool": "cprofile", "python": "3.12.1", "scope": "request", "cwd": "/srv", "name": "GET /",
    "values": VALUES, "problems": [], "functions_total": 4, "callers_total": 3,
    "functions": [
        row("_agent", 1, 2, 102, [], own=1, file="/run/agent.py"),
        row("view", 1, 30, 100, [[0, 1, 1, 30, 100]]),
        row("row", 7, 50, 70, [[1, 7, 7, 50, 70]]),
        row("<built-in method builtins.len>", 7, 20, 20, [[2, 7, 7, 20, 20]]),
    ],
}  # fmt: skip


def parse(fields: Any) -> Profile:
    return read("cprofile", json.dumps(fields).encode())


def test_functions_edges_and_tree() -> None:
    profile = parse(RESULT)
    assert [(f.function, f.file, f.line) for f in profile.frames] == [
        ("view", "/srv/app.py", 3),
        ("row", "/srv/app.py", 3),
        ("<built-in method builtins.len>", "<built-in>", None),
    ]
    assert [(f.frame, f.calls, *f.self_values, *f.inclusive_values) for f in profile.functions] == [
        (0, 1, 30, 100),
        (1, 7, 50, 70),
        (2, 7, 20, 20),
    ]
    assert [(e.caller, e.callee, e.calls, *e.inclusive_values) for e in profile.edges] == [(0, 1, 7, 70), (1, 2, 7, 20)]
    assert [(n.frame, n.parent, n.calls, *n.self_values, *n.inclusive_values) for n in profile.tree] == [
        (0, -1, 1, 30, 100),
        (1, 0, 7, 50, 70),
        (2, 1, 7, 20, 20),
    ]
    assert profile.totals["in_functions_ns"] == 100
    assert profile.totals["time_ns"] == 120
    assert [v.unit for v in profile.value_types] == ["ns"]
    assert profile.complete


def test_the_estimate_is_called_one() -> None:
    notes = " ".join(parse(RESULT).notes)
    assert "The call tree is estimated" in notes
    assert "The thread that ran the request only" in notes


def test_what_is_missing_is_said() -> None:
    profile = parse({**RESULT, "functions_total": 25_000, "problems": ["the application set a profiler itself"]})
    assert not profile.complete
    assert "Incomplete: the application set a profiler itself." in profile.notes
    assert "The 4 largest of 25000 functions." in profile.notes


@pytest.mark.parametrize(
    "change",
    [
        {"functions": [row("f", 1, 1, 1, [[1, 1, 1, 1, 1]])]},  # a caller that is not there
        {"functions": [row("f", 1, 1, 1, [[0, 1, 1, 1]])]},
        {"functions": [row("f", 1, 1, 1, [[0, 1, 1, 1, -1]])]},
        {"functions": [row("f", 1, 2**62, 2**62, []), row("g", 1, 2**62, 2**62, [])]},
        {"functions": [row("f", 2**53, 1, 1, [])]},
        {"functions": [row("f", True, 1, 1, [])]},
        {"functions_total": None},
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse({**RESULT, **change})


def test_caps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cprofile, "FUNCTIONS_CAP", 3)
    monkeypatch.setattr(cprofile, "CALLERS_CAP", 1)
    assert len(parse(RESULT).frames) == 2
    monkeypatch.setattr(cprofile, "TREE_NODES", 1)
    assert "The tree shows the 1 largest paths." in parse(RESULT).notes


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(key=st.sampled_from(sorted(RESULT)), value=JSON)
@settings(deadline=None)
def test_any_other_value_gives_a_profile_or_a_value_error(key: str, value: Any) -> None:
    try:
        profile = parse({**RESULT, key: value})
    except ValueError:
        return
    assert isinstance(profile, Profile)


@given(number=st.integers(0, 3), key=st.sampled_from(sorted(row("f", 1, 1, 1, []))), value=JSON)
@settings(deadline=None)
def test_any_other_value_in_a_function_as_well(number: int, key: str, value: Any) -> None:
    rows: list[dict[str, Any]] = [dict(r) for r in RESULT["functions"]]  # type: ignore[attr-defined]  # a list of dicts
    rows[number][key] = value
    try:
        profile = parse({**RESULT, "functions": rows})
    except ValueError:
        return
    for frame in profile.frames:
        frame.file.encode()
        frame.function.encode()
    assert all(0 <= v < 2**53 for f in profile.functions for v in (*f.self_values, *f.inclusive_values, f.calls))
