"""The agent put into Pythons that run already: workers and servers of every version, and what forbids it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from processes import free_port, harness, wait_for
from python_envs import environment
from python_jobs import SCRIPT, CeleryWorker, Worker
from python_service import PROGRAMS, TOKEN, record_lines
from pythons import pythons

from adapters.python import attach, inject
from adapters.python.adapter import ADAPTER
from harness.errors import TargetError
from harness.model.event import Event
from harness.model.profile import ArtifactStatus
from harness.model.span import PhaseName, RequestRecord, ToolRecord
from harness.plugins.records import parse_record
from harness.plugins.spec import AdapterContext, Entry, EntryState, ProfiledResponse
from harness.store.reader import read_run

pytestmark = pytest.mark.integration

MATRIX = ("3.8", "3.11", "3.12", "3.13")
SYSTEM = "/usr/bin/python3"  # stripped, and linked statically where it is Debian's
SMALL = ("fastapi", "flask", "gunicorn", "uvicorn")
SPECS = ["python_worker:keep", "__main__:Mailer.send", "python_worker:fetch"]


def interpreters() -> dict[str, str]:
    """One of each minor version that is here, and the system's."""
    found = {}
    for minor in MATRIX:
        program = next((p for version, p in pythons().items() if version.startswith(f"{minor}.")), None)
        if program is not None:
            found[minor] = program
    if Path(SYSTEM).exists():
        found["system"] = os.path.realpath(SYSTEM)
    return found or {"own": sys.executable}


every_interpreter = pytest.mark.parametrize("python", interpreters().values(), ids=interpreters().keys())


@pytest.fixture(autouse=True)
def gdb() -> None:
    assert shutil.which("gdb"), "these tests need gdb: apt install gdb"


def context(directory: Path, name: str = "work", **options: object) -> AdapterContext:
    work_dir = directory / name
    work_dir.mkdir()
    return AdapterContext(work_dir, TOKEN, options, ("tracemalloc",))


def names(of: AdapterContext) -> list[str]:
    found = map(parse_record, record_lines(of))
    return [record.name for record in found if isinstance(record, RequestRecord)]


def files(pid: int) -> list[str]:
    """What a process has open, of the run's."""
    found = []
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a connection that has just been closed
            found.append(str(fd.readlink()))
    return [path for path in found if "/work" in path or "/runs/" in path or path.endswith("/statm")]


def enter(of: AdapterContext, worker: Worker) -> Entry:
    """Enter a worker that waits in read(2) for the next word: it gets some, until it has been entered."""
    done = threading.Event()

    def wake() -> None:
        while not done.wait(0.05):
            worker.do("wake")

    waker = threading.Thread(target=wake)
    waker.start()
    try:
        [entry] = ADAPTER.enter(of, [worker.pid])
    finally:
        done.set()
        waker.join()
    return entry


# --- workers ---------------------------------------------------------------------------------------------------------


@every_interpreter
def test_into_a_running_worker_and_out_again_twice(python: str, tmp_path: Path) -> None:
    with Worker([python, "-W", "error"]) as worker:
        worker.do("1", "send", "fetch")
        for turn in range(2):
            of = context(tmp_path, f"work{turn}", jobs=SPECS)
            entry = enter(of, worker)
            assert entry.state is EntryState.ENTERED, entry
            assert entry.stopped_ns is not None
            assert 0 < entry.stopped_ns < 60_000_000_000
            assert len(files(worker.pid)) == 2
            assert not list((of.work_dir / "python" / "enter").iterdir())  # it held the token
            worker.do("1000", "send", "fetch", "fail")
            assert names(of) == ["python_worker:keep", "__main__:Mailer.send", "python_worker:fetch"]

            assert ADAPTER.arm(of, 1, "tracemalloc", [worker.pid]) == [worker.pid]
            worker.do("1000000", "1000000")
            tools = [r for r in map(parse_record, record_lines(of)) if isinstance(r, ToolRecord)]
            assert [(tool.error, tool.file is not None) for tool in tools] == [(None, True)] * 2

            [again] = ADAPTER.enter(of, [worker.pid])
            assert again.state is EntryState.REFUSED
            assert "an agent is in process" in again.message

            assert ADAPTER.release(of, 2, [worker.pid]) == []
            assert files(worker.pid) == []
            before = record_lines(of)
            worker.do("5", "send", "fetch")
            assert record_lines(of) == before
        assert worker.said[0] == "ready"
        assert not [line for line in worker.said if "harness" in line or "Warning" in line]


