"""``harness init``: what it writes passes ``harness validate``."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from harness import cli
from harness.scenario.reader import read_scenario


@pytest.fixture
def target_file(tmp_path: Path) -> Path:
    return tmp_path / "first.yaml"


def test_a_url(target_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert cli.invoke(["init", f"http://127.0.0.1:{port}/shop/", "-o", str(target_file)]) == 0
    captured = capsys.readouterr()
    assert f"found: port {port}: " in captured.err
    assert f"(pid {os.getpid()})" in captured.err
    assert captured.out.startswith(f"wrote {target_file}\nnext: ")
    assert f"next: harness run {target_file}\n" in captured.out
    lines = target_file.read_text().splitlines()
    assert 5 <= len(lines) <= 11
    assert lines[0].startswith("# yaml-language-server: $schema=")
    scenario = read_scenario(target_file)
    assert scenario.target is not None
    assert scenario.target.attach is not None
    assert (scenario.runtime, scenario.target.attach.port) == ("python", port)
    assert [(r.name, r.path) for r in scenario.requests] == [("shop", "/shop/")]
    assert cli.invoke(["validate", str(target_file)]) == 0


def test_a_host_and_port_without_a_scheme(target_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert cli.invoke(["init", f":{port}", "-o", str(target_file)]) == 0
    target = read_scenario(target_file).target
    assert target is not None
    assert target.ready == f"http://127.0.0.1:{port}/"


@pytest.mark.parametrize("quoted", [True, False])
def test_a_command(target_file: Path, quoted: bool) -> None:
    argv = [sys.executable, "-m", "http.server", "8765", "--directory", "a b"]
    words = [f"{sys.executable} -m http.server 8765 --directory 'a b'"] if quoted else ["--", *argv]
    assert cli.invoke(["init", "-o", str(target_file), *words]) == 0
    scenario = read_scenario(target_file)
    assert scenario.target is not None
    assert scenario.runtime == "python"
    assert scenario.target.launch[0].argv == tuple(argv)
    assert scenario.target.ready == "http://127.0.0.1:8765/"
    assert cli.invoke(["validate", str(target_file)]) == 0


@pytest.mark.parametrize("each_round", [False, True])
def test_a_file_elsewhere_says_where_the_command_runs(
    each_round: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("shop", "scenarios"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "shop")
    job = ["--each-round"] if each_round else []
    assert cli.invoke(["init", *job, f"{sys.executable} work.py", "-o", "../scenarios/first.yaml"]) == 0
    target = read_scenario(tmp_path / "scenarios" / "first.yaml").target
    assert target is not None
    assert target.cwd == "../shop"
    assert cli.invoke(["init", *job, f"{sys.executable} work.py", "-o", "here.yaml"]) == 0
    assert "cwd" not in (tmp_path / "shop" / "here.yaml").read_text()


def test_a_job(target_file: Path) -> None:
    assert cli.invoke(["init", "--each-round", f"{sys.executable} import.py", "-o", str(target_file)]) == 0
    scenario = read_scenario(target_file)
    assert scenario.to_data()["load"]["each_round"] == f"{sys.executable} import.py"
    assert cli.invoke(["validate", str(target_file)]) == 0


def test_a_pid_to_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke(["init", str(os.getpid()), "-o", "-"]) == 0
    out = capsys.readouterr().out
    assert "runtime: python" in out
    path = tmp_path / "stdout.yaml"
    path.write_text(out)
    assert cli.invoke(["validate", str(path)]) == 0


def test_a_file_is_overwritten_only_by_force(target_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target_file.write_text("mine")
    arguments = ["init", str(os.getpid()), "-o", str(target_file)]
    assert cli.invoke(arguments) == 2
    assert "overwrite it with --force" in capsys.readouterr().err
    assert target_file.read_text() == "mine"
    assert cli.invoke([*arguments, "--force"]) == 0
    assert target_file.read_text() != "mine"


def test_nothing_is_written_beside_a_directory_that_is_in_use(
    target_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "xd").mkdir()
    (tmp_path / "xd" / "mine").touch()
    assert cli.invoke(["init", str(os.getpid()), "-o", str(target_file), "--php-fpm-config", str(tmp_path / "xd")]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert not target_file.exists()


@pytest.mark.parametrize(
    ("target", "code", "says"),
    [
        ("ftp://127.0.0.1/", 2, "is not an address"),
        ("ssh://deploy@web-1", 2, "harness init http://HOST:PORT/ --host ssh://deploy@web-1"),
        ("http://127.0.0.1:99999/", 2, "is not an address"),
        ("http://bob:hunter2@127.0.0.1/", 2, "holds a user name"),
        ("http://192.0.2.1/", 2, "not this machine"),
        ("http://127.0.0.1:1/", 3, "nothing listens on port 1"),
        ("4194305", 3, "there is no process"),
        ("no-such-program -x", 2, "command not found"),
        ("'", 2, "no closing quotation"),
        ("", 2, "the command is empty"),
        ("sh -c 'a\x1b'", 2, "control characters"),
    ],
)
def test_what_cannot_be_looked_at(target: str, code: int, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke(["init", target, "-o", "-"]) == code
    captured = capsys.readouterr()
    assert says in captured.err
    assert "hunter2" not in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["4711", "--host", "ssh://a", "--host", "ssh://b"], "a pid is one of one host"),
        (["gunicorn", "--host", "ssh://a", "--host", "ssh://a"], "a host is named twice"),
        (["gunicorn", "--host", "ssh://a", "--host", "ssh://deploy@a:22"], "would be called the same"),
        (["gunicorn", "x", "--host", "ssh://a"], "--host takes one TARGET"),
        (["", "--host", "ssh://a"], "'' is too short to find a process by"),
        (["gunicorn", "--each-round", "--host", "ssh://a"], "are for this machine"),
        (["gunicorn", "--host", "web-1"], "is no address of a host"),
        (["container:-v", "--host", "ssh://a"], "is no name of a container"),
    ],
)
def test_words_that_do_not_go_with_a_host(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke(["init", "-o", "-", *words]) == 2
    assert says in capsys.readouterr().err


def test_each_round_needs_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke(["init", "--each-round", "4711", "-o", "-"]) == 2
    assert "--each-round needs a command" in capsys.readouterr().err


def test_an_unwritable_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.invoke(["init", str(os.getpid()), "-o", str(tmp_path / "no" / "x.yaml")]) == 2
    assert "cannot be written: No such file or directory" in capsys.readouterr().err
