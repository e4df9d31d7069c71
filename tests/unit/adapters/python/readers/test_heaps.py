"""Results of the tools that look at the heap: hostile as all results are, a Profile or a ValueError comes out."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.python.readers.fields import FORMAT
from adapters.python.readers.heaps import CHAINS_CAP, LABEL_CAP, TYPES_CAP
from adapters.python.toolset import read
from harness.model.profile import Holder, Profile

VALUES = {
    "alone": True,
    "wall_ns": 5,
    "rss_start_bytes": 100,
    "rss_end_bytes": 40,
    "runs_before": 1,
    "snapshot_fork_ns": 7,
}
COMMON = {"format": FORMAT, "python": "3.11.7", "scope": "request", "cwd": "/srv", "name": "GET /", "values": VALUES}
CHAIN = {
    "type": "shop.Order",
    "objects": 3,
    "path": [["module shop", "ORDERS"], ["list of 3", "[0]"], ["shop.Order", ""]],
}
SEARCH = {"chains": [CHAIN], "samples": 100, "search_complete": True}
SURVIVORS = {
    **COMMON, **SEARCH, "tool": "survivors", "objects": 3, "bytes": 144, "buffer_bytes": 0, "types_total": 1,
    "types": [{"type": "shop.Order", "count": 3, "bytes": 144, "buffer_bytes": 5000}],
}  # fmt: skip
OBJGRAPH = {
    **COMMON, **SEARCH, "tool": "objgraph", "objects": 9000, "growth": -2, "types_total": 1, "only_new": True,
    "without_chain": 0, "types": [{"type": "dict", "count": 8, "growth": -2}],
}  # fmt: skip
KIND = {"kind": "dict of shop.Order", "count": 3, "bytes": 312, "count_growth": 1, "bytes_growth": 104}
GUPPY3 = {
    **COMMON, "tool": "guppy3", "kinds": [KIND], "kinds_total": 1, "objects": 5, "bytes": 999, "objects_growth": 1,
    "bytes_growth": 104,
}  # fmt: skip
RESULTS: dict[str, dict[str, Any]] = {"survivors": SURVIVORS, "objgraph": OBJGRAPH, "guppy3": GUPPY3}


def parse(tool: str, **changes: Any) -> Profile:
    return read(tool, json.dumps({**RESULTS[tool], **changes}).encode())


def test_survivors() -> None:
    profile = parse("survivors")
    assert [v.unit for v in profile.value_types] == ["count", "bytes", "bytes"]
    assert [(g.kind, g.values) for g in profile.objects] == [("shop.Order", (3, 144, 5000))]
    [chain] = profile.holders
    assert (chain.kind, chain.objects) == ("shop.Order", 3)
    assert chain.path == (Holder("module shop", "ORDERS"), Holder("list of 3", "[0]"), Holder("shop.Order", ""))
    assert profile.totals["objects"] == 3
    assert profile.totals["rss_growth_bytes"] == -60
    assert profile.totals["snapshot_fork_ns"] == 7
    assert profile.complete


def test_objgraph() -> None:
    profile = parse("objgraph")
    assert [v.name for v in profile.value_types] == ["objects_growth", "objects"]
    assert [(g.kind, g.values) for g in profile.objects] == [("dict", (-2, 8))]
    assert profile.totals["growth"] == -2
    assert profile.complete


def test_guppy3() -> None:
    profile = parse("guppy3")
    assert [(v.name, v.unit) for v in profile.value_types] == [
        ("inuse_growth", "bytes"), ("objects_growth", "count"), ("inuse_space", "bytes"), ("objects", "count"),
    ]  # fmt: skip
    assert profile.objects[0].values == (104, 1, 312, 3)
    assert profile.totals["bytes"] == 999
    assert not profile.holders


@pytest.mark.parametrize("tool", RESULTS)
def test_to_list_the_largest_is_said_and_not_incomplete(tool: str) -> None:
    total = "kinds_total" if tool == "guppy3" else "types_total"
    profile = parse(tool, **{total: 1234})
    assert profile.complete
    assert any("1234" in note for note in profile.notes)


@pytest.mark.parametrize("tool", ["survivors", "objgraph"])
def test_a_search_that_was_stopped_is_said(tool: str) -> None:
    profile = parse(tool, search_complete=False)
    assert not profile.complete
    assert any("was stopped when its time was over" in note for note in profile.notes)


def test_what_objgraph_could_not_tell_is_said() -> None:
    notes = " ".join(
        parse("objgraph", only_new=False, without_chain=2, without_chain_types=["cell", "shop.Cart"]).notes
    )
    assert "frozen its own heap" in notes
    assert (
        "Neither a module nor a running function of this thread holds 2 of these objects (cell, shop.Cart) within"
        in notes
    )


@pytest.mark.parametrize("path", [None, [], "x", [["a"]], [["a", 1]], [[["a"], "b"]], [["a", "b"]] * 65, {"a": "b"}])
def test_paths_that_are_none(path: Any) -> None:
    with pytest.raises(ValueError, match=r"path|label|via"):
        parse("survivors", chains=[{**CHAIN, "path": path}])


def test_caps() -> None:
    row = {"type": "t" * 9999, "count": 1, "bytes": 1, "buffer_bytes": 0}
    chain = {**CHAIN, "path": [["l" * 9999, "v" * 9999]]}
    profile = parse("survivors", types=[row] * 5000, chains=[chain] * 5000, types_total=5000)
    assert len(profile.objects) == TYPES_CAP
    assert len(profile.objects[0].kind) == LABEL_CAP
    assert len(profile.holders) == CHAINS_CAP
    assert len(profile.holders[0].path[0].label) == len(profile.holders[0].path[0].via) == LABEL_CAP


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(tool=st.sampled_from(sorted(RESULTS)), value=JSON, data=st.data())
@settings(deadline=None)
def test_any_other_value_gives_a_profile_or_a_value_error(tool: str, value: Any, data: st.DataObject) -> None:
    fields = json.loads(json.dumps(RESULTS[tool]))
    rows = [fields, *(row for key in ("types", "kinds", "chains") for row in fields.get(key, []))]
    changed = data.draw(st.sampled_from(rows))
    changed[data.draw(st.sampled_from(sorted(changed)))] = value
    try:
        profile = read(tool, json.dumps(fields).encode())
    except ValueError:
        return
    for group in profile.objects:
        group.kind.encode()
        assert len(group.values) == len(profile.value_types)
        assert all(type(v) is int for v in group.values)
    for chain in profile.holders:
        assert all(type(text) is str for step in chain.path for text in (step.label, step.via))
