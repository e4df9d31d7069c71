"""The Python adapter against real servers and every CPython from 3.8 to 3.13 that this machine has."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from processes import wait_for
from python_service import DEADLINE_S, PROGRAMS, TOKEN, Service, Services, prepared, record_lines, set_only
from pythons import pythons

from adapters.python import interpreter
from adapters.python.adapter import ADAPTER
from harness.model.profile import ArtifactStatus
from harness.model.span import BootRecord, RequestRecord, ToolRecord
from harness.plugins.spec import LaunchPlan, ProfiledResponse

pytestmark = pytest.mark.integration

KEEP = "python_wsgi_app:keep"
every_python = pytest.mark.parametrize("python", pythons().values(), ids=pythons().keys())


def keep_line() -> int:
    text = (PROGRAMS / "python_wsgi_app.py").read_text().splitlines()
    return next(number for number, line in enumerate(text, 1) if "the line that keeps" in line)


# --- every version ---------------------------------------------------------------------------------------------------


@every_python
def test_one_record_for_each_request(services: Services, python: str) -> None:
    service = services.wsgiref(python)
    for path, status in (
        ("/", 200),
        ("/lines", 200),
        ("/sized", 200),
        ("/closing", 200),
        ("/file", 200),
        ("/nope", 404),
    ):
        assert service.get(path).status_code == status
    assert service.get("/fail").status_code == 500
    records = service.requests(7)
    names = ["/", "/lines", "/sized", "/closing", "/file", "/nope", "/fail"]
    assert [r.name for r in records] == [f"GET {name}" for name in names]
    assert [r.status for r in records] == [200, 200, 200, 200, 200, 404, None]
    assert [r.span_id for r in records] == [f"{n:016x}" for n in range(1, 8)]
    assert [r.sequence for r in records] == list(range(7))
    assert [r.first_in_process for r in records] == [True] + [False] * 6
    assert {r.pid for r in records} == {service.process.pid}
    for record in records:
        assert record.start_ns is not None
        assert record.end_ns is not None
        assert record.start_ns < record.end_ns < time.monotonic_ns()
        assert record.values["in_flight_max"] == 1
        rss = record.values["rss_end_bytes"]
        assert rss is not None
        assert 5_000_000 < rss < 200_000_000
    [boot] = [r for r in service.records() if isinstance(r, BootRecord)]
    assert boot.pid == service.process.pid
    assert boot.runtime_version.startswith("{}.{}".format(*_version(python)))
    assert "python_wsgi_app.py" in boot.argv


@every_python
def test_the_response_is_what_it_would_be_without_the_agent(services: Services, python: str) -> None:
    service = services.wsgiref(python)
    assert service.get("/sized").headers["content-length"] == "10"
    assert service.get("/lines").text == "0\n1\n2\n"
    assert service.get("/file").content == (PROGRAMS / "python_wsgi_app.py").read_bytes()
    for path in ("/sized", "/lines", "/closing", "/file", "/", "/headers"):
        plain = service.get(path)
        triggered, artifact, _ = service.measure("tracemalloc", path)
        assert artifact.status is ArtifactStatus.COMPLETE
        assert triggered.content == plain.content
        assert {k: v for k, v in triggered.headers.items() if k != "date"} == {
            k: v for k, v in plain.headers.items() if k != "date"
        }


@every_python
def test_tracemalloc_finds_what_a_request_keeps(services: Services, python: str) -> None:
    service = services.wsgiref(python)
    response, artifact, profile = service.measure("tracemalloc", "/keep")
    assert response.text == "kept"
    assert artifact.status is ArtifactStatus.COMPLETE, artifact
    assert artifact.attributes["alone"] == 1
    assert profile is not None
    top = profile.lines[0]
    assert top.file == str(PROGRAMS / "python_wsgi_app.py")
    assert top.line == keep_line()
    assert abs((top.values[0] or 0) - 1_000_000) < 1000
    kept, peak = profile.totals["kept_bytes"], profile.totals["peak_bytes"]
    assert kept is not None
    assert peak is not None
    assert 1_000_000 <= kept < 1_010_000
    assert 2_000_000 <= peak < 2_100_000  # the block that was copied from


@every_python
def test_memory_profiler_shows_the_growing_line(services: Services, python: str) -> None:
    service = services.wsgiref(python, functions=["python_wsgi_app:lines", KEEP])
    assert service.get("/memory_profiler").text == "no"
    response, artifact, profile = service.measure("memory_profiler", "/lines")
    assert response.text == "0\n1\n2\n"
    assert artifact.status is ArtifactStatus.COMPLETE, (artifact, service.output())
    assert artifact.detail == ""
    assert profile is not None
    source = (PROGRAMS / "python_wsgi_app.py").read_text().splitlines()
    rows = {source[row.line - 1].strip(): row for row in profile.lines if row.function == "python_wsgi_app:lines"}
    assert rows["def lines(count):"].values[0] is None
    growing = rows["block = bytearray(2_000_000)"]
    assert growing.hits == 3
    assert 5_990_000 < (growing.values[0] or 0) < 6_100_000  # whole pages
    assert all(row.function == "python_wsgi_app:lines" for row in profile.lines)
    assert any("python_wsgi_app:keep did not run" in note for note in profile.notes)


@every_python
def test_a_script_is_measured_from_start_to_exit(tmp_path: Path, python: str) -> None:
    context, env = prepared(tmp_path, [python, str(PROGRAMS / "python_job.py")])
    trigger = ADAPTER.trigger(context, "tracemalloc", [python, str(PROGRAMS / "python_job.py")])
    assert trigger.argv is not None
    start = time.monotonic_ns()
    done = subprocess.run(
        trigger.argv, env={**env, **set_only(trigger.env)}, check=False, capture_output=True, timeout=DEADLINE_S
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    answer = ProfiledResponse("a" * 16, "job", None, start, time.monotonic_ns(), {})
    [artifact] = ADAPTER.collect(context, trigger, answer, tmp_path / "artifacts")
    assert artifact.status is ArtifactStatus.COMPLETE, artifact
    assert artifact.path is not None
    profile = ADAPTER.parse("tracemalloc", tmp_path / "artifacts" / artifact.path)
    [row] = [r for r in profile.lines if r.file == str(PROGRAMS / "python_job.py") and r.line == 3]
    assert abs((row.values[0] or 0) - 500_000) < 1000


@every_python
def test_the_targets_own_sitecustomize_runs_and_children_get_the_agent(tmp_path: Path, python: str) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("import sys\nMARK = 'own'\n")
    program = (
        "import sys, sitecustomize, subprocess, os\n"
        "assert sitecustomize.MARK == 'own', sitecustomize\n"
        f"assert sitecustomize.__file__.startswith({str(own)!r})\n"
        "assert not [p for p in sys.path if p.endswith('python/boot')], sys.path\n"
        "if sys.argv[1:] == ['child']: sys.exit(0)\n"
        "subprocess.check_call([sys.executable, '-c', sys.argv[1], 'child'])\n"
        f"env = dict(os.environ, PYTHONPATH={str(own)!r})\n"  # as launchers do that put their own directory first
        "os.execve(sys.executable, [sys.executable, '-c', sys.argv[1], 'child'], env)\n"
    )
    argv = [python, "-c", program, program]
    context, env = prepared(tmp_path, argv, PYTHONPATH=str(own))
    done = subprocess.run(argv, env=env, check=False, capture_output=True, timeout=DEADLINE_S)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(record_lines(context)) == 3


def test_pythons_too_old_for_the_agent_run_their_own_sitecustomize(tmp_path: Path) -> None:
    """They read PYTHONPATH too. Which ones there are depends on the machine; the bootstrap is at least parsed as 2.7."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("import sys\nsys.stdout.write('own ')\n")
    program = "import sys, sitecustomize; sys.stdout.write('ran %d' % len([p for p in sys.path if p.endswith('boot')]))"
    pythons = [*Path.home().glob(".pyenv/versions/[23].[67].*/bin/python"), Path(sys.executable)]
    for python in pythons:
        context, env = prepared(tmp_path / python.parents[1].name, [str(python)], PYTHONPATH=str(own))
        done = subprocess.run([python, "-c", program], env=env, check=False, capture_output=True, timeout=DEADLINE_S)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"own ran 0", b""), python
        assert len(record_lines(context)) == (1 if str(python) == sys.executable else 0)


