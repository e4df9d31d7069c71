"""Finding a container. The commands here are stand-ins for podman and docker, for answers that the real ones hardly give; podman
itself is in tests/integration/test_php_elsewhere.py."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from adapters.php.xdebug.elsewhere import containers
from adapters.php.xdebug.elsewhere.place import UnreachableError


@pytest.fixture
def bin_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def stand_in(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def says(answer: object) -> str:
    return f"echo '{json.dumps(answer)}'"


def test_no_engine_is_told_with_the_next_step(bin_dir: Path) -> None:
    with pytest.raises(UnreachableError, match="neither podman nor docker") as caught:
        containers.find("shop")
    assert "apt-get install podman" in caught.value.fix


def test_whichever_engine_knows_it_is_taken(bin_dir: Path) -> None:
    stand_in(bin_dir / "podman", "echo 'Error: no such container' >&2; exit 125")
    stand_in(
        bin_dir / "docker",
        f'[ "$*" = "container inspect --format {{{{json .State}}}} shop" ] && {says({"Running": True, "Pid": os.getpid()})}',
    )
    found = containers.find("shop")
    assert found.engine == str(bin_dir / "docker")
    assert found.pid == os.getpid()
    assert found.lasts


@pytest.mark.parametrize("pid", [0, -1, True, "1", None, 2**30, 1.5])
def test_pids_that_are_none_of_this_machine_lead_to_a_shell(bin_dir: Path, pid: object) -> None:
    stand_in(bin_dir / "podman", says({"Running": True, "Pid": pid}))
    found = containers.find("shop")
    assert found.pid is None
    assert not found.lasts


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (says({"Running": False, "Pid": 0}), "does not run"),
        (says({"Running": "yes"}), "does not run"),
        (says([1]), "no answer that can be read"),
        ("echo not json", "no answer that can be read"),
        ("exit 0", "no answer that can be read"),
        ("printf 'a\\nno such \\033[31mcontainer\\n' >&2; exit 1", r"no such \?\[31mcontainer"),
        ("exit 1", "is not found"),
    ],
)
def test_what_is_wrong_is_told(bin_dir: Path, script: str, why: str) -> None:
    stand_in(bin_dir / "podman", script)
    with pytest.raises(UnreachableError, match=why):
        containers.find("shop")


def test_an_engine_that_never_answers_is_told(bin_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "_ASK_S", 0.1)
    stand_in(bin_dir / "podman", "exec /bin/sleep 100")
    with pytest.raises(UnreachableError, match="does not answer"):
        containers.find("shop")
