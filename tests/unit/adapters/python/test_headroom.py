"""How much memory could still be had: the machine's and the control groups' files, of both versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.python.agent.headroom import available_bytes

MIB = 1024**2


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    write(tmp_path / "proc/meminfo", "MemTotal: 9999999 kB\nMemFree: 1 kB\nMemAvailable:    2097152 kB\n")
    return tmp_path


def available(root: Path) -> int | None:
    return available_bytes(str(root / "proc"), str(root / "groups"))


def group(root: Path, path: str, limit: str, usage: int, stat: str = "") -> None:
    write(root / "groups" / path / "memory.max", f"{limit}\n")
    write(root / "groups" / path / "memory.current", f"{usage}\n")
    write(root / "groups" / path / "memory.stat", stat)


def test_without_groups_it_is_the_machines(machine: Path) -> None:
    assert available(machine) == 2048 * MIB


def test_the_narrowest_group_decides(machine: Path) -> None:
    write(machine / "proc/self/cgroup", "0::/shop/workers\n")
    group(machine, "shop", str(700 * MIB), 500 * MIB)
    group(machine, "shop/workers", "max", 100 * MIB)
    assert available(machine) == 200 * MIB
    group(machine, "shop/workers", str(150 * MIB), 100 * MIB)
    assert available(machine) == 50 * MIB


def test_what_the_kernel_would_drop_first_is_available(machine: Path) -> None:
    write(machine / "proc/self/cgroup", "0::/\n")
    group(machine, "", str(100 * MIB), 100 * MIB, f"anon 1\nfile 5\ninactive_file {60 * MIB}\n")
    assert available(machine) == 60 * MIB


def test_a_group_over_its_limit_has_nothing(machine: Path) -> None:
    write(machine / "proc/self/cgroup", "0::/\n")
    group(machine, "", str(MIB), 2 * MIB)
    assert available(machine) == 0


def test_the_first_version(machine: Path) -> None:
    write(machine / "proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/docker/1\n0::/\n")
    base = machine / "groups/memory"
    write(base / "docker/1/memory.limit_in_bytes", str(300 * MIB))
    write(base / "docker/1/memory.usage_in_bytes", str(250 * MIB))
    write(base / "docker/1/memory.stat", f"inactive_file 1\ntotal_inactive_file {10 * MIB}\n")
    write(base / "memory.limit_in_bytes", str(2**63 - 4096))
    write(base / "memory.usage_in_bytes", "1")
    assert available(machine) == 60 * MIB


@pytest.mark.parametrize("line", ["0::/../../outside\n", "0::/nowhere\n", ""])
def test_groups_that_cannot_be_seen_from_here(machine: Path, line: str) -> None:
    write(machine / "proc/self/cgroup", line)
    assert available(machine) == 2048 * MIB


def test_nothing_can_be_read(tmp_path: Path) -> None:
    assert available(tmp_path) is None
