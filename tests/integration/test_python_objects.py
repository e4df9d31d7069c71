"""Tools that look at the heap, against gunicorn and Flask in clean environments: what they find, and what they must not do."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from python_envs import environment
from python_service import DEADLINE_S, PROGRAMS, Service, Services
from pythons import pythons

from adapters.python.adapter import ADAPTER
from harness.model.profile import ArtifactStatus, HolderChain, Profile
from harness.plugins.spec import ProfiledResponse

pytestmark = pytest.mark.integration

TOOLS = ("survivors", "objgraph", "guppy3")
# One of each minor version; our own is among them.
SELECTED = {
    minor: program
    for version, program in reversed(pythons().items())
    if (minor := version.rpartition(".")[0]) in ("3.8", "3.11", "3.12", "3.13")
}
ORDER = "python_heap_app.Order"
MIB = 1024**2


@pytest.fixture(params=SELECTED.values(), ids=SELECTED.keys())
def service(request: pytest.FixtureRequest, services: Services) -> Service:
    """A preloaded worker with threads."""
    return serve(services, environment(request.param, "gunicorn", "flask"))


@pytest.fixture
def own(services: Services) -> Service:
    """The same on our own Python."""
    return serve(services)


def serve(services: Services, python: str = sys.executable) -> Service:
    flags = ("-w", "1", "--preload", "-k", "gthread", "--threads", "8")
    return services.gunicorn("python_heap_app:app", *flags, python=python, tools=TOOLS)


def worker(service: Service) -> int:
    """The process that serves."""
    return int(service.get("/pid").text)


def chain_to(profile: Profile, kind: str) -> HolderChain:
    [chain] = [chain for chain in profile.holders if chain.kind == kind]
    return chain


def assert_names_the_holder(chain: HolderChain) -> None:
    assert [(step.label.split(" of ")[0], re.sub(r"\d+", "N", step.via)) for step in chain.path] == [
        ("module python_heap_app", "_ENTRIES"),
        ("dict", "['kN']"),
        ("list", "[N]"),
        (ORDER, ""),
    ]


def test_a_planted_leak_is_found_by_every_tool(service: Service) -> None:
    for tool in TOOLS:
        response, artifact, profile = service.measure(tool, "/leak/137")
        assert response.text == "leaked"
        assert artifact.status is ArtifactStatus.COMPLETE, (tool, artifact, service.output())
        assert artifact.detail == ""
        assert profile is not None
        assert 0 < (profile.totals["snapshot_fork_ns"] or 0) < 60 * 10**9
        columns = [value.name for value in profile.value_types]
        rows = {group.kind: dict(zip(columns, group.values, strict=True)) for group in profile.objects}
        if tool == "survivors":
            assert rows[ORDER]["objects"] == 137
            assert_names_the_holder(chain_to(profile, ORDER))
            assert chain_to(profile, ORDER).objects == 100  # as many as are looked at
            assert (profile.totals["objects"] or 0) < 160
        elif tool == "objgraph":
            assert (rows[ORDER]["objects_growth"], rows[ORDER]["objects"]) == (137, 4 * 137)  # a warm-up each
            assert_names_the_holder(chain_to(profile, ORDER))
        else:
            assert (rows[ORDER]["objects_growth"], rows[ORDER]["objects"]) == (137, 6 * 137)
            assert rows[ORDER]["inuse_growth"] >= 137 * 40
    _, _, profile = service.measure("survivors", "/pair")
    assert profile is not None
    assert not [group for group in profile.objects if group.kind == ORDER]  # garbage is no survivor


def test_others_are_served_while_guppy_counts_and_nothing_is_unshared(service: Service) -> None:
    others_are_served(service, "guppy3")


@pytest.mark.parametrize("tool", ["survivors", "objgraph"])
def test_others_are_served_while_a_copy_counts_and_nothing_is_unshared(own: Service, tool: str) -> None:
    others_are_served(own, tool)


def others_are_served(service: Service, tool: str) -> None:
    pid = worker(service)
    for _ in range(50):
        service.get("/leak/1")
    service.measure(tool, "/leak/1")
    await_no_copies(service, pid)
    settled = private_dirty(pid)
    trigger = ADAPTER.trigger(service.context, tool)
    start = time.monotonic_ns()
    response = service.get("/leak/1", trigger.headers)
    answer = ProfiledResponse(response.extensions["span"], "/leak/1", 200, start, time.monotonic_ns(), {})
    before = int(service.get("/served").text)
    answered = meanwhile = 0
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(ADAPTER.collect, service.context, trigger, answer, service.context.work_dir / "artifacts")
        while not result.done():
            assert service.get("/").text == "hello"
            answered += 1
            meanwhile += bool(working_copies(service))
    artifact, *_ = result.result()
    assert artifact.status is ArtifactStatus.COMPLETE, artifact
    assert meanwhile > 0
    assert int(service.get("/served").text) >= before + answered
    await_no_copies(service, pid)
    assert (
        private_dirty(pid) < settled + 6 * MIB
    )  # a walk over the heap in the process itself would unshare 20 and more
    assert children(pid) == []
    assert worker(service) == pid


def await_no_copies(service: Service, pid: int) -> None:
    """While there is one, no page is private."""
    deadline = time.monotonic() + DEADLINE_S
    while set(group(service)) != {service.process.pid, pid}:
        assert time.monotonic() < deadline, list(group(service))
        time.sleep(0.02)


def private_dirty(pid: int) -> int:
    found = re.search(r"^Private_Dirty:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def children(pid: int) -> list[str]:
    """Also those that nobody has waited for."""
    return [each for task in Path(f"/proc/{pid}/task").iterdir() for each in (task / "children").read_text().split()]


def test_copies_from_a_worker_under_load(service: Service) -> None:
    pid = worker(service)
    stop = threading.Event()

    def traffic() -> int:
        done = 0
        while not stop.is_set():
            assert service.http.get("/pair").status_code == 200
            done += 1
        return done

    with ThreadPoolExecutor(6) as pool:
        clients = [pool.submit(traffic) for _ in range(6)]
        try:
            for tool in ("survivors", "objgraph", "survivors", "objgraph"):
                _, artifact, profile = service.measure(tool, "/leak/50", warmups=0)
                assert artifact.status is ArtifactStatus.COMPLETE, (artifact, service.output())
                assert profile is not None
                [row] = [group for group in profile.objects if group.kind == ORDER]
                assert row.values[0] >= 50  # type: ignore[operator]  # an int, and others' objects may be among them
        finally:
            stop.set()
        assert min(client.result() for client in clients) > 0
    assert children(pid) == []
    assert worker(service) == pid


# --- once ------------------------------------------------------------------------------------------------------------


def test_a_copy_that_is_killed_is_told_from_one_that_works(own: Service) -> None:
    pid = worker(own)
    own.get("/grow/1000")  # so that guppy has work for some seconds
    trigger = ADAPTER.trigger(own.context, "guppy3")
    start = time.monotonic_ns()
    response = own.get("/leak/1", trigger.headers)
    answer = ProfiledResponse(response.extensions["span"], "/leak/1", 200, start, time.monotonic_ns(), {})
    os.kill(second_copy(own), signal.SIGKILL)
    artifact, *_ = ADAPTER.collect(own.context, trigger, answer, own.context.work_dir / "artifacts")
    assert artifact.status is ArtifactStatus.MISSING
    assert artifact.detail == (
        "the copy of the process that looked at the heap was ended by signal 9 (memory was short, or somebody ended it)"
    )
    assert artifact.pid == pid
    assert own.get("/").text == "hello"


def test_a_copy_of_before_that_is_killed(own: Service) -> None:
    own.get("/grow/1000")
    trigger = ADAPTER.trigger(own.context, "guppy3")
    start = time.monotonic_ns()
    response = own.get("/leak/1", trigger.headers)
    answer = ProfiledResponse(response.extensions["span"], "/leak/1", 200, start, time.monotonic_ns(), {})
    second = second_copy(own)
    [first] = [pid for pid in working_copies(own) if pid != second]
    os.kill(first, signal.SIGKILL)
    artifact, *_ = ADAPTER.collect(own.context, trigger, answer, own.context.work_dir / "artifacts")
    assert artifact.status is ArtifactStatus.MISSING
    assert "ended by signal 9" in artifact.detail


def second_copy(service: Service) -> int:
    """The one that was made at the end of the request, while that of its begin is still at work."""
    deadline = time.monotonic() + DEADLINE_S
    while len(found := working_copies(service)) < 2:
        assert time.monotonic() < deadline, found
    return max(found, key=lambda pid: group(service)[pid])


def working_copies(service: Service) -> list[int]:
    return [pid for pid in group(service) if is_copy(pid)]


def is_copy(pid: int) -> bool:
    """Copies are the first to go when memory is short. Of one that has ended meanwhile: False."""
    try:
        return Path(f"/proc/{pid}/oom_score_adj").read_text() == "1000\n"
    except (FileNotFoundError, ProcessLookupError):
        return False


def group(service: Service) -> dict[int, int]:
    """The processes of a service, and when they were started."""
    found = {}
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            try:
                stat = (directory / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(stat[2]) == service.process.pid:
                found[int(directory.name)] = int(stat[19])
    return found


def test_a_heap_that_the_application_has_frozen(own: Service) -> None:
    own.get("/freeze")
    _, artifact, profile = own.measure("survivors", "/leak/5")
    assert artifact.status is ArtifactStatus.MISSING
    assert "the application has frozen its own heap" in artifact.detail
    assert profile is None
    _, artifact, profile = own.measure("objgraph", "/leak/5")
    assert profile is not None
    assert any("frozen its own heap" in note for note in profile.notes)
    [row] = [group for group in profile.objects if group.kind == ORDER]
    assert row.values[0] == 5


def test_gevents_fork_is_not_used(services: Services) -> None:
    python = environment(sys.executable, "gunicorn", "flask", "gevent", "packaging")
    service = services.gunicorn("python_heap_app:app", "-w", "1", "-k", "gevent", python=python, tools=TOOLS)
    pid = worker(service)
    for tool in ("survivors", "objgraph"):
        _, artifact, profile = service.measure(tool, "/leak/12")
        assert artifact.status is ArtifactStatus.COMPLETE, (artifact, service.output())
        assert profile is not None
        assert chain_to(profile, ORDER).path[0].via == "_ENTRIES"
    assert children(pid) == []
    assert worker(service) == pid


@pytest.mark.parametrize("python", [p for p in SELECTED.values() if p != os.path.realpath(sys.executable)], ids=str)
def test_snapshots_on_other_versions(python: str) -> None:
    """The cases that tests/unit/adapters/python/test_snapshot.py runs on our own."""
    program = PROGRAMS / "python_snapshots.py"
    for case in ("answers", "reasons", "reported", "files", "signals", "sigchld", "collections", "threads"):
        argv = [python, "-W", "error", str(program), case]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
        assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", ""), case
