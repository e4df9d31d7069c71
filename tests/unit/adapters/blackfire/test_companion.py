"""The receiver as a run's companion: one place for a run, a fresh query for each request, reasons when nothing came."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapters.blackfire import companion
from adapters.blackfire.query import Authority
from adapters.blackfire.receiver import SECRET, store
from harness.errors import HarnessError, TargetError
from harness.plugins.spec import Stage

TOKEN = "5f" * 16
BODY = b"file-format: BlackfireProbe\n\nmain()//1 1 1 1 1\n"
ABOUT = {"format": "harness-blackfire/1", "hello_ns": 10, "end_ns": 20, "probe": "python-1"}


def test_a_run_has_one_receiver_for_the_profiled_pass(tmp_path: Path) -> None:
    plan = companion.plan(tmp_path, TOKEN)
    assert companion.plan(tmp_path, TOKEN) == plan
    assert plan.stage is Stage.PROFILE
    assert not plan.measured
    assert plan.ready is not None
    assert plan.ready.startswith("tcp://127.0.0.1:")
    assert plan.ready in plan.argv
    assert TOKEN not in " ".join(plan.argv)
    assert plan.env[SECRET] not in (None, TOKEN)
    assert plan.env[SECRET] not in plan.argv


def test_queries_are_fresh_and_admitted_by_the_runs_receiver_only(tmp_path: Path) -> None:
    plan = companion.plan(tmp_path, TOKEN)
    first, address = companion.ask(tmp_path, TOKEN)
    second, _ = companion.ask(tmp_path, TOKEN)
    assert address == plan.ready
    assert first.request_id != second.request_id
    authority = Authority(bytes.fromhex(str(plan.env[SECRET])))
    assert authority.admit(first.text, 0).request_id == first.request_id
    assert authority.admit(second.text, 0).request_id == second.request_id


def test_without_a_launch_there_is_no_receiver(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="no Blackfire-compatible receiver"):
        companion.ask(tmp_path, TOKEN)


def test_an_unwritable_directory_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "blackfire").touch()
    with pytest.raises(HarnessError, match="cannot write"):
        companion.plan(tmp_path, TOKEN)


def test_what_was_received(tmp_path: Path) -> None:
    directory = tmp_path / "blackfire"
    directory.mkdir()
    store(directory, "a", ABOUT, BODY, "")
    found = companion.received(tmp_path, "a", 0)
    assert (found.body, found.hello_ns, found.end_ns, found.probe, found.problem) == (BODY, 10, 20, "python-1", "")
    store(directory, "b", ABOUT, BODY + b"half", "")
    assert companion.received(tmp_path, "b", 0).problem == "the profile was cut"
    store(directory, "c", ABOUT, b"", "nothing came for 1 s")
    with pytest.raises(ValueError, match="nothing came for 1 s"):
        companion.received(tmp_path, "c", 0)
    with pytest.raises(ValueError, match="none was received within 0 s"):
        companion.received(tmp_path, "d", 0)
    (directory / "e.json").write_text(json.dumps({**ABOUT, "format": "harness-blackfire/2"}))
    with pytest.raises(ValueError, match="another version"):
        companion.received(tmp_path, "e", 0)
