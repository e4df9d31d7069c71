"""Directories of packages, built by the real pip from wheels that are made here: no network."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from adapters.python import tools
from adapters.python.interpreter import Interpreter
from adapters.python.toolset import Tool

TOY = Tool("toy", None, packages=("harness-toy",), names=("harness_toy",))
# Ours under another tag: the packages of the harness itself are not looked at.
PYTHON = Interpreter(
    (*sys.version_info[:2], 0), "cpython", "cpython-of-the-test", free_threaded=False, program=(sys.executable,)
)


def wheel(
    directory: Path, version: str, code: str = "", needs: str = ">=3.8", tags: str = "py3-none-any", extra: str = ""
) -> None:
    """A package ``harness-toy`` of one module."""
    directory.mkdir(exist_ok=True)
    info = f"harness_toy-{version}.dist-info"
    with zipfile.ZipFile(directory / f"harness_toy-{version}-{tags}.whl", "w") as archive:
        archive.writestr("harness_toy.py", f"VERSION = {version!r}\n{code}")
        archive.writestr(
            f"{info}/METADATA",
            f"Metadata-Version: 2.1\nName: harness-toy\nVersion: {version}\nRequires-Python: {needs}\n{extra}",
        )
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tags}\n")
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "wheels"
    directory.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(directory))
    return directory


@pytest.fixture
def cache(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CACHE_HOME": str(tmp_path / "cache")}


def left_over(cache: dict[str, str]) -> list[str]:
    return sorted(path.name for path in Path(cache["XDG_CACHE_HOME"]).glob("*/tools/*/*"))


def test_a_directory_is_built_from_a_wheelhouse_and_kept(wheels: Path, cache: dict[str, str]) -> None:
    wheel(wheels, "1.0")
    assert not tools.is_at_hand(TOY, PYTHON, cache)
    found = tools.lend(TOY, PYTHON, cache)
    assert found.problem == ""
    [directory] = found.directories
    assert (directory / "harness_toy.py").is_file()
    assert directory.stat().st_mode & 0o777 == 0o755
    assert tools.is_at_hand(TOY, PYTHON, cache)
    shutil.rmtree(wheels)
    assert tools.lend(TOY, PYTHON, cache) == found
    assert left_over(cache) == ["toy"]


def test_versions_that_do_not_run_on_the_targets_python_are_not_taken(wheels: Path, cache: dict[str, str]) -> None:
    wheel(wheels, "1.0")
    wheel(wheels, "2.0", needs=">=3.9")
    old = Interpreter((3, 8, 0), "cpython", "cpython-of-the-test", free_threaded=False)  # cannot be asked to import it
    [directory] = tools.lend(TOY, old, cache).directories
    assert "VERSION = '1.0'" in (directory / "harness_toy.py").read_text()


def test_what_cannot_be_imported_is_not_used(wheels: Path, cache: dict[str, str]) -> None:
    wheel(wheels, "1.0", "import missing_part\n")
    found = tools.lend(TOY, PYTHON, cache)
    assert found.directories == ()
    assert "cannot be imported there: ModuleNotFoundError: No module named 'missing_part'" in found.problem
    assert left_over(cache) == []


def test_a_directory_that_lost_files_is_built_anew(wheels: Path, cache: dict[str, str]) -> None:
    wheel(wheels, "1.0")
    [directory] = tools.lend(TOY, PYTHON, cache).directories
    (directory / "harness_toy.py").unlink()
    shutil.rmtree(directory / "__pycache__", ignore_errors=True)
    found = tools.lend(TOY, PYTHON, cache)
    assert (found.problem, found.directories) == ("", (directory,))
    assert (directory / "harness_toy.py").is_file()
    assert left_over(cache) == ["toy"]


def test_several_runs_build_at_the_same_time(wheels: Path, cache: dict[str, str]) -> None:
    wheel(wheels, "1.0")
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: tools.lend(TOY, PYTHON, cache), range(3)))
    assert {each.problem for each in found} == {""}
    assert len({each.directories for each in found}) == 1
    assert left_over(cache) == ["toy"]


def test_no_wheel_for_this_platform_is_said(wheels: Path, cache: dict[str, str]) -> None:
    wheel(wheels, "1.0", tags="cp27-cp27m-win32")
    version = "{}.{}".format(*sys.version_info[:2])
    problem = tools.lend(TOY, PYTHON, cache).problem
    assert f"PIP_FIND_LINKS has no wheel of harness-toy for Python {version} on linux-" in problem
    assert left_over(cache) == []


def test_without_a_network_the_reason_says_what_helps(
    wheels: Path, cache: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # discard: nobody listens
    problem = tools.lend(TOY, PYTHON, cache).problem
    assert "the package index cannot be reached" in problem
    assert "PIP_FIND_LINKS" in problem


def test_a_relative_cache_directory_is_ignored() -> None:
    found = tools.cache_dir({"XDG_CACHE_HOME": "cache"}, "cpython-38", TOY)
    assert found.is_relative_to(Path.home() / ".cache")


def test_a_user_without_a_home_directory_is_told_what_helps(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel(wheels, "1.0")
    monkeypatch.delenv("HOME")
    known = {user.pw_uid for user in pwd.getpwall()}
    monkeypatch.setattr(os, "getuid", lambda: next(uid for uid in range(20_000, 60_000) if uid not in known))
    assert not tools.is_at_hand(TOY, PYTHON, {})
    assert "XDG_CACHE_HOME" in tools.lend(TOY, PYTHON, {}).problem


_INTERRUPTED = """
import json, sys, threading
from pathlib import Path
from adapters.python import tools
from adapters.python.interpreter import Interpreter
from adapters.python.toolset import Tool
tool = Tool("toy", None, packages=("harness-toy",), names=("harness_toy",))
python = Interpreter((3, 11, 0), "cpython", "cpython-of-the-test", False, (sys.executable,))
threading.Thread(target=tools.lend, args=(tool, python, {"XDG_CACHE_HOME": sys.argv[1]}), daemon=True).start()
sys.stdin.read()
"""


def test_a_run_that_ends_while_pip_works_leaves_no_pip_and_no_directory(
    wheels: Path, cache: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    with socket.create_server(("127.0.0.1", 0)) as index:
        index.settimeout(60)
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{index.getsockname()[1]}/simple")
        command = [sys.executable, "-c", _INTERRUPTED, cache["XDG_CACHE_HOME"]]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as run:
            connection, _ = index.accept()
            assert run.stdin is not None
            run.stdin.close()
            assert run.wait(100) == 0
        with connection:
            connection.settimeout(10)  # pip waits longer for an answer
            while connection.recv(4096):
                pass
    assert left_over(cache) == []
