"""Record one run: preflight, launch, warm-up, rounds, probes, profiled pass, cool-down, seal.

Whatever goes wrong after the run directory exists, what was recorded is sealed with the reason in its status, everything
started is stopped, and the error is returned beside the directory.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from harness import __version__
from harness.clock import Clock, SystemClock
from harness.errors import EXIT_INTERRUPTED, EXIT_OK, GuardRailError, HarnessError, TargetError, UsageError
from harness.model.event import PROBE_COLLECT_AGAIN, Anchor, Event, Missing, Window
from harness.model.process import ProcessInfo
from harness.model.run import RunManifest, RunStatus
from harness.model.span import PhaseName
from harness.plugins.registry import load_adapter
from harness.plugins.spec import (
    AdapterContext,
    CheckLevel,
    EntryState,
    LanguageAdapter,
    LaunchPlan,
    Prepared,
    RecordSource,
    Stage,
)
from harness.sampling.protocol import Depth
from harness.scenario.schema import CommandLoad, EachRoundLoad, EngineLoad, LocustfileLoad, ObserveLoad, Scenario
from harness.scenario.shape import LINE_TOOLS
from harness.scenario.variables import resolve
from harness.session import compiling, guardrails
from harness.session.auto import Auto
from harness.session.background import in_background
from harness.session.containers import Containers, options_in, pools_of
from harness.session.floors import Floors
from harness.session.guarded import GuardedProgram
from harness.session.host import host_facts
from harness.session.inside import AgentDirectory, InsidePids
from harness.session.live.traffic import traffic_of
from harness.session.load_client import LoadClient
from harness.session.load_hosts import launches
from harness.session.profiled import ProfiledPass
from harness.session.profiled_commands import Feeding, ProfiledCommands
from harness.session.progress import Progress
from harness.session.pump import Interrupted, Pump
from harness.session.remote import RemoteHost, remote_hosts
from harness.session.sampler_client import SamplerClient, TickView
from harness.session.target import Patience, Target, attachments_of
from harness.session.workload import Feed, Jobs, Rounds, Shaped, Watch, Workload
from harness.store import layout
from harness.store.intake import Intake
from harness.store.unrecorded import NoRecorder
from harness.store.writer import Recorder, RecordingError
from harness.targets.attach import Attachment

_ANCHOR_EVERY_S = 60.0
_COOLDOWN_S = 2.0
_PREPARED_SOON_S = 2.0
_NO_AGENT_INSIDE = (
    "nothing was written into the agent's directory: was the container started with it mounted, and with the variables "
    "of agent.env?"
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How recording ended. ``exit_code`` speaks of the recording only; expectations are judged by the caller."""

    run_directory: Path | None  # None: nothing was to be written
    status: RunStatus
    exit_code: int
    error: HarnessError | None


@dataclass(frozen=True, slots=True)
class Request:
    """What to record and where to.

    ``output``: None = look, and write nothing. ``attachments``: what the scenario's ``attach`` was found to mean, empty = find
    out. ``observers`` see every sweep after it was recorded.
    """

    scenario: Scenario
    scenario_path: Path
    output: Path | None
    environ: Mapping[str, str]
    attachments: tuple[Attachment, ...] = ()
    observers: tuple[Callable[[TickView], None], ...] = ()


def record(request: Request, progress: Progress, clock: Clock | None = None) -> Outcome:
    """Record a run. Raises UsageError when not even a run directory can be made."""
    clock = clock or SystemClock()
    runtime = request.scenario.runtime
    elsewhere = request.scenario.target is not None and bool(request.scenario.target.elsewhere)
    if elsewhere and request.scenario.profile.tools:
        raise UsageError(
            "profile: profilers run on this machine only",
            hint="write profile: none; processes on other hosts are looked into from outside",
        )
    adapter = None if runtime == "any" or elsewhere else load_adapter(runtime)
    tools = chosen_tools(request.scenario, adapter)
    compiling.load_engine(request.scenario)
    endpoints = compiling.profiled_endpoints(request.scenario)
    agents = _agent_directory(request.scenario)
    directory, recorder = _place(request, clock)
    session = _Session(request, directory, recorder, progress, clock, adapter, tools, endpoints, agents)
    return session.execute()


