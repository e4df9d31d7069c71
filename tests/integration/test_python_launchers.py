"""Ways a Python program is started: which of them bring the agent along, and what is said of those that do not."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import zipapp
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from python_envs import environment
from python_service import DEADLINE_S, PROGRAMS, Services, prepared, record_lines
from pythons import pythons

from adapters.python.adapter import ADAPTER
from harness.model.profile import ArtifactStatus
from harness.model.span import BootRecord
from harness.plugins.records import parse_record
from harness.plugins.spec import AdapterContext, CheckLevel, LaunchPlan

pytestmark = pytest.mark.integration

every_python = pytest.mark.parametrize("python", pythons().values(), ids=pythons().keys())
PRESENT = "import sys; sys.stdout.write('agent' if '_harness_agent' in sys.modules else 'none')"


@functools.cache
def tools_python() -> str:
    """An environment with launchers that bring agents of their own."""
    newest = {".".join(version.split(".")[:2]): program for version, program in reversed(pythons().items())}
    return environment(newest.get("3.12", sys.executable), "ddtrace", "flask", "gunicorn", "opentelemetry-distro",
                       "opentelemetry-instrumentation-flask", "pex")  # fmt: skip


def tool(name: str) -> str:
    return str(Path(tools_python()).with_name(name))


def run(
    directory: Path, argv: Sequence[str], options: Mapping[str, object] | None = None, **env: str
) -> tuple[AdapterContext, subprocess.CompletedProcess[str]]:
    """Launch it as the session does, and wait for its end."""
    work_dir = directory / "work"
    work_dir.mkdir()
    context = AdapterContext(work_dir, "5f" * 16, options or {}, ("tracemalloc",))
    [plan] = ADAPTER.prepare(context, [LaunchPlan("app", tuple(argv), env)]).plans
    merged = {key: value for key, value in {**os.environ, **plan.env}.items() if value is not None}
    done = subprocess.run(
        plan.argv, env=merged, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=DEADLINE_S
    )
    return context, done


def boots(context: AdapterContext) -> list[BootRecord]:
    return [record for record in map(parse_record, record_lines(context)) if isinstance(record, BootRecord)]


def why(context: AdapterContext, argv: Sequence[str], output: str = "") -> str:
    return ADAPTER.explain_silence(context, [LaunchPlan("app", tuple(argv))], output)


# --- another sitecustomize -------------------------------------------------------------------------------------------


@every_python
def test_a_sitecustomize_among_an_environments_packages_runs(tmp_path: Path, python: str) -> None:
    subprocess.run([python, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    [packages] = tmp_path.glob("venv/lib/python*/site-packages")
    (packages / "sitecustomize.py").write_text("import sys\nsys.stdout.write('own ')\n")
    argv = [str(tmp_path / "venv/bin/python"), "-c", PRESENT]
    plain = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert plain.stdout == "own none" or python.startswith("/usr/bin/")  # Debian's own comes before it
    context, done = run(tmp_path, argv)
    assert (done.returncode, done.stdout, done.stderr) == (0, plain.stdout.replace("none", "agent"), "")
    assert len(boots(context)) == 1


def test_the_distributions_sitecustomize_runs(tmp_path: Path) -> None:
    python = "/usr/bin/python3"
    program = "import sitecustomize, sys; sys.stdout.write(sitecustomize.__file__)"
    plain = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True)
    assert plain.stdout.startswith("/usr/lib/")  # Debian has one
    context, done = run(tmp_path, [python, "-c", program])
    assert (done.stdout, done.stderr) == (plain.stdout, "")
    assert len(boots(context)) == 1


TRACED = """
import sys
from flask import Flask
app = Flask(__name__)
@app.get("/")
def home():
    if "ddtrace" in sys.modules:
        from ddtrace.trace import tracer
        return "traced" if tracer.current_span() is not None else "not traced"
    from opentelemetry import trace
    return "traced" if trace.get_current_span().get_span_context().is_valid else "not traced"
