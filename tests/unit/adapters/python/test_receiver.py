"""How the adapter asks for Blackfire's profiles, and what it makes of what the receiver has."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

from adapters.blackfire import companion
from adapters.blackfire.receiver import store
from adapters.python.adapter import ADAPTER
from adapters.python.interpreter import Interpreter
from adapters.python.tools import lend
from adapters.python.toolset import TOOLS
from harness.errors import TargetError, UsageError
from harness.model.profile import Artifact, ArtifactStatus
from harness.plugins.spec import AdapterContext, LaunchPlan, ProfiledResponse, Trigger

TOKEN = "5f" * 16
PLAN = LaunchPlan("app", (sys.executable, "app.py"))
BODY = b"file-format: BlackfireProbe\n\nmain()//1 1 1 1 1\n"


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AdapterContext:
    monkeypatch.setattr("adapters.python.gather.TIMEOUT_S", 0.0)
    monkeypatch.setattr("adapters.python.receiver.TIMEOUT_S", 0.0)
    monkeypatch.setattr("adapters.python.tools.lend", lambda *args: lend(TOOLS["tracemalloc"], None, {}))  # no download
    return AdapterContext(tmp_path, TOKEN, {}, ("blackfire",))


def test_the_receiver_is_started_where_the_tool_is_asked_for(context: AdapterContext) -> None:
    app, receiver = ADAPTER.prepare(context, [PLAN]).plans
    assert app.name == "app"
    assert receiver == companion.plan(context.work_dir, TOKEN)
    other = AdapterContext(context.work_dir, TOKEN, {}, ("tracemalloc",))
    assert [plan.name for plan in ADAPTER.prepare(other, [PLAN]).plans] == ["app"]
    assert [plan.name for plan in ADAPTER.prepare(context, []).plans] == []


def test_each_trigger_carries_a_query_of_its_own(context: AdapterContext) -> None:
    ADAPTER.prepare(context, [PLAN])
    texts = [ADAPTER.trigger(context, "blackfire").headers["x-harness-trigger"] for _ in range(2)]
    words = [text.split() for text in texts]
    assert [w[:2] for w in words] == [[TOKEN, "blackfire"]] * 2
    options = [dict(word.split("=", 1) for word in w[2:]) for w in words]
    assert options[0]["query"] != options[1]["query"]
    assert unquote(options[0]["socket"]) == companion.plan(context.work_dir, TOKEN).ready
    assert "&signature=" in unquote(options[0]["query"])
    with pytest.raises(UsageError, match="not whole scripts"):
        ADAPTER.trigger(context, "blackfire", ["python", "job.py"])
    with pytest.raises(UsageError, match="not jobs"):
        ADAPTER.arm(context, 1, "blackfire", [])


def test_without_a_launch_there_is_a_reason(context: AdapterContext) -> None:
    with pytest.raises(TargetError, match="no Blackfire-compatible receiver"):
        ADAPTER.trigger(context, "blackfire")


def collected(context: AdapterContext, body: bytes | None, problem: str = "") -> Artifact:
    """An artifact of a request whose agent said that all went well."""
    ADAPTER.prepare(context, [PLAN])
    trigger: Trigger = ADAPTER.trigger(context, "blackfire")
    identifier = unquote(trigger.headers["x-harness-trigger"]).partition("request-id-")[2][:36]
    record = {
        "k": "tool", "rt": "python", "pid": os.getpid(), "t": 15, "span": "a" * 16, "tool": "blackfire", "file": "x.json",
        "error": None, "v": {"alone": 1},
    }  # fmt: skip
    [records] = context.work_dir.glob("records/python-*.ndjson")
    with records.open("a") as stream:
        stream.write(json.dumps(record, separators=(",", ":")) + "\n")
    if body is not None:
        about = {"format": "harness-blackfire/1", "hello_ns": 11, "end_ns": 19, "probe": "python-1"}
        store(context.work_dir / "blackfire", identifier, about, body, problem)
    response = ProfiledResponse("a" * 16, "home", 200, 10, 20, {})
    [artifact] = ADAPTER.collect(context, trigger, response, context.work_dir / "artifacts")
    return artifact


def test_the_artifact_is_the_probes_own_file(context: AdapterContext) -> None:
    artifact = collected(context, BODY)
    assert artifact.status is ArtifactStatus.COMPLETE
    assert artifact.attributes == {"alone": 1, "session_start_ns": 11, "session_end_ns": 19, "probe": "python-1"}
    path = context.work_dir / "artifacts" / str(artifact.path)
    assert path.name == f"python-blackfire-{'a' * 16}.bf"
    assert path.read_bytes() == BODY
    assert ADAPTER.parse("blackfire", path).totals["time_ns"] == 1000
    path.write_bytes(b"not that")
    with pytest.raises(ValueError, match="no Blackfire profile"):
        ADAPTER.parse("blackfire", path)


def test_a_cut_profile_and_none_at_all(context: AdapterContext) -> None:
    cut = collected(context, BODY + b"half")
    assert (cut.status, cut.detail) == (ArtifactStatus.TRUNCATED, "the profile was cut")


def test_a_profile_that_did_not_come(context: AdapterContext) -> None:
    artifact = collected(context, None)
    assert artifact.status is ArtifactStatus.MISSING
    assert artifact.path is None
    assert "none was received" in artifact.detail


def test_an_old_python_is_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    old = Interpreter((3, 8, 18), "cpython", "cpython-38", False)
    assert lend(TOOLS["blackfire"], old, {"XDG_CACHE_HOME": str(tmp_path)}).problem == "it needs Python 3.9 or newer"
    assert list(tmp_path.iterdir()) == []
