"""Every name has one unit."""

from __future__ import annotations

import pytest

from harness.model.metric import Kind, describe


@pytest.mark.parametrize(
    ("name", "unit", "kind"),
    [
        ("process.smaps.heap.count", "count", Kind.GAUGE),
        ("process.smaps.thread_stack.anon_huge", "bytes", Kind.GAUGE),
        ("cgroup.app.memory.current", "bytes", Kind.GAUGE),
        ("cgroup.app.memory.swap.max", "bytes", Kind.GAUGE),
        ("cgroup.app.memory.unreclaimable", "bytes", Kind.GAUGE),
        ("cgroup.app.memory.stat.anon", "bytes", Kind.GAUGE),
        ("cgroup.app.memory.stat.anon_thp", "bytes", Kind.GAUGE),
        ("cgroup.app.memory.stat.pagetables", "bytes", Kind.GAUGE),
        ("cgroup.app.memory.stat.zswapped", "bytes", Kind.GAUGE),
        ("cgroup.app.memory.stat.zswpout", "count", Kind.COUNTER),
        ("cgroup.app.memory.stat.pgsteal_direct", "count", Kind.COUNTER),
        ("cgroup.app.memory.stat.workingset_refault_anon", "count", Kind.COUNTER),
        ("cgroup.app.memory.stat.thp_fault_alloc", "count", Kind.COUNTER),
        ("cgroup.app.memory.events.oom_kill", "count", Kind.COUNTER),
        ("cgroup.app.memory.pressure.full_avg10", "percent", Kind.GAUGE),
        ("cgroup.app.memory.pressure_total.some", "ns", Kind.COUNTER),
        ("cgroup.app.pids.current", "count", Kind.GAUGE),
        ("cgroup.pool.memory.stat.x of\nthe.shop.memory.max", "bytes", Kind.GAUGE),
        ("system.stat.cpu.steal", "ns", Kind.COUNTER),
        ("system.stat.procs_running", "count", Kind.GAUGE),
        ("system.stat.ctxt", "count", Kind.COUNTER),
        ("system.zoneinfo.0.Normal.low", "pages", Kind.GAUGE),
        ("system.swap.used", "bytes", Kind.GAUGE),
        ("system.swap.areas.zram", "count", Kind.GAUGE),
        ("system.loadavg.15m", "hundredths", Kind.GAUGE),
        ("system.loadavg.runnable", "count", Kind.GAUGE),
        ("agent.python.memory.private_dirty", "bytes", Kind.GAUGE),
        ("agent.python.pymalloc.live", "bytes", Kind.GAUGE),
        ("agent.python.pymalloc.blocks", "count", Kind.GAUGE),
        ("agent.python.glibc.other_free", "bytes", Kind.GAUGE),
        ("agent.python.gc.collections2", "count", Kind.COUNTER),
        ("agent.python.collect.pause", "ns", Kind.GAUGE),
    ],
)
def test_units(name: str, unit: str, kind: Kind) -> None:
    found = describe(name)
    assert (found.name, found.unit, found.kind) == (name, unit, kind)


@pytest.mark.parametrize(
    "name",
    [
        "process.smaps.heap.colour",
        "cgroup.app.memory.limit",
        "cgroup.memory.current",
        "x",
        "agent.python.x",
        "agent.python.blocks2",
    ],
)
def test_unknown_names(name: str) -> None:
    with pytest.raises(KeyError):
        describe(name)
