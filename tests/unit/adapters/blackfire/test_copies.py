"""The relay as a run's companion: how it is started, which copies belong to a query."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapters.blackfire import copies
from adapters.blackfire.recording import FORMAT
from harness.errors import HarnessError
from harness.plugins.spec import Stage

MARK = "ab" * 16


def put(work_dir: Path, name: str, **about: object) -> None:
    directory = copies.directory_of(work_dir)
    directory.mkdir(exist_ok=True)
    told = {
        "format": FORMAT,
        "detail": "",
        "sub_profile": "",
        "body": f"{name}.bf",
        "hello_ns": 1,
        "end_ns": 2,
        **about,
    }
    (directory / f"{name}.json").write_text(json.dumps(told))


def test_the_relay_lives_for_the_profiled_pass(tmp_path: Path) -> None:
    plan = copies.plan(tmp_path, "tcp://127.0.0.1:8308", "unix:///agent.sock")
    assert (plan.stage, plan.measured, plan.ready) == (Stage.PROFILE, False, "tcp://127.0.0.1:8308")
    assert plan.argv[-6:] == (
        "--listen", "tcp://127.0.0.1:8308", "--upstream", "unix:///agent.sock", "--directory", str(copies.directory_of(tmp_path))
    )  # fmt: skip
    assert copies.plan(tmp_path, "unix:///s", "unix:///agent.sock").ready is None
    (tmp_path / "file").touch()
    with pytest.raises(HarnessError, match="cannot write to"):
        copies.plan(tmp_path / "file", "tcp://127.0.0.1:8308", "unix:///agent.sock")


def test_copies_are_found_by_the_query_and_the_profile_comes_first(tmp_path: Path) -> None:
    put(tmp_path, f"{MARK}-00000001", sub_profile=":9f", hello_ns=5)
    put(tmp_path, f"{MARK}-00000002", hello_ns=9)
    put(tmp_path, f"{'cd' * 16}-00000003")
    found = copies.copies_of(tmp_path, MARK, 0)
    assert [(copy.sub_profile, copy.hello_ns) for copy in found] == [("", 9), (":9f", 5)]
    assert found[0].body == copies.directory_of(tmp_path) / f"{MARK}-00000002.bf"
    assert copies.copies_of(tmp_path, "ef" * 16, 0) == []
    assert copies.copies_of(tmp_path, "", 0) == []
    assert copies.copies_of(tmp_path, "*", 0) == []


def test_names_and_versions_of_others_are_not_followed(tmp_path: Path) -> None:
    put(tmp_path, f"{MARK}-00000001", body="../../etc/passwd", detail="cut", hello_ns=None)
    [copy] = copies.copies_of(tmp_path, MARK, 0)
    assert (copy.body, copy.problem, copy.hello_ns) == (None, "cut", None)
    put(tmp_path, f"{MARK}-00000001", format="harness-blackfire-relay/9")
    with pytest.raises(ValueError, match="another version"):
        copies.copies_of(tmp_path, MARK, 0)
