"""Profiles as files of ours: what goes in comes out, and nothing else is taken for one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from reports import allocation_profile, call_profile, curve_profile, line_profile, object_profile

from harness.model.profile import Origin, Owner, Profile
from harness.store.profile_json import dump_profile, read_profile

PROFILES = (call_profile(), curve_profile(), line_profile(), allocation_profile(), object_profile())


@pytest.mark.parametrize("profile", PROFILES, ids=lambda p: p.tool)
def test_there_and_back(profile: Profile, tmp_path: Path) -> None:
    origin = Origin(Owner.PACKAGE, "a.py", None, "f", kept=2**40, via="x:1", callers=("b:2",))
    whole = dataclasses.replace(profile, origins=(origin,))
    (tmp_path / "p").write_bytes(dump_profile(whole))
    assert read_profile(tmp_path / "p") == whole
    assert dump_profile(read_profile(tmp_path / "p")) == dump_profile(whole)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"tool": 3, "value_types": []}', b"[" * 100_000, b"\xff"])
def test_anything_else(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(content)
    with pytest.raises(ValueError, match="not a harness-profile/1"):
        read_profile(tmp_path / "p")


@pytest.mark.parametrize(
    "change",
    [
        {"frames": []},
        {"value_types": []},
        {"functions": [{"frame": -1, "calls": 1, "self_values": [], "inclusive_values": []}]},
        {"tree": [{"frame": 0, "parent": 0, "calls": 1, "self_values": [1, 1], "inclusive_values": [1, 1]}]},
        {"peak": {"offset_ns": 1, "bytes": 1, "stack": [99_999]}},
    ],
)
def test_numbers_that_lead_nowhere(change: dict[str, object], tmp_path: Path) -> None:
    document = json.loads(dump_profile(call_profile()))
    (tmp_path / "p").write_text(json.dumps({**document, **change}))
    with pytest.raises(ValueError, match="do not fit"):
        read_profile(tmp_path / "p")
