"""The wheel holds all it needs: built, installed into an empty environment, and used far from the checkout."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from processes import free_port

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
APP = '''\
"""A WSGI application in the standard library only."""
import sys
from wsgiref.simple_server import make_server

def app(environ, start_response):
    body = ("hello from " + environ["PATH_INFO"] + "\\n").encode() * 50
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]

make_server("127.0.0.1", int(sys.argv[1]), app).serve_forever()
'''
SCENARIO = """\
name: from-the-wheel
target: {{runtime: python, launch: "{python} app.py {port}", ready: "http://127.0.0.1:{port}/"}}
requests: [{{name: hello, get: /hello, check: {{contains: hello from /hello}}}}]
load: {{rounds: 7, requests_per_round: 20, concurrency: 1, warmup_rounds: 1, blocks: 1, settle: 50ms}}
profile: [tracemalloc]
expect: [errors == 0]
"""


def run(*argv: str | Path, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run to completion; a failure shows everything it said."""
    result = subprocess.run(
        [str(a) for a in argv], cwd=cwd, env=env, capture_output=True, text=True, timeout=500, check=False
    )
    assert result.returncode == 0, f"{argv}: exit {result.returncode}\n{result.stdout}\n{result.stderr}"
    return result


def sources() -> set[str]:
    """Every file of the two packages that is ours and not the source of a bundle."""
    left_out = {"node_modules", "__pycache__", "ui"}
    files = (
        path.relative_to(ROOT) for top in ("harness", "adapters") for path in (ROOT / top).rglob("*") if path.is_file()
    )
    return {str(path) for path in files if not left_out & set(path.parts)}


@dataclass(frozen=True, slots=True)
class Wheel:
    """A built wheel and the files it was built from."""

    path: Path
    sources: set[str]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Wheel:
    """A wheel built from this checkout."""
    out = tmp_path_factory.mktemp("dist")
    built_from = sources()
    isolation = ["--no-isolation"] if importlib.util.find_spec("hatchling") else []
    run(sys.executable, "-m", "build", "--wheel", *isolation, "--outdir", out, ROOT, cwd=out)
    (built,) = out.glob("*.whl")
    return Wheel(built, built_from)


@pytest.fixture(scope="module")
def environment(wheel: Wheel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts directory of a new virtual environment that holds the wheel and what it requires."""
    place = tmp_path_factory.mktemp("empty") / "venv"
    venv.create(place, with_pip=True, symlinks=True)
    python = place / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", wheel.path, cwd=place)
    return place / "bin"


def clean_environ(scripts: Path) -> dict[str, str]:
    """The environment of somebody who has never seen the checkout."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV", "HARNESS"))}
    return {**kept, "PATH": f"{scripts}{os.pathsep}{os.defpath}"}


def test_the_wheel_holds_what_runs_and_nothing_else(wheel: Wheel) -> None:
    with zipfile.ZipFile(wheel.path) as archive:
        names = set(archive.namelist())
    package = {n for n in names if ".dist-info/" not in n}
    assert {n.split("/", 1)[0] for n in package} == {"harness", "adapters"}

    assert wheel.sources <= package, f"not in the wheel: {sorted(wheel.sources - package)}"
    needed = {
        "adapters/python/agent/sitecustomize.py",
        "adapters/php/agent/prepend.php",
        "adapters/formats/_cachegrind.so",
        "harness/scenario/scenario.schema.json",
        "harness/py.typed",
        "adapters/py.typed",
    }
    assert needed <= package
    assert any(re.fullmatch(r"harness/report/.*\.js", n) for n in package), "the report's script bundle is missing"
    assert not [n for n in names if re.search(r"(^|/)(tests|node_modules|ui|__pycache__)/|\.pyc$|\.deb$", n)]
    assert any(n.endswith(".dist-info/licenses/LICENSE") for n in names)


def test_the_wheel_fits_every_python_of_this_platform(wheel: Wheel) -> None:
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    assert wheel.path.name.endswith(f"-py3-none-{platform}.whl")


def test_the_compiled_reader_of_php_profiles_works_there(environment: Path, tmp_path: Path) -> None:
    ask = "from adapters.formats import cachegrind_kernel as k; print(k.why_not(), k.LIBRARY)"
    said = run(environment / "python", "-c", ask, cwd=tmp_path, env=clean_environ(environment)).stdout.split(maxsplit=1)
    assert said[0] == "None"
    assert Path(said[1].strip()).is_relative_to(environment.parent)


def test_without_a_compiler_the_wheel_is_pure(tmp_path: Path) -> None:
    source = tmp_path / "source"
    left_out = ("node_modules", "__pycache__", ".git", ".venv", ".*cache", ".hypothesis", "tests", "runs", "*.so", "ui")
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*left_out))
    isolation = ["--no-isolation"] if importlib.util.find_spec("hatchling") else []
    environ = {**os.environ, "CC": "no-such-compiler"}
    argv = [sys.executable, "-m", "build", "--wheel", *isolation, "--outdir", tmp_path, source]
    result = run(*argv, cwd=tmp_path, env=environ)
    (built,) = tmp_path.glob("*.whl")
    assert built.name.endswith("-py3-none-any.whl")
    assert "will be read in Python" in result.stdout + result.stderr
    ask = (
        "from adapters.formats import cachegrind as c, cachegrind_kernel as k; print(k.why_not()); "
        "print(len(c.parse_cachegrind([b'version: 1\\nevents: Time\\n\\nfl=a\\nfn=b\\n1 2\\n\\n']).functions))"
    )
    # a wheel is a path of its own, and nothing in this one needs unpacking
    environ = {**clean_environ(Path(sys.executable).parent), "PYTHONPATH": str(built)}
    said = run(sys.executable, "-c", ask, cwd=tmp_path, env=environ).stdout.splitlines()
    assert said[0].startswith("it was not compiled")
    assert said[1] == "1"


def test_it_runs_a_scenario_from_an_empty_environment(environment: Path, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "app.py").write_text(APP, encoding="utf-8")
    scenario = SCENARIO.format(python=environment / "python", port=port)
    (tmp_path / "scenario.yaml").write_text(scenario, encoding="utf-8")
    environ = clean_environ(environment)

    where = run(environment / "python", "-c", "import harness; print(harness.__file__)", cwd=tmp_path, env=environ)
    assert Path(where.stdout.strip()).is_relative_to(environment.parent), "the checkout leaks into the environment"

    result = run(environment / "harness", "run", "scenario.yaml", cwd=tmp_path, env=environ)
    directory = tmp_path / result.stdout.splitlines()[-1]
    report = json.loads((directory / "report.json").read_text(encoding="utf-8"))
    assert report["format"] == "harness-report/1"
    assert report["run"]["status"] == "complete", report["run"]
    assert {e["name"]: (e["requests"] >= 7 * 20, e["errors"]) for e in report["endpoints"]} == {"hello": (True, 0)}
    page = (directory / "report.html").read_text(encoding="utf-8")
    assert "from-the-wheel" in page
    assert "uPlot" in page
    again = run(environment / "harness", "report", directory, "--format", "json", cwd=tmp_path, env=environ)
    assert json.loads(again.stdout)["verdict"] == report["verdict"]
