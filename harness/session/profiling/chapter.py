"""The profiled pass of a run: which profilers, on what, with which helpers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.errors import TargetError
from harness.model.span import PhaseName
from harness.plugins.spec import LanguageAdapter, LaunchPlan
from harness.scenario.load import CommandLoad, EachRoundLoad
from harness.scenario.variables import resolve
from harness.session.agents.spread import Spread
from harness.session.guarded import GuardedProgram
from harness.session.load_client import LoadClient
from harness.session.parts import Parts
from harness.session.profiling.auto import Auto
from harness.session.profiling.commands import Feeding, ProfiledCommands
from harness.session.profiling.requests import ProfiledPass
from harness.session.profiling.tools import watching_tools
from harness.session.target import Target


class Profiling:
    """``endpoints``: those the scenario wants profiled."""

    def __init__(self, parts: Parts, endpoints: tuple[str, ...], trim: Callable[[], None]) -> None:
        self._parts = parts
        self._endpoints = endpoints
        self._trim = trim

    def carry_out(self, target: Target, load: LoadClient | None, plans: Sequence[LaunchPlan]) -> None:
        """Profile what can be profiled, and put on record what cannot. ``plans``: programs kept for this pass."""
        parts, adapter = self._parts, self._parts.adapter
        if not parts.tools or adapter is None:
            return
        tools = parts.tools if load is None else self._within_reach(adapter)
        if not tools:
            return
        if self._reachable and (load is not None or isinstance(parts.scenario.load, EachRoundLoad)):
            with parts.window(PhaseName.PROFILED):
                self._pass(adapter, target, load, plans, tools)
        elif isinstance(parts.scenario.load, CommandLoad):
            why = "the requests of load.command are not ours, so none of them can be sent alone"
            costs = "no endpoint has a profile; requests listed beside load.command are sent for profiles only"
            parts.missing("profiles", why, costs)

    def _within_reach(self, adapter: LanguageAdapter) -> tuple[str, ...]:
        """The tools that a request may be profiled with. Why others cannot be used is said once, and not for each request."""
        parts = self._parts
        refused = {tool: adapter.out_of_reach(parts.context, tool) for tool in parts.tools}
        for check in dict.fromkeys(refused.values()):
            if check is not None:
                parts.progress.step(f"warning: {check.advice}")
                parts.missing(check.name, check.advice, check.costs or "no request has a profile to open")
        return tuple(tool for tool, check in refused.items() if check is None)

    @property
    def _reachable(self) -> bool:
        """Not in a container, or on another host, where nothing is that profiles."""
        spec = self._parts.scenario.target
        if (
            spec is None
            or not (spec.in_containers or spec.elsewhere)
            or self._parts.places.others
            or self._parts.context.options.get("xdebug")
        ):
            return True
        if spec.elsewhere:
            why = f"there is no agent in the processes on {', '.join(host.label for host in spec.elsewhere)}"
            self._parts.missing("profile", why, "what grows is not traced to a line")
            return False
        why = "the container was started without the agent"
        self._parts.missing("profile", why, "what grows is not traced to a line")
        return False

    def _pass(
        self, adapter: LanguageAdapter, target: Target, load: LoadClient | None, plans: Sequence[LaunchPlan],
        within_reach: tuple[str, ...],
    ) -> None:  # fmt: skip
        parts = self._parts
        profiled = ProfiledPass(parts.pump, parts.recorder, parts.progress, parts.clock, Spread(adapter, parts.places))
        auto = self._auto(adapter, None if load is None else within_reach) if parts.context.automatic else None
        chosen = auto.plan(self._endpoints) if auto is not None and load is not None else None
        tools = within_reach if auto is None else auto.default_tools
        used = {step.use.tool for step in chosen.steps} if chosen is not None else set(tools)
        needed = [plan for plan in plans if plan.tool is None or plan.tool in used]
        companions = [program for program in (self._companion(target, plan) for plan in needed) if program is not None]
        try:
            if load is None:
                decided = None if auto is None else auto.tools()
                self._commands(adapter, target, profiled, tools if decided is None else decided)
            elif auto is not None and chosen is not None:
                auto.requests(profiled, load, chosen)
            else:
                profiled.requests(load, tools, self._endpoints)
        finally:
            for companion in companions:
                companion.stop()

    def _auto(self, adapter: LanguageAdapter, within_reach: tuple[str, ...] | None) -> Auto:
        parts = self._parts
        also = watching_tools(parts.scenario, adapter)
        return Auto(parts.pump, parts.recorder, parts.progress, parts.clock, adapter, parts.context, also, within_reach)

    def _companion(self, target: Target, plan: LaunchPlan) -> GuardedProgram | None:
        """A program that tools need; what has been measured before is not given up where it does not start."""
        try:
            return target.start(plan)
        except TargetError as error:
            self._parts.progress.step(f"warning: {error.message}")
            costs = "the tools that need it have no profiles"
            self._parts.missing(f"profile.companion.{plan.name}", str(error), costs)
            return None

    def _commands(self, adapter: LanguageAdapter, target: Target, profiled: ProfiledPass, tools: Sequence[str]) -> None:
        """What the ``each_round`` command is, or feeds, under each tool."""
        parts = self._parts
        assert isinstance(parts.scenario.load, EachRoundLoad)
        spec, load, plan = parts.scenario.target, parts.scenario.load, parts.job()
        ready = None if spec is None or spec.ready is None else resolve(spec.ready, parts.request.environ)
        commands = ProfiledCommands(
            parts.pump, parts.recorder, parts.progress, parts.clock, Spread(adapter, parts.places), target, profiled,
            Feeding(plan, load.timeout_ns / 1e9, load.settle_ns / 1e9, ready),
        )  # fmt: skip
        if plan.measured:
            commands.scripts(tools, automatic=parts.scenario.profile.automatic)
        else:
            commands.jobs(tools, target.measured, self._trim)
