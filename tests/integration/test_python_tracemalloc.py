"""tracemalloc's modes, in clean environments: stacks, and differences where the application or the launch traces already."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from python_envs import environment
from python_service import DEADLINE_S, PROGRAMS, Service, Services, prepared, set_only
from pythons import pythons

from adapters.python.adapter import ADAPTER
from harness.model.profile import ArtifactStatus, Profile
from harness.plugins.spec import ProfiledResponse

pytestmark = pytest.mark.integration

FILE = str(PROGRAMS / "python_memory_app.py")
PACKAGES = (
    "fastapi",
    "flask",
    "gunicorn",
    "uvicorn",
)  # as other tests have them, so that the environments are made once


def by_minor() -> dict[str, str]:
    """Minor version -> a Python of it, at least our own."""
    found = {".".join(version.split(".")[:2]): program for version, program in reversed(pythons().items())}
    wanted = {minor: found[minor] for minor in ("3.8", "3.11", "3.12", "3.13") if minor in found}
    return wanted or {"own": sys.executable}


every_python = pytest.mark.parametrize("python", by_minor().values(), ids=by_minor().keys())


def serve(services: Services, python: str, **options: object) -> Service:
    program = environment(python, *PACKAGES)
    return services.gunicorn("python_memory_app:app", python=program, options={"tracemalloc": options})


def line_of(words: str) -> int:
    lines = Path(FILE).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.endswith(words))


def held(profile: Profile | None, words: str) -> int:
    """Bytes of the line that ends with these words."""
    assert profile is not None
    [cost] = [cost for cost in profile.lines if (cost.file, cost.line) == (FILE, line_of(words))]
    return cost.values[0] or 0


@every_python
def test_stacks_lead_to_the_line_that_keeps(services: Services, python: str) -> None:
    service = serve(services, python, frames=10)
    _, artifact, profile = service.measure("tracemalloc", "/keep")
    assert artifact.status is ArtifactStatus.COMPLETE, artifact
    assert profile is not None
    [at] = [
        n for n, node in enumerate(profile.tree) if profile.frames[node.frame].line == line_of("the line that keeps")
    ]
    assert 1_000_000 < profile.tree[at].inclusive_values[0] < 1_000_100
    way = []
    while at >= 0:
        way.append(profile.frames[profile.tree[at].frame].function)
        at = profile.tree[at].parent
    assert way[1] == f"python_memory_app.py:{line_of('= keep()')}"
    assert any(name.startswith("app.py:") for name in way)  # Flask's
    assert not [frame for frame in profile.frames if "/python/agent/" in frame.file]


@every_python
def test_where_the_application_traces_the_difference_has_a_sign(services: Services, python: str) -> None:
    service = serve(services, python)
    assert service.get("/trace").text == "tracing"
    service.get("/keep")
    _, artifact, profile = service.measure("tracemalloc", "/swap", warmups=0)
    assert artifact.status is ArtifactStatus.COMPLETE, artifact
    assert -1_000_100 < held(profile, "the line that keeps") < -1_000_000
    assert 200_000 < held(profile, "the line that keeps less") < 200_100
    assert profile is not None
    assert -830_000 < (profile.totals["kept_bytes"] or 0) < -780_000  # and what the request before it still held
    assert profile.totals["peak_bytes"] is None  # two million bytes were held before
    assert any("difference between before and after" in note for note in profile.notes)
    assert artifact.attributes["snapshot_fork_ns"]
    assert service.get("/tracing").text == "2"


@every_python
def test_from_boot_whatever_is_freed_shows_from_the_first_request_on(services: Services, python: str) -> None:
    service = serve(services, python, from_boot=True, frames=3)
    assert service.get("/tracing").text == "3"
    service.get("/keep")
    _, artifact, profile = service.measure("tracemalloc", "/drop", warmups=0)
    assert artifact.status is ArtifactStatus.COMPLETE, artifact
    assert -1_000_100 < held(profile, "the line that keeps") < -1_000_000
    assert profile is not None
    assert min(node.inclusive_values[0] for node in profile.tree) < -1_000_000
    _, _, profile = service.measure("tracemalloc", "/keep", warmups=0)
    assert 1_000_000 < held(profile, "the line that keeps") < 1_000_100
    assert service.get("/tracing").text == "3"


@every_python
def test_a_script_with_frames(tmp_path: Path, python: str) -> None:
    script = [python, str(PROGRAMS / "python_job.py")]
    context, env = prepared(tmp_path, script, {"tracemalloc": {"frames": 4}})
    trigger = ADAPTER.trigger(context, "tracemalloc", script)
    assert trigger.env == {"HARNESS_JOB_TOOL": "tracemalloc frames=4"}
    start = time.monotonic_ns()
    done = subprocess.run(
        script, env={**env, **set_only(trigger.env)}, check=False, capture_output=True, timeout=DEADLINE_S
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    answer = ProfiledResponse("", "job", 0, start, time.monotonic_ns(), {})
    [artifact] = ADAPTER.collect(context, trigger, answer, tmp_path / "artifacts")
    assert artifact.path is not None
    profile = ADAPTER.parse("tracemalloc", tmp_path / "artifacts" / artifact.path)
    [node] = [n for n in profile.tree if profile.frames[n.frame].function == "python_job.py:3"]
    assert 500_000 < node.inclusive_values[0] < 500_200
