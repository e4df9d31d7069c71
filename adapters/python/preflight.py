"""What a run will miss, found before anything is started. Looks, and changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from adapters.python import deploy, launch, overlay, silence, tools
from adapters.python.interpreter import Command, Interpreter
from adapters.python.toolset import TOOLS
from harness.plugins.spec import AdapterContext, Check, CheckLevel, LaunchPlan

_NEWEST_TESTED = (3, 13)
_NO_RECORDS = "per-request records and triggered tools; sampling from outside is not affected"


def checks(context: AdapterContext, plans: Sequence[LaunchPlan]) -> list[Check]:
    """For the measured plans of a run; runs each plan's interpreter for a moment, isolated."""
    found = [_unknown_tool(name) for name in context.tools if name not in TOOLS]
    watchers = [name for name in context.tools if name in TOOLS and TOOLS[name].functions]
    if watchers and not context.functions and not context.automatic:
        found += [_no_functions(name) for name in watchers]
    for plan in plans:
        command, python = launch.look(plan)
        found.append(_agent(plan, command, python, bool(context.options.get("overlay"))))
        if python is not None:
            found += () if context.automatic else _packages(context, python)
    return found + _work_dir(context.work_dir)


def _unknown_tool(tool: str) -> Check:
    return Check(
        f"profiler {tool}",
        CheckLevel.ERROR,
        f"the Python adapter has no profiler {tool!r}",
        fix=f"choose from: {', '.join(TOOLS)}",
    )


def _no_functions(tool: str) -> Check:
    return Check(
        f"{tool} functions",
        CheckLevel.WARNING,
        f"{tool} is asked for, but the scenario names no function to watch",
        fix="name some under `profile`, such as shop.views:basket",
        costs=f"{tool} results",
    )


def _packages(context: AdapterContext, python: Interpreter) -> Iterator[Check]:
    version = "{}.{}".format(*python.version[:2])
    for tool in launch.wanted_tools(context):
        name = f"{tool.name} package"
        if tool.names and python.version[:2] < tool.oldest:
            needs = ".".join(map(str, tool.oldest))
            text = f"{tool.name} needs Python {needs} or newer, and the target runs {version}"
            yield Check(name, CheckLevel.WARNING, text, costs=f"{tool.name} results")
        elif not tools.is_at_hand(tool, python, os.environ):
            text = f"{tool.name} for Python {version} will be fetched once with pip and kept in the cache directory"
            yield Check(name, CheckLevel.INFO, text)


def _agent(plan: LaunchPlan, command: Command, found: Interpreter | None, with_overlay: bool) -> Check:
    name = f"Python agent in {plan.name}"
    reason = silence.blocking_reason(command, found, with_overlay)
    if reason is not None:
        return Check(name, CheckLevel.WARNING, f"the agent will not load: {reason}", costs=_NO_RECORDS)
    if found is None:
        return Check(
            name, CheckLevel.INFO, f"cannot tell beforehand which Python {command.path or 'this command'} runs"
        )
    version = ".".join(map(str, found.version))
    if found.implementation != "cpython" or found.version[:2] > _NEWEST_TESTED:
        return Check(name, CheckLevel.WARNING, f"{found.implementation} {version} has not been tested with the agent")
    way = ", through an overlay: sys.prefix and sys.executable are not its own" if overlay.helps(command) else ""
    return Check(name, CheckLevel.INFO, f"Python {version} at {command.interpreter[0]}{way}")


def _work_dir(work_dir: Path) -> list[Check]:
    """For root: workers that give up their rights must still be able to reach the agent's files."""
    closed = deploy.closed_to_others(work_dir)
    if closed is None:
        return []
    return [
        Check(
            "run directory",
            CheckLevel.WARNING,
            f"{closed} is closed to other users: workers that change their user id will not load the agent",
            fix=f"chmod o+x {closed}, or choose another output directory with --out",
            costs=f"{_NO_RECORDS}, for such workers",
        )
    ]
