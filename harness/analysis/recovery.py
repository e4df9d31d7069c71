"""Finish what a killed session left: take in record lines it had not read, and say in the run that it was killed, and up to when
records of other hosts have arrived."""

from __future__ import annotations

import time
from pathlib import Path

from harness.errors import HarnessError
from harness.model.event import Missing
from harness.model.host import LOCAL
from harness.model.process import ProcessInfo
from harness.model.run import RunManifest, RunStatus
from harness.plugins.registry import load_adapter
from harness.plugins.spec import AdapterContext, Away, LanguageAdapter
from harness.store import layout
from harness.store.afar import Arrived, arrived_in, by_our_clock
from harness.store.intake import Intake
from harness.store.lives import InsidePids
from harness.store.reader import read_latest, read_manifest, read_processes
from harness.store.writer import Recorder, is_recording

_UNKNOWN = "the harness was killed, and up to when what agents recorded there is here is not known"
_COSTS = "that no request was recorded there after it does not mean that there was none"
_COSTS_OF_SAMPLES = "what happened there after it is not known"


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
            _finish(recorder, run_directory, manifest)
        finally:
            recorder.close()
    except HarnessError:  # a full disk, read-only media: the run is analysed as it is
        return False
    return True


def _finish(recorder: Recorder, run_directory: Path, manifest: RunManifest) -> None:
    if manifest.runtime != "any":
        adapter = load_adapter(manifest.runtime)
        work_dir = run_directory / layout.WORK
        context = AdapterContext(work_dir=work_dir, token="", options={}, tools=())
        Intake(recorder, work_dir, adapter.record_sources(context)).poll()
        processes = read_processes(run_directory)
        for directory, arrived in arrived_in(run_directory):
            why = _UNKNOWN
            if arrived is not None:
                _take_in(recorder, adapter, manifest, directory, arrived, processes)
                why = _in_words(arrived, manifest)
            recorder.missing(Missing(f"agent.records on {directory.name}", why, _COSTS))
    _tell_of_samples(recorder, run_directory, manifest)
    recorder.status(
        RunStatus.INTERRUPTED, "the harness was killed while recording; everything up to then is here", None
    )


def _tell_of_samples(recorder: Recorder, run_directory: Path, manifest: RunManifest) -> None:
    """Of each other host: its line may have been down for a while."""
    others = [host for host in manifest.hosts if host.place != LOCAL]
    latest = read_latest(run_directory) if others else {}
    for host in others:
        t_ns = latest.get("sampler" if host.first else f"sampler.{host.name}")
        what = "none is here" if t_ns is None else f"the last one here is of {_moment(t_ns, manifest)}"
        recorder.missing(Missing(f"samples of {host.name}", f"the harness was killed: {what}", _COSTS_OF_SAMPLES))


def _take_in(
    recorder: Recorder, adapter: LanguageAdapter, manifest: RunManifest, directory: Path, arrived: Arrived,
    processes: list[tuple[ProcessInfo, int | None]],
) -> None:  # fmt: skip
    """What had arrived from a place, and had not been read."""
    offsets = [host.offset_ns for host in manifest.hosts if host.name == arrived.host]
    if not offsets:
        return
    away = Away(arrived.host, offsets[0], lambda *_: (), lambda _: None)
    pids = InsidePids(list, lambda _: None)
    for info, inner in processes:
        called = inner if arrived.contained else info.key.pid
        if (
            info.key.host == arrived.host
            and called is not None
            and (not arrived.contained or info.pool == arrived.place)
        ):
            pids.add(info, called)
    context = AdapterContext(work_dir=directory, token="", options={}, tools=(), outside_pid=pids.outside, away=away)
    sources = [by_our_clock(source, away) for source in adapter.record_sources(context) if source.follow is None]
    intake = Intake(recorder, directory, sources, pids.placed, arrived.place, manifest.started_ns)
    intake.drain()


def _in_words(arrived: Arrived, manifest: RunManifest) -> str:
    after = f"only in {arrived.where} on {arrived.host}" if arrived.stays else "lost"
    if arrived.until_ns is None:
        return (
            f"the harness was killed before it was known that anything was here of what agents recorded on {arrived.place}: "
            f"that is {after}"
        )
    return (
        f"the harness was killed: what agents recorded on {arrived.place} is here up to {_moment(arrived.until_ns, manifest)}; "
        f"what they recorded after it, if anything, is {after}"
    )


def _moment(t_ns: int, manifest: RunManifest) -> str:
    """In words, and not later than it was."""
    since_ns = t_ns - manifest.started_ns
    moment = time.gmtime((manifest.started_wall_ns + since_ns) // 10**9)
    return f"{since_ns // 10**8 / 10:.1f} s after the start ({time.strftime('%Y-%m-%d %H:%M:%S', moment)} UTC)"
