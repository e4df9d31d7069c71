"""The target while a run needs it: programs started behind guards, processes attached to, and whether they are still there."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from harness.errors import TargetError
from harness.model.event import Missing
from harness.model.process import ProcessInfo, ProcessKey
from harness.plugins.spec import LaunchPlan
from harness.scenario.target import AttachSpec
from harness.session.background import in_background
from harness.session.guarded import GuardedProgram
from harness.session.hosts.containers import Contained, Containers
from harness.session.hosts.remote import RemoteHost
from harness.session.progress import Progress
from harness.session.pump import Pump
from harness.session.sampler_client import SamplerClient
from harness.store import layout
from harness.store.writer import Recorder
from harness.targets import own_cgroup
from harness.targets.attach import Attachment, attached_pids
from harness.targets.launch import LADDER, Ladder
from harness.targets.ready import probe, without_secrets

JOB = "job"  # pool of the ``each_round`` command, the one program that is meant to end
ATTACHED = "app"  # pool of processes attached to
_READY_STEP_S = 0.1
_SEEN_S = 20.0  # a sampler on another host may be long in coming
_PROBE_S = 5.0  # one probe may always take this long
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
    own_cgroup: bool = False  # give launched programs a memory cgroup of their own, where permitted
    host: RemoteHost | None = None  # where programs are started; None: here
    here: SamplerClient | None = None  # who samples this machine; None where nothing of the target is on it
    programs: list[GuardedProgram] = field(default_factory=list)
    attached: tuple[Attachment, ...] = ()
    unmeasured: set[str] = field(default_factory=set)
    containers: Containers | None = None
    _attached_seen: bool = False

    def spawn(self, plan: LaunchPlan, *, finite: bool = False, ladder: Ladder = LADDER) -> GuardedProgram:
        """Start a program without sampling it; ``finite``: it is meant to end; ``ladder``: what ends it. Raises
        TargetError when it cannot be started."""
        output = self.recorder.path / layout.ARTIFACTS / f"target-{plan.name}.log"
        program = GuardedProgram(
            self.pump, plan, self.environ, output, self.patience.rung_s, finite=finite, kin=lambda: self._kin(plan.name),
            cgroup=f"{self.recorder.path.name}-{plan.name}" if self.own_cgroup and plan.measured else None, ladder=ladder,
            elsewhere=None if self._is_here(plan) or self.host is None else self.host.guard(plan, output),
        )  # fmt: skip
        self.programs.append(program)  # before anything can go wrong, so that clean-up finds it
        program.begin()
        self._note_cgroup(program)
        if not plan.measured:
            self.unmeasured.add(plan.name)
            self.recorder.unmeasured_pools(sorted(self.unmeasured))
        return program

    def _note_cgroup(self, program: GuardedProgram) -> None:
        if program.cgroup is not None:
            self.recorder.facts({f"cgroup.{program.plan.name}": str(program.cgroup.path)})
        elif program.without_cgroup:
            self.recorder.missing(Missing(own_cgroup.SIGNAL, program.without_cgroup, own_cgroup.COSTS))

    def _is_here(self, plan: LaunchPlan) -> bool:
        """Programs of the target are started on its host, the ``each_round`` command where the run is recorded."""
        return self.host is None or plan.name == JOB

    def _kin(self, pool: str) -> list[ProcessKey]:
        """On this machine: they are ended by their ids."""
        return [info.key for info in self.sampler.alive if info.pool == pool and not info.key.host]

    def start(self, plan: LaunchPlan) -> GuardedProgram:
        """Start a program, sample it and what it starts, and wait until the plan's own ``ready`` answers."""
        program = self.spawn(plan, finite=plan.name == JOB)
        assert program.pid is not None
        client = self.here if self._is_here(plan) else self.sampler
        if client is not None:  # a job is fed from here, also to another host
            client.follow(program.pid, plan.name)
        if plan.name != JOB:
            self.progress.step(f"started {plan.name} (pid {program.pid})")
        if plan.ready is not None:
            self.wait_ready(plan.ready)
        return program

    def attach(self, attachments: Sequence[Attachment], *, measured: bool = True) -> None:
        """Follow running processes of this machine. Raises TargetError when none of them is there."""
        assert self.here is not None
        self.attached = tuple(attachments)
        for attachment in self.attached:
            if attachment.pid is not None:
                self.here.follow(attachment.pid, attachment.pool)
            elif attachment.match is not None:
                self.here.match(attachment.match, attachment.pool)
        if not measured:
            self._only_watch(*{attachment.pool for attachment in self.attached})
        if not self.pump.until(self._attached_alive, 3 * self.patience.interval_s + 5):
            texts = ", ".join(repr(a.match) for a in self.attached if a.match is not None)
            if texts:
                hint = "look at `ps -ef`; the text must be part of the command line"
                raise TargetError(f"no process matches {texts}", hint=hint)
            raise TargetError("the process to attach to has just ended", hint="is the service restarting? try again")
        self._attached_seen = True
        pids = [a.pid for a in self.attached if a.pid is not None] or [info.key.pid for info in self.sampler.alive]
        self.progress.step(f"attached to pid {', '.join(map(str, sorted(pids)))}")

    def _only_watch(self, *pools: str) -> None:
        self.unmeasured.update(pools)
        self.recorder.unmeasured_pools(sorted(self.unmeasured))

    def attach_elsewhere(self, places: Sequence[tuple[RemoteHost, SamplerClient]], attach: AttachSpec | None) -> None:
        """Follow running processes on other hosts; ``attach`` is for those that have none of their own. Raises TargetError."""
        for host, client in places:
            wanted = host.spec.watched(attach)
            assert wanted is not None  # the scenario was checked
            found = host.attachments(wanted)
            self.attached += found
            for attachment in found:
                if attachment.pid is not None:
                    client.follow(attachment.pid, attachment.pool)
                elif attachment.match is not None:
                    client.match(attachment.match, attachment.pool)
        self._only_watch(*(host.spec.label for host, _ in places if not host.spec.measured))
        for host, _ in places:
            seen = partial(self._pool_alive, host.spec.label)
            if not self.pump.until(seen, 3 * self.patience.interval_s + _SEEN_S):
                raise TargetError(
                    f"no process on {host.spec.label} is what the scenario means",
                    hint="look at `ps -ef` there; the text must be part of the command line",
                )
        self._attached_seen = True
        self.progress.step(f"attached to processes on {', '.join(host.spec.label for host, _ in places)}")

    def measured(self) -> list[ProcessInfo]:
        """Living processes of the application."""
        return [info for info in self.sampler.alive if info.pool not in self.unmeasured]

    def _pool_alive(self, pool: str) -> bool:
        return any(info.pool == pool for info in self.sampler.alive)

    def contain(self, containers: Containers, targets: Sequence[Contained]) -> None:
        """Follow containers that run. Raises TargetError when one does not."""
        containers.begin(targets)
        self.containers = containers
        if containers.unmeasured:
            self._only_watch(*containers.unmeasured)
        for each in targets:
            seen = partial(self._pool_alive, each.pool)
            if not self.pump.until(seen, 3 * self.patience.interval_s + _SEEN_S):
                raise TargetError(
                    f"no process of the container {each.spec.name} can be seen",
                    hint="has it just ended? `docker ps -a` tells",
                )

    def _attached_alive(self) -> bool:
        """Whether any of what was attached to is there: the process itself, or any process that matched."""
        alive = {(info.pool, info.key.pid) for info in self.sampler.alive}
        pools = {pool for pool, _ in alive}
        return any(a.pool in pools if a.pid is None else (a.pool, a.pid) in alive for a in self.attached)

    def expect_free(self, url: str) -> None:
        """Before a launch: whoever answered at ``url`` already would be mistaken for the target. Raises TargetError."""
        parts = urlsplit(url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        place = f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
        if probe(f"tcp://{place}") is None:
            hint = "stop it, or change the port in the command and in target.ready"
            raise TargetError(f"something else listens on {place} already", hint=hint)

    def wait_ready(self, url: str) -> None:
        """Probe until ``url`` answers. Raises TargetError when a program ends meanwhile, or when time is up."""
        deadline = time.monotonic() + self.patience.start_s
        shown = without_secrets(url)
        self.progress.live(f"waiting for {shown}")
        while True:
            future = in_background(probe, url)
            answered = self.pump.until(future.done, max(_PROBE_S, deadline - time.monotonic()))
            why = future.result() if answered else "it accepts the connection, and then answers too slowly"
            self.check()
            if why is None:
                return
            if time.monotonic() >= deadline:
                said = next((tail for p in self.programs if (tail := p.tail())), "")
                hint = (
                    f"its last output:\n{said[-_TAIL:]}" if said else "is the address right, and does it listen there?"
                )
                within = f"{self.patience.start_s:g} s"
                raise TargetError(f"the target did not become ready at {shown} within {within}: {why}", hint=hint)
            self.pump.until(lambda: False, _READY_STEP_S)

    def check(self) -> None:
        """Raise TargetError when something that should be running is not."""
        for program in self.programs:
            if not program.running and not program.stopping and not program.finite:
                program.stopping = True
                hint = f"its last output:\n{program.tail()[-_TAIL:]}"
                raise TargetError(f"{program.describe_end()} while it was needed", hint=hint)
        if self.containers is not None:
            self.containers.check()
        if self._attached_seen and not self._attached_alive():
            raise TargetError("the process attached to is gone", hint="it ended or was killed during the run")

    def hurry(self) -> None:
        """Move every stop ladder to its next rung."""
        for program in self.programs:
            program.ask_to_stop()


def attachments_of(spec: AttachSpec, scenario_dir: Path, pool: str = ATTACHED) -> tuple[Attachment, ...]:
    """What a scenario's ``attach:`` means right now on this machine. Raises TargetError when there is no such process."""
    if spec.match is not None:
        return (Attachment(pool, match=spec.match),)
    pidfile = None if spec.pidfile is None else scenario_dir / spec.pidfile
    pids = attached_pids(port=spec.port, pid=spec.pid, pidfile=pidfile)
    return tuple(Attachment(pool, pid=pid) for pid in sorted(pids))
