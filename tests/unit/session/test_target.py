"""What is done to processes of this machine is not done to those of another host that have the same ids."""

from __future__ import annotations

import io
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from timelines import process

from harness.errors import TargetError
from harness.model.process import ProcessInfo, ProcessKey
from harness.plugins.spec import LaunchPlan
from harness.session.progress import Progress
from harness.session.pump import Child, Pump
from harness.session.quietness import of_this_machine
from harness.session.sampler_client import SamplerClient
from harness.session.target import JOB, Patience, Target
from harness.store import layout
from harness.store.writer import Recorder
from harness.targets.quiet import start_ticks


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "300"]) as sleeping:
        yield sleeping
        sleeping.kill()


def known_as(sleeping: subprocess.Popen[bytes], host: str) -> ProcessInfo:
    return replace(process(1), key=ProcessKey(host, sleeping.pid, start_ticks(sleeping.pid) or 0), pool=JOB)


@pytest.mark.parametrize("host", ["", "web-1"])
def test_a_process_of_another_host_is_not_ended_here(
    tmp_path: Path, bystander: subprocess.Popen[bytes], host: str
) -> None:
    """The guard of a job is killed: what the sampler knows of its pool is ended by its ids."""
    (tmp_path / layout.ARTIFACTS).mkdir()
    sampler = cast("SamplerClient", SimpleNamespace(alive=[known_as(bystander, host)]))
    with Pump(lambda: None) as pump:
        recorder = Recorder(tmp_path)
        target = Target(pump, recorder, sampler, Progress(io.StringIO()), dict(os.environ), Patience(rung_s=5))
        job = target.spawn(LaunchPlan(JOB, ("sleep", "300"), measured=True), finite=True)
        guard = job._child
        assert isinstance(guard, Child)
        os.kill(guard.process.pid, signal.SIGKILL)
        with pytest.raises(TargetError, match="was killed"):
            pump.until(lambda: False, 20)
        pump.shield()
        job.stop()
        recorder.close()
    if not host:
        assert bystander.wait(20) == -signal.SIGKILL
    assert (bystander.poll() is None) == bool(host)


def test_only_processes_of_this_machine_are_looked_at_here() -> None:
    assert of_this_machine([process(7), process(8, host="web-1"), process(9)]) == [7, 9]
