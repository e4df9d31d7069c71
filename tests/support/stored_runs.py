"""A run in memory as one on disk, as the session would have stored it."""

from __future__ import annotations

from pathlib import Path

from harness.model.event import Missing
from harness.model.process import ProcessKey
from harness.model.profile import Artifact, ArtifactStatus
from harness.model.run import RawRun
from harness.store.layout import new_run_directory
from harness.store.writer import Recorder


def record(raw: RawRun, parent: Path) -> Path:
    """Store a run as the session would."""
    run_dir = new_run_directory(parent, "20260101-000000", "test")
    recorder = Recorder(run_dir)
    recorder.manifest(raw.manifest)
    for anchor in raw.anchors:
        recorder.anchor(anchor)
    for window in raw.windows:
        recorder.open_window(window)
    for info in raw.processes:
        recorder.process(info)
    sweeps: dict[int, list[tuple[str, ProcessKey | None, int]]] = {}
    for (metric, key), series in raw.series.items():
        for t_ns, value in zip(series.t_ns.tolist(), series.values.tolist(), strict=True):
            sweeps.setdefault(t_ns, []).append((metric, key, value))
    for t_ns, rows in sorted(sweeps.items()):
        recorder.samples(t_ns, rows)
    recorder.spans(raw.spans)
    recorder.records("records/a", 1, raw.records)
    recorder.missing(Missing("system.slab", "root only", "kernel slabs are not broken down"))
    recorder.artifact(Artifact("xdebug", "php", None, ArtifactStatus.MISSING, None, "home", None, 1, None, "no header"))
    recorder.close()
    return run_dir
