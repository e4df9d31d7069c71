"""/proc/vmstat."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.sampling.sources import vmstat


def test_captured(captured: Path) -> None:
    values = vmstat.parse((captured / "vmstat").read_bytes())
    wanted = {
        "pswpin", "pswpout", "pgscan_direct", "allocstall_normal", "compact_stall", "thp_fault_alloc", "oom_kill", "pgrefill",
        "slabs_scanned", "workingset_refault_anon", "workingset_nodereclaim", "zswpout", "swpout_zero", "pgdemote_kswapd",
        "balloon_inflate",
    }  # fmt: skip
    assert {f"system.vmstat.{name}" for name in wanted} <= set(values)


@pytest.mark.parametrize("tree", ["captured", "linux_4_9"])
def test_levels_are_not_among_the_counters(tree: str, request: pytest.FixtureRequest) -> None:
    directory: Path = request.getfixturevalue(tree)
    assert not [n for n in vmstat.parse((directory / "vmstat").read_bytes()) if n.startswith("system.vmstat.nr_")]


def test_before_memory_was_split_by_kind(linux_4_9: Path) -> None:
    values = vmstat.parse((linux_4_9 / "vmstat").read_bytes())
    assert values["system.vmstat.workingset_refault"] == 18322
    assert values["system.vmstat.allocstall_movable"] == 31


def test_names_by_zone_and_what_later_kernels_split() -> None:
    old = b"pgscan_kswapd_dma32 4\npgsteal_direct_normal 5\npgrefill_normal 6\nallocstall 7\nworkingset_nodes 8\n"
    assert vmstat.parse(old) == {
        "system.vmstat.pgscan_kswapd_dma32": 4,
        "system.vmstat.pgsteal_direct_normal": 5,
        "system.vmstat.pgrefill_normal": 6,
        "system.vmstat.allocstall": 7,
    }


CHANGES = [
    lambda data: data,
    lambda data: data.replace(b"pgfault ", b"pgfault 1"),
    lambda data: data.replace(b"pgfault ", b"pgfault -"),
    lambda data: data.replace(b"pgfault ", b"pgfault x"),
    lambda data: data.replace(b"pgfault ", b"pgfault 99999999999999999999"),
    lambda data: b"pgscan_new 3\n" + data,
    lambda data: data + b"odd",
    lambda data: data[: len(data) // 2],
    lambda data: b"",
]


@pytest.mark.parametrize("order", [range(len(CHANGES)), range(len(CHANGES) - 1, -1, -1)])
def test_the_quick_way_says_what_parsing_says_whatever_comes(captured: Path, order: range) -> None:
    data = (captured / "vmstat").read_bytes()
    quick = vmstat.Selection()
    for number in order:
        changed = CHANGES[number](data)
        assert quick(changed) == vmstat.parse(changed), number
