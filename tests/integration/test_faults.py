"""Every way a run can end badly: one clear message, the right exit code, nothing left running, a readable run."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path

import pytest
from processes import Harness, free_port, harness, wait_for

from harness.model.run import RunStatus
from harness.store.reader import read_manifest, read_run

pytestmark = pytest.mark.integration
SERVER = Path(__file__).parents[1] / "programs" / "plain_server.py"


def scenario(directory: Path, **changes: object) -> Path:
    """A scenario of a few seconds against the plain server; keys given replace those of the default (None removes)."""
    port = free_port()
    data: dict[str, object] = {
        "name": "faulty",
        "target": {
            "launch": f"{sys.executable} {SERVER} {port}",
            "ready": f"http://127.0.0.1:{port}/ok",
            "stop_timeout": "1s",
        },
        "requests": [{"name": "ok", "get": "/ok"}],
        "load": {"rounds": 200, "requests_per_round": 40, "blocks": 2, "warmup_rounds": 2, "settle": "20ms"},
        "sample": {"interval": "100ms"},
    }
    data.update(changes)
    path = directory / "scenario.yaml"
    path.write_text(json.dumps({k: v for k, v in data.items() if v is not None}))  # JSON is YAML
    return path


def the_run(directory: Path) -> Path:
    runs = list((directory / "runs").iterdir())
    assert len(runs) == 1
    return runs[0]


def check_end(run: Harness, code: int, says: str, status: RunStatus, directory: Path) -> str:
    """The common contract of every bad end; returns stderr."""
    returned, out, err = run.finish()
    assert returned == code, err
    errors = [line for line in err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1, err
    assert says in err
    assert "Traceback" not in err
    assert out.splitlines()[-1] == str(the_run(directory))
    run.assert_nothing_left()
    assert read_manifest(the_run(directory)).status is status
    assert (the_run(directory) / "report.json").exists()
    return err


@pytest.mark.parametrize(
    ("text", "says"),
    [("name: x\ntarget: {lunch: a}\n", "scenario.yaml:2"), ("name: [\n", "scenario.yaml"), (None, "scenario.yaml")],
)
def test_a_wrong_scenario(tmp_path: Path, text: str | None, says: str) -> None:
    if text is not None:
        (tmp_path / "scenario.yaml").write_text(text)
    with harness("run", "scenario.yaml", cwd=tmp_path) as run:
        code, out, err = run.finish()
    assert (code, out) == (2, "")
    assert err.startswith("error:")
    assert says in err
    assert "Traceback" not in err
    assert not (tmp_path / "runs").exists()


def test_an_environment_variable_that_is_not_set(tmp_path: Path) -> None:
    path = scenario(tmp_path, requests=[{"name": "ok", "get": "/ok", "headers": {"X-Key": "${NOT_SET_ANYWHERE}"}}])
    with harness("run", path, cwd=tmp_path) as run:
        code, _, err = run.finish()
    assert code == 2
    assert "NOT_SET_ANYWHERE" in err
    assert "scenario.yaml:1" in err


def test_an_output_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with harness("run", scenario(tmp_path), "--out", tmp_path / "file" / "runs", cwd=tmp_path) as run:
        code, _, err = run.finish()
    assert code == 2
    assert "cannot create a run in" in err
    assert "--out" in err


def test_a_command_that_does_not_exist(tmp_path: Path) -> None:
    path = scenario(tmp_path, target={"launch": "/nonexistent/server", "ready": "http://127.0.0.1:1/"})
    with harness("run", path, cwd=tmp_path) as run:
        check_end(run, 3, "/nonexistent/server: No such file or directory", RunStatus.FAILED, tmp_path)


def test_a_target_that_dies_at_once_shows_its_last_words(tmp_path: Path) -> None:
    path = scenario(
        tmp_path, target={"launch": "sh -c 'echo no such database; exit 4'", "ready": f"tcp://127.0.0.1:{free_port()}"}
    )
    with harness("run", path, cwd=tmp_path) as run:
        err = check_end(run, 3, "app ended with exit code 4", RunStatus.FAILED, tmp_path)
    assert "no such database" in err


def test_a_target_that_never_gets_ready(tmp_path: Path) -> None:
    port = free_port()
    target = {
        "launch": "sleep 1000",
        "ready": f"http://127.0.0.1:{port}/",
        "start_timeout": "500ms",
        "stop_timeout": "1s",
    }
    with harness("run", scenario(tmp_path, target=target), cwd=tmp_path) as run:
        check_end(run, 3, f"did not become ready at http://127.0.0.1:{port}/", RunStatus.FAILED, tmp_path)


def test_a_run_that_never_began_says_why_and_gives_no_verdict(tmp_path: Path) -> None:
    path = scenario(tmp_path, target={"launch": "sh -c 'exit 4'", "ready": f"tcp://127.0.0.1:{free_port()}"})
    program = [
        "-c",
        "import os, runpy; os.dup2(1, 2); runpy.run_module('harness', run_name='__main__', alter_sys=True)",
    ]
    with harness("run", path, cwd=tmp_path, program=program) as run:  # both streams as one, as a terminal shows them
        code, both, _ = run.finish()
    assert code == 3
    assert "inconclusive" not in both
    assert both.index("error: app ended with exit code 4") < both.index("report.html")


def test_a_port_that_somebody_else_holds(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        target = {"launch": f"{sys.executable} {SERVER} {port}", "ready": f"http://127.0.0.1:{port}/ok"}
        with harness("run", scenario(tmp_path, target=target), cwd=tmp_path) as run:
            check_end(run, 3, f"something else listens on 127.0.0.1:{port} already", RunStatus.FAILED, tmp_path)


def test_attaching_where_nobody_listens(tmp_path: Path) -> None:
    port = free_port()
    with harness("run", scenario(tmp_path, target={"attach": {"port": port}}), cwd=tmp_path) as run:
        check_end(run, 3, f"{port}", RunStatus.FAILED, tmp_path)


def test_a_port_that_refuses_every_request(tmp_path: Path) -> None:
    """Ready where it says, but not where the requests go."""
    port, refused = free_port(), free_port()
    target = {
        "launch": f"{sys.executable} {SERVER} {port}", "ready": f"http://127.0.0.1:{port}/ok",
        "url": f"http://127.0.0.1:{refused}", "stop_timeout": "1s",
    }  # fmt: skip
    with harness("run", scenario(tmp_path, target=target), cwd=tmp_path) as run:
        check_end(run, 3, "every request of the first warm-up round failed", RunStatus.FAILED, tmp_path)


def test_answers_that_are_never_what_was_asked_for(tmp_path: Path) -> None:
    requests = [{"name": "home", "get": "/ok", "check": {"status": 302}}]
    with harness("run", scenario(tmp_path, requests=requests), cwd=tmp_path) as run:
        err = check_end(run, 3, "for example home: HTTP 200 (check failed: status)", RunStatus.FAILED, tmp_path)
    assert "edit the paths under `requests:` (or `check:`) in the scenario" in err


@pytest.mark.parametrize("phase", ["] run ", "started app", "warmup 1/2", "rounds 1/200"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_in_every_phase(tmp_path: Path, phase: str, number: signal.Signals) -> None:
    with harness("run", scenario(tmp_path), cwd=tmp_path) as run:
        run.read_until(phase)
        run.process.send_signal(number)
        check_end(run, 130, "interrupted", RunStatus.INTERRUPTED, tmp_path)


def test_an_interrupt_in_the_cool_down(tmp_path: Path) -> None:
    load = {"rounds": 7, "requests_per_round": 4, "blocks": 1, "warmup_rounds": 0, "settle": "10ms"}
    with harness("run", scenario(tmp_path, load=load), cwd=tmp_path) as run:
        run.read_until("rounds 7/7")
        run.process.send_signal(signal.SIGINT)
        check_end(run, 130, "interrupted", RunStatus.INTERRUPTED, tmp_path)


def test_an_interrupt_while_waiting_for_a_target_that_hangs(tmp_path: Path) -> None:
    code = "import signal,time; [signal.signal(n, signal.SIG_IGN) for n in (2, 15)]; time.sleep(1000)"
    target = {
        "launch": f'{sys.executable} -c "{code}"',
        "ready": f"tcp://127.0.0.1:{free_port()}",
        "stop_timeout": "30s",
    }
    with harness("run", scenario(tmp_path, target=target), cwd=tmp_path) as run:
        run.read_until("started app")
        run.process.send_signal(signal.SIGINT)
        run.read_until("stopping")
        for _ in range(2):  # impatience moves the ladder on: INT, TERM, KILL without waiting 30 s at each
            run.process.send_signal(signal.SIGINT)
            wait_for(lambda: True, "a moment")
        check_end(run, 130, "interrupted", RunStatus.INTERRUPTED, tmp_path)


def test_an_interrupt_in_the_profiled_pass(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(
        "import sys, time\n"
        "from wsgiref.simple_server import make_server\n"
        "def app(environ, start):\n"
        "    if 'HTTP_X_HARNESS_TRIGGER' in environ: time.sleep(1000)\n"
        "    start('200 OK', [('Content-Length', '2')]); return [b'ok']\n"
        "make_server('127.0.0.1', int(sys.argv[1]), app).serve_forever()\n"
    )
    port = free_port()
    target = {
        "runtime": "python",
        "launch": f"{sys.executable} {app} {port}",
        "ready": f"http://127.0.0.1:{port}/",
        "stop_timeout": "1s",
    }
    load = {"rounds": 7, "requests_per_round": 4, "blocks": 1, "warmup_rounds": 0, "settle": "10ms", "concurrency": 1}
    with harness("run", scenario(tmp_path, target=target, load=load, profile=["tracemalloc"]), cwd=tmp_path) as run:
        run.read_until("rounds 7/7")
        wait_for(lambda: list_spans_started(the_run(tmp_path)), "the profiled pass")
        run.process.send_signal(signal.SIGINT)
        check_end(run, 130, "interrupted", RunStatus.INTERRUPTED, tmp_path)


def list_spans_started(run: Path) -> bool:
    """Whether the profiled pass has begun, seen in the run while it is being written."""
    return any(w.phase == "profiled" for w in read_run(run).windows)


@pytest.mark.parametrize(
    ("who", "code", "says"),
    [
        ("harness.sampling", 3, "the sampler ended unexpectedly"),
        ("harness.load", 5, "the load generator ended unexpectedly"),
        ("plain_server.py", 3, "app was killed by SIGKILL"),
        ("harness.targets.guard", 3, "the guard of app was killed"),
    ],
)
def test_kill_nine_of_any_part(tmp_path: Path, who: str, code: int, says: str) -> None:
    with harness("run", scenario(tmp_path), cwd=tmp_path) as run:
        run.read_until("rounds 1/200")
        os.kill(run.pid_of(who), signal.SIGKILL)
        check_end(run, code, says, RunStatus.FAILED, tmp_path)


def test_a_daemon_dies_with_its_program_when_the_guard_is_killed(tmp_path: Path) -> None:
    """Only the sampler still knows such a process: it left the group, and its parent is gone."""
    port = free_port()
    daemon = (
        f"setsid {sys.executable} -c 'import time; time.sleep(1000)' lost-one & exec {sys.executable} {SERVER} {port}"
    )
    target = {"launch": f'sh -c "{daemon}"', "ready": f"http://127.0.0.1:{port}/ok", "stop_timeout": "1s"}
    with harness("run", scenario(tmp_path, target=target), cwd=tmp_path) as run:
        run.read_until("rounds 1/200")
        assert run.pid_of("lost-one")
        os.kill(run.pid_of("harness.targets.guard"), signal.SIGKILL)
        check_end(run, 3, "the guard of app was killed", RunStatus.FAILED, tmp_path)


def test_kill_nine_of_the_harness_loses_nothing_that_could_be_read_before(tmp_path: Path) -> None:
    with harness("run", scenario(tmp_path), cwd=tmp_path) as run:
        run.read_until("rounds 5/200")
        wait_for(lambda: spans_of_rounds(the_run(tmp_path)) >= 4 * 40, "the first rounds in the file")
        before = spans_of_rounds(the_run(tmp_path))
        run.process.send_signal(signal.SIGKILL)
        code, _, _ = run.finish()
        assert code == -signal.SIGKILL
        run.assert_nothing_left()
    directory = the_run(tmp_path)
    assert read_manifest(directory).status is RunStatus.RECORDING
    assert spans_of_rounds(directory) >= before
    with harness("report", directory, "--format", "json", cwd=tmp_path) as report:
        code, out, err = report.finish()
    assert code == 0, err
    assert json.loads(out)["run"]["status"] == "interrupted"


def spans_of_rounds(run: Path) -> int:
    return sum(span.phase == "rounds" for span in read_run(run).spans)


def test_a_guard_rail_keeps_the_run(tmp_path: Path) -> None:
    requests = [{"name": "slow", "get": "/slow"}]
    load = {"rounds": 50, "requests_per_round": 200, "blocks": 1, "warmup_rounds": 0, "concurrency": 50}
    with harness(
        "run", scenario(tmp_path, requests=requests, load=load, guard={"latency_p99": "100ms"}), cwd=tmp_path
    ) as run:
        check_end(run, 4, "guard rail: latency p99 is", RunStatus.GUARD, tmp_path)


def test_a_disk_that_gets_full_is_seen_coming(tmp_path: Path) -> None:
    """Ask for more free space than any disk has."""
    with harness("run", scenario(tmp_path, guard={"disk_free": "1000000 GiB"}), cwd=tmp_path) as run:
        check_end(run, 4, "guard rail: free disk space", RunStatus.GUARD, tmp_path)


def test_a_full_disk_ends_the_run_and_keeps_what_was_recorded(tmp_path: Path) -> None:
    """Every write beyond 1.5 MiB of a file fails, which SQLite meets like a full disk; only the session is limited."""
    requests = [{"name": "ok", "get": "/ok"}]
    load = {"rounds": 300, "requests_per_round": 1000, "blocks": 1, "warmup_rounds": 0, "settle": "10ms"}
    path = scenario(tmp_path, requests=requests, load=load)
    limited = tmp_path / "limited.py"
    limited.write_text(
        "import resource, signal, sys\nfrom harness.cli import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1536 << 10, resource.RLIM_INFINITY))\nmain(sys.argv[1:])\n"
    )
    with harness("run", path, cwd=tmp_path, program=[str(limited)]) as run:
        code, out, err = run.finish()
        run.assert_nothing_left()
    assert code == 4, err
    assert len([line for line in err.splitlines() if line.startswith("error:")]) == 1
    assert "cannot write the run" in err
    assert "Traceback" not in err
    assert out.splitlines()[-1] == str(the_run(tmp_path))
    assert len(read_run(the_run(tmp_path)).spans) > 1000
    with harness("report", the_run(tmp_path), cwd=tmp_path) as report:
        assert report.finish()[0] == 0


def test_an_attached_target_that_is_killed(tmp_path: Path) -> None:
    import subprocess

    port = free_port()
    with subprocess.Popen([sys.executable, str(SERVER), str(port)]) as server:
        try:
            target = {"attach": {"port": port}, "ready": f"http://127.0.0.1:{port}/ok"}
            with harness("run", scenario(tmp_path, target=target), cwd=tmp_path) as run:
                run.read_until("rounds 1/200")
                server.kill()
                check_end(run, 3, "the process attached to is gone", RunStatus.FAILED, tmp_path)
        finally:
            server.kill()


def test_an_expectation_that_fails_is_exit_code_one(tmp_path: Path) -> None:
    load = {"rounds": 7, "requests_per_round": 10, "blocks": 1, "warmup_rounds": 0, "settle": "10ms"}
    with harness("run", scenario(tmp_path, load=load, expect=["peak_pss < 1 KiB"]), cwd=tmp_path) as run:
        code, out, err = run.finish()
        run.assert_nothing_left()
    assert code == 1, err
    assert "peak_pss < 1 KiB" in out
