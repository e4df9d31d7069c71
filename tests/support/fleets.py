"""Many synthetic runs with known truth: nights of several hosts and scenarios, in which one version began to leak."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from reports import MIB, SECOND, empty_report, manifest

from harness.model.finding import Cause, Confidence, Verdict
from harness.model.measure import Measure, Unit
from harness.model.report import EndpointRow, Report

DAY = 86_400 * SECOND
BEGIN = 1_790_812_800 * SECOND  # 2026-10-01, midnight UTC
SCENARIOS = ("shop", "search", "login", "report")
LEAKING, LEAKS_SINCE, LEAK_BYTES = "login", "1.5", 4096.0
CREEPING, CREEP = "search", 0.006  # of its level, a run
CONDITIONS = {"how it ended": "complete", "runtime": "python", "phases": "warmup 1, rounds 8", "pools": "app"}


def version_of(night: int, nights: int) -> str:
    """Ten versions, one after the other."""
    return f"1.{night * 10 // nights}"


def fleet(hosts: int, nights: int, *, seed: int = 3) -> Iterator[Report]:
    """A run of each scenario on each host in each night: on all hosts `LEAKING` leaks from `LEAKS_SINCE` on, and `CREEPING` needs
    a little more memory in every run. Levels differ by 1 % from run to run, latencies by a fifth."""
    rng = np.random.default_rng(seed)
    for night in range(nights):
        for host in range(hosts):
            for number, scenario in enumerate(SCENARIOS):
                yield _run(rng, f"web-{host + 1}", scenario, number, night, version_of(night, nights))


def _run(rng: np.random.Generator, host: str, scenario: str, number: int, night: int, version: str) -> Report:
    started = BEGIN + night * DAY + number * 600 * SECOND
    leaks = scenario == LEAKING and float(version.split(".")[1]) >= float(LEAKS_SINCE.split(".")[1])
    kept = (LEAK_BYTES if leaks else 0.0) + float(rng.normal(0, 20))
    level = (180 + 20 * number) * MIB * (1 + (CREEP * night if scenario == CREEPING else 0))
    floor, peak = (level * share * (1 + float(rng.normal(0, 0.01))) for share in (1.0, 1.2))
    p50, p99 = (base * float(np.exp(rng.normal(0, 0.2))) for base in (8e6, 40e6))
    cause = Cause.LEAK_OBJECTS if leaks else Cause.HEALTHY
    run = manifest(
        run_id=f"{night:04}-{scenario}",
        scenario_name=scenario,
        scenario={"name": scenario, "version": version},
        host={"node": host, "kernel": "6.1.0-31-amd64", "machine": "x86_64", "cpus": 4, "memory_bytes": 8 << 30},
        started_wall_ns=started,
        costs={"sampler_cpu_percent": 0.4 + 0.1 * float(rng.random()), "agent_us_per_request": 12.0},
    )
    empty = empty_report()
    return dataclasses.replace(
        empty,
        timeline=dataclasses.replace(empty.timeline, manifest=run),
        verdict=Verdict(cause, Confidence.HIGH, "made up"),
        overhead=run.costs,
        conditions=CONDITIONS,
        endpoints=[
            _endpoint("home", 0.0, p50, p99, rng),
            _endpoint("basket" if leaks else "list", 3 * kept if leaks else 0.0, p50, p99, rng),
        ],
        measures=[
            Measure("retained_bytes_per_request", Unit.BYTES, kept, kept - 60, kept + 60, pool="app"),
            _level("floor_pss", floor),
            _level("peak_pss", peak),
            Measure("p50", Unit.NS, p50, p50, p50),
            Measure("p99", Unit.NS, p99, p99, p99),
            Measure("errors", Unit.RATIO, 0.0, 0.0, 0.002),
        ],
    )


def _level(metric: str, value: float) -> Measure:
    return Measure(metric, Unit.BYTES, value, value, value, pool="app")


def _endpoint(name: str, kept: float, p50: float, p99: float, rng: np.random.Generator) -> EndpointRow:
    off = float(rng.normal(0, 30))
    return EndpointRow(name, 1600, 0, int(p50), int(p99), kept + off, (kept + off - 90, kept + off + 90))
