"""A cgroup of the target's own: where it is made, and when there is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.targets import own_cgroup
from harness.targets.own_cgroup import Refused


class Host:
    """Cgroup files as a kernel shows them; making a directory makes no files in it, so a test adds those it needs."""

    def __init__(self, root: Path, membership: str) -> None:
        self.proc = root / "proc"
        self.mount = root / "cgroup"
        (self.proc / "self").mkdir(parents=True)
        (self.proc / "self" / "cgroup").write_text(membership)
        self.mount.mkdir()

    def group(self, path: str, **files: str) -> Path:
        directory = self.mount / path
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (directory / name.replace("__", ".")).write_text(text)
        return directory

    def make(self, name: str = "run-1") -> own_cgroup.OwnCgroup:
        return own_cgroup.make(name, self.proc, self.mount)


@pytest.fixture
def fills(monkeypatch: pytest.MonkeyPatch) -> None:
    """New groups come with the files of the memory controller, as on a kernel."""
    mkdir = os.mkdir

    def filled(path: str, mode: int = 0o777) -> None:
        mkdir(path, mode)
        for name in ("cgroup.procs", "memory.current") if "harness-run" in str(path) else ():
            Path(path, name).touch()

    monkeypatch.setattr(os, "mkdir", filled)


@pytest.mark.usefixtures("fills")
def test_v1_below_our_own(tmp_path: Path) -> None:
    host = Host(tmp_path, "4:cpu:/\n3:memory:/user/shell\n0::/\n")
    own = host.group("memory/user/shell")
    assert host.make().path == own / "harness-run-1"


@pytest.mark.usefixtures("fills")
def test_v2_beside_our_own(tmp_path: Path) -> None:
    host = Host(tmp_path, "0::/user.slice/shell.scope\n")
    host.group("", cgroup__controllers="memory")
    host.group("user.slice/shell.scope", memory__max="max\n", memory__swap__max="max\n", cpu__max="max 100000\n")
    assert host.make().path == host.mount / "user.slice" / "harness-run-1"


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("memory.max", "1073741824\n"),
        ("memory.high", "1073741824\n"),
        ("memory.swap.max", "0\n"),
        ("cpu.max", "50000 100000\n"),
    ],
)
def test_v2_with_a_limit_is_not_escaped(tmp_path: Path, file: str, text: str) -> None:
    host = Host(tmp_path, "0::/user.slice/shell.scope\n")
    host.group("", cgroup__controllers="memory")
    own = host.group("user.slice/shell.scope", memory__max="max\n", memory__high="max\n", cpu__max="max 100000\n")
    (own / file).write_text(text)
    with pytest.raises(Refused, match=f"limit .{file}"):
        host.make()


def test_without_the_memory_controller_nothing_is_left(tmp_path: Path) -> None:
    host = Host(tmp_path, "0::/a/b\n")
    host.group("", cgroup__controllers="cpu")
    host.group("a/b", memory__max="max\n")
    with pytest.raises(Refused, match="memory controller"):
        host.make()
    assert [p.name for p in (host.mount / "a").iterdir()] == ["b"]


def test_no_cgroups_at_all(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no memory controller"):
        Host(tmp_path, "").make()


@pytest.mark.usefixtures("fills")
@pytest.mark.parametrize("path", ["/../../etc", "/not/shown/here"])
def test_a_path_that_is_not_below_the_mount_means_its_root(tmp_path: Path, path: str) -> None:
    host = Host(tmp_path, f"3:memory:{path}\n")
    host.group("memory")
    assert host.make().path == host.mount / "memory" / "harness-run-1"


@pytest.mark.usefixtures("fills")
def test_names_become_one_directory(tmp_path: Path) -> None:
    host = Host(tmp_path, "3:memory:/\n")
    host.group("memory")
    assert host.make("run/../../x y\n" + "z" * 300).path.parent == host.mount / "memory"


@pytest.mark.usefixtures("fills")
def test_empty_groups_that_killed_runs_left_are_removed_and_others_stay(tmp_path: Path) -> None:
    host = Host(tmp_path, "3:memory:/\n")
    for name in ("harness-old", "harness-busy", "somebody"):
        host.group(f"memory/{name}")
    (host.mount / "memory" / "harness-busy" / "child").mkdir()  # rmdir fails, as it does while processes are in it
    host.make()
    assert {p.name for p in (host.mount / "memory").iterdir()} == {"harness-busy", "harness-run-1", "somebody"}


def test_looking_makes_nothing_and_says_where(tmp_path: Path) -> None:
    host = Host(tmp_path, "3:memory:/user/shell\n")
    own = host.group("memory/user/shell")
    assert own_cgroup.place(host.proc, host.mount) == own
    assert list(own.iterdir()) == []


def test_looking_at_v2(tmp_path: Path) -> None:
    host = Host(tmp_path, "0::/user.slice/shell.scope\n")
    host.group("", cgroup__controllers="memory")
    host.group("user.slice/shell.scope", memory__max="max\n")
    parent = host.group("user.slice", cgroup__controllers="memory", cgroup__subtree_control="cpu", cgroup__procs="")
    with pytest.raises(Refused, match="gives the groups below it no memory controller"):
        own_cgroup.place(host.proc, host.mount)
    (parent / "cgroup.subtree_control").write_text("cpu memory\n")
    assert own_cgroup.place(host.proc, host.mount) == parent
    (parent / "cgroup.procs").unlink()
    with pytest.raises(Refused, match=r"cgroup\.procs may not be written to; needs root or a delegated cgroup"):
        own_cgroup.place(host.proc, host.mount)


def test_looking_where_there_is_a_limit(tmp_path: Path) -> None:
    host = Host(tmp_path, "0::/a/b\n")
    host.group("", cgroup__controllers="memory")
    host.group("a/b", memory__max="1048576\n")
    with pytest.raises(Refused, match="limit"):
        own_cgroup.place(host.proc, host.mount)
