"""The commands that would set a parameter, keep it, and undo both."""

from __future__ import annotations

from pathlib import Path

import pytest
from machines import host

from harness.tune import origins
from harness.tune.commands import PLACEHOLDER, commands
from harness.tune.model import Commands, Group, Kind
from harness.tune.parameters import PARAMETERS, named


def of(name: str, current: str | None, value: str | None, group: Group | None = None, **fields: object) -> Commands:
    parameter = named(name)
    assert parameter is not None
    return commands(parameter, host(**fields), current, value, group)  # type: ignore[arg-type]


def test_a_sysctl() -> None:
    assert of("vm.swappiness", "60", "100") == Commands(
        "sysctl -w vm.swappiness=100",
        "echo 'vm.swappiness = 100' > /etc/sysctl.d/99-vm-swappiness.conf\nsysctl -p /etc/sysctl.d/99-vm-swappiness.conf",
        "sysctl -w vm.swappiness=60",
        "rm /etc/sysctl.d/99-vm-swappiness.conf\nsysctl -w vm.swappiness=60",
    )


def test_a_sysctl_that_another_file_sets() -> None:
    told = of("vm.swappiness", "10", None, origins={"vm.swappiness": "/etc/sysctl.d/50-db.conf:7"})
    assert "/etc/sysctl.d/50-db.conf:7" in told.persistent
    assert f"={PLACEHOLDER}" in told.temporary


def test_a_file_in_sys() -> None:
    told = of("thp.enabled", "always", "madvise")
    path = "/sys/kernel/mm/transparent_hugepage/enabled"
    assert told.temporary == f"echo madvise > {path}"
    assert f"w {path} - - - - madvise" in told.persistent
    assert told.undo_temporary == f"echo always > {path}"
    assert told.undo_persistent.startswith("rm /etc/tmpfiles.d/")


UNIT = Group("/system.slice/php8.2-fpm.service", 2, "/sys/fs/cgroup/system.slice/php8.2-fpm.service", high=100)
BOX = Group("/docker/4f;rm -rf", 2, "/sys/fs/cgroup/docker/4f;rm -rf")
OLD = Group("/shop", 1, "/sys/fs/cgroup/memory/shop", max=500)


def test_a_limit_of_a_unit_goes_through_systemd() -> None:
    told = of("cgroup.memory.high", None, "200", UNIT)
    assert told.temporary == "systemctl set-property --runtime php8.2-fpm.service MemoryHigh=200"
    assert told.undo_persistent == "systemctl set-property php8.2-fpm.service MemoryHigh=100"


def test_a_limit_of_another_group_is_written_where_it_is() -> None:
    told = of("cgroup.memory.high", None, "200", BOX)
    assert told.temporary == "echo 200 > '/sys/fs/cgroup/docker/4f;rm -rf/memory.high'"
    assert told.undo_temporary == "echo max > '/sys/fs/cgroup/docker/4f;rm -rf/memory.high'"
    old = of("cgroup.memory.max", None, "900", OLD)
    assert (old.temporary, old.undo_temporary) == (
        "echo 900 > /sys/fs/cgroup/memory/shop/memory.limit_in_bytes",
        "echo 500 > /sys/fs/cgroup/memory/shop/memory.limit_in_bytes",
    )


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda p: p.name)
def test_every_parameter_has_all_four(parameter: object) -> None:
    told = commands(parameter, host(), None, None, None)  # type: ignore[arg-type]
    for text in (told.temporary, told.persistent, told.undo_temporary, told.undo_persistent):
        assert text
    if parameter.kind is not Kind.ACTION:  # type: ignore[attr-defined]
        assert PLACEHOLDER in told.temporary


def write(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_the_last_file_that_sets_a_value_is_named(tmp_path: Path) -> None:
    write(tmp_path, "usr/lib/sysctl.d/50-default.conf", "vm.swappiness = 60\n# vm.overcommit_memory = 2\n")
    write(tmp_path, "usr/lib/sysctl.d/60-hidden.conf", "vm.page-cluster = 1\n")
    write(tmp_path, "etc/sysctl.d/60-hidden.conf", "")
    write(
        tmp_path,
        "etc/sysctl.d/70-db.conf",
        "\n-vm/swappiness=10\n; vm.min_free_kbytes=1\nnet/ipv4/conf/eth0.1/rp_filter = 1",
    )
    write(tmp_path, "etc/sysctl.d/README", "vm.swappiness = 1\n")
    write(tmp_path, "etc/sysctl.conf", "vm.max_map_count=262144\n\x00\xff\n")
    assert origins.read(str(tmp_path)) == {
        "vm.swappiness": "/etc/sysctl.d/70-db.conf:2",
        "net.ipv4.conf.eth0/1.rp_filter": "/etc/sysctl.d/70-db.conf:4",
        "vm.max_map_count": "/etc/sysctl.conf:1",
    }
    assert origins.read(str(tmp_path / "nowhere")) == {}
