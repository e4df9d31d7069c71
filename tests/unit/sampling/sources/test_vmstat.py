"""/proc/vmstat."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.sampling.sources import vmstat


def test_captured(captured: Path) -> None:
    values = vmstat.parse((captured / "vmstat").read_bytes())
    wanted = {"pswpin", "pswpout", "pgscan_direct", "allocstall_normal", "compact_stall", "thp_fault_alloc", "oom_kill"}
    assert {f"system.vmstat.{name}" for name in wanted} <= set(values)


@pytest.mark.parametrize("tree", ["captured", "linux_4_9"])
def test_levels_are_not_among_the_counters(tree: str, request: pytest.FixtureRequest) -> None:
    directory: Path = request.getfixturevalue(tree)
    assert not [n for n in vmstat.parse((directory / "vmstat").read_bytes()) if n.startswith("system.vmstat.nr_")]


def test_before_memory_was_split_by_kind(linux_4_9: Path) -> None:
    values = vmstat.parse((linux_4_9 / "vmstat").read_bytes())
    assert values["system.vmstat.workingset_refault"] == 18322
    assert values["system.vmstat.allocstall_movable"] == 31
