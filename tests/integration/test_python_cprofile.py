"""cProfile for one request, in clean environments: known call counts, other threads, profilers of the application, the export."""

from __future__ import annotations

import shutil
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

PACKAGES = ("fastapi", "flask", "gunicorn", "uvicorn")
FILE = str(PROGRAMS / "python_calls_app.py")


def by_minor() -> dict[str, str]:
    """Minor version -> a Python of it, of those that differ in what cProfile does, at least our own."""
    found = {".".join(version.split(".")[:2]): program for version, program in reversed(pythons().items())}
    wanted = {minor: found[minor] for minor in ("3.8", "3.11", "3.12", "3.13") if minor in found}
    return wanted or {"own": sys.executable}


def has_monitoring(python: str) -> bool:
    program = "import sys; sys.exit(not hasattr(sys, 'monitoring'))"
    return subprocess.run([python, "-I", "-c", program], check=False).returncode == 0


every_python = pytest.mark.parametrize("python", by_minor().values(), ids=by_minor().keys())


def serve(services: Services, python: str, *flags: str) -> Service:
    return services.gunicorn("python_calls_app:app", *flags, python=environment(python, *PACKAGES), tools=("cprofile",))


def name(profile: Profile, number: int) -> str:
    """The function's own name: from 3.11 on classes and enclosing functions come before it."""
    return profile.frames[number].function.rpartition(".")[2]


def calls(profile: Profile) -> dict[str, int]:
    return {name(profile, f.frame): f.calls for f in profile.functions if profile.frames[f.frame].file == FILE}


def edges(profile: Profile) -> dict[tuple[str, str], int]:
    return {(name(profile, e.caller), name(profile, e.callee)): e.calls for e in profile.edges}


def inclusive_ns(profile: Profile, function: str) -> int:
    [found] = [f for f in profile.functions if name(profile, f.frame) == function]
    return found.inclusive_values[0]


@every_python
def test_calls_of_a_request(services: Services, python: str) -> None:
    service = serve(services, python)
    response, artifact, profile = service.measure("cprofile", "/seven")
    assert response.text == "7"
    assert artifact.status is ArtifactStatus.COMPLETE, artifact
    assert profile is not None
    assert calls(profile) == {"call_seven": 1, "slow": 1, "seven": 1, "<genexpr>": 8, "leaf": 7}
    assert edges(profile)["<genexpr>", "leaf"] == 7
    [builtin] = [f for f in profile.functions if "abs" in profile.frames[f.frame].function]
    assert (builtin.calls, profile.frames[builtin.frame].line) == (7, None)
    assert inclusive_ns(profile, "slow") >= 20_000_000
    assert inclusive_ns(profile, "call_seven") >= inclusive_ns(profile, "slow")
    assert not [f for f in profile.frames if str(service.context.work_dir) in f.file]  # nothing of ours
    assert profile.complete
    # Flask's application is at the top, and the tree is whole.
    roots = [name(profile, n.frame) for n in profile.tree if n.parent < 0]
    assert roots[0] == "__call__"
    whole = sum(n.inclusive_values[0] for n in profile.tree if n.parent < 0)
    in_functions = profile.totals["in_functions_ns"]
    assert in_functions is not None
    assert abs(whole - in_functions) <= len(profile.tree) + len(profile.functions)


@every_python
def test_the_export_opens_in_callgrind_annotate(services: Services, python: str) -> None:
    program = shutil.which("callgrind_annotate")
    assert program, "this test needs callgrind_annotate: apt install valgrind"
    service = serve(services, python)
    trigger = ADAPTER.trigger(service.context, "cprofile")
    start = time.monotonic_ns()
    response = service.get("/seven", trigger.headers)
    answer = ProfiledResponse(response.extensions["span"], "/seven", 200, start, time.monotonic_ns(), {})
    destination = service.context.work_dir / "artifacts"
    result, export = ADAPTER.collect(service.context, trigger, answer, destination)
    assert result.opens_with is None
    assert export.opens_with is not None
    assert "KCachegrind" in export.opens_with
    assert (export.span_id, export.status) == (result.span_id, ArtifactStatus.COMPLETE)
    assert export.path is not None
    done = subprocess.run(
        [program, "--tree=both", "--inclusive=yes", "--threshold=100", "--auto=no", str(destination / export.path)],
        capture_output=True, text=True, check=True, timeout=DEADLINE_S, cwd=destination,
    )  # fmt: skip
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    called = [line for line in lines if " > " in line and "leaf" in line]
    assert [line for line in called if "(7x)" in line], done.stdout[:4000]
    [total] = [line for line in lines if "PROGRAM TOTALS" in line]
    [request] = [line for line in lines if " * " in line and "<request>" in line]
    whole, called_by_ours = (int(line.split()[0].replace(",", "")) for line in (total, request))
    assert called_by_ours == pytest.approx(whole, rel=0.05)  # estimated where the agent's own calls were interrupted


