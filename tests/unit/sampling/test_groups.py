"""Which cgroup a pool is accounted in, and when it is read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.sampling.groups import Groups
from harness.sampling.missing import MissingSignals
from harness.sampling.protocol import Identity
from harness.sampling.reading import ProcessFiles
from harness.sampling.sources import pid_stat
from harness.sampling.tree import Followed

SECOND = 1_000_000_000
V2 = "linux-6.12-captured-v2-numa"


class World:
    """A capture with a group of its own for the specimen, and what was said about it."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        self.pids: dict[str, int] = json.loads((tree / "specimen.json").read_text())
        self._lines: list[bytes] = []
        self.groups = Groups(str(tree), str(tree / "sys"), SECOND // 2, MissingSignals(self._lines.append))

    def follow(self, name: str, pool: str = "app") -> Followed:
        pid = self.pids[name]
        stat = pid_stat.read(str(self.tree), pid)
        assert stat is not None
        return Followed(Identity(pid, stat.start_ticks), stat, pool, ProcessFiles(str(self.tree), pid, keep=False))

    @property
    def missing(self) -> dict[str, Any]:
        return {m["signal"]: m["reason"] for m in map(json.loads, self._lines)}


@pytest.fixture
def world(captured: Path, tmp_path: Path) -> World:
    return World(Path(shutil.copytree(captured.parent / V2, tmp_path / "proc", symlinks=True)))


def test_names_carry_the_pool(world: World) -> None:
    values = world.groups.read([world.follow("master"), world.follow("memory", "second")], 0, everything=False)
    assert values["cgroup.app.memory.current"] > 0
    assert values["cgroup.second.memory.current"] == values["cgroup.app.memory.current"], "both are in the same group"


def test_once_a_second_and_at_floors(world: World) -> None:
    processes = [world.follow("master")]
    read = [
        bool(world.groups.read(processes, at_ns, everything))
        for at_ns, everything in (
            (1, False),
            (SECOND // 4, False),
            (SECOND // 3, True),
            (SECOND, False),
            (2 * SECOND, False),
        )
    ]
    assert read == [True, False, True, True, True]


def test_the_oldest_process_decides_and_the_next_when_it_has_ended(world: World) -> None:
    master, memory = world.follow("master"), world.follow("memory")
    assert world.groups.read([memory, master], 0, everything=True)
    (world.tree / str(master.who.pid) / "cgroup").unlink()  # its group was found already
    assert world.groups.read([memory, master], 0, everything=True)
    assert world.groups.read([memory], 0, everything=True)
    shutil.rmtree(world.tree / str(master.who.pid))
    assert world.missing.keys() <= {"cgroup.memory.pressure"}


def test_a_process_that_was_moved_is_found_in_its_new_group(world: World) -> None:
    master = world.follow("master")
    before = world.groups.read([master], 0, everything=True)["cgroup.app.memory.current"]
    membership = world.tree / str(master.who.pid) / "cgroup"
    path = membership.read_text().rpartition("::")[2].strip()
    old = world.tree / "sys" / "fs" / "cgroup" / path.strip("/")
    new = Path(shutil.copytree(old, old.parent / "moved"))
    (new / "memory.current").write_text(f"{before + 4096}\n")
    membership.write_text(f"0::{path.rpartition('/')[0]}/moved\n")
    assert world.groups.read([master], 61 * SECOND, everything=False)["cgroup.app.memory.current"] == before + 4096


def test_a_process_that_vanished_is_not_a_missing_signal(world: World) -> None:
    memory = world.follow("memory")
    shutil.rmtree(world.tree / str(memory.who.pid))
    assert world.groups.read([memory], 0, everything=True) == {}
    assert world.missing == {}


def test_no_memory_controller_is_said_once(captured: Path) -> None:
    world = World(captured.parent / "linux-6.1-captured-bare")
    for _ in range(3):
        assert world.groups.read([world.follow("master")], 0, everything=True) == {}
    assert list(world.missing) == ["cgroup.memory"]


def test_the_root_group_is_not_the_targets(captured: Path, tmp_path: Path) -> None:
    tree = Path(shutil.copytree(captured.parent / "linux-5.10-captured-v1-numa", tmp_path / "proc", symlinks=True))
    world = World(tree)
    assert world.groups.read([world.follow("master")], 0, everything=True)
    for directory in (tree / "sys" / "fs" / "cgroup").rglob("memory.usage_in_bytes"):
        (directory.parent / "cgroup.sane_behavior").write_text("0\n")  # what only the root has
    again = World(tree)
    assert again.groups.read([again.follow("master")], 0, everything=True) == {}
    assert "whole machine" in again.missing["cgroup.memory"]


def test_a_group_that_we_are_in_ourselves_is_not_the_targets(world: World) -> None:
    """As in a session or a container: its limits hold for the target, its accounts are of others too."""
    (world.tree / "self").unlink(missing_ok=True)
    before = world.groups.read([world.follow("master")], 0, everything=True)
    assert "cgroup.memory" not in world.missing
    (world.tree / "self").symlink_to(str(world.pids["memory"]))
    values = world.groups.read([world.follow("master")], 61 * SECOND, everything=True)
    assert "the harness itself" in world.missing["cgroup.memory"]
    limits = {"cgroup.app.memory.max", "cgroup.app.memory.high", "cgroup.app.memory.swap.max"}
    assert values == {name: value for name, value in before.items() if name in limits}


def test_a_group_below_the_targets_is_in_it_too(world: World) -> None:
    membership = world.tree / str(world.pids["memory"]) / "cgroup"
    path = membership.read_text().rpartition("::")[2].strip()
    group = world.tree / "sys" / "fs" / "cgroup" / path.strip("/")
    shutil.copytree(group, group / "below")
    membership.write_text(f"0::{path}/below\n")
    (world.tree / "self").unlink(missing_ok=True)
    (world.tree / "self").symlink_to(str(world.pids["memory"]))
    assert "cgroup.app.memory.current" not in world.groups.read([world.follow("master")], 0, everything=True)
    other = world.groups.read([world.follow("memory", "second")], 0, everything=True)
    assert "cgroup.second.memory.current" not in other


def test_what_no_verdict_rests_on_is_missed_without_a_word(world: World) -> None:
    for name in ("memory.peak", "memory.swap.max", "pids.current"):
        for file in (world.tree / "sys" / "fs" / "cgroup").rglob(name):
            file.unlink()
    assert world.groups.read([world.follow("master")], 0, everything=True)
    assert not {"cgroup.memory.peak", "cgroup.memory.swap.max", "cgroup.pids.current"} & world.missing.keys()


def test_several_files_that_are_missing_are_one_line(captured: Path, tmp_path: Path) -> None:
    """In version 1 a group has no pressure of its own, and no total of what cannot be given back."""
    tree = Path(shutil.copytree(captured.parent / "linux-5.10-captured-v1-numa", tmp_path / "proc", symlinks=True))
    world = World(tree)
    for file in (tree / "sys" / "fs" / "cgroup").rglob("memory.pressure"):
        file.unlink()
    assert world.groups.read([world.follow("master")], 0, everything=True)
    (said,) = [signal for signal in world.missing if signal.startswith("cgroup.")]
    assert said == "cgroup.memory.pressure"
    assert "nor are there memory.unreclaimable" in world.missing[said]