@pytest.mark.parametrize("program", ["", "import os, sys; os.write(1, b'fine')"])
def test_a_child_without_the_variables_is_left_alone(tmp_path: Path, program: str) -> None:
    _, env = prepared(tmp_path, [sys.executable])
    bare = {key: value for key, value in env.items() if not key.startswith("HARNESS_")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=bare, check=False, capture_output=True, timeout=DEADLINE_S
    )
    assert (done.returncode, done.stderr) == (0, b"")


# --- servers ---------------------------------------------------------------------------------------------------------


def test_preforked_workers_that_are_recycled(services: Services) -> None:
    service = services.gunicorn(
        "python_flask_app:app", "-w", "4", "--preload", "--max-requests", "5", "--keep-alive", "0"
    )
    for _ in range(40):
        assert service.get("/leak").status_code == 200
    records = service.requests(40)
    assert sorted(r.span_id or "" for r in records) == [f"{n:016x}" for n in range(1, 41)]
    pids = {r.pid for r in records}
    assert len(pids) >= 8  # five requests each
    assert service.process.pid not in pids
    for pid in pids:
        own = [r for r in records if r.pid == pid]
        assert [r.sequence for r in own] == list(range(len(own)))
        assert [r.first_in_process for r in own] == [True] + [False] * (len(own) - 1)
    rss = [r.values["rss_end_bytes"] for r in records]
    assert all(value is not None and value > 10_000_000 for value in rss)


