"""``harness doctor``: ways to name a target, errors, exit codes, output. What is found is tested in ``tests/unit/doctor``, and as
other users in ``tests/integration/test_doctor.py``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from checkups import yama_forbids
from processes import free_port

from harness import cli

SCENARIO = """\
name: shop
target: {{runtime: any, {way}}}
load: {{observe: 5s}}
profile: none
"""


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def server() -> Iterator[tuple[int, int]]:
    """Somebody who listens: (pid, port)."""
    program = "import socket,sys; s=socket.create_server(('127.0.0.1',0)); print(s.getsockname()[1],flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process.pid, int(process.stdout.readline())
    finally:
        process.communicate("", 10)


def doctor(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    assert cli.invoke(["doctor", "--json", *arguments]) == code
    return json.loads(capsys.readouterr().out)


def scenario(directory: Path, way: str) -> str:
    path = directory / "shop.yaml"
    path.write_text(SCENARIO.format(way=way))
    return str(path)


@pytest.mark.usefixtures("elsewhere")
def test_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke(["doctor"]) == 0
    shown = capsys.readouterr()
    assert "nothing was changed" in shown.out
    assert "process.memory.pss" in shown.out
    assert "\x1b" not in shown.out
    assert shown.err == ""
    data = doctor(capsys)
    assert (data["subject"]["kind"], data["checks"], data["would_start"]) == ("machine", None, None)
    assert all(check["level"] != "error" for check in data["setup"])  # none of it keeps a run from starting
    assert not Path("runs").exists()


@pytest.mark.usefixtures("elsewhere")
def test_a_target_that_runs(capsys: pytest.CaptureFixture[str], server: tuple[int, int]) -> None:
    pid, port = server
    for arguments in (["--pid", str(pid)], ["--port", str(port)]):
        data = doctor(capsys, *arguments)
        assert data["subject"]["kind"] == "target"
        assert data["subject"]["looked_at"] == [{"pid": pid, "uid": os.getuid()}]
        states = {line["signal"]: line["state"] for line in data["signals"]}
        assert states["process.memory.pss"] == "ok"
        assert states["runtime.python"] == ("unchecked" if yama_forbids(os.geteuid()) else "ok")


def test_a_scenario_that_attaches(capsys: pytest.CaptureFixture[str], elsewhere: Path, server: tuple[int, int]) -> None:
    pid, port = server
    data = doctor(capsys, scenario(elsewhere, f"attach: {{port: {port}}}"))
    assert (data["subject"]["kind"], data["would_start"], data["checks"]) == ("target", True, [])
    assert [process["pid"] for process in data["subject"]["looked_at"]] == [pid]
    assert cli.invoke(["doctor", scenario(elsewhere, f"attach: {{pid: {pid}}}")]) == 0
    assert "runtime: any - no profilers" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("way", "says"),
    [
        ("attach: {port: PORT}", "nobody listens on port"),
        ("attach: {match: no process is called so}", "no such process runs"),
    ],
)
def test_a_run_that_would_not_find_its_target(
    capsys: pytest.CaptureFixture[str], elsewhere: Path, way: str, says: str
) -> None:
    path = scenario(elsewhere, way.replace("PORT", str(free_port())))
    data = doctor(capsys, path, code=3)
    assert data["would_start"] is False
    (check,) = data["checks"]
    assert (check["name"], check["level"]) == ("target.attach", "error")
    assert says in check["message"]
    assert data["subject"]["kind"] == "machine"  # the rest is still worth knowing
    assert cli.invoke(["doctor", path]) == 3
    assert "1 of 1 checks would stop the run" in capsys.readouterr().out


def test_a_scenario_that_launches(capsys: pytest.CaptureFixture[str], elsewhere: Path) -> None:
    """The sweep is of the interpreter that it would start."""
    marker = elsewhere / "started"
    (elsewhere / "app.py").write_text(f"open({str(marker)!r}, 'w')")
    data = doctor(capsys, scenario(elsewhere, f"launch: {sys.executable} app.py"))
    assert data["subject"]["kind"] == "launch"
    assert sys.executable in data["subject"]["text"]
    python = next(line for line in data["signals"] if line["signal"] == "runtime.python")
    assert python["found"].startswith(f"CPython {sys.version.split()[0]}") != yama_forbids(os.geteuid())
    assert not marker.exists()


def test_functions_among_the_options_of_the_runtime_are_functions_to_watch(
    capsys: pytest.CaptureFixture[str], elsewhere: Path
) -> None:
    way = f"launch: {sys.executable} app.py, python: {{functions: [app:work]}}"
    text = SCENARIO.replace("runtime: any", "runtime: python").replace("profile: none", "profile: lines")
    (elsewhere / "shop.yaml").write_text(text.format(way=way))
    data = doctor(capsys, "shop.yaml")
    assert [check["name"] for check in data["checks"]] == ["Python agent in app"]


def test_what_a_run_chooses_by_itself_was_not_asked_for(capsys: pytest.CaptureFixture[str], elsewhere: Path) -> None:
    text = SCENARIO.replace("runtime: any", "runtime: python").replace("profile: none", "profile: auto")
    (elsewhere / "shop.yaml").write_text(text.format(way=f"launch: {sys.executable} app.py"))
    assert [check["name"] for check in doctor(capsys, "shop.yaml")["checks"]] == ["Python agent in app"]


def test_php_whose_xdebug_nobody_named_has_no_profiler(
    capsys: pytest.CaptureFixture[str], elsewhere: Path, server: tuple[int, int]
) -> None:
    text = SCENARIO.replace("runtime: any", "runtime: php").replace("profile: none", "profile: auto")
    (elsewhere / "shop.yaml").write_text(text.format(way=f"attach: {{pid: {server[0]}}}"))
    assert cli.invoke(["doctor", "shop.yaml"]) == 0
    assert "no profiler is ready: target.php.xdebug does not say" in capsys.readouterr().out


def test_a_run_that_could_not_be_written(capsys: pytest.CaptureFixture[str], elsewhere: Path) -> None:
    (elsewhere / "file").touch()
    path = scenario(elsewhere, f"launch: {sys.executable} -c pass")
    data = doctor(capsys, path, "--out", "file/runs", code=3)
    assert [check["name"] for check in data["checks"]] == ["run.directory"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--pid", "1", "--port", "80"], 2, "three ways to name one target"),
        (["shop.yaml", "--pid", "1"], 2, "three ways to name one target"),
        (["--pid", "0"], 2, "0 is not in the range"),
        (["--port", "70000"], 2, "70000 is not in the range"),
        (["none.yaml"], 2, "none.yaml"),
        (["--pid", "4194303"], 3, "there is no process 4194303"),
    ],
)
@pytest.mark.usefixtures("elsewhere")
def test_errors(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, says: str) -> None:
    assert cli.invoke(["doctor", *arguments]) == code
    assert says in capsys.readouterr().err


@pytest.mark.usefixtures("elsewhere")
def test_a_port_nobody_listens_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke(["doctor", "--port", str(free_port())]) == 3
    assert "nobody listens" in capsys.readouterr().err
