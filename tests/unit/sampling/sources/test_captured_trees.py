"""Every captured tree of /proc there is: each system source understands it, and sources that say the same agree."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.model.metric import describe
from harness.sampling.sources import (
    SYSTEM_SOURCES,
    loadavg,
    meminfo,
    pagetypeinfo,
    pid_numa_maps,
    pid_oom_score,
    pid_smaps,
    stat,
    swaps,
    vmstat,
    zoneinfo,
)

FIXTURES = Path(__file__).parents[3] / "fixtures" / "proc"
TREES = sorted(path.parent for path in FIXTURES.glob("*/specimen.json"))
KIB, PAGE = 1024, 4096


@pytest.fixture(params=TREES, ids=lambda tree: tree.name)
def tree(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def specimen_of(tree: Path) -> int:
    pid: int = json.loads((tree / "specimen.json").read_text())["memory"]
    return pid


def test_there_are_captures() -> None:
    assert TREES


def test_every_system_file_is_understood_and_named(tree: Path) -> None:
    for source in (make() for make in SYSTEM_SOURCES):
        path = tree / source.path
        if not path.exists():
            assert source.path == "pressure/memory"  # the only one a kernel may be built without
            continue
        values = source.parse(path.read_bytes())
        assert values, source.path
        assert {describe(name).unit for name in values} <= {"bytes", "count", "percent", "ns", "pages", "hundredths"}


def test_swap_areas_add_up_to_meminfo(tree: Path) -> None:
    values = swaps.parse((tree / "swaps").read_bytes())
    assert values["system.swap.size"] == meminfo.parse((tree / "meminfo").read_bytes())["system.meminfo.SwapTotal"]
    assert values["system.swap.used"] <= values["system.swap.size"]


def test_zones_add_up_to_meminfo(tree: Path) -> None:
    values = zoneinfo.parse((tree / "zoneinfo").read_bytes())
    pages = {name: sum(v for key, v in values.items() if key.endswith("." + name)) for name in ("managed", "free")}
    told = meminfo.parse((tree / "meminfo").read_bytes())
    if "-fc-" in (tree / "sys/kernel/osrelease").read_text():  # puts memory into zones only when it is asked for
        assert pages["managed"] * PAGE < told["system.meminfo.MemTotal"]
        return
    assert pages["managed"] * PAGE == told["system.meminfo.MemTotal"]
    assert pages["free"] * PAGE == pytest.approx(told["system.meminfo.MemFree"], abs=16 << 20)  # a moment later


def test_watermarks_are_in_order(tree: Path) -> None:
    values = zoneinfo.parse((tree / "zoneinfo").read_bytes())
    zones = {name.rpartition(".")[0] for name in values}
    assert zones
    for zone in zones:
        assert values[zone + ".min"] <= values[zone + ".low"] <= values[zone + ".high"] <= values[zone + ".managed"]


def test_free_blocks_by_type_are_no_more_than_the_zone_has(tree: Path) -> None:
    blocks = pagetypeinfo.parse((tree / "pagetypeinfo").read_bytes())
    pages = sum(count << int(name.rpartition(".")[2]) for name, count in blocks.items())
    zones = zoneinfo.parse((tree / "zoneinfo").read_bytes())
    assert 0 < pages <= sum(value for name, value in zones.items() if name.endswith(".managed"))


def test_processors_and_load(tree: Path) -> None:
    values = stat.parse((tree / "stat").read_bytes())
    assert len([name for name in values if ".cpu." in name]) == 8
    assert values["system.stat.processes"] > 0
    assert len(loadavg.parse((tree / "loadavg").read_bytes())) == 5


def test_swap_reclaim_compaction_and_workingset_are_counted(tree: Path) -> None:
    values = vmstat.parse((tree / "vmstat").read_bytes())
    for prefix in (
        "pswpin",
        "pswpout",
        "pgscan_direct",
        "pgsteal_kswapd",
        "allocstall",
        "compact_stall",
        "workingset_refault",
    ):
        assert [name for name in values if name.startswith("system.vmstat." + prefix)], prefix


def test_memory_by_node_is_that_of_smaps(tree: Path) -> None:
    pid = specimen_of(tree)
    if "686" in tree.name:  # built without NUMA
        with pytest.raises(FileNotFoundError):
            pid_numa_maps.read(str(tree), pid)
        return
    found, walk = pid_numa_maps.read(str(tree), pid), pid_smaps.read_summed(str(tree), pid)
    assert found is not None
    assert walk is not None
    assert walk.rss is not None
    assert found.huge is not None
    # The vdso is counted by smaps only, hugetlb pages by numa_maps only.
    assert sum(found.by_node.values()) - found.huge == pytest.approx(walk.rss, abs=64 * KIB)
    assert set(found.by_node) <= set(range(2))


def test_memory_on_two_nodes() -> None:
    trees = [tree for tree in TREES if tree.name.endswith("numa")]
    for tree in trees:
        found = pid_numa_maps.read(str(tree), specimen_of(tree))
        assert found is not None
        assert found.by_node[0] > 0 < found.by_node[1]


def test_oom_score(tree: Path) -> None:
    found = pid_oom_score.read(str(tree), specimen_of(tree))
    assert found.adjustment is not None
    assert found.score is not None
    assert 0 <= found.score <= 2000
