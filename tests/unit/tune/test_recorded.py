"""What a recorded run says about its machine, and when it counts for this one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from machines import GIB, host
from timelines import App, simulate

from harness.correlate.build import correlate
from harness.model.finding import Cause, Confidence, Finding, Growth, Severity, Subject
from harness.model.run import Series
from harness.model.timeline import Timeline
from harness.tune.entries import entries
from harness.tune.model import Span, Verdict
from harness.tune.recorded import host_of, with_run

MACHINE: dict[str, str | int | None] = {"node": "made-up", "kernel": "6.12.0", "memory_bytes": 24 * GIB}


def timeline(machine: dict[str, str | int | None], facts: dict[str, str | int], **metrics: tuple[int, int]) -> Timeline:
    """A run in which system-wide metrics (``__`` stands for a dot) go from one value to another over its rounds."""
    run = correlate(simulate(App(requests=60, blocks=1, rounds=7, warmup=1)))
    rounds = [window for window in run.windows if window.phase == "rounds"]
    start, end = min(w.start_ns for w in rounds), max(w.floor_ns or w.end_ns or 0 for w in rounds)
    t_ns = np.array([start - 10**9, start, end, end + 10**9], dtype=np.int64)
    series = {
        (name.replace("__", "."), None): Series(
            name.replace("__", "."), None, t_ns, np.array([first, first, last, last + 10**6], dtype=np.int64)
        )
        for name, (first, last) in metrics.items()
    }
    manifest = replace(run.manifest, host=machine, facts=facts)
    return replace(run, manifest=manifest, series={**run.series, **series})


def finding(cause: Cause) -> Finding:
    growth = Growth(None, None, None, None)
    return Finding(cause, Severity.WARNING, Confidence.HIGH, Subject(), "huge pages", growth, (), (), None)


def test_only_the_rounds_count() -> None:
    run = timeline(MACHINE, {}, system__vmstat__allocstall_normal=(100, 350), system__vmstat__pswpin=(50, 3))
    window = host_of(run, (), "runs/x").window(Span.RUN)
    assert window is not None
    assert window.count("allocstall*") == 250
    assert window.count("pswpin") is None  # it fell: the machine was started anew
    assert window.seconds == pytest.approx(
        (max(w.floor_ns or 0 for w in run.windows) - min(w.start_ns for w in run.windows if w.phase == "rounds")) / 1e9
    )


def test_a_run_of_this_machine_adds_to_what_is_measured_now() -> None:
    facts: dict[str, str | int] = {"thp.enabled": "always", "vm.swappiness": 10, "cgroup.app": "/sys/fs/cgroup/shop"}
    run = timeline(
        MACHINE, facts,
        system__vmstat__allocstall_normal=(100, 10_100),
        system__meminfo__MemAvailable=(12 * GIB, 9 * GIB),
        cgroup__app__memory__max=(2 * GIB, 2 * GIB),
        cgroup__app__memory__events__max=(0, 9000),
    )  # fmt: skip
    machine = with_run(host(facts={"thp.enabled": "always"}), run, (finding(Cause.THP),), "runs/x")
    assert machine.live
    assert machine.run == "runs/x"
    assert machine.changed == ("vm.swappiness was 10 when the run was recorded, and is 60 now",)
    assert machine.available_share == pytest.approx(9 / 24)
    found = {e.parameter.name: e.judgement for e in entries(machine)}
    assert (found["vm.watermark_scale_factor"].verdict, found["vm.watermark_scale_factor"].value) == (
        Verdict.CHANGE,
        "50",
    )
    assert (found["thp.enabled"].verdict, found["thp.enabled"].value) == (Verdict.CHANGE, "madvise")
    assert found["cgroup.memory.max"].verdict is Verdict.WATCH


@pytest.mark.parametrize("other", [{"node": "elsewhere"}, {"kernel": "5.10.0"}, {"memory_bytes": 48 * GIB}])
def test_a_run_of_another_machine_is_judged_by_itself(other: dict[str, str | int | None]) -> None:
    facts: dict[str, str | int] = {"vm.swappiness": 10, "vm.watermark_scale_factor": 10, "page_size": 4096}
    run = timeline({**MACHINE, **other}, facts, system__vmstat__allocstall_normal=(0, 10_000))
    machine = with_run(host(), run, (), "runs/x")
    assert not machine.live
    assert machine.facts == facts
    assert [window.span for window in machine.windows] == [Span.RUN]
    found = {e.parameter.name: e for e in entries(machine)}
    assert found["vm.page-cluster"].judgement.verdict is Verdict.UNKNOWN
    assert found["vm.page-cluster"].why_unknown == "the run did not record it"


def test_a_run_without_rounds_is_taken_as_a_whole() -> None:
    run = timeline(MACHINE, {}, system__vmstat__oom_kill=(0, 2))
    window = host_of(replace(run, windows=()), (), "").window(Span.RUN)
    assert window is not None
    assert window.count("oom_kill") == 2 + 10**6
