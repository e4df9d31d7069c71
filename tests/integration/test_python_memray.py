"""memray for one request and for a script, in clean environments: known bytes, other threads, native code, what goes wrong."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import pytest
from native import compiled
from python_envs import environment
from python_jobs import SCRIPT, Worker
from python_service import DEADLINE_S, PROGRAMS, Service, Services, prepared, set_only
from pythons import pythons

from adapters.python import gather_jobs
from adapters.python.adapter import ADAPTER
from harness.model.profile import Artifact, ArtifactStatus, LineCost, Profile
from harness.plugins.spec import LaunchPlan, ProfiledResponse

pytestmark = pytest.mark.integration

FILE = str(PROGRAMS / "python_memory_app.py")
PACKAGES = (
    "fastapi",
    "flask",
    "gunicorn",
    "uvicorn",
)  # as other tests have them, so that the environments are made once


def by_minor() -> dict[str, str]:
    """Minor version -> a Python of it, at least our own: 3.8 has an older memray, 3.12 another way to follow calls."""
    found = {".".join(version.split(".")[:2]): program for version, program in reversed(pythons().items())}
    wanted = {minor: found[minor] for minor in ("3.8", "3.11", "3.12", "3.13") if minor in found}
    return wanted or {"own": sys.executable}


every_python = pytest.mark.parametrize("python", by_minor().values(), ids=by_minor().keys())


def serve(services: Services, python: str, native: bool = False, packages: tuple[str, ...] = PACKAGES) -> Service:
    options = {"memray": {"native": True}} if native else {}
    flags = ("-k", "gthread", "--threads", "2")
    program = environment(python, *packages)
    return services.gunicorn("python_memory_app:app", *flags, python=program, tools=("memray",), options=options)


def line_of(words: str) -> int:
    lines = Path(FILE).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.endswith(words))


def kept(profile: Profile | None) -> LineCost:
    """The line that keeps a million bytes."""
    assert profile is not None
    [line] = [cost for cost in profile.lines if (cost.file, cost.line) == (FILE, line_of("the line that keeps"))]
    return line


def way_to(profile: Profile, function: str) -> list[str]:
    """The functions around the first node of this name, outermost first."""
    [at, *_] = [n for n, node in enumerate(profile.tree) if profile.frames[node.frame].function == function]
    way = []
    while at >= 0:
        way.insert(0, profile.frames[profile.tree[at].frame].function)
        at = profile.tree[at].parent
    return way


@every_python
def test_bytes_that_are_kept_are_found_at_their_line_and_on_their_way(services: Services, python: str) -> None:
    service = serve(services, python)
    response, artifact, profile = service.measure("memray", "/keep")
    assert response.text == "kept"
    assert artifact.status is ArtifactStatus.COMPLETE, (artifact, service.output())
    line = kept(profile)
    assert profile is not None
    assert line.function == "keep"
    assert line.values[1] == 2  # the object and its bytes
    assert 1_000_000 < (line.values[0] or 0) < 1_000_100
    total, peak = profile.totals["kept_bytes"], profile.totals["peak_bytes"]
    assert total is not None
    assert peak is not None
    assert 1_000_000 < total < 1_020_000
    assert 2_000_000 < peak < 2_050_000
    way = way_to(profile, "keep")
    assert way[0] in ("__call__", "wsgi_app")
    assert way[-2:] == ["keep_one", "keep"]
    assert not [frame for frame in profile.frames if "/python/agent/" in frame.file]
    assert profile.complete


@every_python
def test_other_threads_do_not_change_what_is_found(services: Services, python: str) -> None:
    service = serve(services, python)
    _, _, alone = service.measure("memray", "/keep")
    service.get("/busy")
    _, artifact, among = service.measure("memray", "/keep")
    service.get("/quiet")
    assert artifact.attributes["other_thread_cpu_percent"]
    assert alone is not None
    assert among is not None
    assert kept(among).values == kept(alone).values
    for total in ("kept_bytes", "peak_bytes"):
        assert abs((among.totals[total] or 0) - (alone.totals[total] or 0)) < 1_000
    assert (among.totals["process_peak_bytes"] or 0) > (among.totals["peak_bytes"] or 0)
    assert any("Filtered to the thread of this request" in note for note in among.notes)


@every_python
def test_memory_of_a_c_library(
    services: Services, python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = compiled("keep_native", tmp_path, "-shared", "-fPIC", "-g")
    monkeypatch.setenv("NATIVE_LIBRARY", str(library))
    service = serve(services, python, native=True)
    _, artifact, profile = service.measure("memray", "/native")
    assert artifact.status is ArtifactStatus.COMPLETE, artifact
    assert profile is not None
    line = profile.lines[0]
    assert (line.file, line.function) == (FILE, "native")
    assert 777_777 <= (line.values[0] or 0) < 778_500  # and what ctypes keeps
    way = way_to(profile, "keep_native")
    assert way.index("native") < way.index("keep_native")
    assert way[0] in ("__call__", "wsgi_app")
    [number] = [n for n, frame in enumerate(profile.frames) if frame.function == "keep_native"]
    assert profile.frames[number].file.endswith("keep_native.c")
    [function] = [f for f in profile.functions if f.frame == number]
    assert function.self_values == (777_777, 1, 777_777)


def artifacts_of(service: Service, path: str) -> tuple[Artifact, ...]:
    trigger = ADAPTER.trigger(service.context, "memray")
    service.get(path, trigger.headers)
    response = service.get(path, trigger.headers)
    answer = ProfiledResponse(response.extensions["span"], path, 200, 0, time.monotonic_ns(), {})
    return tuple(ADAPTER.collect(service.context, trigger, answer, service.context.work_dir / "artifacts"))


@every_python
@pytest.mark.parametrize("packages", [PACKAGES, (*PACKAGES, "memray")], ids=["lent", "own"])
def test_the_recording_opens_with_the_command_that_is_told(
    services: Services, python: str, packages: tuple[str, ...], tmp_path: Path
) -> None:
    service = serve(services, python, packages=packages)
    profile, recording = artifacts_of(service, "/keep")
    directory = service.context.work_dir / "artifacts"
    assert profile.path is not None
    assert recording.path is not None
    assert recording.opens_with is not None
    told = re.fullmatch(r"memray [\w.]+: (.+ flamegraph .*)FILE \(or tree, stats\)", recording.opens_with)
    assert told is not None, recording.opens_with
    assert ("PYTHONPATH=" in told[1]) is (packages is PACKAGES)
    done = subprocess.run(
        ["/bin/sh", "-c", f'{told[1]} -o "$1" "$2"', "sh", str(tmp_path / "f.html"), str(directory / recording.path)],
        capture_output=True, text=True, check=False, timeout=DEADLINE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert FILE in (tmp_path / "f.html").read_text()
    # Later, elsewhere, only the files are there: neither the target's Python nor its memray is needed.
    assert kept(ADAPTER.parse("memray", directory / profile.path)).values[1] == 2


def test_an_application_that_uses_memray_itself_is_left_alone(services: Services) -> None:
    service = serve(services, sys.executable, packages=(*PACKAGES, "memray"))
    assert service.get("/memray").text == "recording"
    response, artifact, _ = service.measure("memray", "/keep")
    assert response.text == "kept"
    assert artifact.status is ArtifactStatus.MISSING
    assert "the application uses memray itself" in artifact.detail
    assert (services.directory / "own.bin").exists()
    assert list((service.context.work_dir / "results").iterdir()) == []


@every_python
def test_a_fork_in_a_measured_request_is_not_recorded(services: Services, python: str) -> None:
    service = serve(services, python)
    response, artifact, profile = service.measure("memray", "/fork", warmups=0)
    assert response.text == "forked 0"
    assert (services.directory / "child.bin").stat().st_size > 0
    assert artifact.status is ArtifactStatus.COMPLETE, artifact
    assert profile is not None
    assert (profile.totals["process_peak_bytes"] or 0) < 1_000_000
    _, artifact, profile = service.measure("memray", "/keep")
    assert (kept(profile).values[0] or 0) > 1_000_000


def test_a_target_that_is_killed_is_told(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.python.gather.TIMEOUT_S", 0.5)
    service = serve(services, sys.executable)
    trigger = ADAPTER.trigger(service.context, "memray")
    with pytest.raises(httpx.RemoteProtocolError):
        service.get("/killed", trigger.headers, span="f" * 16)
    answer = ProfiledResponse("f" * 16, "/killed", None, 0, time.monotonic_ns(), {})
    [artifact] = ADAPTER.collect(service.context, trigger, answer, service.context.work_dir / "artifacts")
    assert (artifact.status, artifact.path) == (ArtifactStatus.MISSING, None)
    assert "was killed" in artifact.detail
    [unfinished] = (service.context.work_dir / "results").iterdir()
    assert unfinished.name.startswith(".")  # no reader takes it for a recording
    _, artifact, profile = service.measure("memray", "/keep")  # by the next worker
    assert artifact.status is ArtifactStatus.COMPLETE
    assert (kept(profile).values[0] or 0) > 1_000_000


@every_python
def test_a_script_is_recorded_from_start_to_exit(tmp_path: Path, services: Services, python: str) -> None:
    script = [python, str(PROGRAMS / "python_job.py")]
    context, env = prepared(tmp_path, script, tools=("memray",))
    trigger = ADAPTER.trigger(context, "memray", script)
    assert trigger.argv is not None
    start = time.monotonic_ns()
    done = subprocess.run(
        trigger.argv, env={**env, **set_only(trigger.env)}, check=False, capture_output=True, timeout=DEADLINE_S
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    answer = ProfiledResponse("", "job", 0, start, time.monotonic_ns(), {})
    artifact, recording = ADAPTER.collect(context, trigger, answer, tmp_path / "artifacts")
    assert artifact.status is ArtifactStatus.COMPLETE, artifact
    assert recording.opens_with is not None
    assert artifact.path is not None
    profile = ADAPTER.parse("memray", tmp_path / "artifacts" / artifact.path)
    [line] = [cost for cost in profile.lines if cost.file == script[1] and cost.line == 3]
    assert 500_000 < (line.values[0] or 0) < 500_200
    freed = [cost for cost in profile.lines if cost.file == script[1] and cost.line == 4]
    assert sum(cost.values[2] or 0 for cost in freed) > 1_000_000  # held at the peak, gone at the end
    assert sum(cost.values[0] or 0 for cost in freed) < 10_000
    assert "All threads of the process." in profile.notes


@every_python
def test_jobs_of_a_worker(services: Services, tmp_path: Path, python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather_jobs, "QUIET_S", 0.1)  # all records are there before they are collected
    context, env = prepared(tmp_path, [python, str(SCRIPT)], {"jobs": ["python_worker:keep"]}, tools=("memray",))
    with Worker([python], env) as worker:
        start = time.monotonic_ns()
        assert ADAPTER.arm(context, 1, "memray", [worker.pid]) == [worker.pid]
        worker.do("1000000", "1000000")
        response = ProfiledResponse("", "each_round", None, start, time.monotonic_ns(), {})
        profile, recording = ADAPTER.collect(
            context, ADAPTER.trigger(context, "memray"), response, tmp_path / "artifacts"
        )
    assert (profile.status, profile.endpoint) == (ArtifactStatus.COMPLETE, "python_worker:keep"), profile
    assert recording.opens_with is not None
    assert profile.path is not None
    top = ADAPTER.parse("memray", tmp_path / "artifacts" / profile.path).lines[0]
    assert Path(top.file).name == SCRIPT.name
    assert 0 <= (top.values[0] or 0) - 1_000_000 < 200  # and the object itself


def test_a_recording_of_another_user_is_read_with_his_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    """As root the target runs as nobody, by the system's Python (ours may be out of nobody's reach)."""
    root = os.geteuid() == 0
    python = (shutil.which("python3", path="/usr/bin:/bin") if root else None) or sys.executable
    base = Path(tempfile.mkdtemp())
    try:
        base.chmod(0o711)
        (base / "cache").mkdir(mode=0o711)
        (base / "work").mkdir(mode=0o711)
        monkeypatch.setenv("XDG_CACHE_HOME", str(base / "cache"))
        shutil.copyfile(PROGRAMS / "python_wsgi_app.py", base / "app.py")
        (base / "app.py").chmod(0o644)
        plan = LaunchPlan("app", (python, str(base / "app.py")), cwd=base)
        service = Service(base / "work", plan, tools=("memray",), user=65534 if root else None)
        try:
            _, artifact, profile = service.measure("memray", "/keep")
        finally:
            service.stop()
        assert artifact.status is ArtifactStatus.COMPLETE, artifact.detail
        assert profile is not None
        assert abs((profile.lines[0].values[0] or 0) - 1_000_000) < 1000
    finally:
        shutil.rmtree(base)
