"""The Python adapter: any WSGI or ASGI server, launched without a change to the application. See docs/python.md."""

from __future__ import annotations

import json
import os
import re
import stat
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from adapters.python import collect, deploy, interpreter, results, silence
from adapters.python import tools as tool_dirs
from harness.errors import HarnessError, UsageError
from harness.model.profile import Artifact, ArtifactStatus, Profile
from harness.model.span import ToolRecord
from harness.plugins.records import parse_record
from harness.plugins.spec import (
    AdapterContext,
    Check,
    CheckLevel,
    LaunchPlan,
    Prepared,
    ProfiledResponse,
    RecordSource,
    Site,
    Trigger,
)

COLLECT_TIMEOUT_S = 15.0
_NEWEST_TESTED = (3, 13)
_SCRIPT_TOOLS = ("tracemalloc",)
_PYTHON_PROCESS = re.compile(r"(python|pypy)[\d.]*t?\Z")
_SERVERS = ("gunicorn", "uvicorn", "uwsgi", "celery", "waitress-serve", "hypercorn", "daphne", "flask", "django-admin")
_NO_RECORDS = "per-request records and triggered tools; sampling from outside is not affected"


@dataclass(frozen=True, slots=True)
class PythonAdapter:
    """Implements `harness.plugins.spec.LanguageAdapter`."""

    name: str = "python"
    tools: tuple[str, ...] = ("memory_profiler", "tracemalloc")
    default_tools: tuple[str, ...] = ("tracemalloc",)

    def recognises(self, comm: str, cmdline: str, exe: str) -> bool:
        """Whether a process runs Python, by its executable, else by the name of a server that only Python has."""
        if _PYTHON_PROCESS.match(Path(exe).name):
            return True
        words = [Path(word).name for word in cmdline.replace("\0", " ").split()[:2]]
        return comm in _SERVERS or any(word in _SERVERS or _PYTHON_PROCESS.match(word) for word in words)

    def preflight(self, context: AdapterContext, plans: Sequence[LaunchPlan]) -> Sequence[Check]:
        """What the asked-for tools will miss; runs each plan's interpreter for a moment, isolated."""
        checks = [_unknown_tool(tool, self.tools) for tool in context.tools if tool not in self.tools]
        if "memory_profiler" in context.tools and not context.functions:
            checks.append(
                Check(
                    "memory_profiler functions",
                    CheckLevel.WARNING,
                    "memory_profiler is asked for, but the scenario names no function to watch",
                    fix="name some under `profile`, such as shop.views:basket",
                    costs="memory_profiler results",
                )
            )
        for plan in _measured(plans):
            command, found = _look(plan)
            checks.append(_check_plan(plan, command, found))
            if "memory_profiler" in context.tools and found is not None and not tool_dirs.is_built(found, os.environ):
                version = "{}.{}".format(*found.version[:2])
                checks.append(
                    Check(
                        "memory_profiler package",
                        CheckLevel.INFO,
                        f"memory_profiler for Python {version} will be fetched once with pip and kept in the cache directory",
                    )
                )
        checks += _check_work_dir(context.work_dir)
        return checks

    def prepare(self, context: AdapterContext, plans: Sequence[LaunchPlan]) -> Prepared:
        """Copy the agent into the work directory and point measured plans at it, by environment only."""
        if not any(_measured(plans)):
            return Prepared(tuple(plans), context.base_url)
        try:
            layout = deploy.install_agent(context.work_dir)
        except OSError as error:
            raise HarnessError(
                f"cannot put the Python agent into {context.work_dir}: {error.strerror}",
                hint="choose another output directory with --out",
            ) from error
        return Prepared(
            tuple(_instrumented(context, layout, plan) if plan.measured else plan for plan in plans), context.base_url
        )

    def record_sources(self, context: AdapterContext) -> Sequence[RecordSource]:
        """One file for each run, shared by all processes of all plans."""
        return (RecordSource(deploy.RECORDS_PATTERN, parse_record),)

    def explain_silence(self, context: AdapterContext, plans: Sequence[LaunchPlan], output_tail: str) -> str:
        """The likely reason for each measured plan, best evidence first."""
        reasons = []
        for plan in _measured(plans):
            command, found = _look(plan)
            reasons.append(silence.explain(plan.name, command, found, output_tail))
        return " ".join(reasons) or "no launched program was to be measured, so no agent was injected"

    def trigger(self, context: AdapterContext, tool: str, script: Sequence[str] | None = None) -> Trigger:
        """A header with this run's token; for scripts a variable that measures the whole program."""
        if tool not in self.tools:
            raise UsageError(f"the Python adapter has no tool {tool!r}", hint=f"it has: {', '.join(self.tools)}")
        if script is None:
            # The first triggered request imports the tool and warms its caches, and would measure just that.
            return Trigger(tool, headers={"x-harness-trigger": f"{context.token} {tool}"}, warmups=1)
        if tool not in _SCRIPT_TOOLS:
            raise UsageError(
                f"{tool} measures single requests, not whole scripts", hint="for a script, use tracemalloc"
            )
        return Trigger(tool, argv=tuple(script), env={"HARNESS_JOB_TOOL": tool})

    def collect(
        self, context: AdapterContext, trigger: Trigger, response: ProfiledResponse, destination: Path
    ) -> Sequence[Artifact]:
        """Wait for the tool's record of this span and copy its result; always exactly one artifact."""
        scanner = collect.RecordScanner(context.work_dir, deploy.RECORDS_PATTERN)
        wanted = _job_record(trigger, response) if trigger.argv else _request_record(trigger, response)
        record = collect.wait_for(scanner, wanted, COLLECT_TIMEOUT_S)
        if record is None:
            reason = (
                "the program left no result; it ended by a signal, by os._exit, or runs no Python with the agent"
                if trigger.argv
                else f"no result within {COLLECT_TIMEOUT_S:.0f} s; the request may have reached a process without the agent"
            )
            return (_artifact(trigger, response, None, ArtifactStatus.MISSING, reason),)
        if record.file is None:
            return (
                _artifact(trigger, response, record, ArtifactStatus.MISSING, record.error or "the tool gave no result"),
            )
        try:
            data = collect.read_result(context.work_dir / "results", record.file, record.pid)
        except ValueError as error:
            return (_artifact(trigger, response, record, ArtifactStatus.REFUSED, str(error)),)
        name = f"python-{trigger.tool}-{response.span_id or record.t_ns}.json"
        destination.mkdir(parents=True, exist_ok=True)
        (destination / name).write_bytes(data)
        return (_artifact(trigger, response, record, ArtifactStatus.COMPLETE, record.error or "", name, len(data)),)

    def deployment(self, site: Site) -> Mapping[str, str]:  # part of the contract
        """Nothing to prepare: the agent comes with the launch."""
        return {}

    def parse(self, tool: str, path: Path) -> Profile:
        """A collected result; ValueError with the reason when it is not one."""
        if path.stat().st_size > collect.RESULT_CAP_BYTES:
            raise ValueError("the result is larger than any that is collected")
        return results.parse_result(tool, path.read_bytes())


