"""The profiled pass of work that no request of ours starts: scripts, and workers that a command feeds.

A script is run once more under the tool. A worker whose agent takes orders is fed again while its jobs run under the tool. Any
other worker is ended, for the rounds are over, and started once more under the tool; there it is fed, and told to end
when it has nothing more to do, for that is when such tools have written everything. Only what this run has launched is ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from harness.clock import Clock
from harness.errors import TargetError, UsageError
from harness.model.event import Missing
from harness.model.process import ProcessInfo
from harness.model.profile import Artifact
from harness.plugins.spec import LaunchPlan, ProfiledResponse, Trigger
from harness.session.agents.spread import Spread
from harness.session.background import in_background
from harness.session.guarded import GuardedProgram
from harness.session.profiling.requests import ProfiledPass
from harness.session.progress import Progress
from harness.session.pump import Pump
from harness.session.quietness import wait_until_quiet
from harness.session.target import Target
from harness.store.writer import Recorder
from harness.targets.launch import GENTLE_LADDER
from harness.targets.quiet import family

COMMAND = "each_round"  # what profiles of scripts, and of jobs without a name, are filed under
_SCRIPT_COSTS = "the script has no profile of this tool"
_JOB_COSTS = "jobs have no profile of this tool"
_NOT_OURS = (
    "no process of the target takes orders (its agent takes none, is not in it, or the application handles the signal itself), "
    "and what was only attached to is not ended to run under a tool: have the scenario launch the worker"
)
_NOT_THERE = "no process of the target takes orders, and on another host nothing is started again under a tool"
_TAIL = 300


@dataclass(frozen=True, slots=True)
class Feeding:
    """The ``each_round`` command and what the scenario says of it; times in seconds. ``ready``: where a worker answers."""

    plan: LaunchPlan
    timeout_s: float
    settle_s: float
    ready: str | None = None


@dataclass(frozen=True, slots=True)
class ProfiledCommands:
    """One pass over all tools. What a tool cannot do is among the missing, and the next one goes on."""

    pump: Pump
    recorder: Recorder
    progress: Progress
    clock: Clock
    agents: Spread
    target: Target
    profiled: ProfiledPass
    feeding: Feeding

    def scripts(self, tools: Sequence[str], *, automatic: bool) -> None:
        """Run the command once more under each tool. ``automatic``: nobody asked for them by name, so who cannot is left out."""
        plan = self.feeding.plan
        for tool in tools:
            try:
                trigger = self._started_under(tool, plan)
            except (UsageError, TargetError) as error:
                if not (automatic and isinstance(error, UsageError)):
                    self._missing(tool, str(error), _SCRIPT_COSTS)
                continue
            start_ns = self.clock.monotonic_ns()
            program = self.target.spawn(_under(plan, trigger), finite=True)
            self._to_its_end(program)
            self.profiled.store(self._collected(trigger, COMMAND, program.exit_code, start_ns))
            self.progress.step(f"profiled {COMMAND} with {tool}")

    def jobs(
        self, tools: Sequence[str], workers: Callable[[], Sequence[ProcessInfo]], before_ending: Callable[[], None]
    ) -> None:
        """Profile the jobs of workers under each tool. ``workers``: the measured processes at this moment; ``before_ending``:
        called once if the workers have to be ended, the last chance to ask them."""
        ended: tuple[LaunchPlan, ...] = ()
        for tool in tools:
            if not ended and self._told(tool, workers()):
                continue
            if self.target.host is not None:
                self._missing(tool, _NOT_THERE, _JOB_COSTS)
                continue
            ended = ended or self._end_workers(before_ending)
            if ended:
                self._restarted(tool, ended)
            else:
                self._missing(tool, _NOT_OURS, _JOB_COSTS)

    # -- workers that take orders --------------------------------------------------------------------------------------

    def _told(self, tool: str, infos: Sequence[ProcessInfo]) -> bool:
        """Have the agents measure the next jobs; False when none of them takes orders."""
        found: list[Artifact] = []
        start_ns = self.clock.monotonic_ns()
        try:
            if not self._arm(start_ns, tool, infos):
                return False
            self.progress.live(f"profiling jobs with {tool}")
            try:
                trigger = self.agents.trigger(tool)
                for _ in range(trigger.warmups + 1):
                    code = self._feed(tool).exit_code
                found = self._collected(trigger, COMMAND, code, start_ns)
            finally:
                self._arm(self.clock.monotonic_ns(), None, infos)
        except (UsageError, TargetError) as error:  # TargetError: orders do not get there
            self._missing(tool, str(error), _JOB_COSTS)
            return True
        self._keep(tool, found)
        return True

    def _arm(self, number: int, tool: str | None, infos: Sequence[ProcessInfo]) -> bool:
        """See `Spread.arm`; recording goes on while an order is on its way to another host."""
        future = in_background(self.agents.arm, number, tool, infos)
        future.add_done_callback(self.pump.wake)
        self.pump.until(future.done)
        return future.result()

    # -- workers that are started again --------------------------------------------------------------------------------

    def _end_workers(self, before_ending: Callable[[], None]) -> tuple[LaunchPlan, ...]:
        """End what was measured and is ours; how it was started."""
        programs = [p for p in self.target.programs if p.plan.measured and p.running and not (p.finite or p.stopping)]
        if programs:
            before_ending()
        for program in programs:
            self.progress.log(f"ending {program.plan.name}, to start it again under a tool")
            program.stop()
        return tuple(program.plan for program in programs)

    def _restarted(self, tool: str, plans: Sequence[LaunchPlan]) -> None:
        """Start the workers under the tool, feed them, end them when they are quiet, and keep what they wrote."""
        self.progress.live(f"profiling jobs with {tool}")
        programs: list[GuardedProgram] = []
        owners: dict[int, str] = {}
        start_ns = self.clock.monotonic_ns()
        try:
            triggers = [self._started_under(tool, plan, ends=False) for plan in plans]
            for plan, trigger in zip(plans, triggers, strict=True):
                under = replace(_under(plan, trigger), name=f"{plan.name}-{tool}", measured=False)
                programs.append(self.target.spawn(under, finite=True, ladder=GENTLE_LADDER))
            if self.feeding.ready is not None:
                self.target.wait_ready(self.feeding.ready)
            for _ in range(triggers[0].warmups + 1):
                self._feed(tool)
                self._wait_until_quiet(programs)
            for plan, program in zip(plans, programs, strict=True):
                owners |= dict.fromkeys(_pids(program), plan.name)
        except (UsageError, TargetError) as error:
            self._missing(tool, str(error), _JOB_COSTS)
            return
        finally:
            for program in programs:
                program.stop()
        found = self._collected(triggers[0], plans[0].name, programs[0].exit_code, start_ns)
        self._keep(tool, [replace(each, endpoint=owners.get(each.pid or 0, each.endpoint)) for each in found])

    def _wait_until_quiet(self, programs: Sequence[GuardedProgram]) -> None:
        """Raises TargetError where one of them has failed."""
        quiet = wait_until_quiet(
            self.pump,
            lambda: [pid for p in programs for pid in _pids(p)],
            self.feeding.settle_s,
            self.feeding.timeout_s,
        )
        if not quiet:
            self.progress.log("the profiled worker is still busy, and is ended as it is")
        for program in programs:
            if program.ended and program.exit_code != 0:
                raise TargetError(f"{program.describe_end()} under the tool", hint=program.tail()[-_TAIL:] or None)

    # -- parts ---------------------------------------------------------------------------------------------------------

    def _started_under(self, tool: str, plan: LaunchPlan, *, ends: bool = True) -> Trigger:
        """Programs are started with the agent of the run's own directory."""
        return self.agents.adapter.trigger(self.agents.places.own.context, tool, plan.argv, ends=ends)

    def _feed(self, tool: str) -> GuardedProgram:
        """Run the command once."""
        program = self.target.spawn(replace(self.feeding.plan, name=f"feeds-{tool}"), finite=True)
        self._to_its_end(program)
        return program

    def _to_its_end(self, program: GuardedProgram) -> None:
        self.pump.until(lambda: program.ended, self.feeding.timeout_s)
        program.stop()

    def _collected(self, trigger: Trigger, endpoint: str, code: int | None, start_ns: int) -> list[Artifact]:
        response = ProfiledResponse("", endpoint, code, start_ns, self.clock.monotonic_ns(), {})
        return self.profiled.collect(trigger, response)

    def _keep(self, tool: str, found: Sequence[Artifact]) -> None:
        self.profiled.store(found)
        kinds = ", ".join(dict.fromkeys(artifact.endpoint or "" for artifact in found if artifact.path is not None))
        self.progress.step(f"profiled jobs with {tool}: {kinds or 'nothing found'}")

    def _missing(self, tool: str, why: str, costs: str) -> None:
        self.recorder.missing(Missing(f"profile.{tool}", why, costs))


def _pids(program: GuardedProgram) -> list[int]:
    """Of a program and its descendants, while it runs."""
    return [] if program.ended or program.pid is None else family(program.pid)


def _under(plan: LaunchPlan, trigger: Trigger) -> LaunchPlan:
    """The program under the tool, beside what is measured."""
    argv, env = trigger.argv or plan.argv, {**plan.env, **trigger.env}
    return replace(plan, name=f"profiled-{trigger.tool}", argv=argv, env=env)