def test_records_survive_a_killed_worker(services: Services) -> None:
    service = services.gunicorn("python_wsgi_app:application", "-w", "1")
    pid = int(service.get("/pid").text)
    os.kill(pid, signal.SIGKILL)
    assert [r.pid for r in service.requests(1)] == [pid]


def test_a_leak_behind_a_decorator_in_flask(services: Services) -> None:
    service = services.gunicorn(
        "python_flask_app:app",
        "-w",
        "2",
        functions=["python_flask_app:leak", "python_flask_app:gone"],
    )
    _, artifact, profile = service.measure("tracemalloc", "/leak", warmups=4)
    assert profile is not None
    assert profile.lines[0].file == str(PROGRAMS / "python_flask_app.py")
    assert abs((profile.lines[0].values[0] or 0) - 100_000) < 1000
    assert artifact.attributes["runs_before"] is not None
    response, artifact, profile = service.measure("memory_profiler", "/leak")
    assert response.text == "leaked"
    assert artifact.status is ArtifactStatus.COMPLETE
    assert "has no attribute 'gone'" in artifact.detail
    assert profile is not None
    assert not profile.complete
    assert [row.hits for row in profile.lines] == [1, 1, 1]


def test_the_flask_development_server(services: Services) -> None:
    argv = [sys.executable, "-m", "flask", "--app", "python_flask_app", "run", "--port", "0"]
    service = services.serve(argv)
    assert service.get("/stream").text == "01234"
    assert service.get("/item/a%20b/c").text == "a b/c"
    assert [(r.name, r.status) for r in service.requests(2)] == [("GET /stream", 200), ("GET /item/a b/c", 200)]
    _, artifact, profile = service.measure("tracemalloc", "/leak")
    assert artifact.status is ArtifactStatus.COMPLETE
    assert profile is not None
    assert profile.lines[0].file == str(PROGRAMS / "python_flask_app.py")


