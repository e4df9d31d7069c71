"""cgroups of both versions: where a process's group is for us, and what it says."""

from __future__ import annotations

import json
import mmap
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.metric import describe
from harness.sampling.sources import cgroup
from harness.sampling.sources.cgroup import CgroupPlace, Membership, Mount

FIXTURES = Path(__file__).parents[3] / "fixtures" / "proc"
TREES = sorted(tree for tree in FIXTURES.iterdir() if (tree / "sys" / "fs" / "cgroup").is_dir())
PID = 42
V2_MOUNT = "41 31 0:38 {root} {point} rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MOUNT = "35 31 0:32 {root} {point} rw,relatime shared:4 master:1 - cgroup cgroup rw,{controllers}\n"
V2_STAT = """\
anon 1000
file 2000
kernel_stack 30
pagetables 40
sock 50
shmem 200
slab_reclaimable 7
slab_unreclaimable 60
workingset_refault_anon 3
pgfault 99
"""
V1_STAT = """\
cache 1
rss 2
hierarchical_memory_limit 9223372036854771712
total_cache 8192
total_rss 4096
total_rss_huge 0
total_shmem 12
total_mapped_file 13
total_workingset_refault_file 100
total_swap 5
total_pgfault 77
total_inactive_file 8
"""
PRESSURE = "some avg10=1.50 avg60=0.00 avg300=0.00 total=7\nfull avg10=0.25 avg60=0.00 avg300=0.00 total=2\n"


class Machine:
    """A /proc and a /sys/fs/cgroup of our own."""

    def __init__(self, directory: Path) -> None:
        self.proc, self.sys = directory / "proc", directory / "cgroup"
        (self.proc / str(PID)).mkdir(parents=True)
        self.sys.mkdir()

    def process(self, groups: str, mounts: str, ours: bool = True) -> None:
        (self.proc / str(PID) / "cgroup").write_text(groups)
        owner = self.proc / ("self" if ours else str(PID))
        owner.mkdir(exist_ok=True)
        (owner / "mountinfo").write_text(mounts)

    def group(self, path: str, **files: str) -> Path:
        directory = self.sys / path
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (directory / name.replace("__", ".")).write_text(content)
        return directory

    def locate(self) -> CgroupPlace | None:
        return cgroup.locate(str(self.proc), str(self.sys), PID)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def version_2(machine: Machine, path: str = "/app.slice/app.service", root: str = "/") -> None:
    machine.process(f"0::{path}\n", V2_MOUNT.format(root=root, point="/sys/fs/cgroup"))


def version_1(machine: Machine, path: str = "/docker/abc", root: str = "/", unified: str = "") -> None:
    mounts = V1_MOUNT.format(root=root, point="/sys/fs/cgroup/memory", controllers="memory")
    mounts += V1_MOUNT.format(root=root, point="/sys/fs/cgroup/pids", controllers="pids")
    mounts += V1_MOUNT.format(root="/", point="/sys/fs/cgroup/systemd", controllers="xattr,name=systemd")
    groups = f"9:name=systemd:/init\n8:pids:{path}\n4:cpu,memory:{path}\n"
    if unified:
        mounts += V2_MOUNT.format(root="/", point="/sys/fs/cgroup/unified")
        groups += f"0::{unified}\n"
    machine.process(groups, mounts)


