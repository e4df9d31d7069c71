"""memray's result, as collected: a Profile or a ValueError, whatever is in it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.python.readers.fields import FORMAT, FREE_LISTS
from adapters.python.toolset import read
from harness.model.profile import Profile

FRAMES = [
    ["view", "/srv/app.py", 10],
    ["load", "lib/db.py", 7],
    ["malloc_it", "src/native.c", 3],
    ["view", "/srv/app.py", 12],
]
ROW = {"kept_bytes": 100, "kept_blocks": 2, "peak_bytes": 150, "peak_blocks": 3}
READING: dict[str, Any] = {
    "memray": "1.20.0", "records": 9, "native": True, "threads": 2, "thread_found": True, "peak_exact": True,
    "kept_bytes": 100, "kept_blocks": 2, "peak_bytes": 190, "peak_blocks": 5, "process_kept_bytes": 130,
    "process_peak_bytes": 400, "stacks_total": 3, "frames": FRAMES,
    "stacks": [
        {**ROW, "frames": [0, 1, 2], "line": 1},
        {"frames": [3, 1], "line": 1, "kept_bytes": 0, "kept_blocks": 0, "peak_bytes": 30, "peak_blocks": 1},
        {"frames": [3], "line": 3, "kept_bytes": 0, "kept_blocks": 0, "peak_bytes": 10, "peak_blocks": 1},
    ],
}  # fmt: skip
VALUES = {"alone": 1, "wall_ns": 5, "runs_before": 1}
RESULT: dict[str, Any] = {
    "format": FORMAT, "tool": "memray", "python": "3.11.7", "scope": "request", "cwd": "/srv", "name": "GET /",
    "values": VALUES, "reading": READING,
}  # fmt: skip


def parse(fields: Any) -> Profile:
    return read("memray", json.dumps(fields).encode())


def changed(**fields: Any) -> Profile:
    return parse({**RESULT, "reading": {**READING, **fields}})


def test_lines_tree_and_totals() -> None:
    profile = parse(RESULT)
    assert [(v.name, v.unit) for v in profile.value_types] == [
        ("inuse_space", "bytes"),
        ("inuse_objects", "count"),
        ("peak_space", "bytes"),
    ]
    assert [(c.file, c.line, c.function, c.values) for c in profile.lines] == [
        ("/srv/lib/db.py", 7, "load", (100, 2, 180)),
        ("/srv/app.py", 12, "view", (0, 0, 10)),
    ]
    names = [profile.frames[n.frame].function for n in profile.tree]
    assert names == ["view", "load", "malloc_it"]
    assert profile.tree[0].inclusive_values == (100, 2, 190)
    assert profile.frames[profile.tree[2].frame].file == "src/native.c"
    assert profile.totals["kept_bytes"] == 100
    assert profile.totals["process_peak_bytes"] == 400
    assert profile.complete
    assert any("30 bytes are held" in note for note in profile.notes)
    assert FREE_LISTS in profile.notes


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"thread_found": False}, "all threads are counted"),
        ({"peak_exact": False}, "the whole process held most"),
        ({"stacks_total": 9}, "The 3 largest of 9 stacks"),
    ],
)
def test_what_is_not_as_it_should_be_is_said(fields: dict[str, Any], words: str) -> None:
    assert any(words in note for note in changed(**fields).notes)


def test_requests_in_other_threads_are_not_in_what_was_filtered() -> None:
    disturbed = {**RESULT, "values": {**VALUES, "alone": 0, "other_thread_cpu_percent": 40}}
    notes = parse(disturbed).notes
    assert any("Where each has a thread they are not in these figures" in note for note in notes)
    assert any("40 %" in note for note in notes)
    assert not any(note.endswith("at the same time: every figure is an upper bound.") for note in notes)
    notes = parse({**disturbed, "reading": {**READING, "thread_found": False}}).notes
    assert any(note.endswith("at the same time: every figure is an upper bound.") for note in notes)


def test_a_whole_program_has_no_thread_of_its_own() -> None:
    profile = parse({**RESULT, "scope": "process"})
    assert "All threads of the process." in profile.notes
    assert not any("Filtered" in note for note in profile.notes)


def test_stacks_that_were_left_out_are_in_the_totals() -> None:
    profile = changed(stacks_total=4)
    assert profile.complete
    assert "The 3 largest of 4 stacks; the totals cover all of them." in profile.notes


def test_where_work_in_a_thread_pool_is_seen_is_said() -> None:
    assert any(
        "30 bytes are held" in note and "use lines, survivors or tracemalloc" in note for note in parse(RESULT).notes
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"frames": None},
        {"frames": [["f", "x.py"]]},
        {"frames": [["f", 3, 1]]},
        {"stacks": [{**ROW, "frames": [99], "line": 0}]},
        {"stacks": [{**ROW, "frames": [0], "line": 4}]},
        {"stacks": [{**ROW, "frames": [0], "line": -2}]},
        {"stacks": [{**ROW, "frames": [0], "line": 0, "kept_bytes": -1}]},
        {"kept_bytes": None},
    ],
)
def test_what_is_no_reading_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        changed(**fields)


def test_a_result_whose_recording_was_not_read_is_refused() -> None:
    with pytest.raises(ValueError, match="was not read"):
        parse({**RESULT, "reading": None})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(key=st.sampled_from(sorted({*RESULT, *READING, *ROW})), value=JSON)
@settings(deadline=None)
def test_any_other_value_gives_a_profile_or_a_value_error(key: str, value: Any) -> None:
    row = {**READING["stacks"][0], key: value}
    for fields in (
        {**RESULT, key: value},
        {**RESULT, "reading": {**READING, key: value}},
        {**RESULT, "reading": {**READING, "stacks": [row]}},
    ):
        try:
            profile = parse(fields)
        except ValueError:
            continue
        assert all(type(v) is int for cost in profile.lines for v in cost.values)
        assert all(0 <= node.frame < len(profile.frames) for node in profile.tree)


def test_a_table_that_is_made_for_profilers_is_no_ones_line() -> None:
    frames = [*FRAMES, ["_PyCode_CreateLineArray", "Objects/codeobject.c", 1]]
    rows = [{**ROW, "frames": [0, 4], "line": 0}, {**ROW, "frames": [3, 2], "line": 3}]
    found = changed(frames=frames, stacks=rows)
    assert [(o.line, o.kept, o.via) for o in found.origins] == [(12, 100, "malloc_it")]
    assert sum(line.values[0] or 0 for line in found.lines) == 200
