"""A pool on another host is judged as it would be here, though that host sweeps for a floor at an instant of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from kernel_counters import Machine
from timelines import App, simulate, six

from harness.analysis.pipeline import report_on
from harness.model.event import Event
from harness.model.finding import Cause
from harness.model.host import HOST, HOST_CLOCK, RunHost
from harness.model.metric import FLOOR
from harness.model.process import ProcessKey, host_key
from harness.model.report import Report
from harness.model.run import RawRun, Series

MS, MIB = 1_000_000, 1 << 20
HOSTS = (
    RunHost("web-1", "ssh://web-1", "proxy", True, True, 0),
    RunHost("web-2", "ssh://web-2", "web", True, False, 0),
)


def elsewhere(raw: RawRun, late_ns: int) -> RawRun:
    """All of it on web-2, whose sweeps come so much later than those of web-1, and whose clock is known within 1 us."""

    def moved(key: ProcessKey | None) -> ProcessKey:
        return host_key("web-2") if key is None else replace(key, host="web-2")

    def on_web_2(metric: str, key: ProcessKey | None) -> bool:
        return key is not None or metric.startswith("cgroup.")

    series = {
        (metric, moved(key)) if on_web_2(metric, key) else (metric, key): replace(
            each, process=moved(key), t_ns=each.t_ns + late_ns
        )
        if on_web_2(metric, key)
        else each
        for (metric, key), each in raw.series.items()
    }
    for (metric, key), each in raw.series.items():
        if key is None and metric.startswith("system."):  # both say what their machine is like
            own = host_key("web-2")
            series[metric, own] = replace(each, process=own, t_ns=each.t_ns + late_ns)
    floors = np.array(sorted({w.floor_ns for w in raw.windows if w.floor_ns is not None}), dtype=np.int64)
    numbers = np.arange(floors.size)
    for key, late in ((None, 0), (host_key("web-2"), late_ns)):
        series[FLOOR, key] = Series(FLOOR, key, floors + late, numbers)
    last = raw.manifest.ended_ns or int(floors[-1])
    clock = [
        Event(t, HOST_CLOCK, None, "", {HOST: host.name, "before_ns": t, "there_ns": t + 1000, "after_ns": t + 2000})
        for t in range(raw.manifest.started_ns, last, 1_000 * MS)
        for host in HOSTS
    ]
    return replace(
        raw,
        manifest=replace(raw.manifest, hosts=HOSTS),
        processes=[replace(info, key=moved(info.key)) for info in raw.processes],
        series=series,
        records=[replace(record, host="web-2") for record in raw.records],
        boots=[replace(boot, host="web-2") for boot in raw.boots],
        events=[
            *clock,
            *(
                e if e.process is None else replace(e, process=moved(e.process), t_ns=e.t_ns + late_ns)
                for e in raw.events
            ),
        ],
    )


def said(report: Report) -> list[tuple[object, ...]]:
    """Findings with all that was measured for and against them."""
    return [
        (
            f.cause,
            f.confidence,
            f.growth.bytes_per_request,
            dict(f.numbers),
            *(e.text.replace("web-2", "") for e in f.evidence),
        )
        for f in report.findings
    ]


INDEX = App(
    file_per_round=2 * MIB,
    further={"process.smaps.data_file.pss": (MIB, 2 * MIB), "process.smaps.data_file.count": (1, 0),
             "process.smaps.data_file.size": (100 * MIB, 0)},
    files={"/var/shop/index.bin": 2 * MIB, "/usr/lib/locale/C.utf8/LC_CTYPE": 0},
)  # fmt: skip
NATIVE = App(endpoints=six(search={"native_bytes": 8_000}), allocators=True, blocks_at_floors=True)
OBJECTS = App(endpoints=six(cart_add={"leak_bytes": 10_240, "leak_blocks": 20}))
WAITS = App(
    endpoints=six(cart_add={"leak_bytes": 10_240, "leak_blocks": 5}),
    gc_runs=0,
    collected=dict.fromkeys(range(4), 4_000),
)
COPIES = App(unshared_per_round=2 * MIB, allocators=True, blocks_at_floors=True)
FILES = App(machine=Machine(files=8 * MIB, noise_bytes=20 * MIB))
LIMIT = App(machine=Machine(hits=70, waiting=0.1, files=MIB, swaps=3), further={"process.faults.major": (5, 20)})


@pytest.mark.parametrize("late_ns", [-3 * MS, 3 * MS])
@pytest.mark.parametrize(
    ("app", "cause"),
    [
        (NATIVE, Cause.LEAK_NATIVE),
        (OBJECTS, Cause.LEAK_OBJECTS),
        (WAITS, Cause.GC_DELAY),
        (INDEX, Cause.MAPPED_FILES),
        (COPIES, Cause.COW_UNSHARING),
        (FILES, Cause.PAGE_CACHE),
        (LIMIT, Cause.KERNEL_PRESSURE),
    ],
)
def test_the_findings_are_the_same(app: App, cause: Cause, late_ns: int, tmp_path: Path) -> None:
    raw = simulate(app)
    here, there = report_on(raw, tmp_path), report_on(elsewhere(raw, late_ns), tmp_path)
    assert cause in {finding.cause for finding in here.findings}
    assert said(there) == said(here)
