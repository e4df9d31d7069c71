"""Jobs of long-lived workers: functions that the scenario names, and Celery's tasks."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from processes import DEADLINE_S, harness, wait_for
from python_envs import environment
from python_jobs import SCRIPT, CeleryWorker, Worker, celery_command, celery_environment
from python_service import PROGRAMS, prepared, record_lines
from pythons import pythons

from adapters.python import gather_jobs
from adapters.python.adapter import ADAPTER
from harness.model.profile import ArtifactStatus
from harness.model.run import RawRun
from harness.model.span import RequestRecord, ToolRecord
from harness.plugins.records import parse_record
from harness.plugins.spec import AdapterContext, ProfiledResponse
from harness.store.reader import read_run

pytestmark = pytest.mark.integration
every_python = pytest.mark.parametrize("python", pythons().values(), ids=pythons().keys())

SPECS = [
    "python_worker:keep",  # by the name of the file,
    "__main__:Mailer.send",  # or as what it runs
    "python_worker:Mailer.check",
    "python_worker:Mailer.make",
    "python_worker:fetch",
    "python_worker:fail",
    "python_worker:numbers",
    "python_worker:nothing",
    "python_worker:Mailer.nothing",
    "elsewhere:keep",
]
LEAK, CLEAN = "python_celery_app.leak", "python_celery_app.clean"


def by_minor(minor: str) -> str:
    """A Python of this minor version, else our own."""
    return next((program for version, program in pythons().items() if version.startswith(f"{minor}.")), sys.executable)


@functools.cache
def celery_python(minor: str) -> str:
    return environment(by_minor(minor), "celery")


def keeping_line(path: Path) -> int:
    lines = path.read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if "the line that keeps" in line)


def jobs(context: AdapterContext) -> list[RequestRecord]:
    found = map(parse_record, record_lines(context))
    return [record for record in found if isinstance(record, RequestRecord)]


def results(context: AdapterContext) -> list[ToolRecord]:
    found = map(parse_record, record_lines(context))
    return [record for record in found if isinstance(record, ToolRecord)]


# --- functions -------------------------------------------------------------------------------------------------------


@every_python
def test_every_call_of_a_named_function_is_one_record(python: str, tmp_path: Path) -> None:
    context, env = prepared(tmp_path, [python, str(SCRIPT)], {"jobs": SPECS})
    with Worker([python], env) as worker:
        worker.do("1000", "send", "class", "fetch", "fail", "traced", "1000")
        said = [line for line in worker.said if line.startswith("harness agent:")]
        assert "tracer None" in worker.said  # what found the functions has gone
    records = jobs(context)
    assert [record.name for record in records] == [
        "python_worker:keep", "__main__:Mailer.send", "python_worker:Mailer.make", "python_worker:Mailer.check",
        "python_worker:fetch", "python_worker:fail", "python_worker:keep",
    ]  # fmt: skip
    assert [record.sequence for record in records] == list(range(7))
    assert {(record.pid, record.status, record.span_id) for record in records} == {(worker.pid, None, None)}
    assert {record.values["in_flight_max"] for record in records} == {1}
    assert len(said) == 3
    assert "python_worker:nothing is not recorded: the script does not define it" in said[0]
    assert "python_worker:Mailer.nothing is not recorded: AttributeError" in said[1]
    assert "python_worker:numbers is not recorded: it is a generator" in said[2]


@every_python
def test_an_armed_tool_measures_each_kind_of_job_twice(
    python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather_jobs, "QUIET_S", 0.1)  # all records are there before they are collected
    context, env = prepared(tmp_path, [python, str(SCRIPT)], {"jobs": SPECS})
    with Worker([python], env) as worker:
        start_ns = time.monotonic_ns()
        assert ADAPTER.arm(context, 1, "tracemalloc", [worker.pid]) == [worker.pid]
        worker.do("1000000", "fetch", "1000000", "1000000", "fetch", "fetch")
        trigger = ADAPTER.trigger(context, "tracemalloc")
        response = ProfiledResponse("", "each_round", None, start_ns, time.monotonic_ns(), {})
        found = ADAPTER.collect(context, trigger, response, tmp_path / "artifacts")
        assert ADAPTER.arm(context, 2, None, [worker.pid]) == [worker.pid]
        worker.do("5", "send")
        worker.do("5", "send")
    assert len(results(context)) == 4
    assert [a.endpoint for a in found] == ["python_worker:fetch", "python_worker:keep"]
    assert {a.status for a in found} == {ArtifactStatus.COMPLETE}
    assert found[1].path is not None
    assert found[1].attributes["runs_before"] == 2  # after a job of each kind that warmed up
    profile = ADAPTER.parse("tracemalloc", tmp_path / "artifacts" / found[1].path)
    top = profile.lines[0]
    assert (Path(top.file).name, top.line) == (SCRIPT.name, keeping_line(SCRIPT))
    assert 0 <= top.values[0] - 1_000_000 < 200  # and the object itself


def test_a_module_is_a_script_that_is_run_by_its_name(tmp_path: Path) -> None:
    context, env = prepared(tmp_path, [sys.executable], {"jobs": ["worker:handle", "helper:again", "other:handle"]})
    (tmp_path / "worker.py").write_text("import helper\n\ndef handle():\n    helper.again(2)\n\nhandle()\n")
    (tmp_path / "helper.py").write_text("def again(n):\n    return n and again(n - 1)\n")
    run = ("import os, sys", "os.chdir(sys.argv[1])", "os.execv(sys.executable, [sys.executable, '-m', 'worker'])")
    subprocess.run([sys.executable, "-c", "\n".join(run), str(tmp_path)], env=env, check=True, timeout=DEADLINE_S)
    assert Counter(record.name for record in jobs(context)) == {"helper:again": 3, "worker:handle": 1}


def test_a_debugger_of_the_scripts_own_goes_first(tmp_path: Path) -> None:
    context, env = prepared(tmp_path, [sys.executable], {"jobs": ["__main__:handle"]})
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nsys.settrace(lambda *a: None)\ndef handle():\n    pass\nhandle()\nprint(sys.gettrace())\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], env=env, check=True, capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert "<lambda>" in done.stdout
    assert [record.name for record in jobs(context)] == ["__main__:handle"]


# --- Celery ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("minor", ["3.8", "3.12"])
@pytest.mark.parametrize("pool", ["prefork", "solo", "threads"])
def test_every_task_is_one_record(minor: str, pool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather_jobs, "QUIET_S", 0.1)
    python = celery_python(minor)
    context, env = prepared(tmp_path, celery_command(python, pool, 2), **celery_environment(tmp_path))
    with CeleryWorker(python, pool, env, tmp_path) as worker:
        worker.feed("[app.leak.delay(1000) for _ in range(6)]; [app.clean.delay(5) for _ in range(3)]")
        wait_for(lambda: len(jobs(context)) >= 9, f"the jobs: {worker.output()}")
        records = jobs(context)
        assert Counter(record.name for record in records) == {LEAK: 6, CLEAN: 3}
        workers = set(worker.pids()) if pool != "prefork" else set(worker.pids()[1:])
        assert {record.pid for record in records} <= workers

        headers = f"headers={{'x-harness-trigger': '{context.token} tracemalloc'}}"
        wrong = f"headers={{'x-harness-trigger': '{'0' * 32} tracemalloc'}}"
        worker.feed(f"app.leak.apply_async((1000,), {headers}); app.leak.apply_async((1000,), {wrong})")
        wait_for(lambda: len(jobs(context)) >= 11, "the jobs")
        wait_for(lambda: results(context), "the result")

        worker.feed("app.again.delay()")
        wait_for(lambda: len(jobs(context)) >= 13, "the job and its second try")
        [result] = results(context)
        assert result.error is None
        assert result.values["alone"] == 1

        start_ns = time.monotonic_ns()
        assert ADAPTER.arm(context, 1, "tracemalloc", worker.pids()) == worker.pids()
        worker.feed("[app.leak.delay(1_000_000) for _ in range(8)]; [app.clean.delay(5) for _ in range(8)]")
        wait_for(lambda: len(jobs(context)) >= 29, "the jobs")
        response = ProfiledResponse("", "each_round", 0, start_ns, time.monotonic_ns(), {})
        trigger = ADAPTER.trigger(context, "tracemalloc")
        clean, leak = ADAPTER.collect(context, trigger, response, tmp_path / "artifacts")
    assert (clean.endpoint, leak.endpoint) == (CLEAN, LEAK)
    assert leak.path is not None
    assert clean.path is not None
    top = ADAPTER.parse("tracemalloc", tmp_path / "artifacts" / leak.path).lines[0]
    app = PROGRAMS / "python_celery_app.py"
    assert (top.file, top.line) == (str(app), keeping_line(app))
    assert 0 <= top.values[0] - 1_000_000 < 200
    kept = ADAPTER.parse("tracemalloc", tmp_path / "artifacts" / clean.path).totals["kept_bytes"]
    assert kept is not None
    assert kept < (200_000 if pool == "threads" else 20_000)  # of threads one may fetch further messages meanwhile


# --- whole runs ------------------------------------------------------------------------------------------------------


def run_scenario(directory: Path, **scenario: object) -> tuple[RawRun, Path, str]:
    """The run, its directory, and the first line of the verdict."""
    data = {"name": "jobs", "sample": {"interval": "100ms"}, "profile": ["tracemalloc"], **scenario}
    (directory / "scenario.yaml").write_text(json.dumps(data))
    with harness("run", "scenario.yaml", cwd=directory) as run:
        code, out, err = run.finish()
        run.assert_nothing_left()
    assert code == 0, err
    path = Path(out.splitlines()[-1])
    return read_run(path), path, out.splitlines()[0]


def test_a_celery_worker_that_leaks_in_one_task(tmp_path: Path) -> None:
    python = celery_python("3.12")
    app = PROGRAMS / "python_celery_app.py"
    env = celery_environment(tmp_path)
    target = {"runtime": "python", "launch": " ".join(celery_command(python, "prefork", 1)), "env": env}
    load = {"each_round": f"{python} {app} leak=20 clean=20", "rounds": 7, "warmup_rounds": 1, "settle": "300ms"}
    raw, path, verdict = run_scenario(tmp_path, target=target, load=load)
    assert "leak" in verdict
    names = Counter(record.name for record in raw.records)
    assert set(names) == {LEAK, CLEAN}
    assert names[LEAK] == names[CLEAN] in (20 * 10, 20 * 11), (
        "twice for the profiled pass, once more where garbage was freed"
    )
    [leak] = [a for a in raw.artifacts if a.endpoint == LEAK]
    assert leak.path is not None
    top = ADAPTER.parse("tracemalloc", path / leak.path).lines[0]
    assert (top.file, top.line) == (str(app), keeping_line(app))


def test_a_plain_worker_that_leaks(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    feeder = tmp_path / "feed.py"
    feeder.write_text(f"with open({str(pipe)!r}, 'w') as pipe:\n    pipe.write('300000\\n' * 10)\n")
    python = {"jobs": ["python_worker:keep"], "functions": ["__main__:keep"]}
    target = {"runtime": "python", "launch": f"{sys.executable} {SCRIPT} {pipe}", "python": python}
    load = {"each_round": f"{sys.executable} {feeder}", "rounds": 7, "warmup_rounds": 1, "settle": "200ms"}
    raw, path, verdict = run_scenario(tmp_path, target=target, load=load, profile=["tracemalloc", "memory_profiler"])
    assert "leak" in verdict
    [(name, jobs)] = Counter(record.name for record in raw.records).items()
    assert name == "python_worker:keep"
    assert jobs in (10 * 12, 10 * 13), "two rounds for each tool, and one more where a collection freed something"
    found = {a.tool: a for a in raw.artifacts if a.endpoint == "python_worker:keep"}
    assert found["tracemalloc"].path is not None
    top = ADAPTER.parse("tracemalloc", path / found["tracemalloc"].path).lines[0]
    assert (Path(top.file).name, top.line) == (SCRIPT.name, keeping_line(SCRIPT))
    assert found["memory_profiler"].path is not None
    lines = ADAPTER.parse("memory_profiler", path / found["memory_profiler"].path).lines
    assert keeping_line(SCRIPT) in {row.line for row in lines}