def test_what_was_patched_is_as_before(tmp_path: Path) -> None:
    of = context(tmp_path, jobs=SPECS)
    with Worker([sys.executable]) as worker:
        worker.do("look")
        enter(of, worker)
        worker.do("look")
        ADAPTER.release(of, 1, [worker.pid])
        worker.do("look")
        before, during, after = [json.loads(line) for line in worker.said if line.startswith("{")]
    assert before == after
    assert during["keep"] != before["keep"]
    assert during["send"] != before["send"]
    assert during["gc callbacks"] == before["gc callbacks"] + 1
    assert during["finders"] == before["finders"] + 1
    assert before["names"] == during["names"]  # nothing was bound in the script
    assert before["environ"] == during["environ"]


def test_children_of_a_worker_after_the_agent_has_left(tmp_path: Path) -> None:
    of = context(tmp_path, jobs=SPECS)
    with Worker([sys.executable]) as worker:
        enter(of, worker)
        worker.do("fork")
        assert len([line for line in record_lines(of) if b'"k":"boot"' in line]) == 2
        ADAPTER.release(of, 1, [worker.pid])
        worker.do("fork")
        assert len([line for line in record_lines(of) if b'"k":"boot"' in line]) == 2


def test_a_worker_that_runs_no_code_is_pending_and_loads_the_agent_when_it_does(tmp_path: Path) -> None:
    of = context(tmp_path, jobs=SPECS)
    with Worker([sys.executable]) as worker:
        [entry] = attach.enter(of, [worker.pid], wait_s=0.3)
        assert entry.state is EntryState.PENDING
        assert "runs no Python code" in entry.message
        assert names(of) == []
        worker.do("wake", "1000")
        assert names(of) == ["python_worker:keep"]
        assert ADAPTER.release(of, 1, [worker.pid]) == []


def test_an_agent_that_cannot_load_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of = context(tmp_path)
    layout = attach.deploy.install_agent(of.work_dir)
    (layout.agent_dir / "recorder.py").write_text("raise RuntimeError('a broken file')\n")
    with Worker([sys.executable]) as worker:
        entry = enter(of, worker)
        assert entry.state is EntryState.REFUSED
        assert "a broken file" in entry.message
        worker.do("1")


# --- never left stopped ----------------------------------------------------------------------------------------------


def test_a_gdb_that_hangs_in_the_middle_is_ended_and_the_target_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gdb that stops the target and then waits for ever, with a child of its own."""
    real = shutil.which("gdb")
    wrapper = tmp_path / "bin" / "gdb"
    wrapper.parent.mkdir()
    with Worker([sys.executable]) as worker:
        wrapper.write_text(f"#!/bin/sh\nexec {real} --nx --batch -p {worker.pid} -ex 'shell sleep 1000'\n")
        wrapper.chmod(0o755)
        monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
        with pytest.raises(TargetError, match="it did not end in time"):
            inject.with_gdb(worker.pid, tmp_path / "x.py", timeout_s=1.5)
        worker.do("5")


@every_interpreter
def test_a_gdb_that_is_killed_in_the_middle(python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads are stopped one by one, and a stop that was asked for outlives the one that asked."""
    real = shutil.which("gdb")
    wrapper = tmp_path / "bin" / "gdb"
    wrapper.parent.mkdir()
    with Worker([python]) as worker:
        worker.do("spin")
        wrapper.write_text(f"#!/bin/sh\nexec {real} --nx --batch -p {worker.pid} -ex 'shell kill -KILL $PPID'\n")
        wrapper.chmod(0o755)
        with monkeypatch.context() as patched:
            patched.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
            for _ in range(4):
                with pytest.raises(TargetError, match="could not make process"):
                    inject.with_gdb(worker.pid, tmp_path / "x.py")
                worker.do("5")
        assert enter(context(tmp_path), worker).state is EntryState.ENTERED


def test_a_target_that_ends_while_it_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.which("gdb")
    wrapper = tmp_path / "bin" / "gdb"
    wrapper.parent.mkdir()
    with Worker([sys.executable]) as worker:
        wrapper.write_text(f"#!/bin/sh\nkill -KILL {worker.pid}\nexec {real} --nx --batch -p {worker.pid}\n")
        wrapper.chmod(0o755)
        monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
        with pytest.raises(TargetError, match=f"process {worker.pid} ended while gdb was at it"):
            inject.with_gdb(worker.pid, tmp_path / "x.py")