@every_python
def test_generators_and_their_server(services: Services, python: str) -> None:
    response, _, profile = serve(services, python).measure("cprofile", "/stream")
    assert response.text == "111"
    assert profile is not None
    assert calls(profile)["parts"] == 4  # resumed for each part, and for the end
    assert calls(profile)["leaf"] == 3


@every_python
def test_busy_threads_change_no_count_of_a_result_that_was_alone(services: Services, python: str) -> None:
    service = serve(services, python)
    service.get("/threads")
    _, artifact, profile = service.measure("cprofile", "/seven")
    assert profile is not None
    assert artifact.attributes["alone"] == 1
    assert calls(profile) == {"call_seven": 1, "slow": 1, "seven": 1, "<genexpr>": 8, "leaf": 7}
    assert inclusive_ns(profile, "slow") >= 20_000_000
    assert any("other threads of the process" in note for note in profile.notes)


@every_python
def test_an_application_that_profiles_itself_gets_its_own_figures(services: Services, python: str) -> None:
    service = serve(services, python)
    response, artifact, profile = service.measure("cprofile", "/own-profiler")
    assert (response.status_code, response.text) == (200, "[7]")
    assert profile is not None
    if has_monitoring(python):
        assert profile.complete
        assert calls(profile)["leaf"] == 7
    else:  # one profiler a thread: ours ends where the application's begins, and that is said
        assert not profile.complete
        assert "set or removed a profiler itself" in artifact.detail
    assert service.measure("cprofile", "/seven")[2] is not None


@every_python
def test_a_profiler_that_is_active_already_is_left_alone(services: Services, python: str) -> None:
    service = serve(services, python)
    assert service.get("/profiler-on").text == "on"
    response, artifact, profile = service.measure("cprofile", "/seven")
    assert (response.status_code, response.text) == (200, "7")
    assert (artifact.status, profile) == (ArtifactStatus.MISSING, None)
    assert "already active" in artifact.detail


@every_python
def test_asgi_on_the_event_loop(services: Services, python: str) -> None:
    argv = [environment(python, *PACKAGES), "-m", "uvicorn", "python_calls_app:asgi", "--port", "0"]
    service = services.serve(argv, tools=("cprofile",))
    response, artifact, profile = service.measure("cprofile", "/")
    assert response.text == "10"
    assert artifact.status is ArtifactStatus.COMPLETE, artifact
    assert profile is not None
    found = calls(profile)
    assert (found["seven"], found["leaf"]) == (1, 10)
    assert found["pause"] == 6  # three coroutines, each resumed once
    assert any("event loop's thread" in note for note in profile.notes)


@every_python
def test_a_script_from_start_to_exit(tmp_path: Path, python: str) -> None:
    argv = [python, FILE]
    context, env = prepared(tmp_path, argv)
    trigger = ADAPTER.trigger(context, "cprofile", argv)
    assert trigger.argv is not None
    start = time.monotonic_ns()
    env = {**env, **set_only(trigger.env)}
    done = subprocess.run(trigger.argv, env=env, check=False, capture_output=True, timeout=DEADLINE_S)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    answer = ProfiledResponse("a" * 16, "job", None, start, time.monotonic_ns(), {})
    artifact, export = ADAPTER.collect(context, trigger, answer, tmp_path / "artifacts")
    assert artifact.status is ArtifactStatus.COMPLETE, artifact
    assert artifact.path is not None
    assert export.path is not None
    profile = ADAPTER.parse("cprofile", tmp_path / "artifacts" / artifact.path)
    assert (calls(profile)["seven"], calls(profile)["leaf"]) == (1, 7)