def _measured(plans: Sequence[LaunchPlan]) -> list[LaunchPlan]:
    return [plan for plan in plans if plan.measured]


def _environment(plan: LaunchPlan) -> dict[str, str]:
    merged: dict[str, str | None] = {**os.environ, **plan.env}
    return {key: value for key, value in merged.items() if value is not None}


def _look(plan: LaunchPlan) -> tuple[interpreter.Command, interpreter.Interpreter | None]:
    env = _environment(plan)
    command = interpreter.resolve(plan.argv, env, plan.cwd)
    return command, interpreter.ask(command, env)


def _instrumented(context: AdapterContext, layout: deploy.AgentLayout, plan: LaunchPlan) -> LaunchPlan:
    inherited = _environment(plan).get("PYTHONPATH")
    env: dict[str, str | None] = {
        **plan.env,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(layout.boot_dir), inherited))),
        "HARNESS_RECORDS": str(layout.records_file),
        "HARNESS_RESULTS": str(layout.results_dir),
        "HARNESS_TOKEN": context.token,
    }
    if context.functions:
        env["HARNESS_FUNCTIONS"] = json.dumps(list(context.functions))
    if "memory_profiler" in context.tools or context.functions:
        env.update(tool_dirs.tools_for(_look(plan)[1], os.environ).env())
    return LaunchPlan(plan.name, plan.argv, env, plan.cwd, plan.measured, plan.stage, plan.ready)