"""
OTEL = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
# Nothing listens there, and nothing else is to leave this machine.
DATADOG = {"DD_TRACE_AGENT_URL": "http://127.0.0.1:9", "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
           "DD_REMOTE_CONFIGURATION_ENABLED": "false", "DD_TRACE_STARTUP_LOGS": "false"}  # fmt: skip


@pytest.mark.parametrize(("launcher", "env"), [("opentelemetry-instrument", OTEL), ("ddtrace-run", DATADOG)])
def test_a_launcher_with_an_agent_of_its_own(services: Services, launcher: str, env: dict[str, str]) -> None:
    (services.directory / "traced_app.py").write_text(TRACED)
    argv = [tool(launcher), tool("gunicorn"), "traced_app:app", "-b", "127.0.0.1:0", "--no-control-socket", "-w", "2"]
    service = services.serve(argv, PYTHONPATH=str(services.directory), **env)
    for _ in range(20):
        assert service.get("/").text == "traced", service.output()
    records = service.requests(20)
    assert {(r.name, r.status) for r in records} == {("GET /", 200)}
    assert sorted(r.span_id or "" for r in records) == [f"{n:016x}" for n in range(1, 21)]
    _, artifact, _ = service.measure("tracemalloc", "/", warmups=4)
    assert artifact.status is ArtifactStatus.COMPLETE


# --- children and chains ---------------------------------------------------------------------------------------------

CHILDREN = """
import multiprocessing, os, subprocess, sys
def child():
    assert "_harness_agent" in sys.modules
    os.write(1, b"%d " % os.getpid())
if __name__ == "__main__":
    child()
    subprocess.check_call([sys.executable, "-c", "import os; os.write(1, b'%d ' % os.getpid())"])
    for method in ("fork", "spawn", "forkserver"):
        process = multiprocessing.get_context(method).Process(target=child)
        process.start()
        process.join()
        assert process.exitcode == 0, method
