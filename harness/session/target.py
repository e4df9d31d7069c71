"""The target while a run needs it: programs started behind guards, processes attached to, and whether they are still there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import TargetError
from harness.plugins.spec import LaunchPlan
from harness.scenario.schema import AttachSpec
from harness.session.guarded import GuardedProgram
from harness.session.progress import Progress
from harness.session.pump import Pump
from harness.session.sampler_client import SamplerClient
from harness.store import layout
from harness.store.writer import Recorder
from harness.targets.attach import attached_pids
from harness.targets.ready import probe

JOB = "job"  # pool of the ``each_round`` command, the one program that is meant to end
ATTACHED = "app"  # pool of processes attached to
_READY_STEP_S = 0.1
_TAIL = 800


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, in seconds: for readiness, at each rung of the stop ladder, between two samples."""

    start_s: float = 30.0
    rung_s: float = 10.0
    interval_s: float = 1.0


@dataclass
class Target:
    """Starts, attaches, watches, stops. Everything started is in ``programs``, in order."""

    pump: Pump
    recorder: Recorder
    sampler: SamplerClient
    progress: Progress
    environ: Mapping[str, str]
    patience: Patience
    programs: list[GuardedProgram] = field(default_factory=list)
    attached: frozenset[int] = frozenset()
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="probe"))

    def spawn(self, plan: LaunchPlan) -> GuardedProgram:
        """Start a program without sampling it. Raises TargetError when it cannot be started."""
        output = self.recorder.path / layout.ARTIFACTS / f"target-{plan.name}.log"
        program = GuardedProgram(self.pump, plan, self.environ, output, self.patience.rung_s)
        self.programs.append(program)
        if not plan.measured:
            self.recorder.unmeasured_pools(sorted({p.plan.name for p in self.programs if not p.plan.measured}))
        return program

    def start(self, plan: LaunchPlan) -> GuardedProgram:
        """Start a program, sample it and what it starts, and wait until the plan's own ``ready`` answers."""
        program = self.spawn(plan)
        assert program.pid is not None
        self.sampler.follow(program.pid, plan.name)
        if plan.name != JOB:
            self.progress.step(f"started {plan.name} (pid {program.pid})")
        if plan.ready is not None:
            self.wait_ready(plan.ready)
        return program

    def attach(self, spec: AttachSpec, scenario_dir: Path) -> None:
        """Follow running processes. Raises TargetError when there are none."""
        if spec.match is not None:
            self.sampler.match(spec.match, ATTACHED)
            if not self.pump.until(lambda: bool(self.sampler.alive), 3 * self.patience.interval_s + 5):
                hint = "look at `ps -ef`; the text must be part of the command line"
                raise TargetError(f"no process matches {spec.match!r}", hint=hint)
            self.attached = frozenset(info.key.pid for info in self.sampler.alive)
        else:
            pidfile = None if spec.pidfile is None else scenario_dir / spec.pidfile
            self.attached = attached_pids(port=spec.port, pid=spec.pid, pidfile=pidfile)
            for pid in self.attached:
                self.sampler.follow(pid, ATTACHED)
        self.progress.step(f"attached to pid {', '.join(map(str, sorted(self.attached)))}")

    def wait_ready(self, url: str) -> None:
        """Probe until ``url`` answers. Raises TargetError when a program ends meanwhile, or when time is up."""
        deadline = time.monotonic() + self.patience.start_s
        self.progress.live(f"waiting for {url}")
        while True:
            future = self._threads.submit(probe, url)
            self.pump.until(future.done)
            why = future.result()
            self.check()
            if why is None:
                return
            if time.monotonic() >= deadline:
                said = next((tail for p in self.programs if (tail := p.tail())), "")
                hint = (
                    f"its last output:\n{said[-_TAIL:]}" if said else "is the address right, and does it listen there?"
                )
                within = f"{self.patience.start_s:g} s"
                raise TargetError(f"the target did not become ready at {url} within {within}: {why}", hint=hint)
            self.pump.until(lambda: False, _READY_STEP_S)

    def check(self) -> None:
        """Raise TargetError when something that should be running is not."""
        for program in self.programs:
            if not program.running and not program.stopping and program.plan.name != JOB:
                program.stopping = True
                hint = f"its last output:\n{program.tail()[-_TAIL:]}"
                raise TargetError(f"{program.describe_end()} while it was needed", hint=hint)
        if self.attached:
            alive = {info.key.pid for info in self.sampler.alive}
            if self.sampler.gone_pids & self.attached and not alive & self.attached:
                raise TargetError("the process attached to is gone", hint="it ended or was killed during the run")

    def hurry(self) -> None:
        """Move every stop ladder to its next rung."""
        for program in self.programs:
            program.ask_to_stop()

    def close(self) -> None:
        """Do not wait for a probe that hangs."""
        self._threads.shutdown(wait=False, cancel_futures=True)
