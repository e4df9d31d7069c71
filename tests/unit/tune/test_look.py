"""Captured machines are read, whatever they have, and judged end to end."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
from machines import FIXTURES, GIB, Machine

from harness.tune.entries import entries
from harness.tune.json_ import document
from harness.tune.look import Mounts, look, zones_of
from harness.tune.model import Host, Span, Verdict
from harness.tune.text import Paper, render

TREES = sorted(tree.name for tree in FIXTURES.iterdir() if (tree / "sys" / "vm").is_dir())
SCHEMA = json.loads(files("harness.tune").joinpath("tune.schema.json").read_text())


def verdicts(host: Host) -> dict[str, tuple[Verdict, str | None]]:
    return {e.parameter.name: (e.judgement.verdict, e.judgement.value) for e in entries(host)}


@pytest.fixture
def machine(tmp_path: Path) -> Callable[[str], Machine]:
    return lambda tree: Machine(tmp_path, tree)


@pytest.mark.parametrize("tree", TREES)
def test_every_captured_machine_is_judged(machine: Callable[[str], Machine], tree: str) -> None:
    host = machine(tree).look()
    found = entries(host)
    assert host.total
    assert host.zones
    assert {e.judgement.verdict for e in found} <= {Verdict.LEAVE, Verdict.NONE, Verdict.WATCH, Verdict.UNKNOWN}
    jsonschema.validate(json.loads(document(host, found)), SCHEMA, jsonschema.Draft202012Validator)
    text = render(host, found, Paper())
    assert all(line.isprintable() for line in text.splitlines())
    for e in found:
        assert e.parameter.name in text


def test_an_empty_machine_is_unknown(tmp_path: Path) -> None:
    empty = look(0, Mounts(str(tmp_path), str(tmp_path), str(tmp_path)))
    assert empty.total is None
    assert {what for what, _ in empty.unread} >= {"vmstat", "meminfo", "zoneinfo", "buddyinfo", "swaps", "slabinfo"}
    found = entries(empty)
    assert Verdict.CHANGE not in {e.judgement.verdict for e in found}
    jsonschema.validate(json.loads(document(empty, found)), SCHEMA, jsonschema.Draft202012Validator)
    assert "not read: vmstat: this kernel does not have" in render(empty, found, Paper())


def test_a_small_machine_without_swap(machine: Callable[[str], Machine]) -> None:
    host = machine("linux-6.12-captured-rt").look()
    found = verdicts(host)
    assert found["vm.swappiness"][0] is found["vm.page-cluster"][0] is found["zswap.enabled"][0] is Verdict.NONE
    assert found["thp.enabled"][0] is found["thp.defrag"][0] is Verdict.NONE  # not built in
    assert found["vm.min_free_kbytes"][0] is Verdict.LEAVE
    assert not any(value for _, value in found.values())


def test_a_large_machine_with_nodes_that_swaps(machine: Callable[[str], Machine]) -> None:
    big = machine("linux-6.12-captured-v2-numa")
    big.meminfo(MemTotal=512 << 20, MemFree=4 << 20, MemAvailable=60 << 20, SwapTotal=64 << 20, SwapFree=40 << 20)
    big.swap("/dev/nvme0n1p3", 64 << 20, 24 << 20)
    big.setting("vm/zone_reclaim_mode", 1)
    big.setting("module/zswap/parameters/enabled", "N")
    big.vmstat(pswpin=1_000_000, workingset_refault_file=5000, zone_reclaim_success=100, zone_reclaim_failed=50)
    big.pressure(some_us=1_000_000)

    def meanwhile() -> None:
        big.vmstat(pswpin=1_020_000, workingset_refault_file=5100, zone_reclaim_success=180, zone_reclaim_failed=90)
        big.pressure(some_us=1_900_000)  # 0.9 s of 10 s

    host = big.look(meanwhile)
    window = host.window(Span.LOOK)
    assert window is not None
    assert window.rate("pswpin") == 2000
    assert window.waiting == pytest.approx(0.09)
    found = verdicts(host)
    assert found["vm.swappiness"] == (Verdict.CHANGE, "20")
    assert found["zswap.enabled"] == (Verdict.CHANGE, "Y")
    assert found["vm.zone_reclaim_mode"] == (Verdict.CHANGE, "0")
    assert found["vm.watermark_scale_factor"][0] is Verdict.LEAVE
    assert found["vm.min_free_kbytes"][0] is Verdict.LEAVE


def test_a_machine_whose_tasks_have_to_reclaim(machine: Callable[[str], Machine]) -> None:
    busy = machine("linux-6.18-captured")
    busy.vmstat(allocstall_normal=7_000, pswpin=0)
    host = busy.look(lambda: busy.vmstat(allocstall_normal=7_400, kswapd_low_wmark_hit_quickly=12))
    judgement = next(e.judgement for e in entries(host) if e.parameter.name == "vm.watermark_scale_factor")
    assert (judgement.verdict, judgement.value) == (Verdict.CHANGE, "50")
    assert [row.value for row in judgement.evidence[:2]] == [40, 7_400]
    quiet = busy.look()
    assert verdicts(quiet)["vm.watermark_scale_factor"][0] is Verdict.LEAVE


def test_a_container_with_version_2(machine: Callable[[str], Machine]) -> None:
    """Its own group is what is mounted at the top; another one below it is slowed down."""
    box = machine("linux-7.3-captured-v2")
    (box.root / "etc-root").mkdir()
    (box.root / "etc-root" / ".dockerenv").touch()
    box.group(
        "",
        **{"memory.max": 2 * GIB, "memory.high": "max", "memory.low": 0, "memory.swap.max": 0, "memory.current": GIB},
    )
    slow = {
        "memory.current": 900 << 20,
        "memory.high": 900 << 20,
        "memory.max": "max",
        "memory.low": 0,
        "memory.swap.max": "max",
    }
    box.group("workers", **slow, **{"memory.events": "low 0\nhigh 100\nmax 0", "memory.stat": "anon 1"})
    pressed = "some avg10=35.00 avg60=9.00 avg300=1.00 total=10\nfull avg10=20.00 avg60=9.00 avg300=1.00 total=5"
    box.group("workers", **{"memory.pressure": pressed})
    host = box.look(lambda: box.group("workers", **{"memory.events": "low 0\nhigh 300\nmax 0"}))
    assert host.container
    groups = {group.name: group for group in host.groups}
    assert groups["/"].max == 2 * GIB
    assert groups["/"].swap_max == 0
    assert (groups["/workers"].high, groups["/workers"].new["high"], groups["/workers"].pressure) == (
        900 << 20,
        200,
        0.35,
    )
    found = {e.parameter.name: e for e in entries(host)}
    high = found["cgroup.memory.high"]
    assert (high.judgement.verdict, high.judgement.value) == (Verdict.CHANGE, str((900 << 20) * 5 // 4))
    assert high.commands is not None
    assert high.commands.temporary.endswith("/sys/fs/cgroup/workers/memory.high")
    assert found["cgroup.memory.max"].current is not None
    assert "this is a container" in render(host, tuple(found.values()), Paper())


def test_version_1_groups(machine: Callable[[str], Machine]) -> None:
    host = machine("linux-5.10-captured-v1-numa").look()
    (group,) = [group for group in host.groups if group.name.endswith("specimen.scope")]
    assert group.version == 1
    assert group.max is not None
    assert group.current is not None
    assert group.events["failcnt"] >= 0
    assert verdicts(host)["cgroup.memory.high"][0] is Verdict.NONE


def test_zones_join_watermarks_and_free_blocks() -> None:
    (zone,) = zones_of(
        {"system.zoneinfo.0.Normal.low": 20, "system.zoneinfo.0.Normal.managed": 500},
        {"system.buddyinfo.0.Normal.0": 3, "system.buddyinfo.0.Normal.2": 1},
    )
    assert (zone.low, zone.free, zone.managed, zone.free_blocks) == (20, None, 500, (3, 0, 1))


def test_the_process_with_the_most_mappings(machine: Callable[[str], Machine]) -> None:
    tree = machine("linux-6.18-captured")
    host = tree.look()
    assert host.mappings is not None
    maps = next(tree.root.glob("[0-9]*/maps"))
    assert host.mappings.pid == int(maps.parent.name)
    assert host.mappings.most == maps.read_bytes().count(b"\n")


def test_a_counter_that_fell_is_unknown(machine: Callable[[str], Machine]) -> None:
    tree = machine("linux-6.18-captured")
    tree.vmstat(pswpin=500)
    window = tree.look(lambda: tree.vmstat(pswpin=3)).window(Span.LOOK)
    assert window is not None
    assert window.count("pswpin") is None
    assert window.count("pswpout") == 0