"""


@every_python
def test_every_kind_of_child_announces_itself(tmp_path: Path, python: str) -> None:
    program = tmp_path / "children.py"
    program.write_text(CHILDREN)
    context, done = run(tmp_path, [python, str(program)])
    assert (done.returncode, done.stderr) == (0, "")
    pids = {int(word) for word in done.stdout.split()}
    assert len(pids) == 5
    announced = [record.pid for record in boots(context)]
    assert pids <= set(announced)
    assert len(announced) == len(set(announced))  # the fork server and the resource tracker are there too


SPAWN = f"import os, sys; os.posix_spawn(sys.executable, [sys.executable, '-c', {PRESENT!r}], os.environ); os.wait()"


@pytest.mark.parametrize(
    "argv",
    [
        ["sh", "-c", 'exec "$0" "$@"', "PYTHON", "-c", PRESENT],
        ["env", "A=1", "nice", "PYTHON", "-B", "-s", "-O", "-X", "dev", "-W", "error", "-c", PRESENT],
        ["PYTHON", "-c", f"import os, sys; os.execl(sys.executable, sys.executable, '-c', {PRESENT!r})"],
        ["PYTHON", "-c", f"import os, sys; os.execle(sys.executable, sys.executable, '-c', {PRESENT!r}, dict(os.environ))"],
        ["PYTHON", "-c", SPAWN],
    ],
    ids=["shell", "env", "execl", "execle", "posix_spawn"],
)  # fmt: skip
def test_a_chain_of_programs(tmp_path: Path, argv: list[str]) -> None:
    context, done = run(tmp_path, [sys.executable if word == "PYTHON" else word for word in argv])
    assert (done.returncode, done.stdout, done.stderr) == (0, "agent", "")
    assert boots(context)


@every_python
def test_a_zip_application(tmp_path: Path, python: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "__main__.py").write_text(PRESENT)
    target = tmp_path / "app.pyz"
    zipapp.create_archive(source, target, interpreter=python)
    context, done = run(tmp_path, [str(target)])
    assert (done.returncode, done.stdout, done.stderr) == (0, "agent", "")
    assert len(boots(context)) == 1


# --- what cannot work, and why ---------------------------------------------------------------------------------------


def test_a_pex_is_explained(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "main.py").write_text(PRESENT)
    target = tmp_path / "app.pex"
    env = {**os.environ, "PEX_ROOT": str(tmp_path / "root")}
    subprocess.run([tool("pex"), "-D", str(source), "-m", "main", "-o", str(target),
                    "--python-shebang", tools_python()], env=env, check=True, capture_output=True,
                   timeout=DEADLINE_S)  # fmt: skip
    context, done = run(tmp_path, [str(target)], PEX_ROOT=str(tmp_path / "root"))
    assert (done.returncode, done.stdout) == (0, "none")
    assert len(boots(context)) == 1  # the first of its two processes, which runs nothing of the application
    assert "is a PEX" in why(context, [str(target)])
    [check] = [
        c for c in ADAPTER.preflight(context, [LaunchPlan("app", (str(target),))]) if c.name.startswith("Python agent")
    ]
    assert check.level is CheckLevel.WARNING
    assert "is a PEX" in check.message
    assert check.costs


def test_a_frozen_program_is_explained(tmp_path: Path) -> None:
    """PyInstaller wants a Python with a shared library, which uWSGI's plugin brings for the system's."""
    (tmp_path / "main.py").write_text(PRESENT)
    pyinstaller = Path(environment("/usr/bin/python3", "pyinstaller")).with_name("pyinstaller")
    words = [
        pyinstaller,
        "--onefile",
        "--distpath",
        tmp_path,
        "--workpath",
        tmp_path / "w",
        "--specpath",
        tmp_path,
        "main.py",
    ]
    env = {**os.environ, "PYINSTALLER_CONFIG_DIR": str(tmp_path / "cache")}
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stderr
    argv = [str(tmp_path / "main")]
    context, ran = run(tmp_path, argv)
    assert (ran.returncode, ran.stdout) == (0, "none")
    assert boots(context) == []
    assert "is a frozen program (PyInstaller)" in why(context, argv)


def test_uwsgi_without_site_is_explained(services: Services) -> None:
    assert shutil.which("uwsgi"), "this test needs uWSGI: apt install uwsgi-core uwsgi-plugin-python3"
    argv = ["uwsgi", "--plugin", "python3", "--http-socket", "127.0.0.1:0", "--no-site", "--die-on-term", "--need-app",
            "--add-header", "Connection: close", "--module", "python_wsgi_app:application"]  # fmt: skip
    service = services.serve(argv)
    assert service.get("/").text == "hello"
    assert record_lines(service.context) == []
    assert "--no-site" in why(service.context, argv, service.output())


def test_a_server_and_application_that_nobody_knows_are_explained(services: Services) -> None:
    argv = ["uwsgi", "--plugin", "python3", "--http-socket", "127.0.0.1:0", "--die-on-term", "--need-app",
            "--add-header", "Connection: close", "--module", "python_wsgi_app:application"]  # fmt: skip
    service = services.serve(argv)
    assert service.get("/").text == "hello"
    assert len(boots(service.context)) == 1
    assert "the agent loaded, but no request came by it" in why(service.context, argv, service.output())


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["sudo", "-E", "PYTHON"], "sudo removes the variables"),
        (["su", "-", "somebody", "-c", "PYTHON"], "su starts with a new environment"),
        (["runuser", "-l", "somebody", "-c", "PYTHON"], "runuser starts with a new environment"),
    ],
)
def test_programs_that_change_the_user_are_known_by_name(tmp_path: Path, argv: list[str], reason: str) -> None:
    context, _ = prepared(tmp_path, [sys.executable])
    assert reason in why(context, argv)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the user")
@pytest.mark.parametrize(("dash", "said"), [((), "agent"), (("-",), "none")])
def test_su_keeps_the_variables_unless_it_logs_in(tmp_path: Path, dash: tuple[str, ...], said: str) -> None:
    argv = ["su", *dash, "root", "-s", "/bin/sh", "-c", f'{sys.executable} -c "{PRESENT}"']
    context, done = run(tmp_path, argv)
    assert (done.returncode, done.stdout) == (0, said)
    assert len(boots(context)) == (said == "agent")
    if dash:
        assert "su starts with a new environment" in why(context, argv)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the user")
def test_a_run_directory_that_the_worker_cannot_enter_is_explained(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    argv = ["setpriv", "--reuid", "65534", "--clear-groups", "/usr/bin/python3", "-c", PRESENT]
    context, done = run(tmp_path, argv)
    assert (done.returncode, done.stdout) == (0, "none")
    assert boots(context) == []
    text = why(context, argv, done.stderr)
    assert "is closed to other users" in text
    assert [c for c in ADAPTER.preflight(context, [LaunchPlan("app", tuple(argv))]) if c.name == "run directory"]


@pytest.mark.parametrize("kind", ["gone", "directory", "link"])
def test_records_that_cannot_be_written_do_no_harm_and_are_told(tmp_path: Path, kind: str) -> None:
    context, env = prepared(tmp_path, [sys.executable])
    place = tmp_path / "place"
    if kind == "directory":
        place.mkdir()
    if kind == "link":  # somebody else's file must not be written to
        (tmp_path / "victim").touch()
        place.symlink_to(tmp_path / "victim")
    env["HARNESS_RECORDS"] = str(place)
    done = subprocess.run([sys.executable, "-c", "print('fine')"], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "fine\n")
    assert f"cannot write {place}" in why(context, [sys.executable], done.stderr)
    if kind == "link":
        assert (tmp_path / "victim").read_bytes() == b""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_full_file_system_does_no_harm_and_is_told(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=True)
    try:
        (disk / "run").mkdir()
        context, env = prepared(disk / "run", [sys.executable])
        with (disk / "ballast").open("wb", buffering=0) as stream:
            try:
                while stream.write(b"x" * 4096):
                    pass
            except OSError:
                pass
        env["PYTHONDONTWRITEBYTECODE"] = "1"
        done = subprocess.run(
            [sys.executable, "-c", "print('fine')"], env=env, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")
        assert record_lines(context) == []
        assert "is full" in why(context, [sys.executable])
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("spell", ["sys.abiflags = 't'", "sys.modules['_signal'] = None"])
def test_an_interpreter_that_the_agent_does_not_know_starts_all_the_same(tmp_path: Path, spell: str) -> None:
    """None of these is here: a free-threaded build by its flag, one whose internals have moved by what the agent imports."""
    context, env = prepared(tmp_path, [sys.executable])
    boot = env["PYTHONPATH"].split(os.pathsep)[0]
    file = f"{boot}/sitecustomize.py"
    program = f"import os, sys; {spell}; exec(open({file!r}).read(), {{'__file__': {file!r}}}); print('fine')"
    done = subprocess.run([sys.executable, "-S", "-c", program], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr
    assert done.stderr.startswith("harness agent: not loaded: ")
    assert len(done.stderr.splitlines()) == 1
    assert "harness agent: not loaded" in why(context, [sys.executable], done.stderr)
    assert boots(context) == []


# --- the overlay -----------------------------------------------------------------------------------------------------

OVERLAY = {"overlay": True}
INSIDE = """
import json, sys
import borrowed, sitecustomize
sys.stdout.write(json.dumps({
    "agent": "_harness_agent" in sys.modules,
    "value": borrowed.VALUE,
    "mark": getattr(sitecustomize, "MARK", sitecustomize.__file__),
    "flags": [sys.flags.isolated, sys.flags.ignore_environment],
    "argv": sys.argv[1:],
    "boot": [path for path in sys.path if path.endswith("python/boot")],
}))
"""


def target_environment(directory: Path, python: str) -> Path:
    """A program's own environment, with a package and a sitecustomize in it."""
    subprocess.run([python, "-m", "venv", "--without-pip", str(directory / "venv")], check=True)
    [packages] = directory.glob("venv/lib/python*/site-packages")
    (packages / "borrowed.py").write_text("VALUE = 42\n")
    (packages / "sitecustomize.py").write_text("MARK = 'own'\n")
    return directory / "venv" / "bin" / "python"