def _agent_directory(scenario: Scenario) -> AgentDirectory | None:
    """Of the container whose program was started with an agent. Raises UsageError when it cannot be used."""
    specs = () if scenario.target is None else scenario.target.in_containers
    path = next((spec.agent for spec in specs if spec.agent is not None), None)
    return None if path is None else AgentDirectory.open(scenario.resolve_path(path))


def _place(request: Request, clock: Clock) -> tuple[Path, Recorder]:
    """The run's directory, new, and its recorder."""
    if request.output is None:
        return Path(os.devnull), NoRecorder()
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(clock.wall_ns() / 1e9))
    try:
        directory = layout.new_run_directory(request.output, stamp, request.scenario.name)
        return directory, Recorder(directory)
    except (OSError, RecordingError) as error:
        raise UsageError(f"cannot create a run in {request.output}: {getattr(error, 'strerror', None) or error}",
                         hint="choose another directory with --out") from error  # fmt: skip


def watched_functions(scenario: Scenario) -> tuple[str, ...]:
    """The functions to watch line by line: under ``profile``, and among the runtime's options."""
    options = {} if scenario.target is None else scenario.target.adapter_options
    return tuple(dict.fromkeys((*scenario.profile.functions, *options.get("functions", ()))))


def watching_tools(scenario: Scenario, adapter: LanguageAdapter) -> tuple[str, ...]:
    """Those that watch functions, where the scenario names some."""
    return tuple(tool for tool in LINE_TOOLS if tool in adapter.tools) if watched_functions(scenario) else ()


def chosen_tools(scenario: Scenario, adapter: LanguageAdapter | None) -> tuple[str, ...]:
    """The profilers to use, or with ``profile: auto`` to choose from. Raises UsageError for one this runtime does not offer."""
    asked = scenario.profile.tools
    if adapter is None:
        if asked:
            raise UsageError(
                "profile: needs target.runtime", hint="set target.runtime to python or php, or profile: none"
            )
        return ()
    if asked is None:
        return tuple(dict.fromkeys((*adapter.auto_tools, *watching_tools(scenario, adapter))))
    unknown = [tool for tool in asked if tool not in adapter.tools]
    if unknown:
        offered = ", ".join(adapter.tools)
        raise UsageError(
            f"profile: the {adapter.name} adapter has no tool {unknown[0]!r}", hint=f"it offers: {offered}"
        )
    return tuple(asked)


