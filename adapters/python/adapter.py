"""The Python adapter: any WSGI or ASGI server, launched without a change to the application. See docs/python.md."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from adapters.python import (
    attach,
    auto,
    collect,
    deploy,
    elsewhere,
    export,
    gather,
    gather_jobs,
    interpreters,
    launch,
    preflight,
    receiver,
    recordings,
    silence,
    toolset,
)
from harness.errors import HarnessError, UsageError
from harness.model.finding import Cause
from harness.model.profile import Artifact, Profile
from harness.plugins import orders
from harness.plugins.records import parse_record
from harness.plugins.spec import (
    AdapterContext,
    Check,
    Entry,
    FloorDepth,
    LaunchPlan,
    Prepared,
    ProfiledResponse,
    RecordSource,
    Site,
    There,
    ToolUse,
    Trigger,
)

_PYTHON_PROCESS = re.compile(r"(python|pypy)[\d.]*t?\Z")
_SERVERS = ("gunicorn", "uvicorn", "uwsgi", "celery", "waitress-serve", "hypercorn", "daphne", "flask", "django-admin")


@dataclass(frozen=True, slots=True)
class PythonAdapter:
    """Implements `harness.plugins.spec.LanguageAdapter`."""

    name: str = "python"
    tools: tuple[str, ...] = tuple(toolset.TOOLS)
    default_tools: tuple[str, ...] = toolset.DEFAULT
    auto_tools: tuple[str, ...] = toolset.AUTO
    announces: bool = True

    def tools_for(self, context: AdapterContext, cause: Cause) -> Sequence[ToolUse]:
        """tracemalloc and survivors for what Python keeps, memray for native memory; see `auto`."""
        return auto.tools_for(cause, memray="memray" in interpreters.lent(context.work_dir))

    def why_no_line(self, context: AdapterContext, cause: Cause) -> str:
        """As `tools_for`."""
        return auto.why_no_line(cause, memray="memray" in interpreters.lent(context.work_dir))

    def recognises(self, comm: str, cmdline: str, exe: str) -> bool:
        """Whether a process runs Python, by its executable, else by the name of a server that only Python has."""
        if _PYTHON_PROCESS.match(Path(exe).name):
            return True
        words = [Path(word).name for word in cmdline.replace("\0", " ").split()[:2]]
        return comm in _SERVERS or any(word in _SERVERS or _PYTHON_PROCESS.match(word) for word in words)

    def preflight(self, context: AdapterContext, plans: Sequence[LaunchPlan]) -> Sequence[Check]:
        """What the asked-for tools will miss; runs each plan's interpreter for a moment, isolated."""
        return preflight.checks(context, _measured(plans))

    def inspect(self, pids: Sequence[int]) -> Sequence[Check]:
        """Nothing: the tools are lent to the target, so there is no set-up of the user's that could be wrong."""
        return ()

    def prepare(self, context: AdapterContext, plans: Sequence[LaunchPlan]) -> Prepared:
        """Copy the agent into the work directory and point measured plans at it, by environment only."""
        if not any(_measured(plans)):
            return Prepared(tuple(plans), context.base_url)
        layout = _install(context)
        started = tuple(launch.instrumented(context, layout, plan) if plan.measured else plan for plan in plans)
        return Prepared(
            (*started, *receiver.plans(context)),
            context.base_url,
            launch.experiments(context),
        )

    def record_sources(self, context: AdapterContext) -> Sequence[RecordSource]:
        """One file for each run, shared by all processes of all plans."""
        return (RecordSource(deploy.RECORDS_PATTERN, parse_record),)

    def explain_silence(self, context: AdapterContext, plans: Sequence[LaunchPlan], output_tail: str) -> str:
        """The likely reason for each measured plan, best evidence first."""
        reasons = []
        for plan in _measured(plans):
            command, found = launch.look(plan) if context.away is None else (elsewhere.unseen(plan), None)
            reasons.append(
                silence.explain(
                    plan.name,
                    command,
                    found,
                    output_tail,
                    with_overlay=bool(context.options.get("overlay")),
                    announced=deploy.has_announcements(context.work_dir),
                    obstacles=deploy.obstacles(context.work_dir) if context.away is None else (),
                )
            )
        if not reasons and context.options.get("inject"):
            return attach.SILENCE
        return " ".join(reasons) or "no launched program was to be measured, so no agent was injected"

    def enter(self, context: AdapterContext, pids: Sequence[int]) -> Sequence[Entry]:
        """Stop each process for a moment and have it load the agent; see `attach`."""
        try:
            return attach.enter(context, pids)
        except OSError as error:
            raise _cannot_install(context, error) from error

    def release(self, context: AdapterContext, number: int, pids: Sequence[int]) -> Sequence[int]:
        """Order the agents to take everything back, and wait for it."""
        try:
            return attach.leave(context, number, pids)
        except OSError as error:
            raise _cannot_order(context, error) from error

    def facts(self, pids: Sequence[int]) -> Mapping[str, str]:
        """Nothing that the records do not say."""
        return {}

    def speaks_for(self, context: AdapterContext, pids: Sequence[int]) -> Sequence[int]:
        """Nobody: only the agent within tells."""
        return ()

    def ask_floor(self, context: AdapterContext, number: int, depth: FloorDepth, pids: Sequence[int]) -> Sequence[int]:
        """Post the order; the answers are floor records. Who gets to it too late does not answer any more."""
        ahead_ns = 0 if context.away is None else context.away.ahead_ns
        until_ns = time.monotonic_ns() + orders.ANSWER_WITHIN_NS + ahead_ns
        return _order(context, number, "floor", f"{depth.value} {until_ns}", pids)

    def explain_unasked(self, context: AdapterContext, pid: int) -> str:
        """Whoever handles the signal is told."""
        return (
            "some processes take no question: the application handles the signal itself, or another program runs there"
        )

    def arm(self, context: AdapterContext, number: int, tool: str | None, pids: Sequence[int]) -> Sequence[int]:
        """Have the next jobs of these workers run under a tool; None takes that back."""
        words = ""
        if tool is not None:
            found = toolset.TOOLS[tool]
            if found.raw is not None:  # each of its triggers is good for one measurement
                raise UsageError(f"{tool} measures single requests, not jobs", hint="use another tool for workers")
            words = toolset.words(found, context.options, elsewhere.names_for_jobs(context, found, pids))
        return _order(context, number, "arm", words, pids)

    def trigger(
        self,
        context: AdapterContext,
        tool: str,
        script: Sequence[str] | None = None,
        *,
        ends: bool = True,
        use: ToolUse | None = None,
    ) -> Trigger:
        """A header with this run's token; for scripts a variable that measures the whole program. A worker must end as a program
        does when it gets SIGTERM, or nothing is written."""
        found = toolset.TOOLS.get(tool)
        if found is None:
            raise UsageError(f"the Python adapter has no tool {tool!r}", hint=f"it has: {', '.join(self.tools)}")
        if script is None:
            named = elsewhere.name_for_request(context, found)
            once = {**receiver.words(context, found), **({} if use is None else auto.words(use)), **named}
            words = toolset.words(found, context.options, once)
            # The first triggered request imports the tool and warms its caches, and would measure just that.
            return Trigger(tool, headers={"x-harness-trigger": f"{context.token} {words}"}, warmups=1)
        if context.away is not None:
            raise UsageError("nothing is started again under a tool on another host")
        if not found.scripts:
            able = ", ".join(t.name for t in toolset.TOOLS.values() if t.scripts)
            raise UsageError(f"{tool} measures single requests, not whole scripts", hint=f"for a script, use {able}")
        return Trigger(tool, argv=tuple(script), env={"HARNESS_JOB_TOOL": toolset.words(found, context.options)})

    def out_of_reach(self, context: AdapterContext, tool: str) -> Check | None:
        """Nothing: where the agent is shows with the first request."""
        return None

    def collect(
        self, context: AdapterContext, trigger: Trigger, response: ProfiledResponse, destination: Path
    ) -> Sequence[Artifact]:
        """Wait for the tool's record of this span and copy its result; always one artifact, and the files beside it."""
        if not response.span_id and trigger.argv is None:
            jobs = gather_jobs.gather(context, trigger, response, destination)
            return [each for found in jobs for each in _with_files(context, found, destination)]
        return _with_files(context, gather.gather(context, trigger, response, destination), destination)

    def deployment(self, site: Site) -> Mapping[str, str]:  # part of the contract
        """Nothing to prepare: the agent comes with the launch."""
        return {}

    def deploy_agent(self, directory: Path, inside: str, token: str) -> Mapping[str, str]:
        """The agent and where it writes; `PYTHONPATH` brings it in."""
        try:
            return launch.mounted(deploy.install_agent(directory, for_all=True), directory, inside, token)
        except OSError as error:
            raise UsageError(f"cannot put the Python agent into {directory}: {error.strerror}") from error

    def launch_there(
        self, context: AdapterContext, plans: Sequence[LaunchPlan], variables: Mapping[str, str], there: There
    ) -> tuple[Prepared, Sequence[Check]]:
        """By environment, as here; which Python it is, is asked there."""
        return elsewhere.prepared(context, plans, variables, there)

    def parse(self, tool: str, path: Path) -> Profile:
        """A collected result; ValueError with the reason when it is not one."""
        if path.stat().st_size > collect.RESULT_CAP_BYTES:
            raise ValueError("the result is larger than any that is collected")
        return toolset.read(tool, path.read_bytes())


