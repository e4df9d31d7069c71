"""When a change is recommended, to what, and when not."""

from __future__ import annotations

from typing import Any

import pytest
from machines import DISK_SWAP, FACTS, GIB, ZRAM, boot, host, window

from harness.tune.entries import entries, entry
from harness.tune.model import Entry, Found, Group, Host, Mappings, Span, Verdict, Zone
from harness.tune.parameters import PARAMETERS, named

CHANGE, WATCH, LEAVE, NONE, UNKNOWN = Verdict
THP = Found("thp", "medium", "huge pages hold 300 MiB that nobody touched", secondary=False)


def said(name: str, machine: Host) -> Entry:
    parameter = named(name)
    assert parameter is not None
    return entry(parameter, machine)


def limited(**fields: Any) -> Group:
    made: dict[str, Any] = {
        "name": "/system.slice/shop.service", "version": 2, "directory": "/sys/fs/cgroup/system.slice/shop.service",
        "current": GIB, "max": 2 * GIB, "high": None, "events": {"max": 10, "high": 500}, "seconds": 10.0,
    }  # fmt: skip
    return Group(**{**made, **fields})


def test_a_quiet_machine_is_left_alone() -> None:
    found = {e.parameter.name: e.judgement.verdict for e in entries(host())}
    assert set(found.values()) == {LEAVE, NONE}


BUSY_FILES = {"waiting": 0.05, "workingset_refault_file": 500, "pswpin": 10}
BUSY_SWAP = {"waiting": 0.05, "workingset_refault_file": 10, "pswpin": 500}


