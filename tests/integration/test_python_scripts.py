"""Tools over whole scripts: processes that a script starts or forks are not measured, and what goes wrong is said."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from python_service import DEADLINE_S, Services, prepared, record_lines, set_only
from pythons import pythons

from adapters.python import toolset
from adapters.python.adapter import ADAPTER
from harness.model.profile import ArtifactStatus
from harness.model.span import ToolRecord
from harness.plugins.spec import AdapterContext, ProfiledResponse

pytestmark = pytest.mark.integration

FAMILY = """
import os, subprocess, sys, threading
kept = bytearray(500_000)
child = os.fork()
if child == 0:
    more = bytearray(3_000_000)
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
subprocess.check_call([sys.executable, '-c', 'more = bytearray(3_000_000)'])
print('ran')
"""
SCRIPT_TOOLS = [tool.name for tool in toolset.TOOLS.values() if tool.scripts]


def by_minor() -> dict[str, str]:
    """Minor version -> a Python of it, at least our own."""
    found = {".".join(version.split(".")[:2]): program for version, program in reversed(pythons().items())}
    wanted = {minor: found[minor] for minor in ("3.8", "3.11", "3.12", "3.13") if minor in found}
    return wanted or {"own": sys.executable}


def run(context: AdapterContext, env: Mapping[str, str], script: list[str], **more: str | None) -> int:
    """Start the script; the time before it."""
    start = time.monotonic_ns()
    done = subprocess.run(
        script, env={**env, **set_only(more)}, check=False, capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "ran\n", "")
    return start


def tool_records(context: AdapterContext) -> list[ToolRecord]:
    [source] = ADAPTER.record_sources(context)
    return [record for record in map(source.parse, record_lines(context)) if isinstance(record, ToolRecord)]


@pytest.mark.parametrize("tool", SCRIPT_TOOLS)
@pytest.mark.parametrize("python", by_minor().values(), ids=by_minor().keys())
def test_only_the_script_itself_is_measured(services: Services, tmp_path: Path, python: str, tool: str) -> None:
    script = [python, "-W", "ignore", "-c", FAMILY]  # 3.12 and later warn of a fork beside memray's thread
    context, env = prepared(tmp_path, script, tools=(tool,))
    trigger = ADAPTER.trigger(context, tool, script)
    start = run(context, env, script, **trigger.env)
    answer = ProfiledResponse("", "job", 0, start, time.monotonic_ns(), {})
    artifact, *_ = ADAPTER.collect(context, trigger, answer, tmp_path / "artifacts")
    assert artifact.status is ArtifactStatus.COMPLETE, artifact
    assert len(tool_records(context)) == 1
    assert artifact.path is not None
    profile = ADAPTER.parse(tool, tmp_path / "artifacts" / artifact.path)
    if tool != "cprofile":
        assert 500_000 < (profile.totals["kept_bytes"] or 0) < 3_000_000


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("other", "unknown tool 'other'"),
        ("tracemalloc frames=99", "frames must be a number from 1 to 25"),
        ("memray", "memray cannot be imported in the target"),  # the launch was prepared for another tool
    ],
)
def test_a_tool_that_cannot_start_leaves_the_script_alone_and_says_why(tmp_path: Path, words: str, reason: str) -> None:
    script = [sys.executable, "-c", "print('ran')"]
    context, env = prepared(tmp_path, script)
    run(context, env, script, HARNESS_JOB_TOOL=words)
    [record] = tool_records(context)
    assert record.file is None
    assert reason in (record.error or "")
