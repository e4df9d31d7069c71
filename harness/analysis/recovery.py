"""Finish what a killed session left: take in record lines it had not read, and say in the run that it was killed."""

from __future__ import annotations

from pathlib import Path

from harness.errors import HarnessError
from harness.model.run import RunStatus
from harness.plugins.registry import load_adapter
from harness.plugins.spec import AdapterContext
from harness.store import layout
from harness.store.intake import Intake
from harness.store.reader import read_manifest
from harness.store.writer import Recorder, is_recording


def recover(run_directory: Path) -> bool:
    """True when something had to be finished. A live run, a finished one, and one on read-only media are left alone.

    Raises RunError when the directory is not a run.
    """
    manifest = read_manifest(run_directory)
    if manifest.status is not RunStatus.RECORDING or is_recording(run_directory):
        return False
    try:
        recorder = Recorder(run_directory, existing=True)
        try:
            _finish(recorder, run_directory, manifest.runtime)
        finally:
            recorder.close()
    except HarnessError:  # a full disk, read-only media: the run is analysed as it is
        return False
    return True


def _finish(recorder: Recorder, run_directory: Path, runtime: str) -> None:
    work_dir = run_directory / layout.WORK
    if runtime != "any":
        context = AdapterContext(work_dir=work_dir, token="", options={}, tools=())
        Intake(recorder, work_dir, load_adapter(runtime).record_sources(context)).poll()
    recorder.status(
        RunStatus.INTERRUPTED, "the harness was killed while recording; everything up to then is here", None
    )