FRAMEWORKS = {
    "flask": "import python_flask_app as m; c = m.app.test_client(); assert c.get('/leak').text == 'leaked'",
    "django": """
import django, io, sys
from django.conf import settings
from django.http import HttpResponse
from django.urls import path
settings.configure(ROOT_URLCONF='__main__', ALLOWED_HOSTS=['*'], SECRET_KEY='x')
urlpatterns = [path('leak', lambda request: HttpResponse('leaked'))]
django.setup()
from django.core.handlers.wsgi import WSGIHandler
environ = {'REQUEST_METHOD': 'GET', 'PATH_INFO': '/leak', 'SERVER_NAME': 'x', 'SERVER_PORT': '80', 'wsgi.input': io.BytesIO()}
response = WSGIHandler()(environ, lambda status, headers: None)
assert b''.join(response) == b'leaked'
response.close()
""",
}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_an_unknown_server_is_covered_by_the_frameworks_class(tmp_path: Path, framework: str) -> None:
    argv = [sys.executable, "-c", FRAMEWORKS[framework]]
    context, env = prepared(tmp_path, argv, PYTHONPATH=str(PROGRAMS))
    done = subprocess.run(argv, env=env, check=False, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stderr
    boot, request = map(ADAPTER.record_sources(context)[0].parse, record_lines(context))
    assert isinstance(boot, BootRecord)
    assert isinstance(request, RequestRecord)
    assert (request.name, request.status) == ("GET /leak", 200)


def test_a_tool_runs_alone_among_concurrent_requests(services: Services) -> None:
    service = services.gunicorn("python_wsgi_app:application", "-w", "1", "-k", "gthread", "--threads", "6")
    service.measure("tracemalloc", "/keep")
    with ThreadPoolExecutor(4) as pool:
        stop = threading.Event()

        def traffic() -> int:
            done = 0
            while not stop.is_set():
                assert service.http.get("/busy").status_code == 200
                done += 1
            return done

        clients = [pool.submit(traffic) for _ in range(3)]
        try:
            results = [service.measure("tracemalloc", "/keep", warmups=0) for _ in range(4)]
        finally:
            stop.set()
        assert all(client.result() >= 1 for client in clients)
    for _, artifact, profile in results:
        assert artifact.attributes["alone"] == 1, artifact
        assert profile is not None
        assert profile.lines[0].line == keep_line()
        kept = profile.totals["kept_bytes"]
        assert kept is not None
        # Other threads still accept and parse while they wait; what they handle would be hundreds of kB.
        assert 1_000_000 <= kept < 1_100_000
    assert max(int(artifact.attributes["gate_wait_ns"] or 0) for _, artifact, _ in results) > 1_000_000


def test_a_request_that_does_not_end_is_not_waited_for_longer_than_two_seconds(services: Services) -> None:
    service = services.gunicorn("python_wsgi_app:application", "-w", "1", "-k", "gthread", "--threads", "6")
    service.measure("tracemalloc", "/")
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(service.http.get, "/hold")
        assert service.get("/wait-held").text == "yes"
        _, artifact, profile = service.measure("tracemalloc", "/keep", warmups=0)
        assert service.get("/release").text == "released"
        assert held.result().text == "held"
    assert artifact.attributes["alone"] == 0
    assert profile is not None
    assert any("upper bound" in note for note in profile.notes)

    def holds() -> list[RequestRecord]:
        return [r for r in service.records() if isinstance(r, RequestRecord) and r.name == "GET /hold"]

    wait_for(holds, "its record, which is written after the response")
    [overlapped] = holds()
    assert overlapped.values["in_flight_max"] == 2


def test_an_asgi_application(services: Services) -> None:
    functions = ["python_asgi_app:keep", "python_asgi_app:in_a_thread"]
    service = services.gunicorn("python_asgi_app:application", "-k", "asgi", "-w", "1", functions=functions)
    assert service.get("/").text == "hello"
    response, artifact, profile = service.measure("tracemalloc", "/keep")
    assert response.text == "kept"
    assert artifact.attributes["alone"] == 1
    assert profile is not None
    assert profile.lines[0].file == str(PROGRAMS / "python_asgi_app.py")
    assert abs((profile.lines[0].values[0] or 0) - 1_000_000) < 1000
    _, _, profile = service.measure("memory_profiler", "/keep")
    assert profile is not None
    # A coroutine: its first line is entered again after the await, which is no execution of a line of its own.
    growing = [row for row in profile.lines if (row.values[0] or 0) > 900_000]
    assert [row.function for row in growing] == ["python_asgi_app:keep"]
    _, _, profile = service.measure("memory_profiler", "/thread")
    assert profile is not None
    followed = {row.function for row in profile.lines}
    assert followed == {"python_asgi_app:in_a_thread"}
    names = [r.name for r in service.requests(7)]
    assert names == ["GET /", *["GET /keep"] * 4, *["GET /thread"] * 2]


def test_asgi_requests_wait_while_one_runs_alone(services: Services) -> None:
    service = services.gunicorn("python_asgi_app:application", "-k", "asgi", "-w", "1")
    with ThreadPoolExecutor(1) as pool:
        measured = pool.submit(service.measure, "tracemalloc", "/hold", 0)
        while int(service.http.get("/release").text) == 0:  # answered at once before it holds, else after two seconds
            pass
        response, artifact, _ = measured.result()
    assert response.text == "held"
    assert artifact.attributes["let_in"] == 1
    assert artifact.attributes["alone"] == 0


def test_a_newcomer_is_let_in_after_two_seconds(services: Services) -> None:
    service = services.gunicorn("python_wsgi_app:application", "-w", "1", "-k", "gthread", "--threads", "6")
    with ThreadPoolExecutor(1) as pool:
        # A measured request that waits for another one to its own server.
        measured = pool.submit(service.measure, "tracemalloc", "/hold", 0)
        deadline = time.monotonic() + DEADLINE_S
        while not (services.directory / "held").exists():  # asking over HTTP would have to wait itself
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert service.get("/release").text == "released"
        _, artifact, _ = measured.result()
    assert artifact.attributes["alone"] == 0
    assert artifact.attributes["let_in"] == 1


@pytest.mark.parametrize(
    "header",
    [
        "",
        "tracemalloc",
        f"{TOKEN[:-1]}e tracemalloc",
        f"{TOKEN.upper()} tracemalloc",
        "\N{LATIN SMALL LETTER E WITH ACUTE} x",
    ],
)
def test_a_wrong_token_is_an_ordinary_request(services: Services, header: str) -> None:
    service = services.wsgiref()
    response = service.http.get("/headers", headers={"x-harness-trigger": header.encode("latin-1")})
    assert response.text == "HTTP_X_HARNESS_TRIGGER"
    service.requests(1)
    assert not [r for r in service.records() if isinstance(r, ToolRecord)]


def test_an_unknown_tool_is_told_and_the_request_served(services: Services) -> None:
    service = services.wsgiref()
    assert service.get("/keep", {"x-harness-trigger": f"{TOKEN} ../../etc"}).text == "kept"

    def told() -> list[ToolRecord]:
        return [r for r in service.records() if isinstance(r, ToolRecord)]

    wait_for(told, "what the tool says")
    [record] = told()
    assert record.file is None
    assert record.error == "unknown tool '../../etc'"


def test_the_trigger_header_does_not_reach_the_application(services: Services) -> None:
    service = services.wsgiref()
    assert service.get("/headers", {"x-harness-trigger": f"{TOKEN} tracemalloc"}).text == ""


def test_an_error_under_a_tool_stays_the_applications(services: Services) -> None:
    service = services.wsgiref()
    response, artifact, profile = service.measure("tracemalloc", "/fail")
    assert response.status_code == 500
    assert artifact.status is ArtifactStatus.COMPLETE
    assert profile is not None
    assert service.get("/").text == "hello"


def test_a_fork_inside_a_measured_request(services: Services) -> None:
    service = services.wsgiref()
    response, artifact, _ = service.measure("tracemalloc", "/fork")
    assert response.text == "forked"
    assert artifact.status is ArtifactStatus.COMPLETE
    assert artifact.pid == service.process.pid


def test_a_target_that_closes_all_descriptors(services: Services) -> None:
    service = services.wsgiref()
    service.get("/")
    assert service.get("/close-fds").text == "closed"
    for _ in range(3):
        assert service.get("/").text == "hello"
    assert [r.name for r in service.requests(5)] == ["GET /", "GET /close-fds", "GET /", "GET /", "GET /"]
    assert (services.directory / "victim").read_bytes() == b""


def test_names_that_want_to_break_the_record(services: Services) -> None:
    service = services.wsgiref()
    service.get("/%22%5C%0A%00%ff%c3%a9?secret=1")
    service.get("/" + "x" * 3000)
    odd, long = service.requests(2)
    assert odd.name == 'GET /"\\\n\0\N{REPLACEMENT CHARACTER}é'
    assert long.name.startswith("GET /xxx")
    assert len(long.name) <= 512


def test_a_worker_under_another_user_id(services: Services) -> None:
    """As root the target runs as nobody, started by the system's Python (ours may be out of nobody's reach)."""
    root = os.geteuid() == 0
    python = (shutil.which("python3", path="/usr/bin:/bin") if root else None) or sys.executable
    base = Path(tempfile.mkdtemp())
    try:
        base.chmod(0o711)
        work_dir = base / "work"
        work_dir.mkdir(mode=0o711)
        program = base / "app.py"
        shutil.copyfile(PROGRAMS / "python_wsgi_app.py", program)
        program.chmod(0o644)
        plan = LaunchPlan("app", (python, str(program)), cwd=base)
        service = Service(work_dir, plan, user=65534 if root else None)
        services.started.append(service)
        _, artifact, profile = service.measure("tracemalloc", "/keep")
        assert artifact.status is ArtifactStatus.COMPLETE, (artifact, service.output())
        assert profile is not None
        assert profile.lines[0].line == keep_line()
        assert len(service.requests(2)) == 2
        service.stop()
    finally:
        shutil.rmtree(base)


# --- silence ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        ([sys.executable, "-E", "-c", ""], "-E makes Python ignore PYTHONPATH"),
        ([sys.executable, "-IBc", ""], "-I makes Python ignore PYTHONPATH"),
        ([sys.executable, "-S", "-c", ""], "-S keeps Python from running sitecustomize"),
        (["env", "-i", sys.executable, "-c", ""], "removes the variables"),
        (["/bin/sleep", "0"], "is not Python"),
        (["no-such-program-at-all"], "was not found"),
    ],
)
def test_silence_is_explained(tmp_path: Path, argv: list[str], reason: str) -> None:
    context, env = prepared(tmp_path, argv)
    if argv[0] != "no-such-program-at-all":
        subprocess.run(argv, env=env, check=True, timeout=DEADLINE_S)
    assert record_lines(context) == []
    assert reason in ADAPTER.explain_silence(context, [LaunchPlan("app", tuple(argv))], "")


def test_the_agents_own_complaint_is_the_best_explanation(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "pass"]
    context, env = prepared(tmp_path, argv)
    env["HARNESS_RECORDS"] = str(tmp_path / "nowhere" / "records")
    done = subprocess.run(argv, env=env, check=True, capture_output=True, text=True, timeout=DEADLINE_S)
    text = ADAPTER.explain_silence(context, [LaunchPlan("app", tuple(argv))], done.stderr)
    assert "cannot write" in text
    assert "nowhere" in text


# --- helpers ---------------------------------------------------------------------------------------------------------


def _version(python: str) -> tuple[int, int]:
    said = interpreter.ask(interpreter.Command(python, "python", (python,)), os.environ)
    assert said is not None
    return said.version[:2]