def test_version_2(machine: Machine) -> None:
    version_2(machine)
    directory = str(
        machine.group(
            "app.slice/app.service",
            memory__current="5000\n", memory__peak="6000\n", memory__max="max\n", memory__high="7000\n",
            memory__swap__current="3\n", memory__swap__max="0\n", memory__stat=V2_STAT,
            memory__events="low 0\nhigh 12\nmax 3\noom 1\noom_kill 1\n", memory__pressure=PRESSURE, pids__current="9\n",
        )
    )  # fmt: skip
    place = machine.locate()
    assert place == CgroupPlace(2, "/app.slice/app.service", directory, directory, directory)
    values, missing = cgroup.read(place)
    assert missing == {}
    assert values == {
        "memory.current": 5000,
        "memory.peak": 6000,
        "memory.high": 7000,
        "memory.swap.current": 3,
        "memory.swap.max": 0,
        **{f"memory.stat.{key}": int(value) for key, value in (line.split() for line in V2_STAT.splitlines())},
        "memory.unreclaimable": 1000 + 200 + 60 + 30 + 40 + 50,
        "memory.events.low": 0,
        "memory.events.high": 12,
        "memory.events.max": 3,
        "memory.events.oom": 1,
        "memory.events.oom_kill": 1,
        "memory.pressure.some_avg10": 150,
        "memory.pressure.full_avg10": 25,
        "memory.pressure_total.some": 7000,
        "memory.pressure_total.full": 2000,
        "pids.current": 9,
    }
    assert describe("cgroup.app.memory.stat.workingset_refault_anon").unit == "count"