def _unknown_tool(tool: str, known: tuple[str, ...]) -> Check:
    return Check(
        f"profiler {tool}",
        CheckLevel.ERROR,
        f"the Python adapter has no profiler {tool!r}",
        fix=f"choose from: {', '.join(known)}",
    )


def _check_plan(plan: LaunchPlan, command: interpreter.Command, found: interpreter.Interpreter | None) -> Check:
    name = f"Python agent in {plan.name}"
    reason = silence.blocking_reason(command, found)
    if reason is not None:
        return Check(name, CheckLevel.WARNING, f"the agent will not load: {reason}", costs=_NO_RECORDS)
    if found is None:
        return Check(
            name, CheckLevel.INFO, f"cannot tell beforehand which Python {command.path or 'this command'} runs"
        )
    version = ".".join(map(str, found.version))
    if found.implementation != "cpython" or found.version[:2] > _NEWEST_TESTED:
        return Check(name, CheckLevel.WARNING, f"{found.implementation} {version} has not been tested with the agent")
    return Check(name, CheckLevel.INFO, f"Python {version} at {command.interpreter[0]}")


def _check_work_dir(work_dir: Path) -> list[Check]:
    """For root: workers that give up their rights must still be able to reach the agent's files."""
    if os.geteuid() != 0:
        return []
    resolved = work_dir.resolve()
    closed = [p for p in (resolved, *resolved.parents) if p.is_dir() and not p.stat().st_mode & stat.S_IXOTH]
    if not closed:
        return []
    return [
        Check(
            "run directory",
            CheckLevel.WARNING,
            f"{closed[-1]} is closed to other users: workers that change their user id will not load the agent",
            fix=f"chmod o+x {closed[-1]}, or choose another output directory with --out",
            costs=f"{_NO_RECORDS}, for such workers",
        )
    ]


def _request_record(trigger: Trigger, response: ProfiledResponse) -> collect.Wanted:
    return lambda record: record.span_id == response.span_id and record.tool == trigger.tool


def _job_record(trigger: Trigger, response: ProfiledResponse) -> collect.Wanted:
    """A script seldom knows its span (TRACEPARENT in its environment); else its end must fall into the job's time."""

    def wanted(record: ToolRecord) -> bool:
        if record.tool != trigger.tool:
            return False
        if record.span_id is not None and response.span_id:
            return record.span_id == response.span_id
        return response.start_ns <= record.t_ns <= response.end_ns

    return wanted


def _artifact(
    trigger: Trigger,
    response: ProfiledResponse,
    record: ToolRecord | None,
    status: ArtifactStatus,
    detail: str,
    path: str | None = None,
    size_bytes: int | None = None,
) -> Artifact:
    values: Mapping[str, int | None] = {} if record is None else record.values
    return Artifact(
        tool=trigger.tool,
        adapter="python",
        path=path,
        status=status,
        span_id=response.span_id or None,
        endpoint=response.endpoint,
        pid=None if record is None else record.pid,
        t_ns=time.monotonic_ns() if record is None else record.t_ns,
        size_bytes=size_bytes,
        detail=detail,
        attributes=dict(values),
    )


ADAPTER = PythonAdapter()