class _Session:
    """The story of one run, in order. State is what several of its chapters need."""

    def __init__(
        self, request: Request, directory: Path, recorder: Recorder, progress: Progress, clock: Clock,
        adapter: LanguageAdapter | None, tools: tuple[str, ...], endpoints: tuple[str, ...],
        agent_directory: AgentDirectory | None,
    ) -> None:  # fmt: skip
        self.request = request
        self.scenario = request.scenario
        self.directory = directory
        self.recorder = recorder
        self.progress = progress
        self.clock = clock
        self.adapter = adapter
        self.tools = tools
        self.endpoints = endpoints
        self.target: Target | None = None
        self.sampler: SamplerClient | None = None
        self.hosts: tuple[RemoteHost, ...] = ()
        self.load: LoadClient | None = None
        self.limits = compiling.limits(self.scenario)
        self.agent_directory = agent_directory
        self.inside = None if self.agent_directory is None else InsidePids(self._with_agent)
        self.context = self._context()
        place = None if self.inside is None else self.inside.placed
        self.intake = Intake(recorder, self.context.work_dir, self._record_sources(), place)
        self.pump = Pump(self._periodic)
        self.floors = Floors(self.pump, recorder, self.intake, clock, adapter, self.context, self._measured)
        self.watching = False
        self.entered = False  # the agent was put into processes that are not ours
        self.next_anchor = 0.0

    # -- the whole story -----------------------------------------------------------------------------------------------

    def execute(self) -> Outcome:
        started_ns = self.clock.monotonic_ns()
        status, error, code = RunStatus.COMPLETE, None, EXIT_OK
        with self.pump:  # first of all: from here on an interrupt ends in a sealed run
            self.recorder.manifest(self._manifest(started_ns))
            self._anchor()
            self.recorder.commit()
            self.progress.step(
                f"{self.scenario.name}, not recorded"
                if self.request.output is None
                else f"run {self.directory.name}: {self.scenario.name}"
            )
            self.pump.urgent = lambda: self.target.hurry() if self.target is not None else None
            try:
                self._chapters()
            except Interrupted as interrupted:
                status, code = RunStatus.INTERRUPTED, EXIT_INTERRUPTED
                error = HarnessError(f"interrupted by signal {interrupted.signal_number}; what was recorded is kept")
            except GuardRailError as caught:
                status, error, code = RunStatus.GUARD, caught, caught.exit_code
            except HarnessError as caught:
                status, error, code = RunStatus.FAILED, caught, caught.exit_code
            except BaseException:
                self.pump.shield()
                self._clean_up(RunStatus.FAILED, "internal error", started_ns)
                raise
            self.pump.shield()
            trouble = self._clean_up(status, "" if error is None else str(error), started_ns)
            if error is None and trouble is not None:
                status, error, code = RunStatus.FAILED, trouble, trouble.exit_code
        return Outcome(None if self.request.output is None else self.directory, status, code, error)

    def _chapters(self) -> None:
        with self._window(PhaseName.PREFLIGHT):
            plans = compiling.launch_plans(self.scenario, self.context.scenario_dir, self.request.environ)
            self._preflight(plans)
        with self._window(PhaseName.LAUNCH):
            target = self._watch_from_outside()
            profile_plans, base_url = self._launch(target, plans)
            self._note_facts()
            self.floors.at_round_end(None)  # what answering loads is in memory before anything is judged
        if self.scenario.requests or isinstance(self.scenario.load, LocustfileLoad):
            self._start_load(base_url)
        self.watching = True
        self._workload(target)
        if self.floors.possible:
            with self._window(PhaseName.PROBES, floor=True):
                self._collect(target)
        if (
            self.tools
            and self._can_profile
            and (self.load is not None or isinstance(self.scenario.load, EachRoundLoad))
        ):
            with self._window(PhaseName.PROFILED):
                self._profiled_pass(target, profile_plans)
        elif self.tools and isinstance(self.scenario.load, CommandLoad):
            why = "the requests of load.command are not ours, so none of them can be sent alone"
            costs = "no endpoint has a profile; requests listed beside load.command are sent for profiles only"
            self.recorder.missing(Missing("profiles", why, costs))
        self._trim()
        with self._window(PhaseName.COOLDOWN, floor=True):
            if not isinstance(self.scenario.load, ObserveLoad):  # a watch has nothing to cool down from
                self.pump.until(lambda: False, _COOLDOWN_S)

    # -- chapters ------------------------------------------------------------------------------------------------------

    def _preflight(self, plans: Sequence[LaunchPlan]) -> None:
        if self.adapter is None:
            return
        chosen = "; what to profile is decided after the rounds" if self.context.automatic else ""
        chosen = chosen or (f" with {', '.join(self.tools)}" if self.tools else "")
        self.progress.step(f"preflight: {self.adapter.name}{chosen}")
        checks = self.adapter.preflight(self.context, plans)
        for check in checks:
            if check.level is CheckLevel.WARNING:
                self.progress.step(f"warning: {check.message}")
            if check.costs:
                self.recorder.missing(Missing(check.name, check.message, check.costs))
        failed = [c for c in checks if c.level is CheckLevel.ERROR]
        if failed:
            raise TargetError(
                "; ".join(c.message for c in failed), hint="\n  ".join(c.fix for c in failed if c.fix) or None
            )

    def _watch_from_outside(self) -> Target:
        sample = self.scenario.sample
        order = {
            "host": "",
            "proc": "/proc",
            "interval_ns": sample.interval_ns,
            "budget_percent": sample.budget * 100,
            "roots": [],
            "exclude": [],
            "look": sample.heaps,
            "freeze": sample.freeze,
        }
        self.sampler = self._sampler(order)
        self.sampler.observers += self.request.observers
        if sample.fast_ns is not None:
            self.sampler.sample_fast(sample.fast_ns)
        spec = self.scenario.target
        patience = Patience(interval_s=sample.interval_ns / 1e9)
        if spec is not None:
            patience = Patience(spec.start_timeout_ns / 1e9, spec.stop_timeout_ns / 1e9, sample.interval_ns / 1e9)
        self.target = Target(self.pump, self.recorder, self.sampler, self.progress, self.request.environ, patience,
                             sample.own_cgroup, self.hosts[0] if self.hosts else None)  # fmt: skip
        return self.target

    def _sampler(self, order: Mapping[str, object]) -> SamplerClient:
        """One here, or one on every other host that the target is on."""
        spec = self.scenario.target
        if spec is None or not spec.elsewhere:
            return SamplerClient(self.pump, self.recorder, order)
        self.hosts = remote_hosts(spec.elsewhere, self.pump, self.recorder, self.progress, self.clock)
        for arrive in [host.set_out() for host in self.hosts]:
            arrive()
        self.recorder.hosts([host.described for host in self.hosts])
        first, *others = (
            host.sampler(order, lambda given, away: SamplerClient(self.pump, self.recorder, given, away))
            for host in self.hosts
        )
        first.siblings += others
        if others:
            names = ", ".join(host.spec.label for host in self.hosts[1:])
            why = f"the kernel of {self.hosts[0].spec.label} is judged; values of {names} are recorded and shown"
            self.recorder.missing(Missing("system of further hosts", why, "what ails only their kernels is not found"))
        return first

    def _launch(self, target: Target, plans: Sequence[LaunchPlan]) -> tuple[tuple[LaunchPlan, ...], str | None]:
        """Start or attach; returns the plans kept for the profiled pass and the URL that traffic uses."""
        spec = self.scenario.target
        base_url = self.context.base_url
        if spec is None:
            return (), base_url
        if self.hosts and not spec.launch:
            target.attach_elsewhere(self.hosts, spec.attach)
        elif spec.attach is not None:
            target.attach(self.request.attachments or attachments_of(spec.attach, self.context.scenario_dir))
            if self.context.options.get("inject") and self.adapter is not None:
                self._enter(self.adapter)
        elif spec.in_containers:
            containers = Containers(self.pump, self.recorder, target.sampler, self.progress, self.clock, self.request.environ,
                                    target.patience.start_s)  # fmt: skip
            target.contain(containers, spec.in_containers)
            if self.inside is not None:
                target.sampler.exit_observers.append(self.inside.ended)
                self.inside.look()
                self.intake.drain()
        elif spec.ways_in and self.adapter is not None:
            prepared = self._prepare(self.adapter, plans)
            served = {} if plans else {k: resolve(v, self.request.environ) for k, v in spec.env.items()}
            plans = tuple(replace(plan, env={**served, **plan.env}) for plan in prepared.plans)
            base_url = prepared.base_url or base_url
        if spec.ready is not None and spec.launch:
            target.expect_free(resolve(spec.ready, self.request.environ))
        for plan in plans:
            if plan.stage is Stage.MAIN:
                target.start(plan)
        if spec.ready is not None:
            target.wait_ready(resolve(spec.ready, self.request.environ))
        profile_plans = tuple(p for p in plans if p.stage is Stage.PROFILE)
        return profile_plans, base_url

    def _note_facts(self) -> None:
        """What the adapter knows of how each pool runs: facts ``<runtime>.<name>.<pool>``."""
        if self.adapter is None:
            return
        pools: dict[str, list[int]] = {}
        for info in self._measured():
            pools.setdefault(info.pool, []).append(info.key.pid)
        for pool, pids in pools.items():
            told = self.adapter.facts(sorted(pids))
            self.recorder.facts({f"{self.adapter.name}.{name}.{pool}": text for name, text in told.items()})

    def _enter(self, adapter: LanguageAdapter) -> None:
        """Put the agent into the processes attached to, as the scenario asks. Raises TargetError when none of them takes it."""
        infos = {info.key.pid: info for info in self._measured()}
        self.progress.step(
            f"putting the agent into {len(infos)} running processes, each of which is stopped for a moment"
        )
        self.entered = True  # also where this is interrupted
        future = in_background(adapter.enter, self.context, sorted(infos))
        self.pump.until(future.done)
        entries = future.result()
        inside = [entry for entry in entries if entry.state is not EntryState.REFUSED]
        if not inside:
            fixes = dict.fromkeys(entry.fix for entry in entries if entry.fix)
            raise TargetError(
                "; ".join(entry.message for entry in entries)
                or f"the {adapter.name} adapter cannot enter what runs already",
                hint="\n  ".join(fixes) or "without target.python.inject it can still be watched from outside",
            )
        for entry in entries:
            stopped = {"pid": entry.pid, "stopped_ns": entry.stopped_ns}
            self.progress.step(entry.message)
            self.recorder.event(
                Event(self.clock.monotonic_ns(), f"agent.{entry.state}", infos[entry.pid].key, entry.message, stopped)
            )
            if entry.state is not EntryState.ENTERED:
                costs = "until then nothing is known from inside this process"
                self.recorder.missing(Missing(f"agent.entry.{entry.pid}", entry.message, costs))
        pids = ", ".join(str(entry.pid) for entry in inside)
        longest_ns = max((entry.stopped_ns for entry in inside if entry.stopped_ns is not None), default=None)
        stops = "" if longest_ns is None else f", each stopped for at most {longest_ns / 1e6:.0f} ms"
        text = (
            f"the agent was put into running processes (pid {pids}){stops}; it is told to leave at the end of the run"
        )
        self.recorder.facts({"experiment.entered": text})

    def _release(self) -> None:
        """Have the agents leave the processes they were put into."""
        if not self.entered or self.adapter is None:
            return
        pids = sorted(info.key.pid for info in self._measured())
        remaining = self.adapter.release(self.context, self.clock.monotonic_ns(), pids)
        if remaining:
            why = f"the agent is still in process {', '.join(map(str, remaining))}: it has run no Python code since it was told"
            self.recorder.missing(
                Missing("agent.release", why, "it leaves as soon as code runs again; nobody checks any more")
            )
        else:
            self.progress.log("the agent has left the processes it was put into")

    def _start_load(self, base_url: str | None) -> None:
        plan = None
        if self.scenario.requests:
            if base_url is None:
                raise UsageError("the scenario has requests but no address", hint="add target.url or target.ready")
            try:
                plan = compiling.load_plan(self.scenario, base_url, self.request.environ).to_json()
            except ValueError as error:
                raise UsageError(f"{self.request.scenario_path}: {error}") from error
        engine, options = compiling.load_engine(self.scenario)
        spec = self.scenario.load
        if isinstance(spec, LocustfileLoad):
            options = {**options, "target": base_url}
        if isinstance(spec, EngineLoad) and spec.hosts and spec.listen:
            options = {**options, "launch": launches(spec.hosts, spec.listen)}
        self.load = LoadClient(self.pump, self.recorder, plan, engine, options, self.progress.step)

    def _workload(self, target: Target) -> None:
        spec = compiling.workload(self.scenario)
        driver = Workload(self.pump, self.recorder, target.sampler, self.progress, self.clock, self.floors.at_round_end)
        if isinstance(spec, Jobs):
            plan = self._job()
            driver.jobs(spec, lambda: target.start(plan))
        elif isinstance(spec, Watch):
            driver.watch(spec)
        elif isinstance(spec, Feed):
            command = self._job()
            driver.feed(spec, lambda: target.start(command))
        elif self.load is None:
            raise UsageError("the scenario's load needs requests", hint="add requests:, or use load: {observe: 10m}")
        elif isinstance(spec, Rounds):
            driver.rounds(self.load, spec)
        elif isinstance(spec, Shaped):
            driver.shaped(self.load, spec)
        else:
            driver.stages(self.load, spec)
        self._look_for_the_agent(target)

    def _collect(self, target: Target) -> None:
        """The probe for garbage. Where a collection frees enough to explain growth, some of that was there before the rounds:
        one more round and another collection tell how much a round leaves. Walks come before and after each collection."""
        if not self.floors.collect(target.sampler.floor(Depth.HEAPS)):
            return
        spec = compiling.workload(self.scenario)
        driver = Workload(self.pump, self.recorder, target.sampler, self.progress, self.clock, lambda _floor_ns: None)
        if isinstance(spec, Rounds) and self.load is not None:
            target.sampler.floor(Depth.HEAPS)
            driver.once_more(self.load, spec)
        elif isinstance(spec, Jobs) and not self._job().measured:
            target.sampler.floor(Depth.HEAPS)
            plan = self._job()
            driver.job_once_more(spec, lambda: target.start(plan))
        else:
            return
        self.floors.collect(target.sampler.floor(Depth.HEAPS), PROBE_COLLECT_AGAIN)

    def _job(self) -> LaunchPlan:
        """The ``each_round`` command; where it is itself what is measured, it gets the agent."""
        plan = compiling.job_plan(self.scenario, self.context.scenario_dir, self.request.environ)
        return self._prepare(self.adapter, [plan]).plans[0] if plan.measured and self.adapter is not None else plan

    def _prepare(self, adapter: LanguageAdapter, plans: Sequence[LaunchPlan]) -> Prepared:
        """What the adapter makes of the plans; recording goes on while it fetches tools."""
        future = in_background(adapter.prepare, self.context, plans)
        if not self.pump.until(future.done, _PREPARED_SOON_S):
            self.progress.step(f"preparing the {adapter.name} tools; what has to be fetched is fetched once")
            self.pump.until(future.done)
        prepared = future.result()
        for name, text in prepared.experiments.items():
            self.recorder.facts({f"experiment.{name}": text})
            self.progress.log(f"experiment: {text}")
        return prepared

    def _look_for_the_agent(self, target: Target) -> None:
        """No record of a request although requests were answered, or of any process: say why instead of showing zero."""
        self._note_facts()  # of processes that came later, too
        self.intake.poll()
        seen = self.seen_records if self.load is None else self.intake.requests
        launched = [p.plan for p in target.programs if p.plan.measured]
        if not launched and not self.entered and self.inside is None:
            return
        by_others = isinstance(self.scenario.load, CommandLoad)
        if self.adapter is None or seen or (self.load is not None and self.load.spans == 0 and not by_others):
            return
        tail = "\n".join(p.tail() for p in target.programs)
        why = self.adapter.explain_silence(self.context, launched, tail) if self.inside is None else _NO_AGENT_INSIDE
        what = "process" if self.load is None else "request"
        self.progress.step(f"warning: no {what} was recorded from inside the target: {why}")
        costs = "requests cannot be tied to workers, and nothing is known from inside the runtime"
        self.recorder.missing(Missing("agent.records", why, costs))

    def _profiled_pass(self, target: Target, plans: Sequence[LaunchPlan]) -> None:
        assert self.adapter is not None
        profiled = ProfiledPass(self.pump, self.recorder, self.progress, self.clock, self.adapter, self.context)
        auto = self._auto(self.adapter) if self.context.automatic else None
        chosen = auto.plan(self.endpoints) if auto is not None and self.load is not None else None
        tools = self.tools if auto is None else tuple(dict.fromkeys((*self.adapter.default_tools, *auto.also)))
        used = {step.use.tool for step in chosen.steps} if chosen is not None else set(tools)
        needed = [plan for plan in plans if plan.tool is None or plan.tool in used]
        companions = [program for program in (self._companion(target, plan) for plan in needed) if program is not None]
        try:
            if self.load is None:
                decided = None if auto is None else auto.tools()
                self._profiled_commands(target, profiled, tools if decided is None else decided)
            elif auto is not None and chosen is not None:
                auto.requests(profiled, self.load, chosen)
            else:
                profiled.requests(self.load, tools, self.endpoints)
        finally:
            for companion in companions:
                companion.stop()

    def _auto(self, adapter: LanguageAdapter) -> Auto:
        also = watching_tools(self.scenario, adapter)
        return Auto(self.pump, self.recorder, self.progress, self.clock, adapter, self.context, also)

    def _companion(self, target: Target, plan: LaunchPlan) -> GuardedProgram | None:
        """A program that tools need; what has been measured before is not given up where it does not start."""
        try:
            return target.start(plan)
        except TargetError as error:
            self.progress.step(f"warning: {error.message}")
            costs = "the tools that need it have no profiles"
            self.recorder.missing(Missing(f"profile.companion.{plan.name}", str(error), costs))
            return None

    def _profiled_commands(self, target: Target, profiled: ProfiledPass, tools: Sequence[str]) -> None:
        """What the ``each_round`` command is, or feeds, under each tool."""
        assert self.adapter is not None
        assert isinstance(self.scenario.load, EachRoundLoad)
        spec, load, plan = self.scenario.target, self.scenario.load, self._job()
        ready = None if spec is None or spec.ready is None else resolve(spec.ready, self.request.environ)
        commands = ProfiledCommands(
            self.pump, self.recorder, self.progress, self.clock, self.adapter, self.context, target, profiled,
            Feeding(plan, load.timeout_ns / 1e9, load.settle_ns / 1e9, ready),
        )  # fmt: skip
        if plan.measured:
            commands.scripts(tools, automatic=self.scenario.profile.automatic)
        else:
            commands.jobs(tools, lambda: sorted(info.key.pid for info in self._measured()), self._trim)

    def _trim(self) -> None:
        """The last probe."""
        if self.floors.possible:
            self.floors.trim()

    # -- always going on -----------------------------------------------------------------------------------------------

    def _periodic(self) -> None:
        now_ns = self.clock.monotonic_ns()
        if self.inside is not None:
            self.inside.look()
        self.intake.poll()
        self.recorder.tick(now_ns)
        if time.monotonic() >= self.next_anchor:
            self._anchor()
        if self.target is not None and self.target.containers is not None:
            self.target.containers.poll()
        if self.watching:
            if self.target is not None:
                self.target.check()
            seen = self._readings(now_ns)
            self._show_traffic(now_ns, seen)
            guardrails.enforce(self.limits, seen)

    def _show_traffic(self, now_ns: int, seen: guardrails.Readings) -> None:
        if not self.progress.wants_traffic():
            return
        load = self.load
        now = None if load is None else traffic_of(load.recent, now_ns, load.spans, load.errors, load.dropped)
        self.progress.traffic(now, guardrails.rails(self.limits, seen))

    def _readings(self, now_ns: int) -> guardrails.Readings:
        system = self.sampler.system if self.sampler is not None else None
        return guardrails.Readings(
            latency_p99_ns=None if self.load is None else self.load.p99_ns(now_ns - guardrails.LATENCY_WINDOW_NS),
            mem_available_bytes=system.mem_available_bytes if system else None,
            mem_total_bytes=system.mem_total_bytes if system else None,
            disk_free_bytes=guardrails.disk_free_bytes(self.directory),
            psi_some_percent=system.psi_some_percent if system else None,
        )

    # -- ending --------------------------------------------------------------------------------------------------------

    def _clean_up(self, status: RunStatus, text: str, started_ns: int) -> HarnessError | None:
        """Stop everything, read what is left, seal. Returns the first trouble met on the way; goes on after it."""
        self.watching = False
        self.progress.step(
            "stopping" if status is RunStatus.COMPLETE else f"stopping: {text.splitlines()[0] if text else status}"
        )
        steps: list[Callable[[], object]] = []
        if self.sampler is not None:
            for client in (self.sampler, *self.sampler.siblings):
                client.closing = True
        if self.load is not None:
            steps.append(self.load.stop)
        if self.target is not None:
            for program in reversed(self.target.programs):
                program.stopping = True
                steps.append(program.stop)
        steps += [self._release, self.intake.drain, self.intake.close]
        if self.sampler is not None:
            steps += [self.sampler.stop]
        steps += [host.stop for host in self.hosts]
        if self.agent_directory is not None:
            steps.append(self.agent_directory.close)
        steps += [self._anchor, lambda: self._seal(status, text, started_ns), self.recorder.close]
        trouble: HarnessError | None = None
        for step in steps:
            try:
                step()
            except HarnessError as error:
                trouble = trouble or error
        self.progress.done()
        return trouble or self.pump.trouble

    def _seal(self, status: RunStatus, text: str, started_ns: int) -> None:
        ended_ns = self.clock.monotonic_ns()
        seconds = max(ended_ns - started_ns, 1)
        costs: dict[str, float | None] = {
            "sampler_cpu_percent": _percent(self.sampler.cpu_ns if self.sampler else None, seconds),
            **({} if self.sampler is None else self.sampler.cost),
            **({} if self.sampler is None else self.sampler.cpu_percent_elsewhere(seconds)),
            **({} if self.load is None else _load_costs(self.load, seconds)),
            **self.floors.costs,
            "session_cpu_percent": _percent(time.process_time_ns(), seconds),
        }
        if self.load is not None and self.load.dropped:
            self.recorder.event(
                Event(ended_ns, "load.dropped", None, f"{self.load.dropped} iterations were dropped", {})
            )
        if self.intake.never_placed:
            number = self.intake.never_placed
            why = f"{number} requests were recorded in processes of the container that were never seen, or whose id fits several"
            self.recorder.missing(Missing("agent.records.unplaced", why, "those requests have no record"))
        if self.intake.unparsed:
            why = f"{self.intake.unparsed} lines in the agents' files were not records"
            self.recorder.missing(Missing("agent.records.unparsed", why, "those requests have no record"))
        for log in self.intake.unreadable_logs:
            why = f"no line that {log.name} got during the run is one of a request: is its format the one given?"
            self.recorder.missing(Missing("log.records", why, "no request is known from it"))
        self.recorder.costs(costs)
        self.recorder.status(status, text, ended_ns)

    # -- small parts ---------------------------------------------------------------------------------------------------

    @property
    def _can_profile(self) -> bool:
        """Not in a container that was started without anything that profiles."""
        spec = self.scenario.target
        if spec is None or not spec.in_containers or self.inside is not None or self.context.options.get("xdebug"):
            return True
        why = "the container was started without the agent"
        self.recorder.missing(Missing("profile", why, "what grows is not traced to a line"))
        return False

    @property
    def seen_records(self) -> int:
        """Records that came from inside the target so far."""
        return self.intake.requests + self.intake.boots

    @contextmanager
    def _window(self, phase: PhaseName, *, floor: bool = False) -> Iterator[None]:
        identifier = self.recorder.open_window(Window(phase, None, None, self.clock.monotonic_ns(), None, None))
        self.progress.live(phase)
        yield
        at = self.sampler.floor(Depth.HEAPS) if floor and self.sampler is not None else None
        self.recorder.close_window(identifier, self.clock.monotonic_ns(), at)

    def _with_agent(self) -> list[ProcessInfo]:
        """Living processes of the container that has the agent's directory."""
        if self.target is None or self.scenario.target is None:
            return []
        specs = self.scenario.target.in_containers
        pools = {pool for spec, pool in zip(specs, pools_of(specs), strict=True) if spec.agent is not None}
        return [info for info in self.target.sampler.alive if info.pool in pools]

    def _measured(self) -> list[ProcessInfo]:
        """Living processes of the application."""
        if self.target is None:
            return []
        return [info for info in self.target.sampler.alive if info.pool not in self.target.unmeasured]

    def _anchor(self) -> None:
        before = self.clock.monotonic_ns()
        wall = self.clock.wall_ns()
        self.recorder.anchor(Anchor("", (before + self.clock.monotonic_ns()) // 2, wall))
        self.next_anchor = time.monotonic() + _ANCHOR_EVERY_S

    def _context(self) -> AdapterContext:
        target = self.scenario.target
        given = {} if target is None else target.adapter_options
        options = options_in(resolve(given, self.request.environ), () if target is None else target.in_containers)
        return AdapterContext(
            work_dir=self.directory / layout.WORK if self.agent_directory is None else self.agent_directory.path,
            token=secrets.token_hex(16) if self.agent_directory is None else self.agent_directory.token,
            options=options,
            tools=self.tools,
            functions=watched_functions(self.scenario),
            base_url=None
            if target is None or target.base_url is None
            else resolve(target.base_url, self.request.environ),
            scenario_dir=self.scenario.scenario_dir,
            automatic=bool(self.tools) and self.scenario.profile.automatic,
            outside_pid=None if self.inside is None else self.inside.outside,
        )

    def _record_sources(self) -> Sequence[RecordSource]:
        return () if self.adapter is None else self.adapter.record_sources(self.context)

    def _manifest(self, started_ns: int) -> RunManifest:
        return RunManifest(
            format=layout.FORMAT,
            run_id=self.directory.name,
            tool_version=__version__,
            scenario_name=self.scenario.name,
            scenario_path=self.request.scenario_path.name,
            scenario=self.scenario.to_data(),
            host=host_facts(),
            runtime=self.scenario.runtime,
            started_wall_ns=self.clock.wall_ns(),
            started_ns=started_ns,
            ended_ns=None,
            status=RunStatus.RECORDING,
            status_text="",
            costs={},
        )


def _load_costs(load: LoadClient, seconds: int) -> dict[str, float | None]:
    return {"load_cpu_percent": _percent(load.cpu_ns, seconds), "load_max_lag_ms": load.max_lag_ns / 1e6}


def _percent(used_ns: int | None, of_ns: int) -> float | None:
    return None if used_ns is None else round(100 * used_ns / of_ns, 3)
