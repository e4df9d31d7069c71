"""The adapter's answers that need no running target."""

import json
import os
import sys
from pathlib import Path

import pytest

from adapters.python import interpreter
from adapters.python.adapter import ADAPTER
from adapters.python.interpreter import Interpreter
from harness.errors import HarnessError, UsageError
from harness.model.profile import ArtifactStatus
from harness.plugins.registry import load_adapter
from harness.plugins.spec import AdapterContext, CheckLevel, LanguageAdapter, LaunchPlan, ProfiledResponse

PLAN = LaunchPlan("app", (sys.executable, "-m", "gunicorn", "app:app"), {"A": "1", "PYTHONPATH": "lib", "B": None})


def context(work_dir: Path, *tool_names: str, functions: tuple[str, ...] = ()) -> AdapterContext:
    return AdapterContext(work_dir, "5f" * 16, {}, tool_names or ("tracemalloc",), functions)


def test_it_is_the_adapter_the_registry_finds() -> None:
    adapter: LanguageAdapter = load_adapter("python")
    assert adapter is ADAPTER
    assert set(adapter.default_tools) <= set(adapter.tools)


@pytest.mark.parametrize(
    ("comm", "cmdline", "exe", "answer"),
    [
        ("gunicorn", "/srv/venv/bin/python /srv/venv/bin/gunicorn app", "/usr/bin/python3.11", True),
        ("uwsgi", "uwsgi --http :80", "/usr/bin/uwsgi", True),
        ("python3", "python3 manage.py runserver", "", True),
        ("php-fpm", "php-fpm: pool www", "/usr/sbin/php-fpm8.2", False),
        ("bash", "bash run-python.sh", "/bin/bash", False),
        ("pythonic", "pythonic", "/opt/pythonic", False),
    ],
)
def test_recognises(comm: str, cmdline: str, exe: str, answer: bool) -> None:
    assert ADAPTER.recognises(comm, cmdline, exe) is answer


def test_prepare_adds_environment_and_nothing_else(tmp_path: Path) -> None:
    proxy = LaunchPlan("nginx", ("nginx",), measured=False)
    prepared = ADAPTER.prepare(context(tmp_path), [PLAN, proxy])
    app, other = prepared.plans
    assert other is proxy
    assert (app.name, app.argv, app.cwd, app.stage) == (PLAN.name, PLAN.argv, PLAN.cwd, PLAN.stage)
    assert app.env["PYTHONPATH"] == f"{tmp_path}/python/boot:lib"
    assert (app.env["A"], app.env["B"]) == ("1", None)
    assert app.env["HARNESS_TOKEN"] == "5f" * 16
    assert not {key for key in app.env if key.startswith("HARNESS_TOOLS")}


def test_an_inherited_pythonpath_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/inherited")
    bare = LaunchPlan("app", (sys.executable,))
    without = LaunchPlan("app", (sys.executable,), {"PYTHONPATH": None})
    first, second = ADAPTER.prepare(context(tmp_path), [bare, without]).plans
    assert first.env["PYTHONPATH"] == f"{tmp_path}/python/boot:/inherited"
    assert second.env["PYTHONPATH"] == f"{tmp_path}/python/boot"


