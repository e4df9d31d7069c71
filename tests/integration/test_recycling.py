"""Restart policies simulated on a run without replacement, against gunicorn that really replaces its workers."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from processes import free_port, harness

from harness.analysis.pipeline import analyse
from harness.correlate.build import correlate
from harness.diagnose.pool import PoolView, pools_of
from harness.diagnose.recycling import curve_of, recycling_of, simulate
from harness.model.process import Role
from harness.model.span import PhaseName
from harness.model.timeline import Timeline
from harness.store.reader import read_run

pytestmark = pytest.mark.integration
PROGRAMS = Path(__file__).parents[1] / "programs"
WORKERS, LIFE, JITTER = 3, 250, 50
KEPT = 120_000
OURS = """\
rules:
  - {id: call-the-team, causes: [leak, leak.objects, leak.native], priority: 0, action: Call the team., expected: e, risk: r,
     verify: v, because: "{growth}"}
"""


def run(directory: Path, load: dict[str, object], *options: str) -> tuple[Path, Timeline]:
    directory.mkdir()
    port = free_port()
    command = f"{sys.executable} -m gunicorn python_keeping_app:application -w {WORKERS} -b 127.0.0.1:{port} {' '.join(options)}"
    scenario = {
        "name": "recycling",
        "target": {"runtime": "python", "launch": command, "ready": f"http://127.0.0.1:{port}/", "cwd": str(PROGRAMS)},
        "requests": [{"name": "keep", "get": "/"}],
        "load": {"blocks": 1, "settle": "50ms", "warmup_rounds": 1, "concurrency": 4, **load},
        "sample": {"interval": "100ms", "budget": "20%", "heaps": False},
        "profile": "none",
        "prescriptions": ["our-rules"],
    }
    (directory / "scenario.yaml").write_text(json.dumps(scenario))
    (directory / "our-rules").mkdir()
    (directory / "our-rules" / "ours.yaml").write_text(OURS)
    with harness("run", "scenario.yaml", cwd=directory) as started:
        code, out, err = started.finish()
    assert code == 0, f"{out}\n{err}"
    run_directory = Path(out.splitlines()[-1])
    return run_directory, correlate(read_run(run_directory))


def application(timeline: Timeline) -> PoolView:
    (pool,) = pools_of(timeline)
    return pool


def sums(timeline: Timeline) -> list[int]:
    """Private memory of master and workers together at each sweep of the measured rounds. While a worker is away, what it shared
    with the others counts more in each of these: only the sum of all says how much there is."""
    rounds = [w for w in timeline.windows if w.phase is PhaseName.ROUNDS]
    first, last = min(w.start_ns for w in rounds), max(w.end_ns or 0 for w in rounds)
    by_sweep: dict[int, int] = {}
    for worker in timeline.workers:
        series = timeline.series.get(("process.memory.pss_anon", worker.info.key))
        if series is not None and worker.role is not Role.HELPER:
            for t_ns, value in zip(series.t_ns.tolist(), series.values.tolist(), strict=True):
                if first <= t_ns <= last:
                    by_sweep[t_ns] = by_sweep.get(t_ns, 0) + value
    return list(by_sweep.values())


def of_master(timeline: Timeline) -> float:
    """Its private memory in the measured rounds, median."""
    (master,) = [w.info.key for w in timeline.workers if w.role is Role.MASTER]
    return float(np.median(timeline.series["process.memory.pss_anon", master].values))


@pytest.mark.timeout(240)
def test_the_predicted_peak_is_the_real_one(tmp_path: Path) -> None:
    directory, unlimited = run(tmp_path / "unlimited", {"rounds": 7, "requests_per_round": 150})
    pool = application(unlimited)
    curve = curve_of(pool)
    assert curve is not None
    assert curve.slope == pytest.approx(KEPT, rel=0.15)

    requests = 2400
    _, recycled = run(
        tmp_path / "recycled",
        {"rounds": 8, "requests_per_round": requests // 8},
        "--max-requests", str(LIFE), "--max-requests-jitter", str(JITTER),
    )  # fmt: skip
    lives = [w for w in recycled.workers if w.role is Role.WORKER]
    assert len(lives) >= WORKERS + 6  # several generations
    measured = max(sums(recycled))
    predicted = simulate(curve, WORKERS, requests, LIFE, JITTER).peak + of_master(unlimited)
    assert predicted == pytest.approx(measured, rel=0.15)

    # what is proposed for it, and what the report says of that
    row = recycling_of(pool)
    assert row is not None
    assert row.chosen is not None
    report = json.loads((directory / "report.json").read_text())
    (told,) = report["recycling"]
    assert told["policies"][told["chosen"]]["requests"] == row.policies[row.chosen].requests
    advice = {p["id"]: p for finding in report["findings"] for p in finding["prescriptions"]}["recycle-gunicorn"]
    assert f"--max-requests {row.policies[row.chosen].requests} " in advice["command"]
    assert "GUNICORN_CMD_ARGS" in advice["change"]

    # the rules that the scenario names came first, and the run has kept them
    assert report["findings"][0]["prescriptions"][0]["id"] == "call-the-team"
    (tmp_path / "unlimited" / "our-rules" / "ours.yaml").unlink()
    again = analyse(directory)
    assert again.findings[0].prescriptions[0].id == "call-the-team"
