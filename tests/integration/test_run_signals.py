"""Whole runs: what the sampler finds out about the target arrives in the run, joined to its processes."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from processes import free_port, harness

from harness.model.metric import describe
from harness.model.run import RawRun, Series
from harness.store.reader import read_run

pytestmark = pytest.mark.integration

SERVER = Path(__file__).parents[1] / "programs" / "plain_server.py"
MIB = 1 << 20

PHP_WORKER = """<?php
// Grows within each round and gives it all back, too fast for sweeps to see.
for ($n = 0; $n < 400; $n++) {
    $block = str_repeat('x', 8 << 20);
    usleep(500);
    unset($block);
    usleep(500);
}
"""


def record(directory: Path, **scenario: object) -> tuple[RawRun, dict[str, object]]:
    """Run a scenario that must succeed; the run as recorded, and its report."""
    (directory / "scenario.yaml").write_text(json.dumps({"name": "signals", **scenario}))
    with harness("run", "scenario.yaml", cwd=directory) as run:
        code, out, err = run.finish()
        run.assert_nothing_left()
    assert code == 0, err
    path = Path(out.splitlines()[-1])
    return read_run(path), json.loads((path / "report.json").read_text())


def series(raw: RawRun, metric: str) -> list[Series]:
    return [s for (name, _), s in raw.series.items() if name == metric]


def test_a_launched_server_is_seen_from_all_sides(tmp_path: Path) -> None:
    assert os.geteuid() == 0, "a cgroup of its own needs root, and CI runs as root"
    port = free_port()
    target = {
        "runtime": "any",
        "launch": f"{sys.executable} {SERVER} {port}",
        "ready": f"http://127.0.0.1:{port}/ok",
    }
    load = {"rounds": 7, "requests_per_round": 40, "blocks": 2, "warmup_rounds": 1, "settle": "20ms"}
    raw, report = record(
        tmp_path, target=target, requests=[{"name": "ok", "get": "/ok"}], load=load, sample={"interval": "200ms"}
    )
    group = raw.manifest.facts["cgroup.app"]
    assert isinstance(group, str)
    assert not Path(group).exists(), "removed when the target had ended"
    current, anon = series(raw, "cgroup.app.memory.current"), series(raw, "cgroup.app.memory.stat.anon")
    (pss,) = series(raw, "process.memory.pss_anon")
    assert current[0].values.size
    assert abs(int(anon[0].values[-1]) - int(pss.values[-1])) < MIB, "the kernel's account and the page tables agree"
    assert raw.manifest.facts["kernel.release"] == os.uname().release
    runtimes = {e.attributes["runtime"] for e in raw.events if e.kind == "process.runtime"}
    assert runtimes >= {"python", "glibc", "native"}
    (live,) = series(raw, "runtime.python.pymalloc.live")
    rounds = [w for w in raw.windows if w.phase == "rounds" and w.block is None]
    assert set(live.t_ns.tolist()) >= {w.floor_ns for w in rounds}
    assert {c.t_ns for c in raw.object_counts} == {rounds[0].floor_ns, rounds[-1].floor_ns}
    assert any(c.type == "dict" and c.count > 100 for c in raw.object_counts)
    for name, _ in raw.series:
        describe(name)  # every name that was recorded is one that reports understand
    overhead = report["overhead"]
    assert isinstance(overhead, dict)
    assert overhead["sampler_ticks_planned"] == overhead["sampler_ticks_taken"] + overhead["sampler_missed_ticks"]
    assert overhead["sampler_longest_stall_ms"] > 0
    workers = report["workers"]
    assert isinstance(workers, list)
    assert all(w["longest_stall_ms"] > 0 for w in workers)
    ended = [e for e in raw.events if e.kind == "process.exit"]
    assert all("signal" in e.attributes or "code" in e.attributes for e in ended)


def test_a_php_heap_is_followed_between_sweeps(tmp_path: Path) -> None:
    php = shutil.which("php")
    assert php is not None
    (tmp_path / "worker.php").write_text(PHP_WORKER)
    raw, _ = record(
        tmp_path,
        target={"runtime": "any"},
        load={"each_round": f"{php} -n worker.php", "rounds": 7, "warmup_rounds": 1},
        sample={"interval": "100ms", "fast": "1ms"},
    )
    peaks = [int(s.values.max()) for s in series(raw, "runtime.php.heap.fast.size")]
    assert peaks
    assert max(peaks) > 8 * MIB
    changes = max(s.values.size for s in series(raw, "runtime.php.heap.fast.size"))
    sweeps = max(s.values.size for s in series(raw, "runtime.php.heap.size"))
    assert changes > 5 * sweeps, "most of what happens in a request happens between two sweeps"


def test_without_a_cgroup_and_without_looking_inside(tmp_path: Path) -> None:
    port = free_port()
    target = {
        "runtime": "any",
        "launch": f"{sys.executable} {SERVER} {port}",
        "ready": f"http://127.0.0.1:{port}/ok",
    }
    load = {"rounds": 7, "requests_per_round": 20, "blocks": 1, "warmup_rounds": 1, "settle": "20ms"}
    raw, _ = record(
        tmp_path,
        target=target,
        requests=[{"name": "ok", "get": "/ok"}],
        load=load,
        sample={"interval": "200ms", "heaps": False, "own_cgroup": False},
    )
    assert "cgroup.app" not in raw.manifest.facts
    assert not series(raw, "cgroup.app.memory.current"), "the session's group is not the target's"
    assert [m for m in raw.missing if m.signal == "cgroup.memory"]
    assert not [name for name, _ in raw.series if name.startswith("runtime.")]
    assert raw.object_counts == []
