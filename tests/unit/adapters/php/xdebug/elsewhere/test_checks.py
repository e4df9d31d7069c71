"""Preflight of other places, by real shells; real hosts and containers are in tests/integration/test_php_elsewhere.py."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from shells import ShellHere, shells

from adapters.php.options import read_options
from adapters.php.xdebug.elsewhere.checks import check_place
from adapters.php.xdebug.elsewhere.place import HostPlace, ProcessPlace
from harness.errors import TargetError, UsageError
from harness.plugins.spec import AdapterContext, Check, CheckLevel, Shell

HOST = HostPlace("staging", "deploy", 2222)


@pytest.fixture
def far_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host with dash and the tools of busybox; their directory."""
    shells(tmp_path / "bin")
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/ssh")
    return tmp_path / "bin"


def looked(tools: Path, directory: Path, log: Path | None = None) -> list[Check]:
    def shell_to(address: str, container: str | None) -> Shell:
        assert (address, container) == ("ssh://deploy@staging:2222", None)
        return ShellHere(["/usr/bin/env", f"PATH={tools}", "/bin/dash"])

    return check_place(HOST, str(directory), None if log is None else str(log), "no profiles", shell_to)


def nowhere(_address: str, _container: str | None) -> Shell:
    raise AssertionError("no host is asked")


@dataclass(frozen=True)
class Unreachable(ShellHere):
    hint: str | None = None

    def command(self) -> Sequence[str]:
        raise TargetError("the container shop is not found: podman on staging: no such container", hint=self.hint)


def test_all_is_well(far_tools: Path, tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    assert looked(far_tools, tmp_path, tmp_path / "log") == []


def test_missing_tools_are_named(far_tools: Path, tmp_path: Path) -> None:
    (far_tools / "gzip").unlink()
    (far_tools / "stat").unlink()
    (check,) = looked(far_tools, tmp_path)
    assert (check.level, check.costs) == (CheckLevel.ERROR, "no profiles")
    assert check.message == "the host staging lacks stat, gzip"


@pytest.mark.parametrize("kind", ["absent", "file"])
def test_a_directory_that_is_none(far_tools: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "out"
    if kind == "file":
        path.touch()
    (check,) = looked(far_tools, path)
    assert check.level is CheckLevel.ERROR
    assert str(path) in check.message
    assert ("does not exist" if kind == "absent" else "is not a directory") in check.message


def test_a_log_that_is_none_is_a_warning(far_tools: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, why in (
        (tmp_path / "absent", "does not exist"),
        (tmp_path / "pipe", "not a file that can be read again"),
    ):
        (check,) = looked(far_tools, tmp_path, path)
        assert check.level is CheckLevel.WARNING
        assert why in check.message


def test_a_container_of_a_host_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/ssh")
    place = replace(HOST, container="shop")
    (check,) = check_place(place, "/tmp", None, "no profiles", lambda *_: Unreachable([]))
    assert check.message == (
        "the container shop on staging cannot be asked: the container shop is not found: podman on staging: no such container"
    )
    assert check.fix is not None
    assert check.fix.startswith("`ssh -o BatchMode=yes -p 2222 deploy@staging podman exec -i -u 0 shop sh` (or docker)")
    (known,) = check_place(place, "/tmp", None, "no profiles", lambda *_: Unreachable([], "write its name"))
    assert (known.message, known.fix) == (check.message, "write its name")


def test_no_ssh_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (check,) = looked(tmp_path, tmp_path)
    assert check.message == "there is no ssh here"
    assert check.fix == "apt-get install openssh-client"


def test_what_the_run_starts_itself_is_not_there_yet() -> None:
    place = ProcessPlace("no-such-process-at-all")
    (check,) = check_place(place, "/tmp", None, "no profiles", nowhere)
    assert "there is no process" in check.message
    assert (check.level, check.costs) == (CheckLevel.ERROR, "no profiles")
    (check,) = check_place(place, "/tmp", None, "no profiles", nowhere, launched=True)
    assert check.message.startswith("before the target is started, there is no process")
    assert (check.level, check.costs) == (CheckLevel.WARNING, "")


# --- options --------------------------------------------------------------------------------------------------------


def context(**xdebug: str) -> AdapterContext:
    return AdapterContext(
        Path("/w"), "0" * 32, {"xdebug": {"secret": "s", **xdebug}}, (), scenario_dir=Path("/scenarios")
    )


def test_paths_of_another_place_are_taken_as_they_are(tmp_path: Path) -> None:
    """Links of our own file system mean nothing there: /tmp/x there is /tmp/x."""
    (tmp_path / "link").symlink_to("/etc")
    deployed = read_options(context(output_dir=f"{tmp_path}/link", access_log="/a.log", container="shop")).xdebug
    assert deployed is not None
    assert deployed.output_dir == tmp_path / "link"
    assert deployed.access_log == Path("/a.log")
    assert str(deployed.place) == "the container shop"


@pytest.mark.parametrize("options", [{"output_dir": "out"}, {"output_dir": "/out", "access_log": "a.log"}])
def test_relative_paths_mean_nothing_in_another_place(options: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="is not absolute"):
        read_options(context(host="ssh://staging", **options))
