"""Record one run: preflight, launch, warm-up, rounds, probes, profiled pass, cool-down, seal.

Whatever goes wrong after the run directory exists, what was recorded is sealed with the reason in its status, everything
started is stopped, and the error is returned beside the directory.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from harness import __version__
from harness.clock import Clock, SystemClock
from harness.errors import EXIT_INTERRUPTED, EXIT_OK, GuardRailError, HarnessError, UsageError
from harness.model.event import Anchor, Event
from harness.model.process import ProcessInfo
from harness.model.run import RunManifest, RunStatus
from harness.model.span import PhaseName
from harness.plugins.registry import load_adapter
from harness.plugins.spec import AdapterContext, LanguageAdapter
from harness.scenario.load import ObserveLoad
from harness.scenario.variables import resolve
from harness.session import compiling, guardrails
from harness.session.agents.deployed import SILENT_CONTAINER
from harness.session.agents.mirror import keeping
from harness.session.agents.mounted import AgentDirectory
from harness.session.agents.places import Places
from harness.session.agents.presence import Agents, agent_directories, tell_of_version
from harness.session.arriving import Arriving, preflight
from harness.session.driving import Driving, start_load
from harness.session.floors import Floors
from harness.session.host import host_facts
from harness.session.live.traffic import traffic_of
from harness.session.load_client import LoadClient
from harness.session.options import check_names, check_options, has_xdebug, options_for, reaches_out
from harness.session.parts import Parts
from harness.session.profiling.chapter import Profiling
from harness.session.profiling.tools import chosen_tools, watched_functions
from harness.session.progress import Progress
from harness.session.pump import Interrupted, Pump
from harness.session.request import Outcome, Request
from harness.session.target import JOB, Target
from harness.store import layout
from harness.store.unrecorded import NoRecorder
from harness.store.writer import Recorder, RecordingError
from harness.targets.containers import inside_pid
from harness.targets.shells import shell_to

_ANCHOR_EVERY_S = 60.0
_COOLDOWN_S = 2.0


def record(request: Request, progress: Progress, clock: Clock | None = None) -> Outcome:
    """Record a run. Raises UsageError when not even a run directory can be made."""
    clock = clock or SystemClock()
    runtime = request.scenario.runtime
    target = request.scenario.target
    without = target is not None and bool(target.elsewhere) and not (target.takes_agents or target.in_containers)
    outside = without and target is not None and not reaches_out(target)
    if without and target is not None and not has_xdebug(target) and request.scenario.profile.tools:
        raise UsageError(
            "profile: no profiler runs on other hosts without an agent there",
            hint="place one (harness agent ssh://HOST/DIRECTORY) and name it by `agent`, or write profile: none",
        )
    check_names(target, JOB)
    check_options(target)
    adapter = None if runtime == "any" or outside else load_adapter(runtime)
    tools = chosen_tools(request.scenario, adapter)
    compiling.load_engine(request.scenario)
    endpoints = compiling.profiled_endpoints(request.scenario)
    agents = agent_directories(request.scenario)
    directory, recorder = _place(request, clock)
    session = _Session(request, directory, recorder, progress, clock, adapter, tools, endpoints, agents)
    return session.execute()


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


class _Session:
    """The story of one run, in order. State is what several of its chapters need."""

    def __init__(
        self, request: Request, directory: Path, recorder: Recorder, progress: Progress, clock: Clock,
        adapter: LanguageAdapter | None, tools: tuple[str, ...], endpoints: tuple[str, ...],
        agent_directories: Mapping[str, AgentDirectory],
    ) -> None:  # fmt: skip
        self.request = request
        self.scenario = request.scenario
        self.directory = directory
        self.recorder = recorder
        self.progress = progress
        self.clock = clock
        self.load: LoadClient | None = None
        self.cpu_before_ns = time.process_time_ns()  # of this program's start, which is no part of the run
        self.limits = compiling.limits(self.scenario)
        self.agent_directories = agent_directories
        context = self._context(tools)
        self.places = Places(recorder, adapter, context)
        for pool, found in agent_directories.items():
            own = replace(context, work_dir=found.path, token=found.token)
            self.places.add(pool, own, self._alive, partial(_is_of, pool), inside_pid, SILENT_CONTAINER)
        if self.scenario.target is not None and self.scenario.target.in_containers:
            self.places.logs_from_inside(self._alive, inside_pid)
        self.pump = Pump(self._periodic)
        self.floors = Floors(self.pump, recorder, self.places, clock, adapter, self._measured, self._same_floor)
        self.parts = Parts(
            request, recorder, progress, clock, self.pump, adapter, tools, context, self.places, self.floors
        )
        self.agents = Agents(self.parts)
        self.arriving = Arriving(self.parts)
        self.profiling = Profiling(self.parts, endpoints, self._trim)
        self.watching = False
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
        parts = self.parts
        with parts.window(PhaseName.PREFLIGHT):
            plans = compiling.launch_plans(self.scenario, parts.context.scenario_dir, self.request.environ)
            for what, why, costs in self.options.unreachable:
                parts.missing(what, why, costs)
            for pool, found in self.agent_directories.items():
                tell_of_version(parts, pool, found.says)
            preflight(parts, plans)
        with parts.window(PhaseName.LAUNCH):
            target = self.arriving.watch()
            profile_plans, base_url = self.arriving.launch(target, plans, self.agents)
            self.agents.note_facts(target)
            self.floors.at_round_end(None)  # what answering loads is in memory before anything is judged
        self.load = start_load(parts, base_url)
        self.watching = True
        driving = Driving(parts, target, self.load)
        driving.workload()
        self.agents.look_for(target, self.load)
        if self.floors.possible:
            with parts.window(PhaseName.PROBES, target.sampler):
                driving.collect()
        self.profiling.carry_out(target, self.load, profile_plans)
        self._trim()
        with parts.window(PhaseName.COOLDOWN, target.sampler):
            if not isinstance(self.scenario.load, ObserveLoad):  # a watch has nothing to cool down from
                self.pump.until(lambda: False, _COOLDOWN_S)

    def _trim(self) -> None:
        """The last probe."""
        if self.floors.possible:
            self.floors.trim()

    # -- always going on -----------------------------------------------------------------------------------------------

    def _periodic(self) -> None:
        now_ns = self.clock.monotonic_ns()
        self.places.poll()
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
        system = self.arriving.sampler.system if self.arriving.sampler is not None else None
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
        if self.arriving.sampler is not None:
            for client in (self.arriving.sampler, *self.arriving.sampler.siblings):
                client.closing = True
        if self.load is not None:
            steps.append(self.load.stop)
        if self.target is not None:
            for program in reversed(self.target.programs):
                program.stopping = True
                steps.append(program.stop)
        steps += [
            lambda: self.agents.release(self.target),
            *self._last_of_mirrors(),
            self.places.drain,
            self.places.close,
        ]
        if self.arriving.sampler is not None:
            steps += [self.arriving.sampler.stop]
        steps += [host.stop for host in self.arriving.hosts]
        steps += [directory.close for directory in self.agent_directories.values()]
        steps += [self._anchor, lambda: self._seal(status, text, started_ns), self.recorder.close]
        trouble: HarnessError | None = None
        for step in steps:
            try:
                step()
            except HarnessError as error:
                trouble = trouble or error
        self.progress.done()
        return trouble or self.pump.trouble

    def _last_of_mirrors(self) -> list[Callable[[], object]]:
        return [partial(mirror.end, self.pump) for mirror in self.arriving.mirrors]

    def _seal(self, status: RunStatus, text: str, started_ns: int) -> None:
        ended_ns = self.clock.monotonic_ns()
        seconds = max(ended_ns - started_ns, 1)
        costs: dict[str, float | None] = {
            "sampler_cpu_percent": _percent(self.arriving.sampler.cpu_ns if self.arriving.sampler else None, seconds),
            **({} if self.arriving.sampler is None else self.arriving.sampler.cost),
            **({} if self.arriving.sampler is None else self.arriving.sampler.cpu_percent_elsewhere(seconds)),
            **({} if self.load is None else _load_costs(self.load, seconds)),
            **self.floors.costs,
            **self.places.costs,
            **keeping(self.arriving.hosts, self.arriving.mirrors, seconds),
            "session_cpu_percent": _percent(time.process_time_ns() - self.cpu_before_ns, seconds),
        }
        if self.load is not None and self.load.dropped:
            self.recorder.event(
                Event(ended_ns, "load.dropped", None, f"{self.load.dropped} iterations were dropped", {})
            )
        if self.places.never_placed:
            number = self.places.never_placed
            why = f"{number} requests were recorded in processes of the target that were never seen, or whose id fits several"
            self.parts.missing("agent.records.unplaced", why, "those requests have no record")
        if self.places.unparsed:
            why = f"{self.places.unparsed} lines in the agents' files were not records"
            self.parts.missing("agent.records.unparsed", why, "those requests have no record")
        for log in self.places.unreadable_logs:
            why = f"no line that {log.name} got during the run is one of a request: is its format the one given?"
            self.parts.missing("log.records", why, "no request is known from it")
        self.recorder.costs(costs)
        self.recorder.status(status, text, ended_ns)

    # -- small parts ---------------------------------------------------------------------------------------------------

    @property
    def target(self) -> Target | None:
        """None until it is looked at."""
        return self.arriving.target

    def _alive(self) -> list[ProcessInfo]:
        """Living processes, measured or not."""
        return [] if self.target is None else self.target.sampler.alive

    def _same_floor(self, t_ns: int, host: str) -> int:
        """See `SamplerClient.same_floor`."""
        return t_ns if self.target is None else self.target.sampler.same_floor(t_ns, host)

    def _measured(self) -> list[ProcessInfo]:
        """Living processes of the application."""
        return [] if self.target is None else self.target.measured()

    def _anchor(self) -> None:
        before = self.clock.monotonic_ns()
        wall = self.clock.wall_ns()
        self.recorder.anchor(Anchor("", (before + self.clock.monotonic_ns()) // 2, wall))
        self.next_anchor = time.monotonic() + _ANCHOR_EVERY_S

    def _context(self, tools: tuple[str, ...]) -> AdapterContext:
        target = self.scenario.target
        given = {} if target is None else target.adapter_options
        found = self.options = options_for(resolve(given, self.request.environ), target)
        return AdapterContext(
            work_dir=self.directory / layout.WORK,
            token=secrets.token_hex(16),
            options=found.of_adapter,
            tools=tools,
            functions=watched_functions(self.scenario),
            base_url=None
            if target is None or target.base_url is None
            else resolve(target.base_url, self.request.environ),
            scenario_dir=self.scenario.scenario_dir,
            automatic=bool(tools) and self.scenario.profile.automatic,
            hosts=found.hosts,
            shell=shell_to,
        )

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


def _is_of(pool: str, info: ProcessInfo) -> bool:
    return info.pool == pool and not info.key.host


def _load_costs(load: LoadClient, seconds: int) -> dict[str, float | None]:
    return {"load_cpu_percent": _percent(load.cpu_ns, seconds), "load_max_lag_ms": load.max_lag_ns / 1e6}


def _percent(used_ns: int | None, of_ns: int) -> float | None:
    return None if used_ns is None else round(100 * used_ns / of_ns, 3)
