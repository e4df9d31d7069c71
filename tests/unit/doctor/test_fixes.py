"""What gets a signal back: for each reason and machine what fits it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from checkups import AGAIN, ALL_CAPABILITIES, machine, root, target
from hypothesis import given
from hypothesis import strategies as st

from harness.doctor import fixes
from harness.doctor.fixes import NO_FIX, Case, fix
from harness.doctor.model import CAP_SYS_PTRACE, Clock, FpmPool, Looked, Machine
from harness.model.event import Missing
from harness.sampling.outside.python import layouts
from harness.sampling.outside.refusal import Refused

NO_READ = "no permission to read /proc/7/smaps_rollup; needs root, or the owner of a process that is dumpable"
WWW = FpmPool("www", Path("/etc/php/8.2/fpm/pool.d/www.conf"))
SUDO = f"sudo {AGAIN}"


def of(signal: str, reason: str, on: Machine, *lacking: Looked, **more: Any) -> str:
    return fix(Case(Missing(signal, reason, "x"), target(*lacking), on, lacking, **more))


def user(uid: int) -> str:
    return {33: "www-data", 1001: "bob"}[uid]


@pytest.mark.parametrize(
    ("on", "lacking", "expected"),
    [
        (machine(), [Looked(7, "app", 0)], SUDO),
        (machine(sudo=False), [Looked(7, "app", 0)], f"as root: {AGAIN}"),
        (machine(), [Looked(7, "app", 1000)], SUDO),  # ours, and made itself undumpable
        (
            machine(),
            [Looked(7, "app", 1001), Looked(8, "app", 1001)],
            f"{SUDO}; or sudo -u bob {AGAIN}, if it has not changed its user",
        ),
        (
            machine(),
            [Looked(7, "app", 33, WWW), Looked(8, "app", 33, WWW)],
            f"{SUDO}; or process.dumpable = yes in section [www] of /etc/php/8.2/fpm/pool.d/www.conf, then restart php-fpm,"
            " and run the harness as user www-data",
        ),
        (
            machine(uid=33),
            [Looked(7, "app", 33, FpmPool("www", None))],
            f"{SUDO}; or process.dumpable = yes in section [www] of the file that configures the pool, then restart php-fpm",
        ),
        (
            root(capabilities=ALL_CAPABILITIES & ~(1 << CAP_SYS_PTRACE), container=True),
            [Looked(7, "app", 33, WWW)],
            "this root lacks CAP_SYS_PTRACE: run the harness on the host, or start its container with --cap-add SYS_PTRACE",
        ),
    ],
)
def test_looking_into_a_process(on: Machine, lacking: list[Looked], expected: str) -> None:
    for signal, reason in (
        ("process.memory.pss", NO_READ),
        ("process.smaps", "no permission to read /proc/7/smaps"),
        ("runtime.memory", "no permission to read /proc/7/mem; needs root"),
    ):
        assert of(signal, reason, on, *lacking, user=user) == expected


@pytest.mark.parametrize(
    ("scope", "says"),
    [(1, "all but root and a process's own ancestors"), (2, "all but root from the memory")],
)
def test_yama_guards_memory_only(scope: int, says: str) -> None:
    on = machine(ptrace_scope=scope)
    memory = of("runtime.memory", "no permission to read /proc/7/mem", on, Looked(7, "app", 1000))
    assert memory.startswith(f"{SUDO}  (kernel.yama.ptrace_scope is {scope}, ")
    assert says in memory
    assert "which the harness never takes" in memory
    assert of("process.memory.pss", NO_READ, on, Looked(7, "app", 1000)) == SUDO


def test_yama_may_keep_root_out_too() -> None:
    assert "nobody may" in of("runtime.memory", "no permission", root(ptrace_scope=3))


@pytest.mark.parametrize(
    ("signal", "reason", "on", "expected"),
    [
        ("process.memory.pss_anon", "the kernel is older than 5.3", machine(kernel="4.19"), "Linux 5.3 or later; this is 4.19"),
        ("process.events", "the kernel's process events need root (CAP_NET_ADMIN)", machine(), SUDO),
        ("process.exit_accounts", "[Errno 1] Operation not permitted", machine(), SUDO),
        ("process.events", "only to be had in the host's own namespaces", root(host_namespaces=False), "--pid=host --net=host"),
        ("process.events", "the kernel's process events need root (CAP_NET_ADMIN)", root(capabilities=0), "lacks CAP_NET_ADMIN"),
        ("process.events", "this kernel has no process connector", root(), "CONFIG_CONNECTOR=y"),
        ("process.events", "denied", root(options={"CONFIG_PROC_EVENTS": "n"}), "a kernel built with CONFIG_PROC_EVENTS=y"),
        ("process.events", "following its events is too dear", root(), "a larger sample.budget"),
        ("process.limit", "more than 4096 processes belong to the target", root(), "one pool at a time"),
        ("system.slab", "no permission to read /proc/slabinfo; needs root", machine(), SUDO),
        ("system.slab", "no permission to read /proc/slabinfo; needs root", root(), "on the host itself"),
        ("system.psi.memory", "/proc/pressure/memory exists but is turned off", root(), "boot with psi=1"),
        ("system.psi.memory", "this kernel does not have it", root(options={"CONFIG_PSI": "n"}), "built with CONFIG_PSI=y"),
        ("system.zoneinfo", "this kernel does not have /proc/zoneinfo", root(kernel="9"), "another kernel: 9"),
        ("settings", "no permission to read /sys/kernel/mm/damon", machine(), SUDO),
        ("settings", "this kernel does not have /sys/kernel/mm/ksm/run", machine(), "none needed"),
        ("runtime.php", "php: a build for threads (ZTS), which has a heap for each", root(), "without threads"),
        ("runtime.php", "php: USE_ZEND_ALLOC=0 is set", root(), "without USE_ZEND_ALLOC"),
        ("runtime.php.opcache", "not switched on", root(), "opcache.enable = 1"),
        ("runtime.python", "CPython 3.13, a free-threaded build", root(), "global lock"),
        ("runtime.python.readings", "torn", root(), "harness init"),
        ("runtime.python.raw_blocks", "not known", root(), "goes on without it"),
        ("runtime.glibc", "glibc: jemalloc is in the maps", root(), "without LD_PRELOAD"),
        ("runtime.glibc", "glibc: no C library is mapped (a static program)", root(), NO_FIX),
        ("cgroup.memory.pressure", "no group of its own", root(cgroup_version=1, systemd=True), "unified_cgroup_hierarchy=1"),
        ("cgroup.memory.unreclaimable", "does not say sock", root(cgroup_version=1, systemd=False), "cgroup_no_v1=all"),
        ("cgroup.memory.peak", "the top of a hierarchy lacks it, and so may this kernel", root(), "Linux 5.19"),
        ("cgroup.memory", "no memory cgroup of the target is mounted", root(cgroup_version=None), "mount cgroups"),
        ("cgroup.memory", "no permission to read /sys/fs/cgroup/x", machine(), SUDO),
        ("a.signal.of.later", "whatever", root(), NO_FIX),
    ],
)  # fmt: skip
def test_each_reason(signal: str, reason: str, on: Machine, expected: str) -> None:
    found = of(signal, reason, on)
    assert expected in found


def test_pressure_of_a_group_where_the_machine_has_it() -> None:
    on = root(cgroup_version=1)
    assert "psi=1" in of("cgroup.memory.pressure", "no group of its own", on)
    assert "psi=1" not in of("cgroup.memory.pressure", "no group of its own", on, psi=True)


def test_the_command_that_makes_a_missing_layout() -> None:
    """In the words of the refusal itself."""
    with pytest.raises(Refused) as refused:
        layouts.candidates(layouts.shipped(), 0x0309, "3.9.99", 12345, ())
    known = of("runtime.python.gc", str(refused.value), root(), Looked(7, "app", 0, include="/opt/my python/include"))
    assert known.endswith(".dev/layouts_python.py --update '/opt/my python/include'")
    foreign = of("runtime.python.gc", str(refused.value), root(), Looked(7, "app", 0))
    assert '--update "$(/proc/7/exe -c "import sysconfig; print(sysconfig.get_path(\'include\'))")"' in foreign


@pytest.mark.parametrize(
    ("on", "expected"),
    [
        (machine(cgroup="/x may not be written to"), f"systemd-run --user --scope -p Delegate=yes {AGAIN}"),
        (machine(cgroup="/x may not be written to", user_systemd=False), SUDO),
        (machine(cgroup="/x may not be written to", cgroup_version=1), SUDO),
        (root(cgroup="/x gives the groups below it no memory controller"), f"systemd-run --scope -p Delegate=yes {AGAIN}"),
        (root(cgroup="/x gives the groups below it no memory controller", systemd=False), "cgroup_enable=memory"),
        (root(cgroup="/x may not be written to", systemd=False), "--cgroupns=private"),
        (root(cgroup="in a group with a memory limit, which the target must not escape"), "outside of that group"),
    ],
)  # fmt: skip
def test_a_cgroup_of_its_own(on: Machine, expected: str) -> None:
    assert expected in fixes.own_group(on, AGAIN)


def test_a_slow_clock() -> None:
    assert "clocksource=tsc" in fixes.clock(Clock("hpet", ("hpet", "tsc"), 2000, 100))
    assert fixes.clock(Clock("xen", ("xen",), 2000, 100)) == NO_FIX


PARTS = ["no permission", "older than 5.3", "no layout", "ZTS", "in the maps", "top of a hierarchy", "", "memory limit"]


@given(
    st.sampled_from(["process.events", "process.memory.pss", "process.x", "runtime.memory", "runtime.python.gc", "runtime.php",
                     "runtime.glibc.used", "system.psi.memory", "settings", "cgroup.memory.peak", "cgroup.memory", "x"]),
    st.sampled_from(PARTS),
    st.builds(
        machine, uid=st.sampled_from([0, 1000]), capabilities=st.sampled_from([0, ALL_CAPABILITIES]), sudo=st.booleans(),
        systemd=st.booleans(), container=st.booleans(), cgroup_version=st.sampled_from([None, 1, 2]),
        ptrace_scope=st.sampled_from([None, 0, 1, 2, 3]), host_namespaces=st.booleans(),
    ),
    st.lists(st.builds(Looked, st.integers(1, 9), st.just("p"), st.sampled_from([None, 0, 33]), st.sampled_from([None, WWW]))),
)  # fmt: skip
def test_there_is_always_one_line(signal: str, reason: str, on: Machine, lacking: list[Looked]) -> None:
    found = of(signal, reason, on, *lacking)
    assert found.strip() == found
    assert found
    assert "\n" not in found
    if on.uid == 0:
        assert "sudo" not in found
