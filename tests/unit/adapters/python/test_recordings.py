"""Recordings that cannot be read leave an artifact that says why; what a target wrote never becomes a path or a command. Real
recordings are read in the integration tests."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from adapters.python import interpreters, recordings, tools
from adapters.python.interpreter import Interpreter
from adapters.python.readers.fields import FORMAT
from harness.model.profile import Artifact, ArtifactStatus
from harness.plugins.spec import AdapterContext

NAME = "0123456789abcdef" * 2 + ".bin"
RESULT = {
    "format": FORMAT, "tool": "memray", "recording": NAME, "memray": "1.20.0", "lent": False,
    "cache_tag": sys.implementation.cache_tag, "marks": [3001],
}  # fmt: skip


@pytest.fixture
def context(tmp_path: Path) -> AdapterContext:
    (tmp_path / "results").mkdir()
    (tmp_path / "python").mkdir()
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "results" / NAME).write_bytes(b"no recording")
    return AdapterContext(tmp_path, "5f" * 16, {}, ("memray",))


def read(context: AdapterContext, tool: str = "memray", **fields: Any) -> tuple[Artifact, ...]:
    (context.work_dir / "artifacts" / "a.json").write_text(json.dumps({**RESULT, "tool": tool, **fields}))
    artifact = Artifact(
        tool, "python", "a.json", ArtifactStatus.COMPLETE, "a" * 16, "home", os.getpid(), 1, 5, "", {"alone": 1}
    )
    return tuple(recordings.read(context, artifact, context.work_dir / "artifacts"))


def known(context: AdapterContext, *program: str, tag: str | None = sys.implementation.cache_tag) -> None:
    interpreters.remember(context.work_dir, Interpreter((3, 11, 0), "cpython", tag or "", False, program))


def test_other_tools_results_stay_as_they_are(context: AdapterContext) -> None:
    [artifact] = read(context, tool="tracemalloc")
    assert artifact.path == "a.json"
    assert artifact.size_bytes == 5


@pytest.mark.parametrize(
    "fields",
    [
        {"recording": "../python/boot"},
        {"recording": "/etc/passwd"},
        {"recording": "f" * 32 + ".bin"},
        {"recording": None},
        {"memray": "1.20\n"},
        {"memray": "<b>"},
        {"tool": "tracemalloc"},
    ],
)
def test_a_result_that_names_no_recording_of_ours(context: AdapterContext, fields: dict[str, Any]) -> None:
    (context.work_dir / "artifacts" / "a.json").write_text(json.dumps({**RESULT, **fields}))
    artifact = Artifact("memray", "python", "a.json", ArtifactStatus.COMPLETE, None, None, os.getpid(), 1, 5, "")
    [found] = recordings.read(context, artifact, context.work_dir / "artifacts")
    assert (found.status, found.path) == (ArtifactStatus.MISSING, None)
    assert "the recording was not collected" in found.detail
    assert list((context.work_dir / "artifacts").iterdir()) == []


def test_a_linked_or_too_large_recording_is_not_collected(
    context: AdapterContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings, "CAP_BYTES", 3)
    [found] = read(context)
    assert "at most 0 MiB" in found.detail
    (context.work_dir / "results" / NAME).unlink()
    (context.work_dir / "results" / NAME).symlink_to("/etc/hostname")
    [found] = read(context)
    assert "cannot open the result" in found.detail


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "the target's own memray made it, and no launched program is a cpython-"),
        ({"lent": True, "cache_tag": "cpython-32"}, "no launched program is a cpython-32"),
        ({"cache_tag": "../../bin/sh"}, "the result does not say which Python"),
        ({"marks": ["--packages"]}, "marks is not a list of sizes"),
        ({"marks": [1] * 9}, "marks is not a list of sizes"),
    ],
)
def test_what_nobody_can_read_is_kept_with_the_reason(
    context: AdapterContext, fields: dict[str, Any], reason: str
) -> None:
    result, beside = read(context, **fields)
    assert (result.status, result.path) == (ArtifactStatus.MISSING, None)
    assert f"the recording could not be read: {reason}" in result.detail
    assert result.attributes == {"alone": 1}
    assert (beside.path, beside.size_bytes, beside.span_id) == ("a.bin", 12, "a" * 16)
    assert beside.opens_with is not None
    assert beside.opens_with.startswith("memray 1.20.0")
    assert "-m memray flamegraph --leaks FILE" in beside.opens_with
    assert [path.name for path in (context.work_dir / "artifacts").iterdir()] == ["a.bin"]


def test_the_readers_last_words_are_the_reason(context: AdapterContext) -> None:
    known(context, sys.executable)
    result, _ = read(context)
    assert "ModuleNotFoundError: No module named 'memray'" in result.detail


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        ("print('[]')", "gave no answer"),
        ("print('{')", "Expecting"),
        ("import time; time.sleep(60)", "longer than 0.3 s"),
    ],
)
def test_a_reader_that_is_led_astray(
    context: AdapterContext, says: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings, "TIMEOUT_S", 0.3 if "sleep" in says else 60)
    known(context, sys.executable, "-c", says)
    result, _ = read(context)
    assert reason in result.detail


def test_interpreters_are_remembered_once_each(context: AdapterContext) -> None:
    assert interpreters.programs(context.work_dir, "cpython-38") == []
    known(context, "/a/python", tag="cpython-38")
    known(context, "/a/python", tag="cpython-38")
    known(context, "/b/python", "-x", tag="cpython-38")
    known(context, "/c/python", tag="cpython-39")
    known(context, tag="cpython-38")  # one that could not be asked
    interpreters.remember(context.work_dir, None)
    assert interpreters.programs(context.work_dir, "cpython-38") == [("/a/python",), ("/b/python", "-x")]


def test_the_targets_own_memray_opens_it(context: AdapterContext) -> None:
    known(context, "/srv/my app/bin/python")
    _, beside = read(context)
    assert beside.opens_with == (
        "memray 1.20.0: '/srv/my app/bin/python' -m memray flamegraph --leaks FILE (or tree, stats)"
    )


def test_the_memray_that_was_lent_opens_it_with_its_directory(
    context: AdapterContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lent = tools.Lent((tmp_path / "tool dir",), "cpython-38")
    monkeypatch.setattr(tools, "lend", lambda *_: lent)
    known(context, "/srv/bin/python3.8", tag="cpython-38")
    _, beside = read(context, lent=True, cache_tag="cpython-38")
    assert beside.opens_with == (
        f"memray 1.20.0: PYTHONPATH='{tmp_path}/tool dir' /srv/bin/python3.8 -m memray flamegraph --leaks FILE (or tree, stats)"
    )
