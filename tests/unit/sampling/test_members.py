"""Processes of containers by their control groups: both versions, every driver's names, groups that come and go."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.sampling.groups import Groups
from harness.sampling.members import Members
from harness.sampling.missing import MissingSignals
from harness.sampling.protocol import Container, ProtocolError, decode
from harness.sampling.sources import cgroup

ID = "3f4a" * 16
V1 = "9 1 0:9 / {sys}/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
V2 = "9 1 0:9 / {sys}/fs/cgroup rw - cgroup2 cgroup rw\n"


class World:
    """A made-up /proc and /sys with one container's process."""

    def __init__(self, root: Path, version: int, path: str) -> None:
        self.proc, self.sys = root / "proc", root / "sys"
        self.top = self.sys / "fs/cgroup" / ("memory" if version == 1 else "")
        self.group = self.top / path.strip("/")
        for directory in (self.proc / "self", self.proc / "10", self.group):
            directory.mkdir(parents=True)
        (self.proc / "self/mountinfo").write_text((V1 if version == 1 else V2).format(sys=self.sys))
        (self.proc / "10/cgroup").write_text(f"{'4:memory' if version == 1 else '0:'}:{path}\n")
        self.many = 0
        self.members = Members(str(self.proc), str(self.sys), self.on_many)

    def on_many(self) -> None:
        self.many += 1

    def put(self, directory: Path, *pids: int) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids))

    def pids(self, *known: int) -> list[int]:
        return sorted(pid for pid, _ in self.members.look(known))


@pytest.fixture
def make(tmp_path: Path) -> Callable[[int, str], World]:
    return lambda version, path: World(tmp_path, version, path)


@pytest.mark.parametrize(
    ("version", "path", "named"),
    [
        (1, f"/docker/{ID}", f"/docker/{ID}"),
        (1, f"/libpod_parent/libpod-{ID}", f"/libpod_parent/libpod-{ID}"),
        (2, f"/system.slice/docker-{ID}.scope", f"/system.slice/docker-{ID}.scope"),
        (2, f"/machine.slice/libpod-{ID}.scope/container", f"/machine.slice/libpod-{ID}.scope"),
        (2, f"/machine.slice/libpod-{ID}.scope/container/init.scope", f"/machine.slice/libpod-{ID}.scope"),
        (
            2,
            f"/kubepods.slice/pod1.slice/cri-containerd-{ID}.scope",
            f"/kubepods.slice/pod1.slice/cri-containerd-{ID}.scope",
        ),
    ],
)
def test_the_group_that_is_named_after_the_container(
    make: Callable[[int, str], World], version: int, path: str, named: str
) -> None:
    world = make(version, path)
    place = world.members.add("web", 10, ID)
    assert place is not None
    assert (place.version, place.name) == (version, named)
    assert place.memory == str(world.top / named.strip("/"))
    assert world.members.place("web") == place
    assert world.members.place("other") is None


def test_members_of_it_and_of_the_groups_below(make: Callable[[int, str], World]) -> None:
    world = make(2, f"/machine.slice/libpod-{ID}.scope/container")
    world.put(world.group, 10, 11, 0)
    world.put(world.group / "init.scope", 12)
    world.put(world.group.parent, 13)
    world.put(world.group.parent.parent, 14)  # conmon
    world.members.add("web", 10, ID)
    assert world.pids() == [10, 11, 12, 13]
    assert world.pids(10, 12) == [11, 13]


def test_a_group_that_comes_back(make: Callable[[int, str], World]) -> None:
    world = make(1, f"/docker/{ID}")
    world.put(world.group, 10)
    world.members.add("web", 10, ID)
    (world.group / "cgroup.procs").unlink()
    world.group.rmdir()
    assert world.pids() == []
    world.put(world.group, 44)
    assert list(world.members.look(())) == [(44, "web")]


def test_links_below_a_group_are_not_followed(make: Callable[[int, str], World], tmp_path: Path) -> None:
    world = make(1, f"/docker/{ID}")
    world.put(tmp_path / "outside", 99)
    world.put(world.group, 10)
    (world.group / "link").symlink_to(tmp_path / "outside")
    world.members.add("web", 10, ID)
    assert world.pids() == [10]


def test_very_many_groups_are_told(make: Callable[[int, str], World]) -> None:
    world = make(1, f"/docker/{ID}")
    for number in range(300):
        world.put(world.group / str(number), 1000 + number)
    world.put(world.group, 10)
    world.members.add("web", 10, ID)
    assert 200 < len(world.pids()) < 300
    assert world.many == 1


def test_no_group_of_its_own(make: Callable[[int, str], World]) -> None:
    world = make(1, "/user.slice/session-1.scope")
    world.put(world.group, 10, 11)
    assert world.members.add("web", 10, ID) is None
    assert world.pids() == []
    (world.proc / "10/cgroup").unlink()
    with pytest.raises(OSError, match="10"):
        world.members.add("web", 10, ID)


def test_accounts_are_those_of_the_whole_container(make: Callable[[int, str], World]) -> None:
    """podman puts processes into a group below the one that has the limit."""
    world = make(2, f"/machine.slice/libpod-{ID}.scope/container")
    scope = world.group.parent
    for directory, limit in ((scope, "67108864"), (world.group, "max")):
        (directory / "memory.current").write_text("1048576\n")
        (directory / "memory.max").write_text(f"{limit}\n")
        (directory / "memory.events").write_text("low 0\nhigh 0\nmax 7\noom 2\noom_kill 1\n")
    place = world.members.add("web", 10, ID)
    assert place is not None
    values = cgroup.read(place).values
    assert values["memory.max"] == 64 << 20
    assert values["memory.events.oom_kill"] == 1
    lines: list[bytes] = []
    groups = Groups(str(world.proc), str(world.sys), 0, MissingSignals(lines.append), world.members.place)
    assert groups.read([], 1, everything=True) == {}
    assert not [json.loads(line) for line in lines]


def test_version_2_as_a_kernel_had_it(captured: Path) -> None:
    """A captured tree: its group stands for a container's that is named so."""
    tree = captured.parent / "linux-6.12-captured-v2-numa"
    pid = json.loads((tree / "specimen.json").read_text())["master"]
    place = cgroup.locate(str(tree), f"{tree}/sys/fs/cgroup", pid)
    assert place is not None
    assert place.version == 2
    own = place.memory.rpartition("/")[2]
    assert cgroup.named(place, own) == place
    assert cgroup.named(place, ID) is None
    values = cgroup.read(place).values
    assert values["memory.current"] > 0
    assert values["memory.events.oom_kill"] >= 0


def test_the_command() -> None:
    line = json.dumps({"cmd": "container", "pool": "web", "pid": 10, "id": ID}).encode()
    assert decode(line) == Container("web", 10, ID)
    for wrong in ({"id": "3f4a"}, {"pid": 0}, {"pool": None}):
        message = {"cmd": "container", "pool": "web", "pid": 10, "id": ID, **wrong}
        with pytest.raises(ProtocolError):
            decode(json.dumps(message).encode())
