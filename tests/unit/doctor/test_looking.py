"""What is read to get there: pool files, kernel options, limits, processes that stand for others, interpreters, probes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from checkups import yama_forbids
from fake_proc import FakeProc
from hypothesis import given
from hypothesis import strategies as st

from harness.cli.recognising import recognise
from harness.doctor import probes
from harness.doctor.fpm import pool_file, pool_of
from harness.doctor.machine import hides_processes, limits, look_at_machine, options_in, place
from harness.doctor.model import FpmPool, Limit
from harness.doctor.observe import observe
from harness.doctor.signals import OTHERS, OWN
from harness.doctor.subject import family, interpreter_of, representatives
from harness.plugins.spec import LaunchPlan
from harness.sampling.sources.cgroup import CgroupPlace
from harness.targets.attach import Attachment
from harness.targets.detect import Seen, look

# --- php-fpm ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def php_etc(tmp_path: Path) -> Path:
    (tmp_path / "pool.d").mkdir()
    (tmp_path / "fpm.conf").write_text(f"[global]\npid = x\n;include = /none\ninclude={tmp_path}/pool.d/*.conf\n")
    (tmp_path / "pool.d" / "a.conf").write_text("; [www]\n[admin]\nuser = a\n")
    (tmp_path / "pool.d" / "www.conf").write_text("; the pool\n  [www] ; of the shop\nuser = b\n")
    return tmp_path


def test_the_file_of_a_pool(php_etc: Path) -> None:
    main = php_etc / "fpm.conf"
    assert pool_file(main, "www") == php_etc / "pool.d" / "www.conf"
    assert pool_file(main, "global") == main
    assert pool_file(main, "ww") is None
    assert pool_file(php_etc / "none.conf", "www") is None
    (php_etc / "relative.conf").write_text('include = "pool.d/www.conf"\n')
    assert pool_file(php_etc / "relative.conf", "www") == php_etc / "pool.d" / "www.conf"


@given(st.binary(max_size=300))
def test_any_configuration_gives_a_file_or_none(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    main = tmp_path_factory.mktemp("fpm") / "fpm.conf"
    main.write_bytes(data + b"\ninclude = \0/*\ninclude=../**/..\n")
    assert pool_file(main, "www") in (main, None)


def test_the_pool_of_a_worker(tmp_path: Path, php_etc: Path) -> None:
    root = tmp_path / "proc"
    root.mkdir()
    fake = FakeProc(root)
    fake.process(30, 1, "php-fpm8.2", f"php-fpm: master process ({php_etc}/fpm.conf)")
    fake.process(31, 30, "php-fpm8.2", "php-fpm: pool www")
    fake.process(32, 1, "php-fpm8.2", "php-fpm: pool www")
    pools = [None if (seen := look(pid, root)) is None else pool_of(seen, root) for pid in (30, 31, 32)]
    assert pools == [None, FpmPool("www", php_etc / "pool.d" / "www.conf"), FpmPool("www", None)]


# --- the machine ------------------------------------------------------------------------------------------------------


def test_kernel_options() -> None:
    found = options_in(b"CONFIG_PSI=y\n# CONFIG_TASKSTATS is not set\nCONFIG_CONNECTOR=m\nCONFIG_OTHER=y\n")
    assert (found["CONFIG_PSI"], found["CONFIG_TASKSTATS"], found["CONFIG_CONNECTOR"]) == ("y", "n", "m")
    assert "CONFIG_OTHER" not in found
    assert options_in(b"nothing of the kind") == {}


@pytest.mark.parametrize(
    ("mounts", "hides"),
    [
        ("proc /proc proc rw,nosuid,hidepid=2 0 0\n", True),
        ("proc /proc proc rw,gid=4,hidepid=invisible 0 0\n", True),
        ("proc /proc proc rw,hidepid=off 0 0\n", False),
        ("sysfs /sys sysfs rw 0 0\nproc /proc proc rw 0 0\n", False),
        ("proc /srv/chroot/proc proc rw,hidepid=2 0 0\n", False),
        ("", False),
    ],
)
def test_hidepid(mounts: str, hides: bool) -> None:
    assert hides_processes(mounts) is hides


def test_limits_of_version_2(tmp_path: Path) -> None:
    group = tmp_path / "a" / "b" / "c"
    group.mkdir(parents=True)
    (tmp_path / "a" / "memory.max").write_text("1000\n")
    (tmp_path / "a" / "b" / "memory.max").write_text("max\n")
    (group / "memory.max").write_text("2000\n")
    account = CgroupPlace(2, "/a/b/c", str(group), None, None)
    assert limits(account, tmp_path) == (Limit("/a/b/c", 2000), Limit("/a", 1000))


def test_limits_of_version_1(tmp_path: Path) -> None:
    group = tmp_path / "memory" / "a"
    group.mkdir(parents=True)
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    (group / "memory.limit_in_bytes").write_text("4096\n")
    assert limits(CgroupPlace(1, "/a", str(group), None, None), tmp_path) == (Limit("/a", 4096),)


def test_the_limit_on_a_container_as_it_sees_it_itself(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("4096\n")
    assert limits(CgroupPlace(2, "/", str(tmp_path), None, None), tmp_path) == (Limit("/", 4096),)


def test_where_runs_are_written(tmp_path: Path) -> None:
    found = place(tmp_path / "not" / "there" / "runs", 5)
    assert (found.directory, found.writable, found.least_bytes) == (tmp_path, True, 5)
    assert found.free_bytes > 0
    (tmp_path / "file").touch()
    assert not place(tmp_path / "file" / "runs", None).writable


def test_this_machine_as_it_is(tmp_path: Path) -> None:
    found = look_at_machine(tmp_path, None)
    assert (found.uid, found.kernel) == (os.geteuid(), os.uname().release)
    assert bool(found.cgroup) != bool(found.cgroup_place)
    assert found.clock.step_ns > 0
    assert "3.8" in found.layouts[0]
    capabilities = Path("/proc/self/status").read_text().partition("CapEff:")[2].split()[0]
    assert found.capabilities == int(capabilities, 16)


# --- processes --------------------------------------------------------------------------------------------------------


def seen(pid: int, ppid: int, comm: str = "app", cmdline: str = "app serve") -> Seen:
    return Seen(pid, ppid, comm, cmdline, "")


TABLE = {
    s.pid: s
    for s in (
        seen(1, 0, "init", "init"), seen(10, 1), seen(11, 10), seen(12, 11, "helper", "helper"), seen(20, 1, "nginx", "nginx"),
        seen(30, 1, "bash", "harness doctor app serve"), seen(31, 30, "harness", "harness doctor app serve"),
    )
}  # fmt: skip


def test_whom_the_sampler_would_follow() -> None:
    def pids_of(*attachments: Attachment) -> list[int]:
        return [s.pid for s in family(attachments, TABLE, frozenset({31, 30, 1}))]

    assert pids_of(Attachment("a", pid=10)) == [10, 11, 12]
    assert pids_of(Attachment("a", match="app serve")) == [10, 11, 12]
    assert pids_of(Attachment("a", pid=20), Attachment("b", pid=12)) == [12, 20]
    assert pids_of(Attachment("a", pid=99), Attachment("a", match="none of it")) == []


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([0, 1, None])), min_size=1, max_size=40))
def test_representatives(kinds: list[tuple[str, int | None]]) -> None:
    members = [seen(pid, 1, comm) for pid, (comm, _) in enumerate(kinds, 5)]
    owners = {pid: uid for pid, (_, uid) in enumerate(kinds, 5)}
    chosen = representatives(members, owners)
    assert [s.pid for s in chosen] == sorted({s.pid for s in chosen})
    assert len(chosen) == min(6, len(members))
    shown = {(s.comm, owners[s.pid]) for s in chosen}
    assert len(shown) == min(6, len(set(kinds)))


def test_the_interpreter_behind_a_command(tmp_path: Path) -> None:
    script = tmp_path / "serve"
    script.write_text(f"#!{sys.executable}\n")
    script.chmod(0o755)
    shell = tmp_path / "run.sh"
    shell.write_text("#!/bin/sh\n")
    shell.chmod(0o755)

    def of(*argv: str) -> str | None:
        program = interpreter_of(LaunchPlan("app", argv, cwd=tmp_path, env={"PATH": str(tmp_path)}), recognise)
        return None if program is None else program.argv[0]

    assert of("serve", "-w", "4") == sys.executable
    assert of("./serve") == sys.executable
    assert of(sys.executable, "-m", "http.server") == sys.executable
    assert of("run.sh") is None
    assert of("none such") is None
    assert of() is None


def test_probes_start_speak_and_end() -> None:
    programs = [
        probes.python(OWN),
        probes.undumpable(OTHERS),
        probes.Program("x", ("/none/such",)),
        probes.Program("x", ("true",)),
    ]
    with probes.running(programs) as found:
        assert [process.pool for process in found] == [OWN, OTHERS]
        assert Path(found[0].include, "Python.h").name == "Python.h"
        pids = [process.pid for process in found]
        assert all(Path(f"/proc/{pid}").exists() for pid in pids)
        assert Path(f"/proc/{pids[1]}").stat().st_uid == 0  # not dumpable: the kernel gives its files to root
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_one_sweep_of_the_real_sampler() -> None:
    with probes.running([probes.python(OWN)]) as found:
        (probe,) = found
        seen = observe(found, [])
    assert seen.deep
    assert set(seen.columns) == {probe.pid}
    assert (seen.columns[probe.pid]["process.memory.pss"] or 0) > 1 << 20
    assert any(name.startswith("process.smaps.") for name in seen.more[probe.pid])
    if yama_forbids(os.geteuid()):
        assert "runtime.memory" in {m.signal for m in seen.missing}
    else:
        assert seen.runtimes[probe.pid]["python"]["version"] == sys.version.split()[0]
    assert "system.meminfo.MemTotal" in seen.system
    assert seen.facts["kernel.release"] == os.uname().release