@every_python
@pytest.mark.parametrize("flag", ["-I", "-E"])
def test_an_overlay_carries_the_agent_past_isolation(tmp_path: Path, python: str, flag: str) -> None:
    own = target_environment(tmp_path, python)
    script = tmp_path / "program.py"
    script.write_text(INSIDE)
    argv = [str(own), flag, "-B", str(script), "x", "-y"]
    context, done = run(tmp_path, argv, OVERLAY)
    assert (done.returncode, done.stderr) == (0, "")
    plain = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=DEADLINE_S)
    assert json.loads(done.stdout) == {**json.loads(plain.stdout), "agent": True}
    [boot] = boots(context)
    assert boot.runtime_version in subprocess.run([python, "-V"], capture_output=True, text=True, check=True).stdout


def test_a_scripts_first_line_is_said_outright(tmp_path: Path) -> None:
    own = target_environment(tmp_path, sys.executable)
    script = tmp_path / "program"
    script.write_text(f"#!{own} -I\n{INSIDE}")
    script.chmod(0o755)
    context, done = run(tmp_path, ["env", "A=1", str(script), "x"], OVERLAY)
    assert (done.returncode, done.stderr) == (0, "")
    assert '"agent": true' in done.stdout
    assert '"argv": ["x"]' in done.stdout
    assert len(boots(context)) == 1