# --- servers ---------------------------------------------------------------------------------------------------------


@contextmanager
def served(directory: Path, argv: Sequence[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server that somebody else has started, and that has answered once."""
    env = {**os.environ, "PYTHONPATH": str(PROGRAMS)}
    with (directory / "server.log").open("wb") as log:
        process = subprocess.Popen(
            argv, env=env, cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    try:
        wait_for(lambda: _answers(port), "the server")
        if "-w" in argv:
            wait_for(lambda: len(children(process.pid)) == int(argv[argv.index("-w") + 1]), "the workers")
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/").status_code == 200
    except httpx.TransportError:
        return False


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def run(
    directory: Path,
    port: int,
    *,
    code: int = 0,
    profile: object = ("tracemalloc",),
    page: str = "/leak",
    **target: object,
) -> tuple[Path | None, str]:
    """A whole run against the server: its directory and what was said."""
    scenario = {
        "name": "attached",
        "target": {"runtime": "python", "url": f"http://127.0.0.1:{port}", "python": {"inject": True}, **target},
        "requests": [{"name": "leak", "get": page}],
        "load": {"rounds": 7, "requests_per_round": 30, "blocks": 2, "warmup_rounds": 1, "settle": "20ms"},
        "profile": profile,
        "sample": {"interval": "100ms"},
    }
    (directory / "scenario.yaml").write_text(json.dumps(scenario))
    with harness("run", "scenario.yaml", cwd=directory) as running:
        found, out, err = running.finish()
        running.assert_nothing_left()
    assert found == code, err
    return (Path(out.splitlines()[-1]) if code == 0 else None), out + err


def uvicorn(python: str, port: int) -> list[str]:
    return [environment(python, *SMALL), "-m", "uvicorn", "--port", str(port), "python_fastapi_app:app"]


def gunicorn(python: str, port: int) -> list[str]:
    program = environment(python, *SMALL)
    known = subprocess.run([program, "-m", "gunicorn", "--help"], capture_output=True, text=True, check=True).stdout
    quiet = ["--no-control-socket"] if "--no-control-socket" in known else []
    # its threads' worker looks round once a second, where the default one waits in select(2) for a request
    flags = ["-w", "2", "-k", "gthread", "--threads", "2", "--preload"]
    return [program, "-m", "gunicorn", "python_flask_app:app", "-b", f"127.0.0.1:{port}", *quiet, *flags]


@pytest.mark.parametrize("command", [uvicorn, gunicorn])
@every_interpreter
def test_requests_to_a_live_server(command: Callable[[str, int], list[str]], python: str, tmp_path: Path) -> None:
    port = free_port()
    with served(tmp_path, command(python, port), port) as server:
        pids = [server.pid, *children(server.pid)]
        for turn in range(2):
            of = context(tmp_path, f"work{turn}")
            entries = ADAPTER.enter(of, pids)
            assert [(entry.pid, entry.state) for entry in entries] == [(pid, EntryState.ENTERED) for pid in pids]
            for number in range(1, 20):
                assert get(port, "/", number).status_code == 200
            trigger = ADAPTER.trigger(of, "tracemalloc")
            assert get(port, "/leak", 98, trigger.headers).status_code == 200
            response = ProfiledResponse(f"{98:016x}", "leak", 200, 0, 0, {})
            artifact, *_ = ADAPTER.collect(of, trigger, response, tmp_path / "artifacts")
            assert artifact.status is ArtifactStatus.COMPLETE
            records = [r for r in map(parse_record, record_lines(of)) if isinstance(r, RequestRecord)]
            assert [r.span_id for r in records] == [f"{number:016x}" for number in (*range(1, 20), 98)]
            assert {r.pid for r in records} <= set(pids)
            assert ADAPTER.release(of, 1, pids) == []
            assert [files(pid) for pid in pids] == [[]] * len(pids)
            assert get(port, "/", 99).status_code == 200
            assert len(names(of)) == 20


def get(port: int, path: str, number: int, headers: Mapping[str, str] | None = None) -> httpx.Response:
    parent = f"00-{'c' * 32}-{number:016x}-01"
    sent = {"traceparent": parent, "connection": "close", **(headers or {})}
    return httpx.get(f"http://127.0.0.1:{port}{path}", headers=sent)


def test_a_run_with_a_live_uvicorn(tmp_path: Path) -> None:
    port = free_port()
    with served(tmp_path, uvicorn(interpreters().get("system", sys.executable), port), port) as server:
        path, said = run(tmp_path, port, attach={"pid": server.pid})
        assert _answers(port)
        assert files(server.pid) == []
    _check(path, said, {server.pid}, 240)


def test_a_run_with_a_live_gunicorn(tmp_path: Path) -> None:
    port = free_port()
    with served(tmp_path, gunicorn(interpreters().get("3.12", sys.executable), port), port) as server:
        pids = {server.pid, *children(server.pid)}
        path, said = run(tmp_path, port, attach={"port": port})
        assert {server.pid, *children(server.pid)} == pids
        assert _answers(port)
        assert [files(pid) for pid in pids] == [[]] * 3
    _check(path, said, pids, 240)


def _check(path: Path | None, said: str, pids: set[int], requests: int) -> None:
    assert path is not None
    raw = read_run(path)
    entered = [event for event in raw.events if event.kind == "agent.entered"]
    assert {_pid(event) for event in entered} == pids
    assert "the agent has left the processes it was put into" in said
    assert "the agent was put into running processes" in str(raw.manifest.facts["experiment.entered"])
    assert "each stopped for at most" in str(raw.manifest.facts["experiment.entered"])
    phases = Counter(span.phase for span in raw.spans)
    assert phases.pop(PhaseName.PROFILED) == 2  # to warm up, to measure
    assert phases.pop(PhaseName.PROBES, 0) in (0, 30)  # one more round if a collection freed enough
    assert phases.total() == requests
    assert Counter(r.span_id for r in raw.records if r.name == "GET /leak") == Counter(s.span_id for s in raw.spans)
    [artifact] = [a for a in raw.artifacts if a.path is not None and a.tool == "tracemalloc"]
    assert artifact.path is not None
    profile = ADAPTER.parse("tracemalloc", path / artifact.path)
    assert profile.lines[0].file.endswith("_app.py")


def _pid(event: Event) -> object:
    return event.attributes["pid"]


def test_an_application_that_cannot_be_seen_once_it_runs_is_explained(tmp_path: Path) -> None:
    port = free_port()
    flags = ["--no-control-socket", "-k", "gthread", "-b", f"127.0.0.1:{port}"]
    argv = [sys.executable, "-m", "gunicorn", "python_wsgi_app:application", *flags]
    with served(tmp_path, argv, port) as server:
        path, said = run(tmp_path, port, profile="none", attach={"pid": server.pid}, page="/")
    assert path is not None
    raw = read_run(path)
    assert list(raw.records) == []
    [missing] = [each for each in raw.missing if each.signal == "agent.records"]
    assert "the application ran already when the agent came" in missing.reason
    assert "no request was recorded from inside the target" in said


def test_without_inject_nothing_is_put_in(tmp_path: Path) -> None:
    port = free_port()
    with served(
        tmp_path, [sys.executable, "-m", "flask", "--app", "python_flask_app", "run", "-p", str(port)], port
    ) as server:
        maps = Path(f"/proc/{server.pid}/maps").read_text().count("\n")
        path, said = run(tmp_path, port, profile="none", attach={"pid": server.pid}, python={})
        assert files(server.pid) == []
        assert abs(Path(f"/proc/{server.pid}/maps").read_text().count("\n") - maps) < 40
    assert path is not None
    raw = read_run(path)
    assert raw.records == []
    assert not (path / "work" / "python").exists()
    assert "stopped" not in said


@pytest.mark.parametrize("minor", ["3.8", "3.12"])
def test_a_live_celery_worker(minor: str, tmp_path: Path) -> None:
    """Its children wait in read(2) for a task, and load the agent when one comes."""
    python = environment(interpreters().get(minor, sys.executable), "celery")
    of = context(tmp_path)
    with CeleryWorker(python, "prefork", os.environ, tmp_path) as worker:
        worker.feed("app.clean.delay(1)")
        wait_for(lambda: "ready" in worker.output(), "the worker")
        pids = worker.pids()
        entries = attach.enter(of, pids, wait_s=0.5)
        assert not [entry for entry in entries if entry.state is EntryState.REFUSED]
        assert entries[1].state is EntryState.PENDING
        worker.feed("[app.clean.delay(1) for _ in range(10)]")
        wait_for(lambda: len(names(of)) == 10, f"the jobs: {names(of)}")
        assert ADAPTER.release(of, 1, pids) == []
        worker.feed("[app.clean.delay(1) for _ in range(5)]")
        wait_for(lambda: worker.output().count("python_celery_app.clean") >= 16, "the last jobs")
        assert set(names(of)) == {"python_celery_app.clean"}
        assert len(names(of)) == 10


# --- what cannot be --------------------------------------------------------------------------------------------------


def test_a_target_that_is_no_python_is_one_clear_error(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "1000"]) as sleeper:
        try:
            _, said = run(tmp_path, free_port(), code=3, attach={"pid": sleeper.pid})
        finally:
            sleeper.kill()
    assert f"process {sleeper.pid} does not run CPython" in said
    assert "without target.python.inject it can still be watched from outside" in said
    assert "Traceback" not in said


def test_a_target_that_has_gone_is_one_clear_error(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as gone:
        pass
    _, said = run(tmp_path, free_port(), code=3, attach={"pid": gone.pid})
    assert f"there is no process {gone.pid}" in said
    of = context(tmp_path)
    [entry] = ADAPTER.enter(of, [gone.pid])
    assert (entry.state, entry.message) == (EntryState.REFUSED, f"process {gone.pid} has ended")


def test_a_target_that_is_being_debugged(tmp_path: Path) -> None:
    with Worker([sys.executable]) as worker:
        gdb = subprocess.Popen(
            ["gdb", "--nx", "--batch", "-p", str(worker.pid), "-ex", "shell sleep 1000"], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            status = Path(f"/proc/{worker.pid}/status")
            wait_for(lambda: f"TracerPid:\t{gdb.pid}\n" in status.read_text(), "the debugger")
            [entry] = ADAPTER.enter(context(tmp_path), [worker.pid])
        finally:
            os.killpg(gdb.pid, signal.SIGKILL)
            gdb.wait()
    assert entry.message == f"process {worker.pid} is being traced by process {gdb.pid}"


def test_a_target_in_a_container(tmp_path: Path) -> None:
    """Process ids and mounts of its own, as docker gives; unshare(1) forks, and its child is the worker."""
    unshare = shutil.which("unshare")
    assert unshare
    command = [unshare, "--map-root-user", "--pid", "--mount", "--fork", "--kill-child", sys.executable]
    with Worker(command) as worker:
        [inside] = children(worker.pid)
        [entry] = ADAPTER.enter(context(tmp_path), [inside])
    assert entry.state is EntryState.REFUSED
    assert "of its own, as in a container" in entry.message
    assert entry.fix == "run harness inside the container"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")
def test_a_target_of_another_user() -> None:
    """Root may enter it, where it can read the run; that user may not enter one of root."""
    base = Path(tempfile.mkdtemp())
    try:
        base.chmod(0o711)
        work_dir = base / "work"
        work_dir.mkdir(mode=0o711)
        of = AdapterContext(work_dir, TOKEN, {"jobs": SPECS}, ("tracemalloc",))
        program = base / "python_worker.py"
        shutil.copyfile(SCRIPT, program)
        program.chmod(0o644)
        with Worker([os.path.realpath(SYSTEM)], user=65534, script=program) as worker:
            entry = enter(of, worker)
            assert entry.state is EntryState.ENTERED, entry
            worker.do("1000")
            assert names(of) == ["python_worker:keep"]
            assert ADAPTER.release(of, 1, [worker.pid]) == []
            base.chmod(0o700)
            [closed] = ADAPTER.enter(of, [worker.pid])
        assert closed.message == f"process {worker.pid} (uid 65534) cannot read the agent: {base} is closed to it"
    finally:
        shutil.rmtree(base)


@pytest.mark.skipif(os.geteuid() != 0, reason="root becomes another user here")
def test_another_user_is_told_what_he_may_not_do(tmp_path: Path) -> None:
    program = (
        "import os, sys; sys.path[:0] = [sys.argv[1]]; from adapters.python import running;"
        "os.setresuid(65534, 65534, 65534); found = None\n"
        "try:\n    found = running.look(int(sys.argv[2]))\n"
        "except PermissionError as error:\n    print('may not be looked at:', error.strerror)\n"
        "else:\n    print(running.obstacle(found, running.means()))\n"
    )
    root = Path(__file__).parents[2]
    with Worker([sys.executable]) as worker:
        done = subprocess.run(
            [sys.executable, "-c", program, str(root), str(worker.pid)], capture_output=True, text=True, check=True
        )
    assert "may not be looked at" in done.stdout or "belongs to another user" in done.stdout
