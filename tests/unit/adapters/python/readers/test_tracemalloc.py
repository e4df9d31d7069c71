"""tracemalloc's modes: stacks where frames were kept, differences with a sign."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.python.readers.fields import FORMAT, FREE_LISTS
from adapters.python.toolset import read
from harness.model.profile import Profile

RESULT: dict[str, Any] = {
    "format": FORMAT, "tool": "tracemalloc", "python": "3.11.7", "scope": "request", "cwd": "/srv", "name": "GET /",
    "values": {"alone": 1, "runs_before": 1}, "mode": "fresh", "frames_kept": 2,
    "kept_bytes": 30, "kept_blocks": 2, "peak_bytes": 90, "lines_total": 1,
    "lines": [{"file": "lib/db.py", "line": 7, "bytes": 30, "blocks": 2}],
    "stacks_total": 2, "frames": [["app.py", 3], ["lib/db.py", 7], ["app.py", 4]],
    "stacks": [
        {"frames": [0, 1], "bytes": 20, "blocks": 1},
        {"frames": [2, 1], "bytes": 10, "blocks": 1},
    ],
}  # fmt: skip


def parse(**fields: Any) -> Profile:
    return read("tracemalloc", json.dumps({**RESULT, **fields}).encode())


def test_stacks_become_a_tree_of_lines() -> None:
    profile = parse()
    assert [(profile.frames[n.frame].function, n.parent, n.inclusive_values) for n in profile.tree] == [
        ("app.py:3", -1, (20, 1)),
        ("db.py:7", 0, (20, 1)),
        ("app.py:4", -1, (10, 1)),
        ("db.py:7", 2, (10, 1)),
    ]
    assert profile.frames[1].file == "/srv/lib/db.py"
    assert {profile.frames[f.frame].function: f.inclusive_values for f in profile.functions}["db.py:7"] == (30, 2)
    assert any("2 innermost frames" in note for note in profile.notes)
    assert FREE_LISTS in profile.notes


def test_a_difference_has_a_sign_and_says_so() -> None:
    profile = parse(
        mode="difference", peak_bytes=None, kept_bytes=-30, kept_blocks=-2,
        lines=[{"file": "lib/db.py", "line": 7, "bytes": -30, "blocks": -2}],
        stacks=[{"frames": [0, 1], "bytes": -30, "blocks": -2}], stacks_total=1,
    )  # fmt: skip
    assert profile.lines[0].values == (-30, -2)
    assert profile.tree[0].inclusive_values == (-30, -2)
    assert (profile.totals["kept_bytes"], profile.totals["peak_bytes"]) == (-30, None)
    assert profile.value_types[0].title == "change of what is held"
    assert any("difference between before and after" in note for note in profile.notes)
    assert any("peak is not known" in note for note in profile.notes)


def test_only_a_difference_may_be_negative() -> None:
    with pytest.raises(ValueError, match="not a count"):
        parse(kept_bytes=-1)


@pytest.mark.parametrize(
    "fields",
    [
        {"mode": "other"},
        {"frames": [["app.py"]]},
        {"frames": [["app.py", -1]]},
        {"stacks": [{"frames": [3], "bytes": 1, "blocks": 1}]},
        {"stacks": [{"frames": "01", "bytes": 1, "blocks": 1}]},
        {"stacks_total": None},
    ],
)
def test_what_is_no_result_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(**fields)


def test_results_of_runs_from_before_there_were_modes_are_read() -> None:
    """As the first version wrote them."""
    old = {k: v for k, v in RESULT.items() if k not in ("mode", "frames_kept", "frames", "stacks", "stacks_total")}
    profile = read("tracemalloc", json.dumps(old).encode())
    assert profile.complete
    assert [line.values for line in profile.lines] == [(30, 2)]
    assert profile.totals["peak_bytes"] == 90
    assert not profile.tree


def test_stacks_that_were_left_out_are_said() -> None:
    profile = parse(stacks_total=7)
    assert "The 2 largest of 7 stacks; the totals cover all of them." in profile.notes
    assert profile.complete