def test_a_server_in_an_overlay_is_measured(services: Services) -> None:
    argv = [sys.executable, "-I", str(PROGRAMS / "python_wsgi_app.py")]
    service = services.serve(argv, options=OVERLAY)
    for _ in range(20):
        assert service.get("/keep").text == "kept"
    assert len(service.requests(20)) == 20
    _, artifact, profile = service.measure("tracemalloc", "/keep")
    assert artifact.status is ArtifactStatus.COMPLETE
    assert profile is not None
    assert abs((profile.lines[0].values[0] or 0) - 1_000_000) < 1000


def test_without_the_option_preflight_names_it(tmp_path: Path) -> None:
    plan = LaunchPlan("app", (sys.executable, "-I", "x.py"))
    context = AdapterContext(tmp_path, "5f" * 16, {}, ("tracemalloc",))
    assert "overlay: true" in _agent_check(context, plan)
    with_it = AdapterContext(tmp_path, "5f" * 16, OVERLAY, ("tracemalloc",))
    assert "sys.prefix and sys.executable are not its own" in _agent_check(with_it, plan)
    assert "in an overlay too" in _agent_check(with_it, LaunchPlan("app", (sys.executable, "-IS", "x.py")))


def _agent_check(context: AdapterContext, plan: LaunchPlan) -> str:
    [check] = [c for c in ADAPTER.preflight(context, [plan]) if c.name == "Python agent in app"]
    return check.message


def test_where_an_overlay_cannot_help_the_command_stays_as_it_is(tmp_path: Path) -> None:
    for number, argv in enumerate(([sys.executable, "-IS", "-c", PRESENT], [sys.executable, "-c", PRESENT])):
        directory = tmp_path / str(number)
        directory.mkdir()
        _, done = run(directory, argv, OVERLAY)
        assert done.stdout == ("none", "agent")[number]
        assert not (directory / "work/python/overlay").exists()