def test_settings_of_another_run_are_not_inherited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness may itself be started by the target of a harness."""
    others = ("HARNESS_GC_FREEZE", "HARNESS_FUNCTIONS", "HARNESS_JOBS", "HARNESS_JOB_TOOL", "HARNESS_TOOLS")
    for name in (*others, "HARNESS_TOKEN"):
        monkeypatch.setenv(name, "of another run")
    [plan] = ADAPTER.prepare(context(tmp_path), [LaunchPlan("app", (sys.executable, "app.py"))]).plans
    assert {name: plan.env[name] for name in others} == dict.fromkeys(others)
    assert plan.env["HARNESS_TOKEN"] == "5f" * 16


def test_functions_and_our_own_packages_reach_a_target_like_us(tmp_path: Path) -> None:
    names = ("shop.views:basket", "shop.views:Cart.add")
    [plan] = ADAPTER.prepare(context(tmp_path, "memory_profiler", functions=names), [PLAN]).plans
    assert json.loads(plan.env["HARNESS_FUNCTIONS"] or "") == list(names)
    lent = json.loads(plan.env["HARNESS_TOOLS"] or "")["memory_profiler"]
    assert lent["tag"] == sys.implementation.cache_tag
    assert any((Path(d) / "memory_profiler.py").is_file() for d in lent["directories"])


def test_functions_bring_memory_profiler_along_unless_another_tool_watches_them(tmp_path: Path) -> None:
    [plan] = ADAPTER.prepare(context(tmp_path, "tracemalloc", functions=("shop:basket",)), [PLAN]).plans
    assert "memory_profiler" in json.loads(plan.env["HARNESS_TOOLS"] or "")
    [plan] = ADAPTER.prepare(context(tmp_path, "lines", functions=("shop:basket",)), [PLAN]).plans
    assert "HARNESS_TOOLS" not in plan.env


def test_an_unwritable_work_directory_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HarnessError, match="cannot put the Python agent"):
        ADAPTER.prepare(context(tmp_path / "file"), [PLAN])


def test_trigger() -> None:
    trigger = ADAPTER.trigger(context(Path("/x")), "tracemalloc")
    assert trigger.headers == {"x-harness-trigger": "5f" * 16 + " tracemalloc"}
    assert trigger.warmups == 1
    script = ADAPTER.trigger(context(Path("/x")), "tracemalloc", ["python", "job.py"])
    assert (script.argv, script.env, script.warmups) == (("python", "job.py"), {"HARNESS_JOB_TOOL": "tracemalloc"}, 0)
    with pytest.raises(UsageError, match="no tool 'xdebug'"):
        ADAPTER.trigger(context(Path("/x")), "xdebug")
    with pytest.raises(UsageError, match="not whole scripts"):
        ADAPTER.trigger(context(Path("/x")), "memory_profiler", ["python", "job.py"])


def test_preflight_names_what_will_be_missing(tmp_path: Path) -> None:
    plans = [
        PLAN,
        LaunchPlan("isolated", (sys.executable, "-I", "x.py")),
        LaunchPlan("proxy", ("nginx",), measured=False),
    ]
    checks = ADAPTER.preflight(context(tmp_path, "memory_profiler", "lines", "xdebug"), plans)
    errors = [c for c in checks if c.level is CheckLevel.ERROR]
    assert [c.name for c in errors] == ["profiler xdebug"]
    warnings = {c.name: c for c in checks if c.level is CheckLevel.WARNING}
    assert "names no function" in warnings["memory_profiler functions"].message
    assert "names no function" in warnings["lines functions"].message
    assert "-I makes Python ignore PYTHONPATH" in warnings["Python agent in isolated"].message
    assert all(c.costs for c in warnings.values())
    assert not [c for c in checks if "proxy" in c.name]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (Interpreter((3, 7, 16), "cpython", "cpython-37", False), "needs 3.8"),
        (Interpreter((3, 13, 0), "cpython", "cpython-313", True), "free-threaded"),
        (Interpreter((3, 14, 0), "cpython", "cpython-314", False), "not been tested"),
        (Interpreter((3, 10, 0), "pypy", "pypy310", False), "not been tested"),
    ],
)
def test_preflight_knows_interpreters(
    tmp_path: Path, said: Interpreter, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interpreter, "ask", lambda command, env: said)
    checks = ADAPTER.preflight(context(tmp_path), [PLAN])
    assert [c.name for c in checks if message in c.message and c.level is CheckLevel.WARNING] == ["Python agent in app"]


def test_preflight_as_root_warns_of_a_closed_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    tmp_path.chmod(0o700)
    assert "run directory" in [c.name for c in ADAPTER.preflight(context(tmp_path / "run" / "work"), [PLAN])]
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "run directory" not in [c.name for c in ADAPTER.preflight(context(tmp_path / "run" / "work"), [PLAN])]


def response(span: str = "a" * 16) -> ProfiledResponse:
    return ProfiledResponse(span, "home", 200, 10, 20, {})


def test_no_record_is_a_missing_artifact_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.python.gather.TIMEOUT_S", 0.0)
    ctx = context(tmp_path)
    [artifact] = ADAPTER.collect(ctx, ADAPTER.trigger(ctx, "tracemalloc"), response(), tmp_path / "artifacts")
    assert artifact.status is ArtifactStatus.MISSING
    assert artifact.path is None
    assert "without the agent" in artifact.detail
    [artifact] = ADAPTER.collect(ctx, ADAPTER.trigger(ctx, "tracemalloc", ["x"]), response(), tmp_path / "artifacts")
    assert "os._exit" in artifact.detail


def record(tmp_path: Path, **fields: object) -> None:
    (tmp_path / "records").mkdir(exist_ok=True)
    base = {
        "k": "tool",
        "rt": "python",
        "pid": os.getpid(),
        "t": 15,
        "span": "a" * 16,
        "tool": "tracemalloc",
        "file": None,
        "error": None,
    }
    with (tmp_path / "records" / "python-1.ndjson").open("a") as stream:
        stream.write(json.dumps({**base, "v": {"alone": 1}, **fields}, separators=(",", ":")) + "\n")


def test_a_tools_error_is_the_artifacts_detail(tmp_path: Path) -> None:
    record(tmp_path, span="b" * 16, error="another request's")
    record(tmp_path, tool="memory_profiler", error="another tool's")
    record(tmp_path, error="it said why")
    ctx = context(tmp_path)
    [artifact] = ADAPTER.collect(ctx, ADAPTER.trigger(ctx, "tracemalloc"), response(), tmp_path / "artifacts")
    assert (artifact.status, artifact.detail, artifact.pid) == (ArtifactStatus.MISSING, "it said why", os.getpid())
    assert artifact.attributes == {"alone": 1}


def test_a_linked_result_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "results" / "x.json").symlink_to(tmp_path / "secret")
    record(tmp_path, file="x.json")
    ctx = context(tmp_path)
    [artifact] = ADAPTER.collect(ctx, ADAPTER.trigger(ctx, "tracemalloc"), response(), tmp_path / "artifacts")
    assert artifact.status is ArtifactStatus.REFUSED
    assert not (tmp_path / "artifacts").exists()


def test_a_scripts_record_without_a_span_must_fall_into_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.python.gather.TIMEOUT_S", 0.0)
    record(tmp_path, span=None, t=21, error="too late")
    record(tmp_path, span=None, t=9, error="too early")
    record(tmp_path, span=None, t=20, error="mine")
    ctx = context(tmp_path)
    [artifact] = ADAPTER.collect(ctx, ADAPTER.trigger(ctx, "tracemalloc", ["x"]), response(), tmp_path / "artifacts")
    assert artifact.detail == "mine"
    assert artifact.span_id == "a" * 16


def test_a_job_without_a_span_is_found_by_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.python.gather.TIMEOUT_S", 0.0)
    record(tmp_path, span="c" * 16, t=21, error="another job's")
    record(tmp_path, span="d" * 16, t=20, error="mine")  # it inherited somebody's TRACEPARENT
    ctx = context(tmp_path)
    [artifact] = ADAPTER.collect(ctx, ADAPTER.trigger(ctx, "tracemalloc", ["x"]), response(""), tmp_path / "artifacts")
    assert (artifact.detail, artifact.span_id) == ("mine", None)


def test_parse_refuses_what_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.python.collect.RESULT_CAP_BYTES", 3)
    (tmp_path / "x").write_text("1234")
    with pytest.raises(ValueError, match="larger"):
        ADAPTER.parse("tracemalloc", tmp_path / "x")


def test_silence_without_a_launch() -> None:
    assert "no launched program" in ADAPTER.explain_silence(context(Path("/x")), [], "")