def _with_files(context: AdapterContext, found: Artifact, destination: Path) -> Sequence[Artifact]:
    """A collected result and the files beside it."""
    return (*recordings.read(context, found, destination), *export.files(found, destination))


def _measured(plans: Sequence[LaunchPlan]) -> list[LaunchPlan]:
    return [plan for plan in plans if plan.measured]


def _install(context: AdapterContext) -> deploy.AgentLayout:
    try:
        return deploy.install_agent(context.work_dir)
    except OSError as error:
        raise _cannot_install(context, error) from error


def _cannot_install(context: AdapterContext, error: OSError) -> HarnessError:
    text = f"cannot put the Python agent into {context.work_dir}: {error.strerror}"
    return HarnessError(text, hint="choose another output directory with --out")


def _cannot_order(context: AdapterContext, error: OSError) -> HarnessError:
    text = f"cannot write {deploy.orders_file(context.work_dir)}: {error.strerror}"
    return HarnessError(text, hint="is the disk full, or the run directory gone?")


def _order(context: AdapterContext, number: int, verb: str, rest: str, pids: Sequence[int]) -> Sequence[int]:
    if context.away is not None:
        return context.away.post(number, verb, rest, pids)
    path = deploy.orders_file(context.work_dir)
    if not path.parent.is_dir():
        return ()  # nothing was launched with the agent
    try:
        return orders.post(path, number, verb, rest, pids)
    except OSError as error:
        raise _cannot_order(context, error) from error


ADAPTER = PythonAdapter()