def test_version_1(machine: Machine) -> None:
    version_1(machine)
    memory = machine.group(
        "memory/docker/abc",
        memory__usage_in_bytes="5000\n", memory__max_usage_in_bytes="6000\n", memory__limit_in_bytes="9223372036854771712\n",
        memory__kmem__usage_in_bytes="70\n", memory__failcnt="4\n", memory__stat=V1_STAT,
        memory__oom_control="oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    )  # fmt: skip
    pids = machine.group("pids/docker/abc", pids__current="9\n")
    place = machine.locate()
    assert place == CgroupPlace(1, "/docker/abc", str(memory), str(pids), None)
    values, missing = cgroup.read(place)
    assert values == {
        "memory.current": 5000,
        "memory.peak": 6000,
        "memory.swap.current": 5,
        "memory.stat.kernel": 70,
        "memory.stat.file": 8192,
        "memory.stat.anon": 4096,
        "memory.stat.anon_thp": 0,
        "memory.stat.shmem": 12,
        "memory.stat.file_mapped": 13,
        "memory.stat.inactive_file": 8,
        "memory.stat.pgfault": 77,
        "memory.events.failcnt": 4,
        "memory.events.oom_kill": 2,
        "pids.current": 9,
    }
    assert set(missing) == {"memory.unreclaimable", "memory.pressure"}


def test_a_limit_of_version_1(machine: Machine) -> None:
    version_1(machine)
    machine.group("memory/docker/abc", memory__limit_in_bytes="268435456\n")
    place = machine.locate()
    assert place is not None
    assert cgroup.read(place).values["memory.max"] == 256 << 20


def test_hybrid_memory_is_version_1_pressure_is_version_2(machine: Machine) -> None:
    version_1(machine, unified="/docker/abc")
    machine.group("memory/docker/abc", memory__usage_in_bytes="1\n")
    machine.group("unified/docker/abc", memory__pressure=PRESSURE)
    place = machine.locate()
    assert place is not None
    assert place.version == 1
    assert cgroup.read(place).values["memory.pressure.some_avg10"] == 150


def test_hybrid_at_the_top_of_version_2_is_the_whole_machine_and_left_out(machine: Machine) -> None:
    version_1(machine, unified="/")
    machine.group("unified", memory__pressure=PRESSURE)
    place = machine.locate()
    assert place is not None
    assert place.pressure is None


def test_a_part_of_the_hierarchy_is_mounted(machine: Machine) -> None:
    """In a container with the host's cgroup namespace: the mount begins at the container's group."""
    version_2(machine, "/docker/abc/worker", root="/docker/abc")
    directory = machine.group("worker", memory__current="5\n")
    place = machine.locate()
    assert place is not None
    assert (place.memory, place.name) == (str(directory), "/docker/abc/worker")


def test_a_mount_that_does_not_show_the_group(machine: Machine) -> None:
    version_2(machine, "/docker/abcd", root="/docker/abc")
    assert machine.locate() is None


def test_a_mount_hidden_by_another_is_not_looked_through(machine: Machine) -> None:
    mounts = "".join(V2_MOUNT.format(root=root, point="/sys/fs/cgroup") for root in ("/", "/docker/abc"))
    machine.process("0::/worker\n", mounts)
    machine.group("worker", memory__current="5\n")  # in truth /docker/abc/worker
    assert machine.locate() is None


def test_without_the_controller_the_nearest_group_above_is_charged(machine: Machine) -> None:
    version_2(machine, "/user.slice/app/tab")
    machine.group("user.slice/app/tab", memory__pressure=PRESSURE)
    above = machine.group("user.slice", memory__current="5\n")
    place = machine.locate()
    assert place is not None
    assert (place.memory, place.name) == (str(above), "/user.slice")
    assert place.pressure == str(machine.sys / "user.slice/app/tab")


def test_the_top_of_version_2_has_no_counters(machine: Machine) -> None:
    version_2(machine, "/")
    machine.group("", memory__stat="anon 5\n")
    place = machine.locate()
    assert place is not None
    assert place.memory == str(machine.sys)
    values, missing = cgroup.read(place)
    assert values == {"memory.stat.anon": 5}
    assert "the top of a hierarchy lacks it" in missing["memory.current"]
    assert "sock" in missing["memory.unreclaimable"]


def test_a_group_that_is_gone(machine: Machine) -> None:
    version_2(machine, "/app (deleted)")
    place = machine.locate()
    assert place is not None
    values, missing = cgroup.read(place)
    assert values == {}
    assert "is gone" in missing["memory.current"]


def test_the_mounts_of_the_process_where_ours_are_not_known(machine: Machine) -> None:
    machine.process("0::/a\n", V2_MOUNT.format(root="/", point="/sys/fs/cgroup"), ours=False)
    machine.group("a", memory__current="5\n")
    assert machine.locate() is not None


def test_hierarchies_mounted_where_the_argument_says(machine: Machine) -> None:
    machine.process("0::/a\n", V2_MOUNT.format(root="/", point=machine.sys))
    directory = machine.group("a", memory__current="5\n")
    place = machine.locate()
    assert place is not None
    assert place.memory == str(directory)


@pytest.mark.parametrize("path", ["/../../etc", "/..", "/a/../../b", "/a\0b"])
def test_no_path_leaves_the_mount(machine: Machine, path: str) -> None:
    version_2(machine, path)
    assert machine.locate() is None


@pytest.mark.parametrize("root", ["/..", "/../x"])
def test_a_mount_that_begins_above_our_namespace(machine: Machine, root: str) -> None:
    version_2(machine, "/x/a", root=root)
    assert machine.locate() is None


def test_names_of_groups_are_hostile(machine: Machine) -> None:
    version_2(machine, "/a:b c/\x1b[31m\\x41,memory")
    directory = machine.group("a:b c/\x1b[31m\\x41,memory", memory__current="5\n")
    place = machine.locate()
    assert place is not None
    assert place.memory == str(directory)
    assert place.name == "/a:b c/\\x1b[31m\\x41,memory"
    assert not [reason for reason in cgroup.read(place).missing.values() if "\x1b" in reason]


def test_memory_in_version_1_that_is_not_mounted(machine: Machine) -> None:
    machine.process("4:memory:/a\n0::/a\n", V2_MOUNT.format(root="/", point="/sys/fs/cgroup"))
    machine.group("a")
    assert machine.locate() is None


@pytest.mark.parametrize("content", ["", "x\n", "-1\n", "18446744073709551615\n"])
def test_a_number_that_is_none(machine: Machine, content: str) -> None:
    version_2(machine)
    machine.group("app.slice/app.service", memory__current=content)
    place = machine.locate()
    assert place is not None
    values, missing = cgroup.read(place)
    assert "memory.current" not in values
    assert missing["memory.current"] == "memory.current holds no number"


def test_gone_process(machine: Machine) -> None:
    with pytest.raises(FileNotFoundError):
        cgroup.locate(str(machine.proc), str(machine.sys), 77)


def test_escapes_of_mountinfo() -> None:
    line = b"1 2 0:3 /a\\040b\\134c /sys/fs/cgroup/x\\011y rw - cgroup cgroup rw,cpu,memory\n"
    assert cgroup.parse_mounts(line) == [Mount("/a b\\c", "/sys/fs/cgroup/x\ty", frozenset(("rw", "cpu", "memory")))]


def test_lines_that_are_none() -> None:
    assert cgroup.parse_memberships(b"x:memory:/a\n4:memory\n3:memory:a\n5::/b\n2:memory:/a:b\n0::/\n") == [
        Membership(("memory",), "/a:b"),
        Membership((), "/"),
    ]


@given(st.binary(max_size=300))
def test_garbage(data: bytes) -> None:
    cgroup.parse_memberships(data)
    cgroup.parse_mounts(data)
    for stat in (cgroup.parse_keys(data), cgroup.parse_v1_stat(data)):
        assert all(0 <= value < 2**63 for value in stat.values())


@given(
    path=st.lists(st.sampled_from(["..", ".", "", "a", "b", "\n", "é"]), max_size=5).map(lambda parts: "/" + "/".join(parts)),
    root=st.lists(st.sampled_from(["..", "a", "b"]), max_size=3).map(lambda parts: "/" + "/".join(parts)),
)  # fmt: skip
def test_whatever_the_path_the_group_is_below_the_mount(path: str, root: str) -> None:
    memberships = cgroup.parse_memberships(b"0::" + os.fsencode(path))
    mounts = [Mount(root, "/sys/fs/cgroup", frozenset())]
    group = cgroup._group(memberships, mounts, "/somewhere", "")
    if group is not None:
        inside = os.path.normpath(group.directory)
        assert inside == "/somewhere" or inside.startswith("/somewhere/")


def test_there_are_captures() -> None:
    assert TREES


@pytest.mark.parametrize("tree", TREES, ids=lambda tree: tree.name)
def test_captured_groups(tree: Path) -> None:
    """A process two levels deep, in a group limited to 48 MiB and 64 tasks; see tests/fixtures/capture_proc.py."""
    pid = json.loads((tree / "specimen.json").read_text())["memory"]
    place = cgroup.locate(str(tree), str(tree / "sys" / "fs" / "cgroup"), pid)
    assert place is not None
    assert place.name == "/specimen.slice/specimen.scope"
    values, missing = cgroup.read(place)
    assert 0 < values["memory.current"] <= values["memory.max"] == 48 << 20
    assert values["memory.stat.anon"] + values["memory.stat.file"] <= values["memory.current"] + (1 << 20)
    assert 0 < values["memory.stat.shmem"] < values["memory.stat.file"]
    assert values["pids.current"] >= 5
    assert ("memory.unreclaimable" in values) != ("memory.unreclaimable" in missing)
    assert values.get("memory.unreclaimable", 0) <= values["memory.current"]
    assert {describe("cgroup.app." + name).unit for name in values} <= {"bytes", "count", "percent", "ns"}
    assert not [reason for name, reason in missing.items() if "understood" in reason or "number" in reason]


def test_live_faults_are_counted_in_our_group() -> None:
    place = cgroup.locate("/proc", "/sys/fs/cgroup", os.getpid())
    assert place is not None
    before = cgroup.read(place).values["memory.stat.pgfault"]
    with mmap.mmap(-1, 8 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as area:
        area.madvise(mmap.MADV_NOHUGEPAGE)
        for offset in range(0, 8 << 20, mmap.PAGESIZE):
            area[offset] = 1
        after = cgroup.read(place)
    assert after.values["memory.stat.pgfault"] - before >= 1024
    assert after.values.get("memory.current", 8 << 20) >= 8 << 20
