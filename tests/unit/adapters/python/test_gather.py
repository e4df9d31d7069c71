"""Which record ends the waiting for a result."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from adapters.python import gather
from harness.model.profile import Artifact, ArtifactStatus
from harness.plugins.spec import AdapterContext, ProfiledResponse, Trigger

SPAN = "a" * 16
PENDING = {"pending": 1}


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(gather, "TIMEOUT_S", 0.2)
    monkeypatch.setattr(gather, "COPY_TIMEOUT_S", 0.3)
    path = tmp_path / "records" / "python-x.ndjson"
    path.parent.mkdir()
    path.write_text('{"k":"boot","rt":"python","pid":7,"ppid":1,"t":0,"version":"3.12.1","argv":""}\n')
    return path


def say(path: Path, values: dict[str, int], error: str | None = None, span: str = SPAN) -> None:
    record = {
        "k": "tool",
        "rt": "python",
        "pid": 7,
        "t": 1,
        "span": span,
        "tool": "guppy3",
        "file": None,
        "error": error,
    }
    with path.open("a") as stream:
        stream.write(json.dumps({**record, "v": values}, separators=(",", ":")) + "\n")


def gathered(path: Path) -> Artifact:
    context = AdapterContext(path.parents[1], "token", {}, ("guppy3",))
    response = ProfiledResponse(SPAN, "/", 200, 0, 1, {})
    return gather.gather(context, Trigger("guppy3"), response, path.parents[1] / "artifacts")


def test_a_result_that_was_announced_is_waited_for(records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "COPY_TIMEOUT_S", 30.0)
    say(records, PENDING)
    began = threading.Event()
    wait_for = gather.collect.wait_for

    def waiting(*args: object) -> object:
        if args[2] == 30.0:
            began.set()
        return wait_for(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(gather.collect, "wait_for", waiting)

    def answer() -> None:
        assert began.wait(100)
        say(records, {"snapshot_fork_ns": 5}, "the copy was ended by signal 9")

    thread = threading.Thread(target=answer)
    thread.start()
    artifact = gathered(records)
    thread.join()
    assert (artifact.status, artifact.detail) == (ArtifactStatus.MISSING, "the copy was ended by signal 9")
    assert artifact.attributes == {"snapshot_fork_ns": 5}


def test_announcement_and_result_at_once(records: Path) -> None:
    say(records, PENDING)
    say(records, {}, "no memory for a copy")
    assert gathered(records).detail == "no memory for a copy"


def test_a_copy_that_is_never_heard_of_again(records: Path) -> None:
    say(records, PENDING)
    assert "has gone without a word" in gathered(records).detail


def test_another_requests_announcement_is_not_waited_for(records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "COPY_TIMEOUT_S", 3600.0)
    say(records, PENDING, span="b" * 16)
    assert "may have met a process without the agent" in gathered(records).detail


def test_without_any_agent_nothing_is_waited_for(records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "TIMEOUT_S", 3600.0)
    records.write_text("")
    assert "without the agent" in gathered(records).detail