@pytest.mark.parametrize(
    ("name", "machine", "verdict", "value"),
    [
        ("vm.swappiness", host(), NONE, None),
        ("vm.swappiness", host(swap=DISK_SWAP), LEAVE, None),
        ("vm.swappiness", host(window(**BUSY_FILES), swap=DISK_SWAP), CHANGE, "100"),
        ("vm.swappiness", host(window(**BUSY_FILES), swap=DISK_SWAP, facts={"vm.swappiness": 0}), CHANGE, "60"),
        ("vm.swappiness", host(window(**BUSY_FILES), swap=ZRAM), CHANGE, "133"),
        ("vm.swappiness", host(window(**BUSY_FILES), swap=ZRAM, facts={"vm.swappiness": 180}), WATCH, None),
        ("vm.swappiness", host(window(**BUSY_SWAP), swap=DISK_SWAP), CHANGE, "20"),
        ("vm.swappiness", host(window(**BUSY_SWAP), swap=DISK_SWAP, facts={"vm.swappiness": 10}), WATCH, None),
        ("vm.swappiness", host(window(**BUSY_SWAP), swap=ZRAM), WATCH, None),
        ("vm.swappiness", host(window(**{**BUSY_SWAP, "workingset_refault_file": 400}), swap=DISK_SWAP), WATCH, None),
        ("vm.swappiness", host(window(**{**BUSY_SWAP, "waiting": 0.001}), swap=DISK_SWAP), LEAVE, None),
        ("vm.swappiness", host(boot(pswpin=10**9), window(), swap=DISK_SWAP), LEAVE, None),
        ("vm.page-cluster", host(), NONE, None),
        ("vm.page-cluster", host(window(pswpin=900), swap=DISK_SWAP), LEAVE, None),
        ("vm.page-cluster", host(boot(swap_ra=1000, swap_ra_hit=200), window(pswpin=50), swap=ZRAM), CHANGE, "0"),
        ("vm.page-cluster", host(boot(swap_ra=1000, swap_ra_hit=900), window(pswpin=50), swap=ZRAM), LEAVE, None),
        ("vm.page-cluster", host(boot(swap_ra=1000, swap_ra_hit=200), window(), swap=ZRAM), LEAVE, None),
        ("zswap", host(window(pswpin=500), swap=DISK_SWAP), CHANGE, "Y"),
        ("zswap", host(window(pswpin=5), swap=DISK_SWAP), LEAVE, None),
        ("zswap", host(window(pswpin=500), swap=ZRAM), LEAVE, None),
        ("zswap", host(window(zswpwb=500), swap=DISK_SWAP, facts={"zswap.enabled": 1}), WATCH, None),
        ("zswap", host(facts={"zswap.enabled": None}), NONE, None),
        ("vm.watermark_scale_factor", host(window(allocstall_normal=5)), CHANGE, "50"),
        ("vm.watermark_scale_factor", host(window(Span.RUN, allocstall_normal=5)), CHANGE, "50"),
        ("vm.watermark_scale_factor", host(boot(allocstall_normal=10**7), window()), LEAVE, None),
        ("vm.watermark_scale_factor", host(window(allocstall_normal=5, available=GIB // 2)), WATCH, None),
        ("vm.watermark_scale_factor", host(window(allocstall_normal=5), facts={"vm.watermark_scale_factor": 200}), CHANGE, "400"),
        ("vm.watermark_scale_factor", host(window(allocstall_normal=5), facts={"vm.watermark_scale_factor": 500}), WATCH, None),
        ("vm.min_free_kbytes", host(facts={"vm.min_free_kbytes": 512}), CHANGE, "67584"),
        ("vm.min_free_kbytes", host(facts={"vm.min_free_kbytes": 2 << 20}), CHANGE, "67584"),
        ("vm.min_free_kbytes", host(facts={"vm.min_free_kbytes": 2 << 20, "thp.enabled": "never"}), CHANGE, "19877"),
        ("vm.min_free_kbytes", host(facts={"vm.min_free_kbytes": 512}, zones=()), WATCH, None),
        ("vm.min_free_kbytes", host(facts={"vm.min_free_kbytes": 60000}), LEAVE, None),
        ("vm.min_free_kbytes", host(facts={"vm.min_free_kbytes": 60000}, origins={"vm.min_free_kbytes": "x:1"}), WATCH, None),
        ("vm.vfs_cache_pressure", host(facts={"vm.vfs_cache_pressure": 0}), CHANGE, "100"),
        ("vm.vfs_cache_pressure", host(facts={"vm.vfs_cache_pressure": 1000}), WATCH, None),
        ("vm.vfs_cache_pressure", host(meminfo={"SReclaimable": 8 * GIB}), LEAVE, None),
        ("vm.vfs_cache_pressure", host(window(**BUSY_FILES), meminfo={"SReclaimable": 8 * GIB}), CHANGE, "150"),
        ("vm.vfs_cache_pressure", host(window(**BUSY_FILES)), LEAVE, None),
        ("vm.drop_caches", host(), NONE, None),
        ("vm.dirty_background_ratio", host(window(dirty=2 * GIB)), CHANGE, "5"),
        ("vm.dirty_background_ratio", host(window(dirty=GIB)), LEAVE, None),
        ("vm.dirty_bytes", host(window(dirty=2 * GIB)), LEAVE, None),
        ("vm.dirty_writeback_centisecs", host(facts={"vm.dirty_writeback_centisecs": 0}), WATCH, None),
        ("vm.overcommit_memory", host(facts={"vm.overcommit_memory": 1}), LEAVE, None),
        ("vm.overcommit_memory", host(facts={"vm.overcommit_memory": 2}), LEAVE, None),
        ("vm.overcommit_memory", host(facts={"vm.overcommit_memory": 2}, meminfo={"Committed_AS": 11 * GIB}), CHANGE, "0"),
        (
            "vm.overcommit_memory",
            host(facts={"vm.overcommit_memory": 2}, meminfo={"Committed_AS": 11 * GIB, "MemAvailable": GIB}),
            WATCH,
            None,
        ),
        (
            "vm.compaction_proactiveness",
            host(window(compact_daemon_migrate_scanned=50_000), facts={"vm.compaction_proactiveness": 100}),
            CHANGE,
            "20",
        ),
        ("vm.compaction_proactiveness", host(facts={"vm.compaction_proactiveness": 100}), LEAVE, None),
        ("vm.compact_memory", host(window(thp_fault_fallback=5)), WATCH, None),
        ("thp.enabled", host(facts={"thp.enabled": "always"}, found=(THP,)), CHANGE, "madvise"),
        ("thp.enabled", host(found=(THP,)), WATCH, None),
        ("thp.enabled", host(facts={"thp.enabled": "always"}), LEAVE, None),
        ("thp.enabled", host(boot(thp_underused_split_page=9), facts={"thp.enabled": "always"}), WATCH, None),
        (
            "thp.enabled",
            host(facts={"thp.enabled": "always"}, found=(Found("thp", "high", "", secondary=True),)),
            LEAVE,
            None,
        ),
        ("thp.enabled", host(facts={"thp.enabled": "always"}, found=(Found("thp", "low", "", secondary=False),)), LEAVE, None),
        ("thp.enabled", host(facts={"thp.enabled": None}), NONE, None),
        ("thp.defrag", host(window(compact_stall=3), facts={"thp.defrag": "always"}), CHANGE, "madvise"),
        ("thp.defrag", host(window(compact_stall=3)), LEAVE, None),
        ("max_ptes_none", host(window(Span.RUN, thp_collapse_alloc=1), found=(THP,)), CHANGE, "64"),
        ("max_ptes_none", host(found=(THP,)), LEAVE, None),
        ("shrink_underused", host(facts={"thp.shrink_underused": 0}, found=(THP,)), CHANGE, "1"),
        ("shrink_underused", host(facts={"thp.shrink_underused": None}), NONE, None),
        ("vm.nr_hugepages", host(facts={"hugetlb.2048kB.nr": 1024, "hugetlb.2048kB.free": 1024}), WATCH, None),
        ("vm.nr_hugepages", host(facts={"hugetlb.2048kB.nr": 1024, "hugetlb.2048kB.free": 3}), LEAVE, None),
        (
            "vm.nr_hugepages",
            host(facts={"hugetlb.2048kB.nr": 1024, "hugetlb.2048kB.free": 1024, "hugetlb.2048kB.reserved": 1000}),
            LEAVE,
            None,
        ),
        ("vm.zone_reclaim_mode", host(facts={"vm.zone_reclaim_mode": 1}), NONE, None),
        ("vm.zone_reclaim_mode", host(facts={"vm.zone_reclaim_mode": 1, "numa.nodes": 2}), WATCH, None),
        ("vm.zone_reclaim_mode", host(facts={"numa.nodes": 2}), LEAVE, None),
        (
            "vm.zone_reclaim_mode",
            host(window(zone_reclaim_failed=9), facts={"vm.zone_reclaim_mode": 1, "numa.nodes": 2}),
            CHANGE,
            "0",
        ),
        (
            "numa",
            host(window(numa_pages_migrated=50_000), facts={"kernel.numa_balancing": 1, "numa.nodes": 2}),
            WATCH,
            None,
        ),
        ("ksm", host(facts={"ksm.run": 1, "ksm.pages_scanned": 10_000}), CHANGE, "0"),
        ("ksm", host(facts={"ksm.run": 1, "ksm.pages_scanned": 10_000, "ksm.pages_sharing": 900}), LEAVE, None),
        ("ksm", host(facts={"ksm.run": 1}), LEAVE, None),
        ("damon", host(facts={"damon.kdamonds": 1, "damon.0.state": "on", "damon.0.actions": "pageout"}), WATCH, None),
        ("damon", host(facts={"damon.kdamonds": 1, "damon.0.state": "off", "damon.0.actions": "pageout"}), LEAVE, None),
        ("damon", host(facts={"damon.kdamonds": 1, "damon.0.state": "on", "damon.0.actions": "stat"}), LEAVE, None),
        ("damon", host(facts={"damon.kdamonds": None}), NONE, None),
        ("vm.max_map_count", host(mappings=Mappings(60_000, 9, "java", 40, 0)), CHANGE, "131060"),
        ("vm.max_map_count", host(mappings=Mappings(500, 9, "php", 40, 12)), LEAVE, None),
        ("cgroup.memory.max", host(groups=(limited(),)), LEAVE, None),
        ("cgroup.memory.max", host(groups=(limited(new={"max": 100}),)), WATCH, None),
        ("cgroup.memory.max", host(groups=(limited(new={"oom_kill": 1}),)), WATCH, None),
        ("cgroup.memory.max", host(groups=(limited(version=1, new={"failcnt": 100}),)), WATCH, None),
        ("cgroup.memory.high", host(groups=(limited(),)), NONE, None),
        ("cgroup.memory.high", host(groups=(limited(high=GIB),)), LEAVE, None),
        ("cgroup.memory.high", host(groups=(limited(high=GIB, new={"high": 90}, pressure=0.4),)), CHANGE, str(5 * GIB // 4)),
        ("cgroup.memory.high", host(groups=(limited(high=GIB, max=GIB + 1, new={"high": 90}, pressure=0.4),)), WATCH, None),
        ("cgroup.memory.high", host(groups=(limited(high=GIB, new={"high": 90}, pressure=0.01),)), LEAVE, None),
        ("cgroup.memory.low", host(groups=(limited(low=GIB, new={"low": 3}),)), WATCH, None),
        ("cgroup.memory.low", host(groups=(limited(low=GIB),)), LEAVE, None),
        ("cgroup.memory.swap.max", host(groups=(limited(swap_max=0),)), NONE, None),
        ("cgroup.memory.swap.max", host(groups=(limited(swap_max=0),), swap=DISK_SWAP), LEAVE, None),
    ],
)  # fmt: skip
def test_verdicts(name: str, machine: Host, verdict: Verdict, value: str | None) -> None:
    judgement = said(name, machine).judgement
    assert (judgement.verdict, judgement.value) == (verdict, value), judgement.text


EVERYTHING = host(
    boot(swap_ra=10, swap_ra_hit=1, thp_underused_split_page=5),
    window(allocstall_normal=9, thp_fault_fallback=4, compact_stall=4, zone_reclaim_failed=9, dirty=3 * GIB, **BUSY_FILES),
    window(Span.RUN, 60.0, thp_collapse_alloc=2, compact_daemon_migrate_scanned=90_000),
    facts={
        "vm.min_free_kbytes": 4 << 20, "thp.enabled": "always", "thp.defrag": "always", "vm.compaction_proactiveness": 100,
        "vm.vfs_cache_pressure": 0, "vm.zone_reclaim_mode": 1, "numa.nodes": 2, "ksm.run": 1, "ksm.pages_scanned": 3,
        "vm.overcommit_memory": 2, "thp.shrink_underused": 0,
    },
    meminfo={"Committed_AS": 12 * GIB},
    swap=DISK_SWAP,
    found=(THP,),
    mappings=Mappings(65_000, 9, "java", 3, 0),
    groups=(limited(high=GIB, new={"high": 90}, pressure=0.4),),
)  # fmt: skip


def test_a_change_comes_with_all_there_is_to_know() -> None:
    changes = [e for e in entries(EVERYTHING) if e.judgement.verdict is CHANGE]
    assert len(changes) >= 12
    for e in changes:
        judgement = e.judgement
        assert judgement.value, e.parameter.name
        assert judgement.evidence, e.parameter.name
        assert judgement.text.endswith((".", "!")), e.parameter.name
        for text in (judgement.expected, judgement.risk, judgement.verify):
            assert text, e.parameter.name
        assert e.commands is not None
        assert judgement.value in e.commands.temporary
        assert judgement.value in e.commands.persistent


def test_what_cannot_be_read_is_unknown_and_says_why() -> None:
    blind = Host("blind", None, True, {}, dict.fromkeys(FACTS, "no permission to read it"), {}, ())
    for e in entries(blind):
        assert e.judgement.verdict in (UNKNOWN, NONE, LEAVE)
        if e.parameter.facts:
            assert e.judgement.verdict is UNKNOWN, e.parameter.name
            assert e.why_unknown == "no permission to read it"
    assert {e.judgement.verdict for e in entries(blind) if not e.parameter.facts} <= {UNKNOWN, NONE, LEAVE}


def test_what_the_kernel_does_not_have_decides_nothing() -> None:
    missing = {"vm.compaction_proactiveness": "this kernel does not have /proc/sys/vm/compaction_proactiveness"}
    found = said("vm.compaction_proactiveness", host(facts={"vm.compaction_proactiveness": None}, missing=missing))
    assert found.judgement.verdict is NONE
    assert found.current is None
    assert found.commands is None


def test_fragmented_memory_is_told_with_the_kernels_index() -> None:
    zone = Zone(0, "Normal", 100_000, 1, 1, 1_000_000, (90_000, 5000, 0, 0, 0, 0, 0, 0, 0, 0, 0))
    texts = [row.text for row in said("vm.extfrag_threshold", host(zones=(zone,))).judgement.evidence]
    assert any("index 1.00" in text for text in texts)  # 1 - (1 + 100000/512) / 95000
    assert "free memory holds 0 huge pages in one piece" in texts


def test_names_and_aliases_lead_to_one_parameter() -> None:
    for parameter in PARAMETERS:
        for name in (parameter.name, *parameter.aliases):
            assert named(name) is parameter
            assert named(name.upper()) is parameter
    assert named("swappiness") is named("/proc/sys/vm/swappiness") is named("vm.swappiness")
    assert named("vm") is None
    assert named("") is None
